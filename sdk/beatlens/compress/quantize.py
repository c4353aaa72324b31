"""int8 quantisation, after training or aware of it, of an evidence network.

`QuantizedEvidenceNet` is an evidence network that computes in float what the device computes in
int8: batch norm folded into the convolutions (Jacob et al., CVPR 2018, sec. 3.2; statistics
frozen), weights rounded per output channel, activations rounded to scales of our own that are
learnt with the weights (learned step size, Esser et al., ICLR 2020). Its evidence is the evidence
the device will show, so a matching loss on it matches the device's map.

Conventions, those of int8 TFLite: weights symmetric in [-127, 127]; after a ReLU zero point -128,
so that 255 steps cover [0, max]; elsewhere zero point 0.

    quantized = QuantizedEvidenceNet(student)
    quantized.calibrate(windows)          # post-training quantisation ends here
    fit(DistillObjective(quantized, ...)) # quantisation-aware training goes on
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from beatlens.errors import ModelError
from beatlens.nets.evidence import ConvUnit, EvidenceNet, ResidualBlock
from beatlens.signals.frontend import LSB_MV

WEIGHT_MAX = 127
COVERED = 0.9999


def round_through(values: Tensor) -> Tensor:
    """Round; the gradient passes as if nothing had happened (Bengio et al., arXiv 1308.3432)."""
    return values + (torch.round(values) - values).detach()


def weight_scales(weight: Tensor) -> Tensor:
    """Scale per output channel, `[out]`, that maps the largest weight to 127."""
    largest = weight.detach().flatten(1).abs().amax(dim=1)
    return largest.clamp(min=1e-8) / WEIGHT_MAX


class ActivationQuantizer(nn.Module):
    """Rounds an activation to int8 steps with a learnt scale.

    Args:
        relu: the activation is not negative: 255 steps from 0 (zero point -128); otherwise 127
            steps to both sides (zero point 0).
    """

    def __init__(self, *, relu: bool) -> None:
        super().__init__()
        self.low, self.high = (0, 255) if relu else (-127, 127)
        self.zero_point = -128 if relu else 0
        self.log_scale = nn.Parameter(torch.zeros(()))
        self.observing = False
        self._largest: list[Tensor] = []

    @property
    def scale(self) -> Tensor:
        """Step, in the activation's unit."""
        return self.log_scale.exp()

    def forward(self, values: Tensor) -> Tensor:
        """Return the rounded activation, same shape; observe instead while calibrating."""
        if self.observing:
            self._largest.append(torch.quantile(_thinned(values), COVERED))
            return values
        # Esser et al., sec. 2.2: the scale's gradient is balanced against the weights'.
        balance = (values.numel() * self.high) ** -0.5
        log_scale = self.log_scale * balance + (self.log_scale * (1 - balance)).detach()
        scale = log_scale.exp()
        steps = round_through(torch.clamp(values / scale, self.low, self.high))
        return steps * scale

    def settle(self) -> None:
        """Set the scale to cover what was observed."""
        if not self._largest:
            raise ModelError("calibration saw no data, expected at least one batch of windows")
        largest = torch.stack(self._largest).median().clamp(min=1e-4)
        self.log_scale.data = (largest / self.high).log()
        self._largest.clear()


