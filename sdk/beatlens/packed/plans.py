"""The codings of a tensor: the exact size of each is computed before any bit is written.

Every function takes an int8 tensor `[out, k, in]` and yields the plans of one coding that can hold
it. The encoder needs no hints: it searches the tensor for blocks, repeated kernels and zeros.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from beatlens.packed.bits import Stream, spell_fields
from beatlens.packed.blocks import Blocks, block_order, split_blocks, spread
from beatlens.packed.numbers import (
    NumberCode,
    Numbers,
    best_code,
    best_fixed,
    best_huffman,
    described_bits,
)

Int8 = NDArray[np.int8]
PLAIN, LOW_BIT, ENTROPY, CODEBOOK, MAGNITUDE, SPARSE_BLOCKS, SPARSE = range(7)
CODINGS = (
    "plain",
    "low-bit",
    "entropy",
    "codebook",
    "shared magnitude",
    "sparse blocks",
    "sparse elements",
)
"""Names of the codings by their number in the format."""
MAX_ENTRIES = 1 << 16
LONGEST_RUN = 16
"""Largest number of inputs in a segment of a layer with one tap."""
FREE, EQUAL = 0, 1
"""Number of a block: 0, its weights follow one by one; 1 + m, all have magnitude m."""


@dataclass(frozen=True)
class Plan:
    """One way to write a tensor.

    Attributes:
        coding: number of the coding.
        fields: whole numbers between the shape and the bits.
        bits: length of the bit stream.
        write: returns the bit stream.
    """

    coding: int
    fields: tuple[int, ...]
    bits: int
    write: Callable[[], list[Stream]]


def zigzag(values: NDArray[np.signedinteger]) -> Numbers:
    """Map 0, -1, 1, -2, ... to 0, 1, 2, 3, ..."""
    wide = values.astype(np.int64)
    return np.where(wide < 0, -2 * wide - 1, 2 * wide)


def unzigzag(numbers: NDArray[np.signedinteger]) -> Int8:
    """The inverse of `zigzag`: int8 values of numbers 0 to 255."""
    return np.where(numbers & 1, -(numbers + 1 >> 1), numbers >> 1).astype(np.int8)


def every_plan(tensor: Int8) -> Iterator[Plan]:
    """Yield all plans for a tensor."""
    histogram = np.bincount(zigzag(np.arange(-128, 128, dtype=np.int16)), _counts(tensor))
    histogram = histogram.astype(np.int64)
    yield _plain(tensor)
    yield from _numbers(tensor, histogram)
    yield from _codebooks(tensor)
    yield from _blocks(tensor, histogram)
    yield from _sparse(tensor, histogram)


def _counts(tensor: Int8) -> NDArray[np.int64]:
    """Count each of the values -128 to 127."""
    return np.bincount(tensor.reshape(-1).view(np.uint8) ^ 0x80, minlength=256)


def _plain(tensor: Int8) -> Plan:
    return Plan(PLAIN, (), 8 * tensor.size, lambda: [np.unpackbits(tensor.reshape(-1).view("u1"))])


def _numbers(tensor: Int8, histogram: Numbers) -> Iterator[Plan]:
    values = np.flatnonzero(histogram)
    counts = histogram[values]
    codes: tuple[tuple[int, NumberCode], ...] = (
        (LOW_BIT, best_fixed(values)),
        (ENTROPY, best_huffman(values, counts)),
    )
    for coding, code in codes:
        bits = described_bits(code) + code.cost(values, counts)

        def write(code: NumberCode = code) -> list[Stream]:
            return [spell_fields(code.describe()), code.spell(zigzag(tensor.reshape(-1)))]

        yield Plan(coding, (), bits, write)


# Codebook: the distinct segments of kernels, most frequent first, and an index per segment.


def _codebooks(tensor: Int8) -> Iterator[Plan]:
    width = best_fixed(zigzag(np.array([tensor.min(), tensor.max()], np.int16))).width
    for taps, inputs in _segments(tensor):
        segments = cut(tensor, taps, inputs)
        counts = _distinct_counts(segments)
        if len(counts) > MAX_ENTRIES:
            continue
        counts = -np.sort(-counts)
        ranks = np.arange(len(counts))
        code = best_code(ranks, counts)
        head = described_bits(code) + 5 + len(counts) * taps * inputs * width
        yield Plan(
            CODEBOOK,
            (taps, inputs, len(counts)),
            head + code.cost(ranks, counts),
            _codebook_writer(segments, code, width),
        )


def _segments(tensor: Int8) -> list[tuple[int, int]]:
    """Taps and inputs of segments: kernels in equal parts, or, of one tap, runs of inputs."""
    _, taps, inputs = tensor.shape
    if taps > 1:
        return [(n, 1) for n in range(2, taps + 1) if taps % n == 0]
    return [(1, n) for n in range(2, min(inputs, LONGEST_RUN) + 1) if inputs % n == 0]


def cut(tensor: Int8, taps: int, inputs: int) -> Int8:
    """Cut the tensor into segments of `taps` x `inputs`, `[segments, taps * inputs]`."""
    out = len(tensor)
    parts = tensor.reshape(out, tensor.shape[1] // taps, taps, tensor.shape[2] // inputs, inputs)
    return parts.transpose(0, 1, 3, 2, 4).reshape(-1, taps * inputs)


def _codebook_writer(segments: Int8, code: NumberCode, width: int) -> Callable[[], list[Stream]]:
    def write() -> list[Stream]:
        entries, index, counts = np.unique(
            segments, axis=0, return_inverse=True, return_counts=True
        )
        order = np.argsort(-counts, kind="stable")
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        book = zigzag(entries[order].reshape(-1))
        head = [spell_fields([(width, 5)]), spell_fields(code.describe())]
        fixed = best_fixed(np.array([(1 << width) - 1]))
        return [*head, fixed.spell(book), code.spell(rank[index.reshape(-1)])]

    return write


def _distinct_counts(segments: Int8) -> NDArray[np.int64]:
    """How often each distinct row occurs, in no particular order."""
    count, length = segments.shape
    padded = np.zeros((count, -(-length // 8) * 8), np.int8)
    padded[:, :length] = segments
    keys = padded.view(np.uint64)
    if keys.shape[1] == 1:
        ordered = np.sort(keys[:, 0])
        new = ordered[1:] != ordered[:-1]
    else:
        ordered = keys[np.lexsort(keys.T)]
        new = (ordered[1:] != ordered[:-1]).any(axis=1)
    edges = np.concatenate([[0], np.flatnonzero(new) + 1, [count]])
    return np.diff(edges)


# Blocks: per block 0 (free) or 1 + magnitude; then signs; then the weights of free blocks.


def _blocks(tensor: Int8, histogram: Numbers) -> Iterator[Plan]:
    for blocks in split_blocks(tensor):
        if (blocks.largest == 0).any():
            yield _block_plan(tensor, blocks, histogram, SPARSE_BLOCKS)
        if (blocks.equal & (blocks.largest > 0) & (blocks.largest < 128)).any():
            yield _block_plan(tensor, blocks, histogram, MAGNITUDE)


def _block_numbers(blocks: Blocks, coding: int) -> NDArray[np.int16]:
    kept = blocks.largest == 0 if coding == SPARSE_BLOCKS else blocks.equal & (blocks.largest < 128)
    return np.where(kept, EQUAL + blocks.largest, FREE)


def _block_plan(tensor: Int8, blocks: Blocks, histogram: Numbers, coding: int) -> Plan:
    numbers = _block_numbers(blocks, coding)
    flat, sizes = numbers.ravel(), np.broadcast_to(blocks.sizes, numbers.shape).ravel()
    counts = np.bincount(flat)
    weights = np.bincount(flat, sizes).astype(np.int64)  # by number
    sums = np.bincount(flat, blocks.total.ravel()).astype(np.int64)
    free = histogram.copy()
    for number in np.flatnonzero(counts[EQUAL:]) + EQUAL:
        magnitude = int(number) - EQUAL
        above = (weights[number] + sums[number] // max(magnitude, 1)) // 2
        if magnitude:
            free[2 * magnitude] -= above
            free[2 * magnitude - 1] -= weights[number] - above
        else:
            free[0] -= weights[number]
    kinds = np.flatnonzero(counts)
    left = np.flatnonzero(free)
    codes = best_code(kinds, counts[kinds]), best_code(left, free[left])
    lengths = (
        codes[0].cost(kinds, counts[kinds]),
        int(weights[EQUAL + 1 :].sum()),
        codes[1].cost(left, free[left]),
    )
    head = [*codes[0].describe(), *codes[1].describe()]
    head += [field for length in lengths[:2] for field in length_fields(length)]
    bits = sum(width for _, width in head) + sum(lengths)

    def write() -> list[Stream]:
        shape = tensor.shape[0], tensor.shape[1], tensor.shape[2]
        side = blocks.taps, blocks.inputs
        whose = spread(numbers.astype(np.int32), side, shape)
        ordered = tensor.reshape(len(tensor), -1)[:, block_order(*shape[1:], *side)]
        signs = (ordered[whose > EQUAL] < 0).astype(np.uint8)
        rest = codes[1].spell(zigzag(ordered[whose == FREE]))
        return [spell_fields(head), codes[0].spell(flat.astype(np.int64)), signs, rest]

    return Plan(coding, (blocks.taps, blocks.inputs), bits, write)


def length_fields(length: int) -> list[tuple[int, int]]:
    """A section's length: five bits for the width of the number, then the number."""
    return [(length.bit_length(), 5), (length, length.bit_length())]


# Sparse elements: runs of zeros, and the values between them.


def _sparse(tensor: Int8, histogram: Numbers) -> Iterator[Plan]:
    if not histogram[0]:
        return
    places = np.flatnonzero(tensor)
    runs = np.diff(places, prepend=-1) - 1
    tail = tensor.size - 1 - (int(places[-1]) if len(places) else -1)
    if tail:
        runs = np.append(runs, tail)
    lengths, counts = np.unique(runs, return_counts=True)
    values = np.flatnonzero(histogram[1:])
    codes = best_code(lengths, counts), best_code(values, histogram[1:][values])
    section = codes[0].cost(lengths, counts)
    head = [*codes[0].describe(), *codes[1].describe(), *length_fields(section)]
    bits = sum(width for _, width in head) + section
    bits += codes[1].cost(values, histogram[1:][values])

    def write() -> list[Stream]:
        kept = zigzag(tensor.reshape(-1)[places]) - 1
        return [spell_fields(head), codes[0].spell(runs), codes[1].spell(kept)]

    yield Plan(SPARSE, (), bits, write)
