"""Codes for whole numbers: fixed width, or canonical Huffman over classes of numbers.

A Huffman code of every number would need a long table, too large for a network of 10 KB. So a
number is split into a *symbol*, which is Huffman coded, and its lowest bits, which are written as
they are. A symbol is the position of the leading bit and the `mantissa` bits after it. Numbers
below `2**(mantissa + 1)` are their own symbols. JPEG XL codes integers in the same way.

>>> code = best_huffman(np.array([0, 1, 200]), np.array([900, 99, 1]))
>>> code.lengths[:2], code.cost(np.array([0, 1]), np.array([1, 1]))
((1, 2), 3)
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from beatlens.packed.bits import BitReader, Stream, refuse, spell, words

Numbers = NDArray[np.int64]
LONGEST = 15
"""Length of the longest code word, in bits."""
MAX_SYMBOLS = 64
MAX_EXTRA = 24
"""Largest number of bits beside a symbol, and largest width of a fixed code."""
MANTISSAS = range(4)
FIRST_LENGTH = 5
"""Length, in bits, to which the first code word's length is written as a difference."""
STEP = 1 << 14
"""Bytes, or numbers, that are decoded at once."""
SLACK = 8


def split_symbols(numbers: Numbers, mantissa: int) -> tuple[Numbers, Numbers]:
    """Split numbers into symbols and the number of lowest bits beside each symbol."""
    extra = np.maximum(np.frexp(numbers.astype(np.float64))[1] - 1 - mantissa, 0).astype(np.int64)
    return (extra << mantissa) + (numbers >> extra), extra


def extra_bits(symbols: Numbers, mantissa: int) -> Numbers:
    """Return the number of bits beside each symbol."""
    extra: Numbers = np.maximum((symbols >> mantissa) - 1, 0)
    return extra


@dataclass(frozen=True)
class Fixed:
    """Code of fixed width: every number in `width` bits, 0 to 24; in 0 bits, only the number 0."""

    width: int

    def cost(self, values: Numbers, counts: Numbers) -> int:
        """Return the bits of numbers, given as distinct values and their counts."""
        return self.width * int(counts.sum())

    def describe(self) -> list[tuple[int, int]]:
        """Return the description that precedes the numbers, as `(value, bits)` pairs."""
        return [(0, 1), (self.width, 5)]

    def spell(self, numbers: Numbers) -> Stream:
        """Return the numbers as bits."""
        return spell(numbers, np.full(len(numbers), self.width, np.int64))

    def pieces(self, bits: BitReader, most: int) -> Iterator[tuple[Numbers, Numbers]]:
        """Decode up to `most` numbers; see `Huffman.pieces`."""
        return _plain_pieces(bits, most, 0, self.width)


