"""Flatbuffers in numpy alone: a reader that checks every offset, and a writer.

The format is that of https://flatbuffers.dev/internals. Interpreters follow offsets unchecked,
so that a changed file makes them read elsewhere; this reader gives a ModelError. The writer gives
the same bytes as the `flatbuffers` package for the same calls.

    builder = Builder()
    name = builder.text("one")
    data = builder.finish(builder.table("TensorMap", {"name": name, "tensor_index": 1}), b"TFL3")
    table = root(data, "TensorMap")
    table.text("name"), table.number("tensor_index")
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from beatlens.errors import ModelError
from beatlens.integer.tflite_schema import TABLES

_WORD, _HALF, _SIGNED = struct.Struct("<I"), struct.Struct("<H"), struct.Struct("<i")
OFFSET = "offset"
"""Type of a field that says where its content lies: a table, a vector or a text."""


def root(data: bytes, kind: str) -> Table:
    """The first table of a file."""
    return Table(data, _follow(data, 0), kind)


class Table:
    """A table of the schema: fields by name, each checked when it is asked for.

    Args:
        data: the whole file.
        at: where the table lies.
        kind: its name in `tflite_schema.TABLES`.

    Raises:
        ModelError: it, or later one of its fields, does not lie inside the file.
    """

    def __init__(self, data: bytes, at: int, kind: str) -> None:
        self._data, self._at, self._fields = data, at, TABLES[kind]
        self._places = at - _unpack(_SIGNED, data, at)
        self._places_size = _unpack(_HALF, data, self._places)
        self._size = _unpack(_HALF, data, self._places + 2)
        _check(data, self._places, self._places_size)
        _check(data, at, self._size)

    def has(self, name: str) -> bool:
        """Whether a field is there, rather than left at its default."""
        return self._place(name) is not None

    def number(self, name: str) -> int:
        """A number, or its default; 0 or 1 for what is true or false."""
        _, code, default = self._fields[name]
        place = self._place(name)
        return default if place is None else _unpack(struct.Struct(f"<{code}"), self._data, place)

    def table(self, name: str, kind: str) -> Table | None:
        """A table inside this one, or None."""
        place = self._place(name)
        return None if place is None else Table(self._data, _follow(self._data, place), kind)

    def tables(self, name: str, kind: str) -> Tables:
        """A vector of tables; empty if it is not there."""
        start, count = self._vector(name, _WORD.size) or (0, 0)
        return Tables(self._data, start, count, kind)

    def numbers(self, name: str, dtype: type[np.generic]) -> NDArray[Any] | None:
        """A vector of numbers `[n]`, or None."""
        stored = np.dtype(dtype).newbyteorder("<")
        found = self._vector(name, stored.itemsize)
        if found is None:
            return None
        return np.frombuffer(self._data, stored, found[1], found[0])

    def text(self, name: str) -> str:
        """A text; empty if it is not there."""
        start, count = self._vector(name, 1) or (0, 0)
        try:
            return self._data[start : start + count].decode()
        except UnicodeDecodeError:
            _refuse(f"the text at byte {start} is no UTF-8")

    def _place(self, name: str) -> int | None:
        """Where a field lies, or None where the table lacks it."""
        number, code, _ = self._fields[name]
        slot = 4 + 2 * number
        if slot + 2 > self._places_size:
            return None
        offset = _unpack(_HALF, self._data, self._places + slot)
        if not offset:
            return None
        size = _WORD.size if code == OFFSET else struct.calcsize(f"<{code}")
        if offset < 4 or offset + size > self._size:
            _refuse(f"field {name!r} of the table at byte {self._at} lies outside of it")
        return self._at + offset

    def _vector(self, name: str, size: int) -> tuple[int, int] | None:
        """Start and length of a vector, or None."""
        place = self._place(name)
        if place is None:
            return None
        at = _follow(self._data, place)
        count = _unpack(_WORD, self._data, at)
        _check(self._data, at + 4, count * size)
        return at + 4, count


class Tables:
    """A vector of tables, each read when it is asked for; ModelError for an index outside."""

    def __init__(self, data: bytes, start: int, count: int, kind: str) -> None:
        self._data, self._start, self._count, self._kind = data, start, count, kind

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Table:
        if not 0 <= index < self._count:
            _refuse(f"entry {index} of {self._count} is asked for")
        return Table(self._data, _follow(self._data, self._start + 4 * index), self._kind)

    def __iter__(self) -> Iterator[Table]:
        return (self[index] for index in range(self._count))


def _follow(data: bytes, at: int) -> int:
    """Where the offset at a place leads."""
    return at + _unpack(_WORD, data, at)


def _unpack(code: struct.Struct, data: bytes, at: int) -> int:
    _check(data, at, code.size)
    return int(code.unpack_from(data, at)[0])


def _check(data: bytes, at: int, size: int) -> None:
    if at < 0 or at + size > len(data):
        _refuse(f"bytes {at} to {at + size} of {len(data)} are asked for")


def _refuse(reason: str) -> NoReturn:
    raise ModelError(
        f"damaged .tflite file: an offset or length leads out of it ({reason}); export it again"
    )


class Builder:
    """Writes a flatbuffer from its end to its beginning, so that what is used comes first.

    Each method returns where its content lies, counted in bytes from the end of the file.
    """

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self._alignment = 1
        self._places: dict[tuple[int, ...], int] = {}
        self._texts: dict[str, int] = {}

    def table(self, kind: str, values: Mapping[str, int]) -> int:
        """A table with these fields, written in this order; defaults take no room."""
        end, placed = self._size, {}
        for name, value in values.items():
            number, code, default = TABLES[kind][name]
            if value == default:
                continue
            if code == OFFSET:
                self._offset(value)
            else:
                packed = struct.pack(f"<{code}", value)
                self._align(len(packed))
                self._put(packed)
            placed[number] = self._size
        self._align(4)
        at = self._size + 4
        count = max(placed, default=-1) + 1
        places = [at - placed[n] if n in placed else 0 for n in range(count)]
        head = (4 + 2 * count, at - end, *places)
        known = self._places.get(head)
        self._put(_SIGNED.pack((at + head[0] if known is None else known) - at))
        if known is None:
            self._put(struct.pack(f"<{len(head)}H", *head))
            self._places[head] = self._size
        return at

    def tables(self, places: Sequence[int]) -> int:
        """A vector of tables, or of texts."""
        self._align(4, 4 * len(places))
        for place in reversed(places):
            self._offset(place)
        self._put(_WORD.pack(len(places)))
        return self._size

    def numbers(self, values: NDArray[Any], alignment: int = 1) -> int:
        """A vector of numbers, its first one aligned to as many bytes or more."""
        stored = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
        for to in (4, max(alignment, stored.itemsize)):
            self._align(to, stored.nbytes)
        self._put(stored.tobytes())
        self._put(_WORD.pack(stored.size))
        return self._size

    def text(self, value: str) -> int:
        """A text; one that was written before is used again."""
        if value not in self._texts:
            content = value.encode()
            self._align(4, len(content) + 1)
            self._put(content + b"\0")
            self._put(_WORD.pack(len(content)))
            self._texts[value] = self._size
        return self._texts[value]

    def finish(self, first: int, identifier: bytes) -> bytes:
        """The whole file, whose first table is `first`."""
        self._align(self._alignment, 4 + len(identifier))
        self._put(identifier)
        self._offset(first)
        return b"".join(reversed(self._parts))

    def _offset(self, place: int) -> None:
        self._align(4)
        self._put(_WORD.pack(self._size + 4 - place))

    def _align(self, to: int, after: int = 0) -> None:
        """Fill up so that what begins `after` bytes further ahead lies at a multiple of `to`."""
        self._alignment = max(self._alignment, to)
        self._put(bytes(-(self._size + after) % to))

    def _put(self, content: bytes) -> None:
        self._parts.append(content)
        self._size += len(content)
