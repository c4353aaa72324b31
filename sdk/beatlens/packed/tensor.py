"""One int8 tensor as packed bytes, and back.

Layout (specified in `firmware_export/SPEC.md`): a byte with the format's version and the coding,
the shape `out, k, in` and the coding's fields as LEB128 numbers, then bits. The encoder computes
the exact size of every coding and writes the smallest.

All codings use the number codes of `numbers`, Huffman or of fixed width. On the weights of a
trained student and of its teacher an adaptive binary range coder was 0.3 and 0.5 % smaller, static
rANS 0.1 % larger and 0.5 % smaller. That is too little for a multiplication per decision, a slower
encoder, and a size that is known only after encoding; here it follows from a histogram.

>>> tensor = np.array([[[1, -1], [3, 0]]], np.int8)
>>> packed = encode_tensor(tensor)
>>> len(packed) == packed_size(tensor), name_coding(packed)
(True, 'low-bit')
>>> decode_tensor(packed).tolist()
[[[1, -1], [3, 0]]]
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from beatlens.errors import ModelError
from beatlens.packed.bits import BitReader, refuse
from beatlens.packed.blocks import block_order, spread
from beatlens.packed.numbers import read_code, read_numbers
from beatlens.packed.plans import (
    CODEBOOK,
    CODINGS,
    ENTROPY,
    EQUAL,
    FREE,
    LOW_BIT,
    MAGNITUDE,
    MAX_ENTRIES,
    PLAIN,
    SPARSE,
    SPARSE_BLOCKS,
    Plan,
    every_plan,
    unzigzag,
)

Int8 = NDArray[np.int8]
Shape = tuple[int, int, int]
VERSION = 1
MAX_WEIGHTS = 1 << 24
"""Largest number of weights; decoding takes less than 64 bytes of memory each, plus 12 MiB."""
SLACK_BYTES = 32
"""A packed tensor is at most this much larger than its weights as plain bytes."""
LONGEST_NUMBER = 4


def encode_tensor(tensor: Int8) -> bytes:
    """Pack weights, int8 `[out, k, in]` (depthwise weights as `[out, k, 1]`).

    Raises ModelError for another dtype or shape, for an empty tensor, and for more than
    `MAX_WEIGHTS` weights.
    """
    shape = _check_tensor(tensor)
    tensor = np.ascontiguousarray(tensor)
    plan = min(every_plan(tensor), key=lambda plan: _bytes(plan, shape))
    stream = np.packbits(np.concatenate(plan.write())).tobytes()
    return _header(plan, shape) + stream


def packed_size(tensor: Int8) -> int:
    """Compute the number of bytes that `encode_tensor` returns, without encoding."""
    return min(sizes_by_coding(tensor).values())


def sizes_by_coding(tensor: Int8) -> dict[str, int]:
    """Compute the bytes of a tensor in each coding that can hold it, by the coding's name."""
    shape = _check_tensor(tensor)
    found: dict[str, int] = {}
    for plan in every_plan(np.ascontiguousarray(tensor)):
        name, size = CODINGS[plan.coding], _bytes(plan, shape)
        found[name] = min(found.get(name, size), size)
    return found


def name_coding(packed: bytes) -> str:
    """Return the name of a packed tensor's coding, one of `CODINGS`; ModelError if it has none."""
    if not packed:
        refuse("there are none")
    version, coding = packed[0] >> 4, packed[0] & 15
    if version != VERSION:
        refuse(f"format version is {version}, expected {VERSION}")
    if coding >= len(CODINGS):
        refuse(f"coding is {coding}, expected 0 to {len(CODINGS) - 1}")
    return CODINGS[coding]