@dataclass(frozen=True)
class Huffman:
    """Canonical Huffman code of symbols (see the module) with `lengths` bits each, 0 for unused.

    The lengths make a complete code. Where all are 0, every number is the last symbol, which takes
    no bits.
    """

    mantissa: int
    lengths: tuple[int, ...]

    def cost(self, values: Numbers, counts: Numbers) -> int:
        """Return the bits of numbers, given as distinct values and their counts."""
        symbols, extra = split_symbols(values, self.mantissa)
        return int(((np.array(self.lengths)[symbols] + extra) * counts).sum())

    def describe(self) -> list[tuple[int, int]]:
        """Return the description that precedes the numbers, as `(value, bits)` pairs.

        A length equal to the last one is `0`, one more `10`, one less `110`, any other `111` and
        four bits.
        """
        fields = [(1, 1), (self.mantissa, 2), (len(self.lengths) - 1, 6)]
        steps = {0: (0, 1), 1: (2, 2), -1: (6, 3)}
        last = FIRST_LENGTH
        for length in self.lengths:
            fields.append(steps.get(length - last, (7 << 4 | length, 7)))
            last = length
        return fields

    def spell(self, numbers: Numbers) -> Stream:
        """Return the numbers as bits."""
        symbols, extra = split_symbols(numbers, self.mantissa)
        low = numbers & ((1 << extra) - 1)
        return spell(self._words[symbols] << extra | low, self._lengths[symbols] + extra)

    def pieces(self, bits: BitReader, most: int) -> Iterator[tuple[Numbers, Numbers]]:
        """Decode up to `most` numbers, in pieces: numbers, and the bit position after each.

        Raises ModelError where the bits end before that.
        """
        last = len(self.lengths) - 1
        if not any(self.lengths):
            extra = int(extra_bits(np.array(last), self.mantissa))
            yield from _plain_pieces(bits, most, int(self._bases[last]), extra)
            return
        while most > 0:
            numbers, ends = self._step(bits, most)
            if not len(numbers):
                refuse("a code word is cut off")
            most -= len(numbers)
            bits.at = int(ends[-1])
            yield numbers, ends

    def _step(self, bits: BitReader, most: int) -> tuple[Numbers, Numbers]:
        """Decode a few bytes: look up a symbol at every bit, keep those at starts of words."""
        origin = bits.at & ~7
        stop = min((origin >> 3) + STEP, (bits.end + 7) >> 3)
        piece = bits.data[origin >> 3 : stop + SLACK] + bytes(SLACK)
        raw = np.frombuffer(piece, np.uint8).astype(np.int32)
        word = raw[:-2] << 16 | raw[1:-1] << 8 | raw[2:]
        word = word[: stop - (origin >> 3), None]
        windows = (word >> (24 - LONGEST - np.arange(8)) & 0x7FFF).ravel()
        symbols = self._table[windows]
        taken = (self._lengths + self._extras)[symbols]
        limit = min(len(windows), bits.end - origin)
        follows = (np.arange(len(windows)) + taken).tolist()
        place = bits.at - origin
        kept: list[int] = []
        while place < limit and len(kept) < most:
            kept.append(place)
            place = follows[place]
        starts = np.array(kept, np.int64)
        ends = starts + taken[starts]
        starts = starts[ends <= bits.end - origin]
        symbol = symbols[starts]
        extras = self._extras[symbol]
        low = words(piece, starts + self._lengths[symbol], extras)
        return self._bases[symbol] + low, origin + starts + taken[starts]

    @cached_property
    def _lengths(self) -> Numbers:
        return np.array(self.lengths, np.int64)

    @cached_property
    def _extras(self) -> Numbers:
        return extra_bits(np.arange(len(self.lengths)), self.mantissa)

    @cached_property
    def _bases(self) -> Numbers:
        """The smallest number of each symbol."""
        symbols = np.arange(len(self.lengths))
        return np.where(
            symbols < 2 << self.mantissa,
            symbols,
            (symbols & ((1 << self.mantissa) - 1) | 1 << self.mantissa) << self._extras,
        )

    @cached_property
    def _order(self) -> Numbers:
        """Used symbols in the order of their code words."""
        order = np.argsort(self._lengths, kind="stable")
        return order[self._lengths[order] > 0]

    @cached_property
    def _table(self) -> Numbers:
        """Symbol by the next 15 bits."""
        return np.repeat(self._order, 1 << (LONGEST - self._lengths[self._order]))

    @cached_property
    def _words(self) -> Numbers:
        spans = 1 << (LONGEST - self._lengths[self._order])
        found = np.zeros(len(self.lengths), np.int64)
        starts = np.cumsum(spans) - spans
        found[self._order] = starts >> (LONGEST - self._lengths[self._order])
        return found


NumberCode = Fixed | Huffman


def described_bits(code: NumberCode) -> int:
    """Return the bits of a code's description."""
    return sum(length for _, length in code.describe())


def best_code(values: Numbers, counts: Numbers) -> NumberCode:
    """Choose the code with the fewest bits, description included, for values and counts."""
    codes: list[NumberCode] = [best_fixed(values), best_huffman(values, counts)]
    return min(codes, key=lambda code: described_bits(code) + code.cost(values, counts))


