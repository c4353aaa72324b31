"""The integer arithmetic of the LiteRT and TensorFlow Lite Micro reference kernels, in numpy.

Every function computes what the C++ of the same name computes, element by element, with *double
rounding* (a saturating rounding doubling high multiplication, then a rounding division by a power
of two). That is what `OpResolverType.BUILTIN_REF` of LiteRT, tflite-runtime 2.14 and upstream
TensorFlow Lite Micro compute; XNNPACK and single-rounding builds of TFLM do not, and differ by a
few LSB.

Sources: `tensorflow/lite/kernels/internal/{common.h, quantization_util.cc}`,
`reference/integer_ops/{conv,depthwise_conv,add}.h`, `reference/reduce.h`, and gemmlowp's
`fixedpoint.h`. All arrays are int64, wide enough that nothing here wraps; that the C++, in 32 bits,
does not wrap either is what :class:`beatlens.integer.graph.IntegerGraph` proves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

INT8_MIN, INT8_MAX = -128, 127
ADD_LEFT_SHIFT = 20
"""Bits by which the ADD kernel shifts its 8-bit inputs to the left before rescaling them."""

Int64 = NDArray[np.int64]


@dataclass(frozen=True)
class Multiplier:
    """Positive real factors as `mantissa * 2**(shift - 31)`, mantissa in `[2**30, 2**31)`.

    `mantissa` and `shift` are int64 arrays of one shape: `[]` for one factor per tensor, `[C]`
    for one per channel. `shift < 0` is a right shift.
    """

    mantissa: Int64
    shift: Int64


def quantize_multiplier(real: float | NDArray[np.float64]) -> Multiplier:
    """Convert positive real factors to 31-bit mantissas and shifts (`QuantizeMultiplier`).

    Factors below about `2**-32` are flushed to zero, as in the C++.

    >>> m = quantize_multiplier(0.75)
    >>> int(m.mantissa) == 3 << 29, int(m.shift)
    (True, 0)
    """
    fraction, exponent = np.frexp(np.asarray(real, dtype=np.float64))
    # fraction * 2**31 is below 2**53, so adding a half is exact: this is C's round() for x >= 0.
    mantissa = np.floor(fraction * 2.0**31 + 0.5).astype(np.int64)
    shift = exponent.astype(np.int64)
    carried = mantissa == 1 << 31
    mantissa = np.where(carried, mantissa >> 1, mantissa)
    shift = np.where(carried, shift + 1, shift)
    tiny = shift < -31
    return Multiplier(np.where(tiny, 0, mantissa), np.where(tiny, 0, shift))


def rounding_doubling_high_mul(a: Int64, b: Int64) -> Int64:
    """`round(a * b / 2**31)`, halves upwards (`SaturatingRoundingDoublingHighMul`).

    gemmlowp nudges negative products by `1 - 2**30` and truncates; that equals this floor. Its
    one saturating case, both factors `-2**31`, cannot occur: mantissas are positive.
    """
    return (a * b + (1 << 30)) >> 31


def rounding_divide_by_pot(x: Int64, exponent: Int64) -> Int64:
    """`round(x / 2**exponent)`, halves away from zero (`RoundingDivideByPOT`)."""
    mask = (np.int64(1) << exponent) - 1
    threshold = (mask >> 1) + (x < 0)
    return (x >> exponent) + ((x & mask) > threshold)


def multiply_by_multiplier(x: Int64, multiplier: Multiplier) -> Int64:
    """Scale accumulators by a real factor (`MultiplyByQuantizedMultiplier`, double rounding).

    `x` is int64 `[..., C]` (or any shape for a single factor), `|x| << max(shift, 0) < 2**31`.

    >>> int(multiply_by_multiplier(np.int64(-6), quantize_multiplier(0.75)))
    -4
    """
    left = np.maximum(multiplier.shift, 0)
    right = np.maximum(-multiplier.shift, 0)
    return rounding_divide_by_pot(rounding_doubling_high_mul(x << left, multiplier.mantissa), right)


def convolution_multiplier(
    input_scale: float, weight_scales: NDArray[np.float32], output_scale: float
) -> Multiplier:
    """Return the factors that rescale a convolution's accumulator, `[C]`.

    The scales are float32 values, their product and quotient are taken in double, in this order,
    as `PopulateConvolutionQuantizationParams` does.
    """
    return quantize_multiplier(
        np.float64(input_scale) * weight_scales.astype(np.float64) / np.float64(output_scale)
    )


def add_multipliers(
    a_scale: float, b_scale: float, output_scale: float
) -> tuple[Multiplier, Multiplier, Multiplier]:
    """Return the factors of both inputs and of the sum in the ADD kernel (`add.cc`, `Prepare`)."""
    twice_max = 2.0 * max(a_scale, b_scale)
    return (
        quantize_multiplier(a_scale / twice_max),
        quantize_multiplier(b_scale / twice_max),
        quantize_multiplier(twice_max / (float(1 << ADD_LEFT_SHIFT) * output_scale)),
    )


def mean_multiplier(input_scale: float, output_scale: float, count: int) -> Multiplier:
    """Return the factor of the sum over `count` elements in the MEAN kernel (`reference/reduce.h`).

    The kernel quantises the ratio of the scales, then divides its mantissa by `count` in integers,
    truncating; so the factor is *not* the quantised `input_scale / (count * output_scale)`.
    """
    ratio = quantize_multiplier(input_scale / output_scale)
    mantissa, shift = int(ratio.mantissa), int(ratio.shift)
    bits = min(count.bit_length() - 1, 32, 31 + shift)
    return Multiplier(np.asarray((mantissa << bits) // count), np.asarray(shift - bits))


def activation_range(zero_point: int, relu: bool) -> tuple[int, int]:
    """Return the lowest and highest int8 output (`CalculateActivationRangeQuantized`)."""
    return (max(INT8_MIN, zero_point) if relu else INT8_MIN), INT8_MAX


def to_int8(x: Int64, zero_point: int, relu: bool) -> NDArray[np.int8]:
    """Add the zero point and clamp to the activation's range."""
    low, high = activation_range(zero_point, relu)
    return np.clip(x + zero_point, low, high).astype(np.int8)