def decode_tensor(packed: bytes, limit: int = MAX_WEIGHTS) -> Int8:
    """Unpack weights, int8 `[out, k, in]`.

    Raises ModelError where the bytes are not exactly what the encoder writes, and where the tensor
    has more than `limit` weights; no larger array is ever allocated.
    """
    packed = bytes(packed)
    coding = CODINGS.index(name_coding(packed))
    numbers, at = _read_leb128(packed, 1, 3 + FIELDS[coding])
    shape = numbers[0], numbers[1], numbers[2]
    size = _check_shape(shape, limit)
    if len(packed) > size + SLACK_BYTES:
        refuse(f"{len(packed)} bytes hold {size} weights, at most {size + SLACK_BYTES} can")
    bits = BitReader(packed, 8 * at)
    found = DECODERS[coding](bits, shape, *numbers[3:])
    bits.finish(padded=True)
    return found.reshape(shape)


def _check_tensor(tensor: Int8) -> Shape:
    if not isinstance(tensor, np.ndarray) or tensor.dtype != np.int8 or tensor.ndim != 3:
        found = (
            f"{tensor.dtype} of {tensor.ndim} dimensions"
            if isinstance(tensor, np.ndarray)
            else type(tensor).__name__
        )
        raise ModelError(f"weights to pack are {found}, expected int8 [out, k, in]")
    if not 1 <= tensor.size <= MAX_WEIGHTS:
        raise ModelError(f"{tensor.size} weights to pack, expected 1 to {MAX_WEIGHTS}")
    return tensor.shape[0], tensor.shape[1], tensor.shape[2]


def _check_shape(shape: Shape, limit: int) -> int:
    """Number of weights."""
    size = shape[0] * shape[1] * shape[2]
    if not 1 <= size <= min(limit, MAX_WEIGHTS):
        refuse(f"shape is {shape}, expected 1 to {min(limit, MAX_WEIGHTS)} weights")
    return size


def _header(plan: Plan, shape: Shape) -> bytes:
    start = bytes([VERSION << 4 | plan.coding])
    return start + b"".join(leb128(n) for n in (*shape, *plan.fields))


def _bytes(plan: Plan, shape: Shape) -> int:
    return len(_header(plan, shape)) + (plan.bits + 7) // 8


def leb128(number: int) -> bytes:
    """Write a number in groups of seven bits, lowest first; a byte's highest bit means "more".

    >>> leb128(300).hex()
    'ac02'
    """
    groups = [number & 127]
    while number := number >> 7:
        groups[-1] |= 128
        groups.append(number & 127)
    return bytes(groups)


def _read_leb128(data: bytes, at: int, count: int) -> tuple[list[int], int]:
    numbers = []
    for _ in range(count):
        number, shift = 0, 0
        while True:
            if at >= len(data) or shift >= 7 * LONGEST_NUMBER:
                refuse("a number of the header is cut off or too long")
            byte = data[at]
            number |= (byte & 127) << shift
            at, shift = at + 1, shift + 7
            if byte < 128:
                break
        if byte == 0 and shift > 7:
            refuse("a number of the header has more bytes than it needs")
        numbers.append(number)
    return numbers, at


def _decode_plain(bits: BitReader, shape: Shape) -> Int8:
    start, size = bits.at // 8, int(np.prod(shape))
    if bits.left < 8 * size:
        refuse(f"{bits.left // 8} bytes of weights, expected {size}")
    bits.at += 8 * size
    return np.frombuffer(bits.data, np.int8, size, start).copy()


def _decode_numbers(bits: BitReader, shape: Shape) -> Int8:
    return _values(read_numbers(read_code(bits), bits, int(np.prod(shape))))


