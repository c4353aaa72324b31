"""Whatever the bytes, decoding gives a well-formed tensor or a ModelError, within its memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beatlens.errors import ModelError
from beatlens.packed import CODINGS, decode_tensor, encode_tensor, name_coding
from beatlens.packed.plans import every_plan
from beatlens.packed.tensor import leb128

from . import tensors as made

LIMIT = 1 << 12
SHAPE = (6, 8, 10)
PACKED = {make.__name__: encode_tensor(make(np.random.default_rng(1), SHAPE))
          for make in made.MAKERS}  # fmt: skip


def read(data: bytes) -> np.ndarray | None:
    """The tensor, checked to be one, or None where it is refused."""
    try:
        tensor = decode_tensor(data, LIMIT)
    except ModelError:
        return None
    assert tensor.dtype == np.int8
    assert tensor.ndim == 3
    assert 1 <= tensor.size <= LIMIT
    return tensor


@pytest.mark.parametrize("name", PACKED)
def test_cut_off_anywhere(name):
    packed = PACKED[name]
    for keep in range(len(packed)):
        assert read(packed[:keep]) is None, keep


@pytest.mark.parametrize("name", PACKED)
@pytest.mark.parametrize("more", [b"\0", b"\1", b"\xff" * 7])
def test_trailing_bytes(name, more):
    assert read(PACKED[name] + more) is None


@pytest.mark.parametrize("make", made.MAKERS)
def test_bits_behind_the_last_are_zero(make):
    looked_at = 0
    for inputs in range(1, 9):
        tensor = make(np.random.default_rng(inputs), (5, 4, inputs))
        packed = encode_tensor(tensor)
        name = name_coding(packed)
        bits = min(p.bits for p in every_plan(tensor) if CODINGS[p.coding] == name)
        for bit in range(-bits % 8):
            assert read(packed[:-1] + bytes([packed[-1] ^ 1 << bit])) is None
            looked_at += 1
    assert looked_at or make is made.noise


@settings(max_examples=600, deadline=None)
@given(name=st.sampled_from(sorted(PACKED)), data=st.data())
def test_any_bits_flipped(name, data):
    damaged = bytearray(PACKED[name])
    for _ in range(data.draw(st.integers(1, 3))):
        position = data.draw(st.integers(0, 8 * len(damaged) - 1))
        damaged[position >> 3] ^= 1 << (position & 7)
    read(bytes(damaged))


@settings(max_examples=300, deadline=None)
@given(name=st.sampled_from(sorted(PACKED)), data=st.data())
def test_any_header_before_any_bits(name, data):
    """Shapes and fields that are not those of the bits behind them."""
    coding = data.draw(st.integers(0, 7))
    numbers = data.draw(st.lists(st.integers(0, 70) | st.integers(0, 1 << 28), max_size=6))
    start = bytes([1 << 4 | coding]) + b"".join(leb128(n) for n in numbers)
    read(start + PACKED[name][data.draw(st.integers(0, 8)) :])


@settings(max_examples=400, deadline=None)
@given(st.binary(max_size=40))
def test_any_bytes(data):
    read(data)
    read(bytes([1 << 4 | len(data) % 7, 3, 4, 5]) + data)


def test_every_flipped_bit_of_a_small_tensor():
    """None is missed: a flipped bit is refused, or changes what is read."""
    for make in made.MAKERS:
        tensor = make(np.random.default_rng(2), (3, 4, 4))
        packed = encode_tensor(tensor)
        for position in range(8 * len(packed)):
            damaged = bytearray(packed)
            damaged[position >> 3] ^= 1 << (position & 7)
            found = read(bytes(damaged))
            if found is not None and np.array_equal(found, tensor):
                # Two ways to write one tensor: the name alone, or an unused part of a codebook.
                unique = ("plain", "low-bit", "entropy", "sparse elements")
                assert name_coding(packed) not in unique or position < 8, (make.__name__, position)


def test_a_small_file_cannot_claim_much_memory():
    """Headers that promise 16 M weights with nothing behind them cost nothing."""
    shape = b"".join(leb128(n) for n in (256, 256, 256))
    more = {3: (256, 1, 65536), 4: (1, 1), 5: (1, 1)}
    for coding in range(7):
        start = bytes([1 << 4 | coding]) + shape
        start += b"".join(leb128(n) for n in more.get(coding, ()))
        for body in (b"", b"\xff" * 9, b"\xa5" * 100, b"\x08\x10" * 20):
            tracemalloc.start()
            with pytest.raises(ModelError):
                decode_tensor(start + body)
            assert tracemalloc.get_traced_memory()[1] < 8 << 20, coding
            tracemalloc.stop()


@pytest.mark.parametrize("make", made.MAKERS)
def test_memory_is_bounded_by_the_weights(make):
    tensor = make(np.random.default_rng(0), (32, 16, 128))
    packed = encode_tensor(tensor)
    tracemalloc.start()
    decode_tensor(packed)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 * tensor.size + (12 << 20)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "there are none"),
        (b"\x20\1\1\1\0", "format version is 2, expected 1"),
        (b"\x17\1\1\1\0", "coding is 7, expected 0 to 6"),
        (b"\x10\1\1", "cut off or too long"),
        (b"\x10\1\1\x80\0", "more bytes than it needs"),
        (b"\x10\0\1\1", r"shape is \(0, 1, 1\)"),
        (b"\x10" + leb128(1 << 24) + leb128(2) + b"\1", "expected 1 to 16777216 weights"),
        (b"\x10\1\1\2\0" + bytes(40), "bytes hold 2 weights, at most 34 can"),
        (b"\x10\1\1\2\0", "1 bytes of weights, expected 2"),
        (b"\x10\1\1\2\0\0\0", "8 bits are left over"),
        (b"\x11\1\1\1\x7c", "numbers are 31 bits wide"),
        (b"\x12\1\1\2\x80\x40\xff", "Huffman code is not complete"),
        (b"\x13\1\4\4\3\1\1\0", "segments of 3 x 1 weights in channels of 4 x 4"),
        (b"\x13\1\4\4\2\1\x09\0", "the codebook has 9 entries, expected 1 to 8"),
        (b"\x14\1\4\4\5\1\0", "blocks of 5 x 1 weights in channels of 4 x 4"),
    ],
)
def test_messages_name_the_error(data, message):
    with pytest.raises(ModelError, match=message):
        decode_tensor(data)
