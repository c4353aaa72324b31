"""Tensors come back exactly, in the coding that is made for them, of the size foretold."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beatlens.errors import ModelError
from beatlens.packed import CODINGS, decode_tensor, encode_tensor, name_coding, packed_size
from beatlens.packed.numbers import LONGEST, huffman_lengths
from beatlens.packed.tensor import sizes_by_coding

from . import tensors as made

SHAPE = (16, 8, 24)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@settings(max_examples=300, deadline=None)
@given(made.tensors())
def test_any_tensor_comes_back(tensor):
    packed = encode_tensor(tensor)
    again = decode_tensor(packed)
    assert again.dtype == np.int8
    assert again.shape == tensor.shape
    np.testing.assert_array_equal(again, tensor)
    assert len(packed) == packed_size(tensor) <= tensor.size + 13


@settings(max_examples=100, deadline=None)
@given(
    st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4)).flatmap(
        lambda shape: st.binary(min_size=int(np.prod(shape)), max_size=int(np.prod(shape))).map(
            lambda data: np.frombuffer(data, np.int8).reshape(shape)
        )
    )
)
def test_any_bytes_come_back(tensor):
    np.testing.assert_array_equal(decode_tensor(encode_tensor(tensor)), tensor)


@pytest.mark.parametrize(
    ("make", "coding"),
    [
        (made.noise, "plain"),
        (made.low_bit, "low-bit"),
        (made.trained_like, "entropy"),
        (made.coded_kernels, "codebook"),
        (made.shared_magnitudes, "shared magnitude"),
        (made.zero_blocks, "sparse blocks"),
        (made.sparse, "sparse elements"),
    ],
)
def test_each_structure_is_found(make, coding):
    """Without a hint; and no other coding is as small."""
    tensor = make(rng(), SHAPE)
    packed = encode_tensor(tensor)
    assert name_coding(packed) == coding
    sizes = sizes_by_coding(tensor)
    assert len(packed) == sizes.pop(coding) < min(sizes.values(), default=1 << 30)
    np.testing.assert_array_equal(decode_tensor(packed), tensor)


def test_every_coding_is_met():
    found = {name_coding(encode_tensor(make(rng(), SHAPE))) for make in made.MAKERS}
    assert found == set(CODINGS)


@pytest.mark.parametrize("make", made.MAKERS)
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 1, 40), (40, 9, 1), (5, 7, 3), (2, 16, 33)])
def test_unusual_shapes(make, shape):
    tensor = make(rng(7), shape)
    np.testing.assert_array_equal(decode_tensor(encode_tensor(tensor)), tensor)


@pytest.mark.parametrize(("coding", "make"), [
    ("entropy", made.trained_like), ("codebook", made.coded_kernels),
    ("shared magnitude", made.shared_magnitudes), ("sparse blocks", made.zero_blocks),
    ("sparse elements", made.sparse),
])  # fmt: skip
def test_computed_sizes_are_those_written(coding, make):
    """Of every plan, not of the smallest only."""
    from beatlens.packed.plans import every_plan

    for shape in [(16, 8, 24), (9, 5, 7), (30, 1, 16)]:
        for plan in every_plan(make(rng(3), shape)):
            assert sum(len(part) for part in plan.write()) == plan.bits


def test_what_the_codings_are_worth():
    """Bits per weight are near what the structure needs on paper."""
    weights = int(np.prod(SHAPE))

    def bits(make):
        return 8 * packed_size(make(rng(), SHAPE)) / weights

    assert bits(made.low_bit) < 4.05
    assert bits(made.coded_kernels) < (np.log2(6) + 0.2) / 8 + 6 * 8 * 6 / weights + 0.1
    assert bits(made.signs) < 1 + 8 * 20 / weights
    assert bits(made.constant) < 0.05
    tensor = made.sparse(rng(), SHAPE)
    _, counts = np.unique(tensor, return_counts=True)
    entropy = -np.sum(counts * np.log2(counts / weights)) / weights
    assert bits(made.sparse) < 1.06 * entropy + 8 * 20 / weights
    tensor = made.trained_like(rng(), (64, 9, 64))
    _, counts = np.unique(tensor, return_counts=True)
    entropy = -np.sum(counts * np.log2(counts / tensor.size))
    assert entropy < 8 * packed_size(tensor) < 1.015 * entropy


def test_the_size_of_many_weights_is_known_quickly():
    tensor = made.trained_like(rng(), (128, 9, 694))
    start = time.process_time()
    size = packed_size(tensor)
    assert time.process_time() - start < 1.5  # 0.2 s where nothing else runs
    packed = encode_tensor(tensor)
    assert len(packed) == size
    np.testing.assert_array_equal(decode_tensor(packed), tensor)


def test_code_words_stay_short():
    """Counts like Fibonacci's numbers would make Huffman's words as long as there are symbols."""
    counts = [1, 1]
    while len(counts) < 40:
        counts.append(counts[-1] + counts[-2])
    lengths = huffman_lengths(np.array(counts))
    assert lengths.max() <= LONGEST
    assert np.sum(2.0**-lengths) == 1.0


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.zeros((2, 3), np.int8), "int8 of 2 dimensions"),
        (np.zeros((2, 3, 4), np.int16), "int16 of 3 dimensions"),
        ([[[1]]], "are list"),
        (np.zeros((0, 3, 4), np.int8), "0 weights"),
        (np.zeros((1, 1, (1 << 24) + 1), np.int8), "16777217 weights"),
    ],
)
def test_what_is_no_tensor_is_refused(value, message):
    for function in (encode_tensor, packed_size):
        with pytest.raises(ModelError, match=message):
            function(value)


def test_a_view_is_packed_as_its_copy():
    whole = made.trained_like(rng(), (12, 10, 14))
    view = whole[::2, ::-1, 3:9]
    assert encode_tensor(view) == encode_tensor(view.copy())
