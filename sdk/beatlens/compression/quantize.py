"""int8 quantisation of an evidence network, after training or during training.

`QuantizedEvidenceNet` is an evidence network that computes in float what the device computes in
int8: batch norm folded into the convolutions (Jacob et al., CVPR 2018, sec. 3.2; statistics
frozen), weights rounded per output channel, activations rounded to steps that are trained with the
weights (learned step size, Esser et al., ICLR 2020). Its evidence is the evidence that the device
computes, so a matching loss on it matches the device's map.

Conventions are those of int8 TFLite: weights symmetric in [-127, 127]; after a ReLU zero point
-128, so that 255 steps cover [0, max]; elsewhere zero point 0.

    quantized = QuantizedEvidenceNet(student)
    quantized.calibrate(windows)          # post-training quantisation ends here
    fit(DistillObjective(quantized, ...)) # quantisation-aware training goes on

`Quantize` does the same as a compression method.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from beatlens.compression.contract import Budget, Compressed, LogRow, Retraining, training_rows
from beatlens.compression.size import layer_steps, weight_account
from beatlens.errors import ModelError, RecipeError
from beatlens.nets.constraint import constraint_on, impose
from beatlens.nets.evidence import ConvUnit, EvidenceNet, ResidualBlock
from beatlens.signals.frontend import LSB_MV
from beatlens.training.loop import Report

COVERED = 0.9999
INPUT_SCALE = float(np.float32(LSB_MV))


def round_through(values: Tensor) -> Tensor:
    """Round; the gradient passes unchanged (straight through, Bengio et al., arXiv 1308.3432)."""
    return values + (torch.round(values) - values).detach()


@torch.no_grad()
def rescaled(accumulator: Tensor, factor: Tensor) -> Tensor:
    """Multiply accumulators by a real factor and round to whole numbers as int8 kernels do.

    The kernels round twice: to a 31-bit mantissa's precision, then, halves away from zero, by a
    shift (`beatlens.integer.arithmetic.multiply_by_multiplier`). Rounding once instead would be off
    by one step in up to 1 % of the values of every layer, and through six layers in half of them.

    Args:
        accumulator: whole numbers `[B, out, T]`.
        factor: float64 `[out, 1]`.
    """
    mantissa, exponent = torch.frexp(factor)
    mantissa = torch.round(mantissa * 2.0**31) / 2.0**31
    one = torch.ones_like(exponent, dtype=torch.int64)
    left, right = one << exponent.clamp(min=0), one << (-exponent).clamp(min=0)
    # Exact: whole numbers and powers of two below 2**53. In place, for it is done at every step.
    fine = accumulator.double().mul_(left * mantissa).add_(0.5).floor_()
    return fine.abs().div_(right).add_(0.5).floor_().mul_(fine.sign_())


class ActivationQuantizer(nn.Module):
    """Rounds an activation to int8 steps with a trained scale.

    Args:
        relu: true: the activation is not negative and has 255 steps from 0 (zero point -128);
            false: it has 127 steps above and 128 below zero (zero point 0).
    """

    def __init__(self, *, relu: bool) -> None:
        super().__init__()
        self.low, self.high = (0, 255) if relu else (-128, 127)
        self.zero_point = -128 if relu else 0
        self.log_scale = nn.Parameter(torch.zeros(()))
        self.observing = False
        self._largest: list[Tensor] = []

    @property
    def scale(self) -> Tensor:
        """Step, in the activation's unit."""
        return self.log_scale.exp()

    def forward(self, values: Tensor, unit: Tensor | None = None) -> Tensor:
        """Return the rounded activation, same shape; while calibrating, only observe `values`.

        `unit` float64 `[out, 1]` is the real value of 1 in the accumulator that `values` come from;
        with it, they are rounded as the device rounds that accumulator.
        """
        if self.observing:
            self._largest.append(upper_quantile(_thinned(values), COVERED))
            return values
        # Esser et al., sec. 2.2: the scale's gradient is balanced against the weights'.
        balance: float = (values.numel() * self.high) ** -0.5
        factor = 1 + balance * (self.log_scale - self.log_scale.detach())  # is 1
        scale = self.scale.detach() * factor
        inside = torch.clamp(values / scale, self.low, self.high)
        if unit is None:
            steps = round_through(inside)
        else:
            accumulator = torch.round(values.detach() / unit.to(values.dtype))
            whole = rescaled(accumulator, unit / self.scale.detach().double())
            whole = whole.clamp(self.low, self.high).to(values.dtype)
            steps = inside + (whole - inside).detach()
        rounded: Tensor = steps * scale
        return rounded

    def settle(self) -> None:
        """Set the scale to cover the observed values; `ModelError` where there are none."""
        if not self._largest:
            raise ModelError("calibration saw no data, expected at least one batch of windows")
        largest = torch.stack(self._largest).median().clamp(min=1e-4)
        self.log_scale.data = (largest / self.high).log()
        self._largest.clear()


