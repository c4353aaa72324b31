"""The last linear layer of a network that averages over columns, which closed-form fits replace.

    features [B, K, T] -> evidence[b, c, t] = W[c] . features[b, :, t] + b[c] -> mean over t: logits

An evidence network has such a head. A network of your own has one where a layer `[B, K, T]` is
averaged over all its columns and one linear layer follows, which gives the logits. Both layers are
named, and `linear_head` checks on noise that the network computes this.

>>> net = nn.Sequential(nn.Conv1d(1, 4, 5), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(),
...                     nn.Linear(4, 3))
>>> linear_head(net, head="4", layer="1").weight.shape
torch.Size([3, 4])
>>> linear_head(net, head="4", layer="0")
Traceback (most recent call last):
beatlens.errors.ModelError: the logits are not the mean of '4' over the columns of '0': name the \
layer (after its ReLU) whose columns are averaged, and the one linear layer behind
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from beatlens.attribution.maps import cam, captured
from beatlens.compression.contract import Retraining
from beatlens.compression.quantize import QuantizedConv, QuantizedEvidenceNet
from beatlens.errors import ModelError, RecipeError
from beatlens.nets.constraint import Constraint, Mask, constraint_on, trained_tensor
from beatlens.nets.evidence import EvidenceNet

CALIBRATION_BATCHES = 16
PROBE_LENGTHS = tuple(2**n for n in range(5, 16))


class LinearHead:
    """The head of one network; `linear_head` makes it.

    Args:
        net: the network.
        module: its head.
        layer: name of the layer whose columns are averaged; None for an evidence network.
    """

    def __init__(self, net: nn.Module, module: nn.Module, layer: str | None) -> None:
        self.net, self._module, self._layer = net, module, layer
        self._tensor = "float_weight" if isinstance(module, QuantizedConv) else "weight"

    @property
    def weight(self) -> Tensor:
        """The weights in use (of an int8 head before rounding), float64 `[C, K]`."""
        return cast(Tensor, getattr(self._module, self._tensor)).detach().flatten(1).double()

    @property
    def bias(self) -> Tensor:
        """The bias, float64 `[C]`."""
        return cast(Tensor, self._module.bias).detach().double()

    @property
    def constraint(self) -> Constraint | None:
        """What an earlier step imposed on the weights, if anything."""
        return constraint_on(self._module, self._tensor)

    @property
    def free(self) -> Tensor:
        """Which weights may be nonzero, bool `[C, K]`: all but the zeros of a mask."""
        constraint = self.constraint
        if isinstance(constraint, Mask):
            return constraint.mask.flatten(1) != 0
        return torch.ones(self.weight.shape, dtype=torch.bool)

    @property
    def calibrates(self) -> bool:
        """Whether `put` needs features to set scales: true for the head of an int8 network."""
        return isinstance(self.net, QuantizedEvidenceNet)

    def parameters(self) -> list[nn.Parameter]:
        """The trained parameters of the head."""
        return list(self._module.parameters())

    @torch.no_grad()
    def features(self, x: Tensor) -> Tensor:
        """Return the head's input `[B, K, T]` for `x [B, leads, N]` in mV."""
        if self._layer is None:
            return cast(EvidenceNet, self.net).features(x)
        with captured(self.net, self._layer) as capture:
            self.net(x)
        return capture.value

    @torch.no_grad()
    def evidence(self, x: Tensor) -> Tensor:
        """Return the network's evidence `[B, C, T]` in logit units, with its int8 rounding."""
        if self._layer is None:
            return cast(EvidenceNet, self.net).evidence(x)
        features = self.features(x)
        return cam(features, self.weight.to(features), self.bias.to(features))

    @torch.no_grad()
    def put(self, weight: Tensor, bias: Tensor, features: Sequence[Tensor]) -> None:
        """Set the head's weights `[C, K]` and bias `[C]`.

        A constraint on the weights stays. The output scale of an int8 head and the scale of the
        logits are set anew from `features` of some batches, `[B, K, T]`, as in
        `QuantizedEvidenceNet.calibrate`.
        """
        trained = trained_tensor(self._module, self._tensor)
        trained.copy_(weight.reshape(trained.shape))
        cast(Tensor, self._module.bias).copy_(bias)
        if isinstance(self.net, QuantizedEvidenceNet):
            self._calibrate(self.net, features)

    @staticmethod
    def _calibrate(net: QuantizedEvidenceNet, features: Sequence[Tensor]) -> None:
        """Set the scales of the evidence and of the logits anew."""
        quantizer = net.head.output
        quantizer.observing = True
        for seen in features:
            net.head(seen)
        quantizer.observing = False
        quantizer.settle()
        net.cover_logits(net.head(seen).mean(dim=2) for seen in features)


