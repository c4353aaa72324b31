"""What a network's weights weigh: as int8, and packed as they are shipped.

The figure is of real bytes: every layer's weights are rounded to the int8 tensor the device will
hold and encoded by the packed format (`firmware_export/SPEC.md`). Batch norm does not matter: it is
folded into the channels' scales, which int8 weights do not see.

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
"""Of a layer's largest weight: below it a channel's own steps are too small for the device."""
CHANNEL_BYTES = 8
"""Per output channel, beside the weights: an int32 bias and a float32 scale."""


@dataclass(frozen=True)
class WeightAccount:
    """Sizes of a network's weights.

    Args:
        weights: how many there are, zeros included, in the tensors that are stored.
        nonzero: how many of them are not zero as int8.
        int8_bytes: one byte each, without biases and scales.
        packed_bytes: encoded by the packed format, with biases and scales.
    """

    weights: int
    nonzero: int
    int8_bytes: int
    packed_bytes: int

    def as_dict(self) -> dict[str, int]:
        """The account as plain data."""
        return asdict(self)


def weight_steps(weight: Tensor) -> Tensor:
    """Step per output channel, `[out]`, that maps the largest weight to 127.

    A channel that was pruned away has the layer's largest step: its bias is in units of it.
    """
    largest = weight.detach().flatten(1).abs().amax(dim=1)
    most = largest.max().clamp(min=1e-8)
    return torch.where(largest == 0, most, largest.clamp(min=most * LEAST_CHANNEL)) / WEIGHT_MAX


def layer_steps(layer: nn.Module, tensor: str) -> Tensor:
    """Step per output channel of a layer's weights: its constraint's grid, or 127 steps."""
    constraint = constraint_on(layer, tensor)
    steps = None if constraint is None else constraint.steps(trained_tensor(layer, tensor))
    return weight_steps(getattr(layer, tensor)) if steps is None else steps


def weighted_layers(net: nn.Module) -> dict[str, tuple[nn.Module, str]]:
    """Layers with weights by name, and what their tensor is called.

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
    """Weights as the device stores them, int8 `[out, k, in]`, of a layer's trained tensor.

    A linear layer's `[out, in]` counts as a convolution of one tap.
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
    """Every layer's weights as the device stores them, int8 `[out, k, in]` by layer name."""
    return {
        name: int8_tensor(trained_tensor(layer, tensor), constraint_on(layer, tensor))
        for name, (layer, tensor) in weighted_layers(net).items()
    }


def packed_bytes(tensor: np.ndarray) -> int:
    """Bytes of one layer's packed weights `[out, k, in]`, with its biases and scales."""
    return packed_size(tensor) + CHANNEL_BYTES * len(tensor)


def weight_account(net: nn.Module) -> WeightAccount:
    """Count what the weights of a network weigh; see `WeightAccount`."""
    tensors = int8_weights(net)
    weights = sum(t.size for t in tensors.values())
    packed = sum(packed_bytes(t) for t in tensors.values())
    nonzero = sum(int(np.count_nonzero(t)) for t in tensors.values())
    return WeightAccount(weights, nonzero, weights, packed)