def upper_quantile(values: Tensor, share: float) -> Tensor:
    """Compute `torch.quantile` for a share near 1 without sorting the smaller values.

    Args:
        values: `[N]`.
        share: share of the values at or below the quantile; linear interpolation.

    >>> upper_quantile(torch.arange(11.0), 0.95)
    tensor(9.5000)
    """
    position = share * (len(values) - 1)
    below = int(position)
    highest = torch.topk(values, len(values) - below).values
    upper = highest[-2] if len(highest) > 1 else highest[-1]
    return torch.lerp(highest[-1], upper, position - below)


def _thinned(values: Tensor, limit: int = 1_000_000) -> Tensor:
    """At most `limit` magnitudes, at equal distances in `values`."""
    flat = values.detach().abs().flatten()
    return flat[:: max(1, flat.numel() // limit)]


class QuantizedConv(nn.Module):
    """Convolution with rounded weights and bias inside, ReLU, rounded output.

    Replaces a `ConvUnit` (with batch norm folded) or the head. `source` is the quantiser of its
    input; None for the network's input, which is on the front end's grid.

    A constraint on the convolution's weights is put on the folded weights too, and holds exactly in
    the whole numbers: masks, equal magnitudes, codebooks, coarse grids.
    """

    def __init__(
        self,
        conv: nn.Conv1d,
        norm: nn.BatchNorm1d | None,
        *,
        relu: bool,
        source: ActivationQuantizer | None = None,
    ) -> None:
        super().__init__()
        weight = conv.weight.detach().clone()
        bias = torch.zeros(len(weight)) if conv.bias is None else conv.bias.detach().clone()
        if norm is not None:
            mean, variance = cast(Tensor, norm.running_mean), cast(Tensor, norm.running_var)
            gain = norm.weight / torch.sqrt(variance + norm.eps)
            weight = weight * gain.detach()[:, None, None]
            bias = (norm.bias + (bias - mean) * gain).detach()
        self.float_weight = nn.Parameter(weight)
        self.bias = nn.Parameter(bias)
        self.stride, self.groups, self.relu = conv.stride[0], conv.groups, relu
        self.output = ActivationQuantizer(relu=relu)
        self._source = (source,)  # in a tuple: it is a part of another module, not of this one
        held = constraint_on(conv)
        if held is not None:
            impose(self, held.rescaled(weight), "float_weight")

    @property
    def weight_steps(self) -> Tensor:
        """Step of the weights per output channel, `[out]`; see `beatlens.compression.size`."""
        return layer_steps(self, "float_weight").detach()

    @property
    def weight(self) -> Tensor:
        """The rounded weights `[out, in / groups, k]`, in float."""
        step = self.weight_steps[:, None, None]
        return round_through(self.float_weight / step) * step

    @torch.no_grad()
    def integers(self) -> tuple[Tensor, Tensor]:
        """Weights and bias as the whole numbers the device stores, in units of their scales."""
        whole = torch.round(self.float_weight / self.weight_steps[:, None, None])
        return whole, torch.round(self.bias / self.unit.to(self.bias.dtype))

    @property
    def unit(self) -> Tensor:
        """Real value of 1 in the accumulator, float64 `[out]`: input scale times weight step."""
        (source,) = self._source
        input_scale = INPUT_SCALE if source is None else source.scale.detach().double()
        return input_scale * self.weight_steps.double()

    def forward(self, x: Tensor) -> Tensor:
        """Return the rounded output `[B, out, T]` of a rounded input `[B, in, N]`."""
        with parametrize.cached():  # constrained weights are computed once, read several times
            return self._convolved(x)

    def _convolved(self, x: Tensor) -> Tensor:
        if self.output.observing:  # the input's scale is not known yet
            y = F.conv1d(x, self.weight, self.bias, self.stride, groups=self.groups)
            return cast(Tensor, self.output(torch.relu(y) if self.relu else y))
        unit = self.unit
        step = unit.to(self.bias.dtype)
        bias = round_through(self.bias / step) * step
        # bfloat16 could not represent the accumulator exactly.
        with torch.autocast(x.device.type, enabled=False):
            y = F.conv1d(x, self.weight, bias, self.stride, groups=self.groups)
        return cast(Tensor, self.output(torch.relu(y) if self.relu else y, unit[:, None]))


class QuantizedResidual(nn.Module):
    """The quantised form of a `ResidualBlock`."""

    def __init__(self, block: ResidualBlock, source: ActivationQuantizer | None = None) -> None:
        super().__init__()
        self.first = _unit(block.first, source)
        self.second = _unit(block.second, self.first.output)
        self.shortcut = None if block.shortcut is None else _unit(block.shortcut, source)
        self.crop, self.step = block.crop, block.first.conv.stride[0]
        self.output = ActivationQuantizer(relu=True)

    def forward(self, x: Tensor) -> Tensor:
        """Return `[B, out, T]`, rounded."""
        y = self.second(self.first(x))
        x = x[:, :, self.crop : self.crop + (y.shape[2] - 1) * self.step + 1]
        x = x if self.shortcut is None else self.shortcut(x)
        return cast(Tensor, self.output(torch.relu(y + x)))


def _unit(unit: ConvUnit, source: ActivationQuantizer | None) -> QuantizedConv:
    return QuantizedConv(unit.conv, unit.norm, relu=unit.relu, source=source)


def _quantized(
    block: nn.Module, source: ActivationQuantizer | None
) -> QuantizedConv | QuantizedResidual:
    if isinstance(block, ConvUnit):
        return _unit(block, source)
    if isinstance(block, ResidualBlock):
        return QuantizedResidual(block, source)
    raise ModelError(
        f"cannot quantise a {type(block).__name__}, expected ConvUnit or ResidualBlock; "
        "build the backbone from beatlens.nets.evidence"
    )


class QuantizedEvidenceNet(nn.Module):
    """The int8 form of a float evidence network, differentiable; methods as of `EvidenceNet`.

    Call `calibrate` first. Raises `ModelError` for a backbone of blocks other than `ConvUnit` and
    `ResidualBlock`.
    """

    logit_scale: Tensor

    def __init__(self, net: EvidenceNet) -> None:
        super().__init__()
        blocks: list[QuantizedConv | QuantizedResidual] = []
        source: ActivationQuantizer | None = None
        for block in net.backbone:
            blocks.append(_quantized(block, source))
            source = blocks[-1].output
        self.backbone = nn.Sequential(*blocks)
        self.head = QuantizedConv(net.head, None, relu=False, source=source)
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
        """All activation quantisers, from input to output."""
        return (m for m in self.modules() if isinstance(m, ActivationQuantizer))

    def _observe(self, observing: bool) -> None:
        for quantizer in self.quantizers():
            quantizer.observing = observing

    @torch.no_grad()
    def calibrate(self, batches: Iterable[Tensor]) -> None:
        """Set every scale from data: inputs `[B, leads, N]` in mV, trimmed to this network.

        The scales cover 99.99 % of the observed activations. (Moving averages of the extremes, the
        usual choice, would be too small: most of an ECG is the isoelectric line.) Raises
        `ModelError` without any batch.
        """
        kept = list(batches)
        if not kept:
            raise ModelError("calibration saw no data, expected at least one batch of windows")
        self._observe(True)
        for x in kept:
            self(x)
        self._observe(False)
        for quantizer in self.quantizers():
            quantizer.settle()
        self.calibrate_logits(kept)

    @torch.no_grad()
    def calibrate_logits(self, batches: Iterable[Tensor]) -> None:
        """Set the scale of the `logits` output; repeat it after training, which changes logits."""
        self.cover_logits(self(x) for x in batches)

    @torch.no_grad()
    def cover_logits(self, logits: Iterable[Tensor]) -> None:
        """Set the scale of the `logits` output to cover logits `[B, C]` with some headroom."""
        largest = torch.stack([batch.abs().max() for batch in logits]).max()
        self.logit_scale.copy_(largest.clamp(min=1e-3) * 1.25 / 127)


@dataclass(frozen=True)
class Quantize:
    """int8 quantisation as a `Method`; returns a `QuantizedEvidenceNet`.

    It does not lower the size account, which counts int8 weights from the start: earlier steps have
    to reach the budget. Their constraints on the weights stay.

    Args:
        steps: steps of quantisation-aware training; None: the retraining's; 0: post-training
            quantisation only.
        learning_rate: peak learning rate of that training; None: the retraining's.
        batches: number of input batches that the activations' scales are set from.
        slack: share of the budget by which the packed size may exceed it before training, and by
            which it may grow in training, since changed weights pack differently.
    """

    steps: int | None = None
    learning_rate: float | None = None
    batches: int = 16
    slack: float = 0.02

    def __post_init__(self) -> None:
        if (self.steps is not None and self.steps < 0) or self.batches < 1 or self.slack < 0:
            raise RecipeError(
                f"quantise with steps {self.steps}, batches {self.batches}, slack {self.slack}; "
                "expected steps at least 0 or None, at least 1 batch and slack at least 0"
            )

    @property
    def name(self) -> str:
        """`quantize`."""
        return "quantize"

    def check(self, net: nn.Module) -> None:
        """Raise `ModelError` unless it is a float evidence network of blocks with an int8 form."""
        if not isinstance(net, EvidenceNet):
            raise ModelError(
                f"cannot quantise a {type(net).__name__}, expected a float EvidenceNet (made of "
                "beatlens.nets.evidence's blocks, and quantised once, as the last step)"
            )
        QuantizedEvidenceNet(net)

    def __call__(
        self, net: nn.Module, retraining: Retraining, budget: Budget, report: Report | None = None
    ) -> Compressed:
        """Quantise a network; `net` itself stays as it is.

        Raises `ModelError` as `check` does, and when the packed weights exceed the budget.
        """
        self.check(net)
        quantized = QuantizedEvidenceNet(cast(EvidenceNet, net)).eval()
        inputs = retraining.inputs(net, self.batches)
        quantized.calibrate(inputs)
        size = weight_account(quantized).packed_bytes
        if size > budget.packed_bytes * (1 + self.slack):
            raise ModelError(
                f"{self.name}: the packed weights are {size} bytes, above the budget of "
                f"{budget.packed_bytes}; put a method that makes them smaller before it"
            )
        log: list[LogRow] = [{"method": self.name, "event": "calibrated", "bytes": size}]
        if self.steps != 0:
            schedule = retraining.schedule
            schedule = replace(
                schedule,
                steps=self.steps or schedule.steps,
                learning_rate=self.learning_rate or schedule.learning_rate,
            )
            history = retraining.run(quantized, schedule=schedule, report=report)
            quantized.calibrate_logits(inputs)
            log += training_rows(self.name, history)
        return Compressed(quantized, weight_account(quantized), log)