def best_fixed(values: Numbers) -> Fixed:
    """Return the narrowest code of fixed width for these values."""
    return Fixed(int(values.max(initial=0)).bit_length())


def best_huffman(values: Numbers, counts: Numbers) -> Huffman:
    """Choose the Huffman code with the fewest bits, description included; `values` are distinct."""
    found: list[tuple[int, Huffman]] = []
    for mantissa in MANTISSAS:
        symbols, extra = split_symbols(values, mantissa)
        if symbols.max(initial=0) >= MAX_SYMBOLS:
            continue
        totals = np.bincount(symbols, weights=counts, minlength=1).astype(np.int64)
        lengths = huffman_lengths(totals)
        code = Huffman(mantissa, tuple(lengths.tolist()))
        bits = int((lengths * totals).sum() + (extra * counts).sum())
        found.append((bits + described_bits(code), code))
        if not extra.any():  # a longer mantissa gives the same symbols
            break
    return min(found, key=lambda pair: pair[0])[1]


def huffman_lengths(totals: Numbers) -> Numbers:
    """Return code word lengths of at most 15 bits for symbols that occur `totals` times.

    They are optimal where no word would be longer; else counts are halved until no word is.

    >>> huffman_lengths(np.array([4, 0, 2, 1])).tolist()
    [1, 0, 2, 2]
    """
    lengths = np.zeros(len(totals), np.int64)
    used = np.flatnonzero(totals).tolist()
    counts = totals[used].tolist()
    while len(used) > 1:
        depth = [0] * len(used)
        heap = [(count, i, [i]) for i, count in enumerate(counts)]
        heapq.heapify(heap)
        while len(heap) > 1:
            a, b = heapq.heappop(heap), heapq.heappop(heap)
            for i in a[2] + b[2]:
                depth[i] += 1
            heapq.heappush(heap, (a[0] + b[0], len(used) + a[1], a[2] + b[2]))
        if max(depth) <= LONGEST:
            lengths[used] = depth
            break
        counts = [count >> 1 | 1 for count in counts]
    return lengths


def read_code(bits: BitReader) -> NumberCode:
    """Read a code's description; ModelError where the bits are not one."""
    if not bits.take(1):
        width = bits.take(5)
        if width > MAX_EXTRA:
            refuse(f"numbers are {width} bits wide, at most {MAX_EXTRA} can be")
        return Fixed(width)
    mantissa, count = bits.take(2), bits.take(6) + 1
    if count > (MAX_EXTRA + 2) << mantissa:
        refuse(f"{count} symbols with a mantissa of {mantissa} bits are too many")
    lengths: list[int] = []
    last = FIRST_LENGTH
    for _ in range(count):
        last = _read_length(bits, last)
        lengths.append(last)
    room = sum(1 << (LONGEST - length) for length in lengths if length)
    if room not in (0, 1 << LONGEST):
        refuse("a Huffman code is not complete")
    return Huffman(mantissa, tuple(lengths))


def _read_length(bits: BitReader, last: int) -> int:
    length = last
    if bits.take(1):
        if not bits.take(1):
            length = last + 1
        elif not bits.take(1):
            length = last - 1
        else:
            length = bits.take(4)
    if not 0 <= length <= LONGEST:
        refuse(f"a code word has {length} bits, expected 0 to {LONGEST}")
    return length


def read_numbers(code: NumberCode, bits: BitReader, count: int) -> NDArray[np.int32]:
    """Decode `count` numbers; ModelError where the bits end before that."""
    parts = [numbers.astype(np.int32) for numbers, _ in code.pieces(bits, count)]
    return np.concatenate(parts) if parts else np.zeros(0, np.int32)


def _plain_pieces(
    bits: BitReader, most: int, base: int, width: int
) -> Iterator[tuple[Numbers, Numbers]]:
    while most > 0:
        count = min(most, STEP * 8)
        if width:
            count = min(count, max(bits.left // width, 1))
        start = bits.at
        numbers = base + bits.fixed(count, width)
        most -= count
        yield numbers, start + width * np.arange(1, count + 1)