def linear_head(net: nn.Module, head: str | None = None, layer: str | None = None) -> LinearHead:
    """Find a network's head.

    Args:
        net: an evidence network, float or int8, without names; or any network that takes inputs
            `[B, leads, N]` of any length, as global averaging allows.
        head: name of the linear layer (`nn.Linear`, or `nn.Conv1d` of one tap), with a bias.
        layer: name of the layer `[B, K, T]` whose columns are averaged.

    Raises:
        ModelError: a name is missing or unknown, or the logits are not the mean of the head's
            output over the layer's columns.
    """
    if isinstance(net, EvidenceNet | QuantizedEvidenceNet):
        return LinearHead(net, net.head, None)
    if head is None or layer is None:
        raise ModelError(
            f"{type(net).__name__} is not an evidence network: name the linear layer that decides "
            "(head=...) and the layer whose columns are averaged before it (layer=...)"
        )
    names = dict(net.named_modules())
    for name in (head, layer):
        if name not in names:
            raise ModelError(f"the network has no layer {name!r}; its layers: {', '.join(names)}")
    _expect_linear(names[head], head)
    found = LinearHead(net, names[head], layer)
    _expect_mean(found, head, layer)
    return found


def _expect_linear(module: nn.Module, name: str) -> None:
    taps = module.kernel_size[0] if isinstance(module, nn.Conv1d) else 1
    grouped = isinstance(module, nn.Conv1d) and module.groups > 1
    if not isinstance(module, nn.Linear | nn.Conv1d) or taps != 1 or grouped:
        raise ModelError(
            f"head {name!r} is a {type(module).__name__}, expected a Linear, or a Conv1d of one "
            "tap and one group"
        )
    if module.bias is None:
        raise ModelError(f"head {name!r} has no bias, expected one: build it with bias=True")


def _expect_mean(found: LinearHead, head: str, layer: str) -> None:
    """Check on noise that the logits are the mean of the head over the layer's columns."""
    net = found.net
    training = net.training
    net.eval()
    try:
        x = _probe(net)
        with torch.no_grad():
            logits = net(x)
        try:
            same = _close(logits, found.evidence(x).mean(dim=2))
        except ModelError as error:
            raise ModelError(f"{layer!r} and {head!r} do not make a head: {error}") from error
    finally:
        net.train(training)
    if not same:
        raise ModelError(
            f"the logits are not the mean of {head!r} over the columns of {layer!r}: name the "
            "layer (after its ReLU) whose columns are averaged, and the one linear layer behind"
        )


def _close(logits: Tensor, mean: Tensor) -> bool:
    fits = isinstance(logits, Tensor) and logits.shape == mean.shape
    return fits and torch.allclose(logits, mean, rtol=1e-3, atol=1e-4 * float(mean.abs().max()))


def _probe(net: nn.Module) -> Tensor:
    """Noise `[2, leads, N]` of the first power of two that the network takes."""
    leads = next((m.in_channels for m in net.modules() if isinstance(m, nn.Conv1d)), 1)
    noise = torch.randn(2, leads, PROBE_LENGTHS[-1], generator=torch.Generator().manual_seed(0))
    reason = ""
    for length in PROBE_LENGTHS:
        try:
            with torch.no_grad():
                net(noise[:, :, :length])
            return noise[:, :, :length]
        except (RuntimeError, ValueError) as error:
            reason = str(error)
    raise ModelError(
        f"{type(net).__name__} takes no input [2, {leads}, N] of any N = "
        f"{PROBE_LENGTHS[0]} .. {PROBE_LENGTHS[-1]}, expected a network that averages over however "
        f"many columns there are: {reason}"
    )


@dataclass(frozen=True)
class Pooled:
    """The data of a fit: `features [n, K]` (means over columns), float64; `labels [n, C]`, NaN
    where not known; `teacher [n, C]`, the teacher's logits; `maps [B, K, T]`, the features of the
    first batches before averaging, kept only for an int8 head."""

    features: Tensor
    labels: Tensor
    teacher: Tensor
    maps: Sequence[Tensor] = ()


def pooled(head: LinearHead, retraining: Retraining, crops: int, batch: int = 32) -> Pooled:
    """Run the frozen network on the retraining's first `crops` examples, `batch` at a time.

    Raises `RecipeError` for fewer than 2 crops, and where the retraining has no examples.
    """
    if crops < 2 or batch < 1:
        raise RecipeError(f"crops are {crops} and batch is {batch}, expected at least 2 and 1")
    head.net.eval()
    rows: list[tuple[Tensor, Tensor, Tensor]] = []
    maps: list[Tensor] = []
    for first in range(0, crops, batch):
        shown = retraining.read_examples(head.net, first, min(batch, crops - first))
        features = head.features(shown.inputs)
        if head.calibrates and len(maps) < CALIBRATION_BATCHES:
            maps.append(features)
        mean, evidence = features.double().mean(dim=2), shown.evidence.double().mean(dim=2)
        rows.append((mean, shown.labels.double(), evidence))
    features, labels, teacher = (torch.cat(parts) for parts in zip(*rows, strict=True))
    return Pooled(features, labels, teacher, maps)
