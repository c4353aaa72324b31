"""Checks of an integer graph: scales, and ranges that cannot overflow 32 bits.

:mod:`beatlens.integer.graph` calls them when a graph is constructed; operators check their own
parameters (:mod:`beatlens.integer.ops`). Every function raises ModelError naming operator and
tensor, or returns.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from beatlens.errors import ModelError
from beatlens.integer import arithmetic
from beatlens.integer.ops import Add, Convolution, Mean, Op, Tensor, refuse

INT32_LIMIT = 1 << 31
LARGEST_ZERO_POINT = 128
MAX_ELEMENTS = 1 << 24
"""Largest number of values of an activation: keeps every index within 32 bits."""


def tensor(tensor: Tensor, key: str) -> None:
    """Check an activation's name, size and quantisation."""
    where = f"tensor {key!r}"
    if tensor.name != key:
        raise ModelError(f"{where}: is called {tensor.name!r}, key and name must agree")
    if tensor.length < 1 or tensor.channels < 1 or tensor.length * tensor.channels > MAX_ELEMENTS:
        raise ModelError(
            f"{where}: {tensor.length} columns of {tensor.channels} channels, expected at least "
            f"one of each and at most {MAX_ELEMENTS} values"
        )
    scale, zero_point = tensor.quantization.scale, tensor.quantization.zero_point
    if not (math.isfinite(scale) and scale > 0):
        raise ModelError(f"{where}: scale is {scale}, expected a positive finite number")
    with np.errstate(over="ignore"):
        if float(np.float32(scale)) != scale:
            raise ModelError(
                f"{where}: scale {scale!r} is no float32 value; round it first: "
                "float(np.float32(scale))"
            )
    if not arithmetic.INT8_MIN <= zero_point <= arithmetic.INT8_MAX:
        raise ModelError(f"{where}: zero point is {zero_point}, expected -128..127")


def largest_offset(tensor: Tensor) -> int:
    """Return the largest `|q - zero_point|` over all int8 q."""
    zero_point = tensor.quantization.zero_point
    return max(arithmetic.INT8_MAX - zero_point, zero_point - arithmetic.INT8_MIN)


def convolution_bound(op: Convolution, source: Tensor) -> NDArray[np.int64]:
    """Return the largest `|accumulator|`, int64 `[C]`, over all inputs and orders of summation."""
    return partial_sum_bound(op, source) + np.abs(op.bias.astype(np.int64))


def partial_sum_bound(op: Convolution, source: Tensor) -> NDArray[np.int64]:
    """Return the largest absolute sum of any of a channel's products, int64 `[C]`."""
    weights: NDArray[np.int64] = np.abs(op.taps.astype(np.int64)).sum(axis=1)
    return weights * largest_offset(source)


def convolution_range(op: Convolution, source: Tensor, result: Tensor) -> None:
    """Prove that the accumulator and its rescaling stay within 32 bits, and its scale a float32."""
    with np.errstate(over="ignore", under="ignore"):
        bias_scales = np.float32(source.quantization.scale) * op.weight_scales
    if not (np.isfinite(bias_scales) & (bias_scales > 0)).all():
        refuse(op, source.name, "its scale times a weight scale, the bias scale, is no float32")
    bound = convolution_bound(op, source)
    if bound.max() >= INT32_LIMIT:
        refuse(
            op,
            result.name,
            f"the accumulator of channel {bound.argmax()} can reach {bound.max()}, 32 bits hold "
            "less than 2**31; scale the weights or the bias down",
        )
    factor = arithmetic.convolution_multiplier(
        source.quantization.scale, op.weight_scales, result.quantization.scale
    )
    _rescaling(op, result, factor, bound)


def add_range(op: Add, a: Tensor, b: Tensor, result: Tensor) -> None:
    """Prove that the three rescaling factors of an ADD are representable."""
    factors = arithmetic.add_multipliers(
        a.quantization.scale, b.quantization.scale, result.quantization.scale
    )
    wide = [largest_offset(x) << arithmetic.ADD_LEFT_SHIFT for x in (a, b)]
    for factor, bound in zip(factors, (*wide, sum(wide)), strict=True):
        if int(factor.shift) > 0:
            refuse(
                op,
                result.name,
                f"its scale {result.quantization.scale:g} is too small for "
                f"inputs of {a.quantization.scale:g} and "
                f"{b.quantization.scale:g}",
            )
        _rescaling(op, result, factor, np.asarray(bound))


def mean_range(op: Mean, source: Tensor, result: Tensor) -> None:
    """Prove that the sum over time and its rescaling stay within 32 bits."""
    bound = largest_offset(source) * source.length
    if bound >= INT32_LIMIT:
        refuse(op, source.name, f"a sum over {source.length} columns can reach {bound}")
    factor = arithmetic.mean_multiplier(
        source.quantization.scale, result.quantization.scale, source.length
    )
    _rescaling(op, result, factor, np.asarray(bound))


def _rescaling(
    op: Op, result: Tensor, factor: arithmetic.Multiplier, bound: NDArray[np.int64]
) -> None:
    if (factor.mantissa == 0).any():
        refuse(
            op,
            result.name,
            "a rescaling factor is below 2**-32 and would flush to zero; "
            "a weight scale is too small or the output scale too large",
        )
    # Shifts beyond 31 are out of range for every bound, and would wrap in int64. Without a right
    # shift the result can be nearly as large as the input, and a zero point is added to it.
    left = np.clip(factor.shift, 0, 32)
    limit = np.where(factor.shift < 0, INT32_LIMIT, INT32_LIMIT - LARGEST_ZERO_POINT)
    if (np.maximum(bound, 1) << left >= limit).any():
        refuse(
            op,
            result.name,
            f"a rescaling factor of 2**{int(factor.shift.max())} or so moves "
            "the accumulator out of 32 bits; the output scale is too small",
        )