def _decode_codebook(bits: BitReader, shape: Shape, taps: int, inputs: int, entries: int) -> Int8:
    if not (taps and inputs) or shape[1] % taps or shape[2] % inputs:
        refuse(f"segments of {taps} x {inputs} weights in channels of {shape[1]} x {shape[2]}")
    grid = shape[0], shape[1] // taps, shape[2] // inputs
    most = min(MAX_ENTRIES, int(np.prod(grid)))
    if not 1 <= entries <= most:
        refuse(f"the codebook has {entries} entries, expected 1 to {most}")
    width = bits.take(5)
    if width > 8:
        refuse(f"codebook values have {width} bits, expected at most 8")
    code = read_code(bits)
    book = _values(bits.fixed(entries * taps * inputs, width)).reshape(entries, -1)
    index = read_numbers(code, bits, int(np.prod(grid)))
    if index.max() >= entries:
        refuse(f"index {index.max()} into a codebook of {entries} entries")
    found = book[index].reshape(*grid, taps, inputs).transpose(0, 1, 3, 2, 4)
    return np.ascontiguousarray(found)


def _decode_blocks(bits: BitReader, shape: Shape, taps: int, inputs: int) -> Int8:
    if not (1 <= taps <= shape[1] and 1 <= inputs <= shape[2]):
        refuse(f"blocks of {taps} x {inputs} weights in channels of {shape[1]} x {shape[2]}")
    kinds, values = read_code(bits), read_code(bits)
    lengths = [bits.take(bits.take(5)) for _ in range(2)]
    sections = [bits.section(length) for length in lengths]
    grid = shape[0], -(-shape[1] // taps), -(-shape[2] // inputs)
    numbers = read_numbers(kinds, sections[0], int(np.prod(grid)))
    if numbers.max() > EQUAL + 127:
        refuse(f"a block has magnitude {numbers.max() - EQUAL}, expected at most 127")
    whose = spread(numbers.reshape(grid), (taps, inputs), shape)
    signed, free = whose > EQUAL, whose == FREE
    signs = sections[1].fixed(int(np.count_nonzero(signed)), 1)
    ordered = np.zeros(whose.shape, np.int8)
    ordered[signed] = (whose[signed] - EQUAL) * (1 - 2 * signs)
    ordered[free] = _values(read_numbers(values, bits, int(np.count_nonzero(free))))
    for section in sections:
        section.finish()
    found = np.empty_like(ordered)
    found[:, block_order(shape[1], shape[2], taps, inputs)] = ordered
    return found


def _decode_sparse(bits: BitReader, shape: Shape) -> Int8:
    size = int(np.prod(shape))
    runs, values = read_code(bits), read_code(bits)
    section = bits.section(bits.take(bits.take(5)))
    at, places = 0, []
    for lengths, ends in runs.pieces(section, size):
        reached = at + np.cumsum(lengths + 1)  # after the value that follows each run
        stop = int(np.searchsorted(reached, size))
        last = stop < len(reached)
        if last:
            section.at = int(ends[stop])
            reached = reached[: stop + 1]
        places.append(reached - 1)
        at = int(reached[-1])
        if last:
            break
    section.finish()
    if at > size + 1:
        refuse(f"a run of zeros ends {at - size - 1} weights behind the last")
    where = np.concatenate(places)
    where = where[where < size]
    kept = _values(read_numbers(values, bits, len(where)) + 1)
    found = np.zeros(size, np.int8)
    found[where] = kept
    return found


def _values(numbers: NDArray[np.signedinteger]) -> Int8:
    if len(numbers) and numbers.max() > 255:
        refuse(f"weight number {numbers.max()}, expected at most 255")
    return unzigzag(numbers)


FIELDS = {
    PLAIN: 0, LOW_BIT: 0, ENTROPY: 0, CODEBOOK: 3, MAGNITUDE: 2, SPARSE_BLOCKS: 2, SPARSE: 0
}  # fmt: skip
"""Numbers that follow the shape, by coding."""
DECODERS: dict[int, Callable[..., Int8]] = {
    PLAIN: _decode_plain,
    LOW_BIT: _decode_numbers,
    ENTROPY: _decode_numbers,
    CODEBOOK: _decode_codebook,
    MAGNITUDE: _decode_blocks,
    SPARSE_BLOCKS: _decode_blocks,
    SPARSE: _decode_sparse,
}
