"""Bit streams: bits are numbered from the most significant bit of each byte.

>>> stream = spell(np.array([5, 1]), np.array([3, 2]))  # 101 01
>>> stream.tolist()
[1, 0, 1, 0, 1]
>>> reader = BitReader(np.packbits(stream).tobytes())
>>> reader.take(3), reader.take(2), reader.at
(5, 1, 5)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from beatlens.errors import ModelError

Stream = NDArray[np.uint8]
"""Bits as 0 and 1, one per element."""
CHUNK = 1 << 16


def refuse(reason: str) -> NoReturn:
    """Raise ModelError for damaged packed weights."""
    raise ModelError(f"packed weights: {reason}; the bytes are damaged, export the model again")


def spell(values: NDArray[np.int64], lengths: NDArray[np.int64]) -> Stream:
    """Write the lowest `lengths[i]` bits of each value, most significant first, in one stream."""
    parts = []
    for start in range(0, len(values), CHUNK):
        value, length = values[start : start + CHUNK], lengths[start : start + CHUNK]
        ends = np.cumsum(length)
        shift = np.repeat(ends, length) - np.arange(ends[-1]) - 1
        parts.append((np.repeat(value, length) >> shift & 1).astype(np.uint8))
    return np.concatenate(parts) if parts else np.zeros(0, np.uint8)


def spell_fields(fields: Sequence[tuple[int, int]]) -> Stream:
    """Write a few `(value, length)` pairs as bits."""
    pairs = np.array(fields, np.int64).reshape(-1, 2)
    return spell(pairs[:, 0], pairs[:, 1])


class BitReader:
    """Reads bits `at` to `end` (exclusive) of bytes.

    Every method raises ModelError where it would read beyond `end`.
    """

    def __init__(self, data: bytes, at: int = 0, end: int | None = None) -> None:
        self.data, self.at = data, at
        self.end = 8 * len(data) if end is None else end

    @property
    def left(self) -> int:
        """Number of bits that are not read yet."""
        return self.end - self.at

    def take(self, count: int) -> int:
        """Read the next `count` bits as an unsigned number."""
        if count > self.left:
            refuse(f"{count} bits are read where {self.left} are left")
        last = self.at + count
        word = int.from_bytes(self.data[self.at >> 3 : (last + 7) >> 3], "big")
        self.at = last
        return (word >> (-last & 7)) & ((1 << count) - 1)

    def section(self, bits: int) -> BitReader:
        """Return a reader of the next `bits` bits; this reader continues after them."""
        if bits > self.left:
            refuse(f"a section of {bits} bits begins where {self.left} are left")
        self.at += bits
        return BitReader(self.data, self.at - bits, self.at)

    def fixed(self, count: int, width: int) -> NDArray[np.int64]:
        """Read the next `count` numbers of `width` bits each (at most 24)."""
        if count * width > self.left:
            refuse(f"{count} numbers of {width} bits are read where {self.left} bits are left")
        if not width:
            return np.zeros(count, np.int64)
        starts = self.at + width * np.arange(count, dtype=np.int64)
        self.at += count * width
        return words(self.data, starts, np.full(count, width))

    def finish(self, padded: bool = False) -> None:
        """Raise ModelError unless all bits are read; `padded` allows zeros up to a whole byte."""
        if self.left and not (padded and self.left < 8 and self.take(self.left) == 0):
            refuse(f"{self.left} bits are left over")


def words(data: bytes, starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Read unsigned numbers of `lengths` bits (0 to 24) at the bit positions `starts`."""
    raw = np.frombuffer(data, np.uint8)
    first = starts >> 3
    word = np.zeros(len(starts), np.int64)
    for i in range(4):
        byte = np.minimum(first + i, len(raw) - 1)
        word = word << 8 | raw[byte]
    return word >> (32 - (starts & 7) - lengths) & ((1 << lengths) - 1)