def requantize(
    accumulator: Int64, multiplier: Multiplier, zero_point: int, relu: bool
) -> NDArray[np.int8]:
    """Rescale convolution accumulators int64 `[..., C]` to int8, with an optional fused ReLU."""
    return to_int8(multiply_by_multiplier(accumulator, multiplier), zero_point, relu)


def add(
    a: NDArray[np.int8],
    b: NDArray[np.int8],
    zero_points: tuple[int, int, int],
    scales: tuple[float, float, float],
    relu: bool,
) -> NDArray[np.int8]:
    """Add two int8 tensors of one shape (`reference_integer_ops::AddFunc`).

    `zero_points` and `scales` are those of `a`, of `b` and of the output.
    """
    a_factor, b_factor, output_factor = add_multipliers(*scales)
    wide_a = (a.astype(np.int64) - zero_points[0]) << ADD_LEFT_SHIFT
    wide_b = (b.astype(np.int64) - zero_points[1]) << ADD_LEFT_SHIFT
    total = multiply_by_multiplier(wide_a, a_factor) + multiply_by_multiplier(wide_b, b_factor)
    return to_int8(multiply_by_multiplier(total, output_factor), zero_points[2], relu)


def mean(
    x: NDArray[np.int8],
    input_zero_point: int,
    input_scale: float,
    output_zero_point: int,
    output_scale: float,
) -> NDArray[np.int8]:
    """Average int8 `[B, T, C]` over time to int8 `[B, C]` (`reference_ops::QuantizedMeanOrSum`)."""
    count = x.shape[1]
    total = x.sum(axis=1, dtype=np.int64) - input_zero_point * count
    factor = mean_multiplier(input_scale, output_scale, count)
    return to_int8(multiply_by_multiplier(total, factor), output_zero_point, relu=False)
