"""The size of a network's weights: as int8, and in the packed format.

Sizes are measured, not estimated: every layer's weights are rounded to the int8 tensor that the
device stores and encoded in the packed format (`firmware_export/SPEC.md`). Batch norm does not
change the int8 weights, since it is folded into the channels' scales.

>>> account = weight_account(nn.Conv1d(2, 4, 3))
>>> account.weights, account.int8_bytes
(24, 24)
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor, nn

from beatlens.nets.constraint import Constraint, constraint_on, trained_tensor
from beatlens.packed import packed_size

WEIGHT_MAX = 127
LEAST_CHANNEL = 2.0**-16
"""Share of a layer's largest weight below which a channel's step is too small for the device."""
CHANNEL_BYTES = 8
"""Bytes per output channel beside the weights: an int32 bias and a float32 scale."""


@dataclass(frozen=True)
class WeightAccount:
    """Sizes of a network's weights.

    Args:
        weights: number of weights in the stored tensors, zeros included.
        nonzero: number of weights that are not zero as int8.
        int8_bytes: bytes at one byte per weight, without biases and scales.
        packed_bytes: bytes in the packed format, with biases and scales.
    """

    weights: int
    nonzero: int
    int8_bytes: int
    packed_bytes: int

    def as_dict(self) -> dict[str, int]:
        """The account as plain data."""
        return asdict(self)


def weight_steps(weight: Tensor) -> Tensor:
    """Return the step per output channel, `[out]`, that maps the largest weight to 127.

    A channel whose weights are all zero has the layer's largest step, the unit of its bias.
    """
    largest = weight.detach().flatten(1).abs().amax(dim=1)
    most = largest.max().clamp(min=1e-8)
    return torch.where(largest == 0, most, largest.clamp(min=most * LEAST_CHANNEL)) / WEIGHT_MAX


def layer_steps(layer: nn.Module, tensor: str) -> Tensor:
    """Return the step per output channel `[out]`: of the constraint's grid, else `weight_steps`."""
    constraint = constraint_on(layer, tensor)
    steps = None if constraint is None else constraint.steps(trained_tensor(layer, tensor))
    return weight_steps(getattr(layer, tensor)) if steps is None else steps


def weighted_layers(net: nn.Module) -> dict[str, tuple[nn.Module, str]]:
    """Return the layers with weights by name, each with the name of its weight tensor.

    Convolutions and linear layers (`weight`), and quantised convolutions (`float_weight`).
    """
    found: dict[str, tuple[nn.Module, str]] = {}
    for name, module in net.named_modules():
        if isinstance(module, nn.Conv1d | nn.Linear):
            found[name] = (module, "weight")
        elif isinstance(getattr(module, "float_weight", None), Tensor):
            found[name] = (module, "float_weight")
    return found


@torch.no_grad()
def int8_tensor(trained: Tensor, constraint: Constraint | None = None) -> np.ndarray:
    """Convert a layer's trained tensor to the weights the device stores, int8 `[out, k, in]`.

    A linear layer's `[out, in]` becomes a convolution of one tap.
    """
    weight = trained if constraint is None else constraint(trained)
    steps = None if constraint is None else constraint.steps(trained)
    steps = weight_steps(weight) if steps is None else steps
    whole = torch.round(weight / steps.reshape(-1, *[1] * (weight.dim() - 1)))
    whole = whole.clamp(-WEIGHT_MAX, WEIGHT_MAX)
    whole = whole if constraint is None else constraint.stored(whole)
    if whole.dim() == 2:
        whole = whole[:, :, None]
    return whole.permute(0, 2, 1).to(torch.int8).contiguous().cpu().numpy()


def int8_weights(net: nn.Module) -> dict[str, np.ndarray]:
    """Return every layer's weights as the device stores them, int8 `[out, k, in]`, by name."""
    return {
        name: int8_tensor(trained_tensor(layer, tensor), constraint_on(layer, tensor))
        for name, (layer, tensor) in weighted_layers(net).items()
    }


def packed_bytes(tensor: np.ndarray) -> int:
    """Return the bytes of one layer in the packed format, with biases and scales."""
    return packed_size(tensor) + CHANNEL_BYTES * len(tensor)


def weight_account(net: nn.Module) -> WeightAccount:
    """Measure the sizes of a network's weights."""
    tensors = int8_weights(net)
    weights = sum(t.size for t in tensors.values())
    packed = sum(packed_bytes(t) for t in tensors.values())
    nonzero = sum(int(np.count_nonzero(t)) for t in tensors.values())
    return WeightAccount(weights, nonzero, weights, packed)
