"""Which kernel of the C engine runs an operator, and the order of its constants.

Kernels differ in speed, never in bits, and all of them run on every core. What a kernel requires is
proven here, from the weights; an operator that does not meet it gets the portable one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from beatlens.c_source.long_products import SUM, LongLayout, long_layout
from beatlens.errors import ModelError, RecipeError
from beatlens.integer import arithmetic
from beatlens.integer.arithmetic import Multiplier
from beatlens.integer.graph import Add, Conv, Convolution, IntegerGraph, Permute

KernelSet = Literal["portable", "long", "dsp", "mve"]
"""Kernels by the instructions they use.

- `portable`: any core.
- `long`: Cortex-M3, and others with long multiplications. Cores with DSP instructions need fewer
  instructions with these than with `dsp`, and twice the flash for weights.
- `dsp`: M4, M7, M33, and others with the DSP extension.
- `mve`: M55, M85.
"""

PAIRS_PART = 96
PAIRS_BLOCK = 16
"""As in `bl_kernels.h`."""
DSP_SUM_BITS = 23
"""256 times a sum stays in 32 bits."""
DSP_SHIFTS = range(-20, 0)
"""Shifts to the right that leave room for the zero point beside the rounding."""


@dataclass(frozen=True, eq=False)
class Code:
    """How an operator is run.

    Args:
        kernel: the C function.
        weights: int8, or uint32 words, in the kernel's order; None without weights.
        constants: int32, what the kernel reads there.
        factors: mantissas and shifts.
        scratch_bytes: memory the kernel needs while it runs.
        bound: what was proven of the sums: a comment in the C.
    """

    kernel: str
    weights: NDArray[np.int8] | NDArray[np.uint32] | None
    constants: tuple[int, ...]
    factors: tuple[tuple[int, int], ...]
    scratch_bytes: int = 0
    bound: str = ""


def check_kernels(kernels: str) -> None:
    """Raise `RecipeError` for a set of kernels that does not exist."""
    if kernels not in get_args(KernelSet):
        raise RecipeError(f"kernels are {kernels!r}, expected one of {get_args(KernelSet)}")


def choose_code(
    op: Convolution | Add | Permute,
    graph: IntegerGraph,
    kernels: KernelSet = "portable",
) -> Code:
    """The kernel for an operator, and its constants.

    Args:
        op: the operator.
        graph: that the operator belongs to.
        kernels: those the core is fastest with.

    Raises:
        ModelError: a sum could leave 32 bits without the zero points taken off first.
    """
    result = graph.tensors[op.output].quantization
    match op:
        case Permute():
            return Code("bl_permute", None, tuple(op.order), ())
        case Add():
            a, b = (graph.tensors[name].quantization for name in op.inputs)
            factors = arithmetic.add_multipliers(a.scale, b.scale, result.scale)
            return Code("bl_add", None, (a.zero_point, b.zero_point), _list_factors(factors))
        case Convolution():
            return _convolution(_Sums.of(op, graph), kernels)


@dataclass(frozen=True, eq=False)
class _Sums:
    """A convolution as kernels see it: taps int64 `[channels, columns, inputs of a group]`."""

    op: Convolution
    taps: NDArray[np.int64]
    bias: NDArray[np.int64]
    reach: NDArray[np.int64]
    factors: Multiplier
    zero_point: int
    low: int

    @classmethod
    def of(cls, op: Convolution, graph: IntegerGraph) -> _Sums:
        source, result = (graph.tensors[t].quantization for t in (op.input, op.output))
        flat = op.taps.astype(np.int64)
        # Biases that hold the input's zero point: kernels multiply samples as they are.
        bias = op.bias.astype(np.int64) - source.zero_point * flat.sum(axis=1)
        reach = np.abs(bias) + 128 * np.abs(flat).sum(axis=1)
        if reach.max() >= 1 << 31:
            raise ModelError(
                f"operator {op.name!r}: sums reach {int(reach.max())}, expected below 2^31 with "
                "the zero point in the bias; the engine's accumulators have 32 bits"
            )
        factors = arithmetic.convolution_multiplier(source.scale, op.weight_scales, result.scale)
        low, _ = arithmetic.activation_range(result.zero_point, op.relu)
        taps = flat.reshape(len(flat), op.kernel, -1)
        return cls(op, taps, bias, reach, factors, result.zero_point, low)

    @property
    def groups(self) -> int:
        return self.op.groups if isinstance(self.op, Conv) else self.op.channels


def _convolution(sums: _Sums, kernels: KernelSet) -> Code:
    channels, _, width = sums.taps.shape
    if kernels in ("long", "dsp") and _dsp_fits(sums):
        if sums.groups == channels and width == 1 and channels % 4 == 0:
            return _taps(sums)
        if kernels == "dsp":
            return _pairs(sums)
        if sums.groups == 1 and (layout := long_layout(sums.taps, sums.op.stride)):
            return _long(sums, layout)
    if kernels == "mve" and (sums.factors.shift <= 0).all():
        if sums.groups == channels and width == 1:
            return _channels(sums)
        if sums.groups == 1:
            return _vectors(sums)
    factors = _list_factors([sums.factors])
    weights = sums.taps.astype(np.int8).ravel()
    return Code("bl_convolve_rows", weights, tuple(sums.bias.tolist()), factors)


def _dsp_fits(sums: _Sums) -> bool:
    """Whether the kernels for DSP instructions compute the same bits: see `bl_pairs.c`, `bl_dsp.h`.

    Half words `a + 256 b` are in 16 bits: a graph's weights are above -128.
    """
    return bool(
        sums.reach.max() < 1 << DSP_SUM_BITS
        and sums.low == arithmetic.INT8_MIN
        and all(shift in DSP_SHIFTS for shift in sums.factors.shift.tolist())
    )


def _rescale(sums: _Sums) -> NDArray[np.int64]:
    """Mantissa, rounding and shift to the right, `[channels, 3]`: `bl_rescale`."""
    right = -sums.factors.shift
    rounding = (1 << (right - 1)) + sums.zero_point * (1 << right)
    return np.stack([sums.factors.mantissa, rounding, right], axis=1)


def _bound(sums: _Sums) -> str:
    return f"sums reach {int(sums.reach.max())}, below 2^{DSP_SUM_BITS}"


def _taps(sums: _Sums) -> Code:
    """Of four channels at a time weights as half words, and constants."""
    of_four = sums.taps.reshape(-1, 4, sums.op.kernel).transpose(0, 2, 1)
    rows = [sums.bias.reshape(-1, 4), _rescale(sums).reshape(-1, 12)]
    constants = tuple(np.concatenate(rows, axis=1).ravel().tolist())
    words = _words(of_four).ravel()
    return Code("bl_convolve_taps", words, constants, (), bound=_bound(sums))


def _vectors(sums: _Sums) -> Code:
    channels = len(sums.taps)
    flat = sums.taps.reshape(channels, -1).astype(np.int8)
    weights = np.pad(flat, ((0, -channels % 3), (0, 0))).ravel()
    scratch = 32 * ((channels + 5) // 4)
    return Code("bl_convolve_vectors", weights, _of_fours(sums), (), scratch)


def _channels(sums: _Sums) -> Code:
    channels = len(sums.taps)
    weights = sums.taps[:, :, 0].T.astype(np.int8).ravel()
    scratch = 4 * (channels + -channels % 4)
    return Code("bl_convolve_channels", weights, _of_fours(sums), (), scratch)


def _of_fours(sums: _Sums) -> tuple[int, ...]:
    """Of four channels at a time biases, mantissas and shifts."""
    columns = np.stack([sums.bias, sums.factors.mantissa, sums.factors.shift], axis=1)
    filled = np.pad(columns, ((0, -len(columns) % 4), (0, 0)))
    return tuple(filled.reshape(-1, 4, 3).transpose(0, 2, 1).ravel().tolist())


def _words(halves: NDArray[np.int64]) -> NDArray[np.uint32]:
    """Half words `[..., 4]` as words of 0 and 2, then of 1 and 3: as SXTB16 takes bytes apart."""
    words = (halves[..., :2] & 0xFFFF) | ((halves[..., 2:] & 0xFFFF) << 16)
    return words.astype(np.uint32)


def _two_by_two(sums: _Sums) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and second channels of pairs, `[pairs, quads, 4]`, filled up with zeros."""
    channels, columns, width = sums.taps.shape
    rows, length = (1, columns * width) if sums.groups == 1 else (columns, width)
    taps = sums.taps.reshape(sums.groups, channels // sums.groups, rows, length)
    odd, rest = taps.shape[1] % 2, -length % 4
    filled = np.pad(taps, ((0, 0), (0, odd), (0, 0), (0, rest)))
    paired = filled.reshape(-1, 2, rows * (length + rest) // 4, 4)
    return paired[:, 0], paired[:, 1]


def _pairs(sums: _Sums) -> Code:
    """Weights as half words `a + 256 b` of two channels."""
    a, b = _two_by_two(sums)
    values = 4 * a.shape[1]
    whole = values <= PAIRS_PART
    scratch = 8 * values if whole else 8 * PAIRS_PART + 32 * PAIRS_BLOCK
    return Code(
        "bl_convolve_pairs",
        _words(a + 256 * b).ravel(),
        tuple(_pair_constants(sums).ravel().tolist()),
        (),
        scratch,
        _bound(sums),
    )


def _long(sums: _Sums, layout: LongLayout) -> Code:
    """Weights as words of two taps; constants begin with the inputs of a part and the block."""
    first = sums.bias - layout.parts * SUM
    constants = np.concatenate([first[:, None], _rescale(sums)], axis=1)
    return Code(
        "bl_convolve_long",
        (layout.words & 0xFFFF_FFFF).astype(np.uint32),
        (layout.inputs, layout.block, *constants.ravel().tolist()),
        (),
        layout.scratch_bytes,
        f"{_bound(sums)}; of a part 128 times the weights reach {layout.largest}, below 2^20",
    )


def _pair_constants(sums: _Sums) -> NDArray[np.int64]:
    """Per pair of channels both biases, then how each is rescaled, `[pairs, 8]`."""
    columns = np.concatenate([sums.bias[:, None], _rescale(sums)], axis=1)
    of_groups = columns.reshape(sums.groups, -1, 4)
    even = np.pad(of_groups, ((0, 0), (0, of_groups.shape[1] % 2), (0, 0)))
    paired = even.reshape(-1, 2, 4)
    biases = [paired[:, 0, 0], paired[:, 0, 0] + 256 * paired[:, 1, 0]]
    return np.concatenate([np.stack(biases, axis=1), paired[:, :, 1:].reshape(-1, 6)], axis=1)


def _list_factors(multipliers: Iterable[Multiplier]) -> tuple[tuple[int, int], ...]:
    return tuple(
        (int(mantissa), int(shift))
        for m in multipliers
        for mantissa, shift in zip(np.atleast_1d(m.mantissa), np.atleast_1d(m.shift), strict=True)
    )
