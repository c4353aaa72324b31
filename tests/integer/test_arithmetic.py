"""The vectorised arithmetic against a literal transcription of the C++ in Python integers."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from beatlens.integer import arithmetic

INT32 = st.integers(-(2**31) + 1, 2**31 - 1)
MANTISSAS = st.integers(2**30, 2**31 - 1)


def truncated_quotient(a, b):
    """C's integer division."""
    return abs(a) // b * (1 if a >= 0 else -1)


def saturating_rounding_doubling_high_mul(a, b):
    nudge = 1 << 30 if a * b >= 0 else 1 - (1 << 30)
    return truncated_quotient(a * b + nudge, 1 << 31)


def rounding_divide_by_pot(x, exponent):
    mask = (1 << exponent) - 1
    return (x >> exponent) + ((x & mask) > (mask >> 1) + (1 if x < 0 else 0))


@given(INT32, MANTISSAS)
def test_high_multiplication_is_gemmlowps(a, b):
    found = arithmetic.rounding_doubling_high_mul(np.int64(a), np.int64(b))
    assert int(found) == saturating_rounding_doubling_high_mul(a, b)


@given(INT32, st.integers(0, 31))
def test_division_by_a_power_of_two_is_gemmlowps(x, exponent):
    found = arithmetic.rounding_divide_by_pot(np.int64(x), np.int64(exponent))
    assert int(found) == rounding_divide_by_pot(x, exponent)


@given(st.floats(2.0**-31, 2.0**31))
def test_a_multiplier_is_its_factor_to_31_bits(real):
    multiplier = arithmetic.quantize_multiplier(real)
    mantissa, shift = int(multiplier.mantissa), int(multiplier.shift)
    assert 2**30 <= mantissa < 2**31
    assert math.isclose(math.ldexp(mantissa, shift - 31), real, rel_tol=2.0**-31)


def test_a_mantissa_that_rounds_up_to_a_power_of_two_is_carried():
    multiplier = arithmetic.quantize_multiplier(1 - 2.0**-40)
    assert (int(multiplier.mantissa), int(multiplier.shift)) == (2**30, 1)


def test_tiny_factors_are_flushed_to_zero():
    assert int(arithmetic.quantize_multiplier(2.0**-33).mantissa) == 0
    assert int(arithmetic.quantize_multiplier(2.0**-32).mantissa) == 2**30


def test_double_rounding_shows():
    # -6 * 0.75 = -4.5: the first rounding takes it up to -4; away from zero it would be -5.
    factor = arithmetic.quantize_multiplier(0.75)
    assert int(arithmetic.multiply_by_multiplier(np.int64(-6), factor)) == -4
    assert int(arithmetic.multiply_by_multiplier(np.int64(6), factor)) == 5


def test_a_relu_clamps_at_the_zero_point():
    assert arithmetic.activation_range(-20, relu=True) == (-20, 127)
    assert arithmetic.activation_range(-20, relu=False) == (-128, 127)