def _thinned(values: Tensor, limit: int = 1_000_000) -> Tensor:
    """At most `limit` magnitudes, evenly taken (torch.quantile refuses more than 16 million)."""
    flat = values.detach().abs().flatten()
    return flat[:: max(1, flat.numel() // limit)]


class QuantizedConv(nn.Module):
    """Convolution with rounded weights and bias inside, ReLU, rounded output.

    Takes the place of a `ConvUnit` (batch norm folded) or of the head.
    """

    def __init__(self, conv: nn.Conv1d, norm: nn.BatchNorm1d | None, *, relu: bool) -> None:
        super().__init__()
        weight = conv.weight.detach().clone()
        bias = torch.zeros(len(weight)) if conv.bias is None else conv.bias.detach().clone()
        if norm is not None:
            gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
            weight = weight * gain.detach()[:, None, None]
            bias = (norm.bias + (bias - norm.running_mean) * gain).detach()
        self.float_weight = nn.Parameter(weight)
        self.bias = nn.Parameter(bias)
        self.stride, self.groups, self.relu = conv.stride[0], conv.groups, relu
        self.output = ActivationQuantizer(relu=relu)

    @property
    def weight(self) -> Tensor:
        """The rounded weights `[out, in / groups, k]`."""
        scale = weight_scales(self.float_weight)[:, None, None]
        return round_through(self.float_weight / scale) * scale

    def forward(self, x: Tensor) -> Tensor:
        """Return the rounded output `[B, out, T]` of a rounded input `[B, in, N]`."""
        y = F.conv1d(x, self.weight, self.bias, self.stride, groups=self.groups)
        return cast(Tensor, self.output(torch.relu(y) if self.relu else y))


class QuantizedResidual(nn.Module):
    """The quantised form of a `ResidualBlock`."""

    def __init__(self, block: ResidualBlock) -> None:
        super().__init__()
        self.first, self.second = _unit(block.first), _unit(block.second)
        self.shortcut = None if block.shortcut is None else _unit(block.shortcut)
        self.crop, self.step = block.crop, block.first.conv.stride[0]
        self.output = ActivationQuantizer(relu=True)

    def forward(self, x: Tensor) -> Tensor:
        """Return `[B, out, T]`, rounded."""
        y = self.second(self.first(x))
        x = x[:, :, self.crop : self.crop + (y.shape[2] - 1) * self.step + 1]
        x = x if self.shortcut is None else self.shortcut(x)
        return cast(Tensor, self.output(torch.relu(y + x)))


def _unit(unit: ConvUnit) -> QuantizedConv:
    return QuantizedConv(unit.conv, unit.norm, relu=unit.relu)


def _quantized(block: nn.Module) -> nn.Module:
    if isinstance(block, ConvUnit):
        return _unit(block)
    if isinstance(block, ResidualBlock):
        return QuantizedResidual(block)
    raise ModelError(
        f"cannot quantise a {type(block).__name__}, expected ConvUnit or ResidualBlock; "
        "build the backbone from beatlens.nets.evidence"
    )


class QuantizedEvidenceNet(nn.Module):
    """A float evidence network's int8 form, still differentiable; same methods as `EvidenceNet`.

    Call `calibrate` before anything else. Raises `ModelError` for backbones made of other blocks.
    """

    def __init__(self, net: EvidenceNet) -> None:
        super().__init__()
        self.backbone = nn.Sequential(*(_quantized(block) for block in net.backbone))
        self.head = QuantizedConv(net.head, None, relu=False)
        self.classes, self.geometry = net.classes, net.geometry
        self.register_buffer("logit_scale", torch.zeros(()))

    def features(self, x: Tensor) -> Tensor:
        """Last activation `[B, K, T]`, rounded, of `x [B, leads, N]` on the front end's grid."""
        return cast(Tensor, self.backbone(x))

    def evidence(self, x: Tensor) -> Tensor:
        """Evidence `[B, C, T]` in logit units, rounded."""
        return cast(Tensor, self.head(self.features(x)))

    def forward(self, x: Tensor) -> Tensor:
        """Logits `[B, C]`: the mean of the rounded evidence."""
        return self.evidence(x).mean(dim=2)

    def quantizers(self) -> Iterable[ActivationQuantizer]:
        """All activation quantisers, in the order the signal meets them."""
        return (m for m in self.modules() if isinstance(m, ActivationQuantizer))

    def _observe(self, observing: bool) -> None:
        for quantizer in self.quantizers():
            quantizer.observing = observing

    @torch.no_grad()
    def calibrate(self, batches: Iterable[Tensor]) -> None:
        """Set every scale from data: inputs `[B, leads, N]` in mV, trimmed to this network.

        Activations cover 99.99 % of what is seen. (Moving averages of the extremes, the usual
        choice, are drawn to the isoelectric line, of which ECG is mostly made.) Raises `ModelError`
        without any batch.
        """
        self._observe(True)
        logits = [self(x).abs().max() for x in batches]
        self._observe(False)
        for quantizer in self.quantizers():
            quantizer.settle()
        self.logit_scale.copy_(torch.stack(logits).max().clamp(min=1e-3) * 1.25 / 127)


INPUT_SCALE = LSB_MV
