"""Int8 tensors of every structure the packed format looks for, random but repeatable."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from hypothesis import strategies as st

Int8 = np.ndarray
Shape = tuple[int, int, int]


def trained_like(rng: np.random.Generator, shape: Shape) -> Int8:
    """Heavy-tailed weights, each channel's largest 127, as symmetric quantisation leaves them."""
    real = rng.standard_t(5, shape)
    largest = np.abs(real).max(axis=(1, 2), keepdims=True)
    return np.round(real / largest * 127).astype(np.int8)


def noise(rng: np.random.Generator, shape: Shape) -> Int8:
    return rng.integers(-128, 128, shape).astype(np.int8)


def low_bit(rng: np.random.Generator, shape: Shape) -> Int8:
    return rng.integers(-8, 8, shape).astype(np.int8)


def coded_kernels(rng: np.random.Generator, shape: Shape) -> Int8:
    """Each kernel one of a few; of one-tap layers, each run of four inputs."""
    out, taps, inputs = shape
    if taps > 1:
        book = rng.integers(-32, 32, (6, taps))
        return book[rng.integers(0, 6, (out, inputs))].transpose(0, 2, 1).astype(np.int8)
    width = 4 if inputs % 4 == 0 else 1
    book = rng.integers(-32, 32, (6, width))
    return book[rng.integers(0, 6, (out, inputs // width))].reshape(shape).astype(np.int8)


def in_blocks(shape: Shape, taps: int, inputs: int) -> tuple[Int8, int]:
    """Number of the block `[out, k, in]` each weight is in, and how many blocks there are."""
    out, k, wide = shape
    rows, columns = -(-k // taps), -(-wide // inputs)
    o, t, i = np.indices(shape)
    return (o * rows + t // taps) * columns + i // inputs, out * rows * columns


def shared_magnitudes(rng: np.random.Generator, shape: Shape) -> Int8:
    """Blocks of 2 x 2 with one magnitude, one in six free."""
    whose, count = in_blocks(shape, 2, 2)
    magnitudes = rng.integers(0, 100, count)[whose]
    shared = magnitudes * rng.choice([-1, 1], shape)
    return np.where((rng.random(count) < 0.85)[whose], shared, noise(rng, shape)).astype(np.int8)


def zero_blocks(rng: np.random.Generator, shape: Shape) -> Int8:
    """Whole kernels zero, or not."""
    whose, count = in_blocks(shape, shape[1], 1)
    return np.where((rng.random(count) < 0.7)[whose], 0, trained_like(rng, shape)).astype(np.int8)


def sparse(rng: np.random.Generator, shape: Shape) -> Int8:
    return np.where(rng.random(shape) < 0.9, 0, trained_like(rng, shape)).astype(np.int8)


def very_sparse(rng: np.random.Generator, shape: Shape) -> Int8:
    return np.where(rng.random(shape) < 0.995, 0, noise(rng, shape)).astype(np.int8)


def constant(rng: np.random.Generator, shape: Shape) -> Int8:
    return np.full(shape, rng.choice([-128, -1, 0, 1, 127]), np.int8)


def signs(rng: np.random.Generator, shape: Shape) -> Int8:
    """One magnitude everywhere."""
    return (rng.choice([-1, 1], shape) * int(rng.integers(1, 128))).astype(np.int8)


MAKERS: tuple[Callable[[np.random.Generator, Shape], Int8], ...] = (
    trained_like, noise, low_bit, coded_kernels, shared_magnitudes, zero_blocks, sparse,
    very_sparse, constant, signs,
)  # fmt: skip


@st.composite
def tensors(draw: st.DrawFn, largest: int = 12) -> Int8:
    """A tensor of any structure and of up to `largest` channels, taps and inputs."""
    shape = tuple(draw(st.integers(1, largest)) for _ in range(3))
    seed = draw(st.integers(0, 2**32 - 1))
    return draw(st.sampled_from(MAKERS))(np.random.default_rng(seed), shape)
