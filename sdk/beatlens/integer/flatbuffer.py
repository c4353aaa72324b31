"""Flatbuffers with numpy only: a reader that checks every offset, and a writer.

The format is that of https://flatbuffers.dev/internals. Interpreters follow offsets without checks,
so that a damaged file makes them read any memory; this reader raises ModelError. The writer writes
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
"""Type of a field that holds an offset: to a table, a vector or a text."""


def root(data: bytes, kind: str) -> Table:
    """Return the first table of a file."""
    return Table(data, _follow(data, 0), kind)


class Table:
    """A table of the schema: fields by name, each checked when it is read.

    Args:
        data: the whole file.
        at: position of the table, in bytes.
        kind: its name in `tflite_schema.TABLES`.

    Raises:
        ModelError: the table, or later one of its fields, lies outside the file.
    """

    def __init__(self, data: bytes, at: int, kind: str) -> None:
        self._data, self._at, self._fields = data, at, TABLES[kind]
        self._places = at - _unpack(_SIGNED, data, at)
        self._places_size = _unpack(_HALF, data, self._places)
        self._size = _unpack(_HALF, data, self._places + 2)
        _check(data, self._places, self._places_size)
        _check(data, at, self._size)

    def has(self, name: str) -> bool:
        """Whether the table has a field; else it has the default."""
        return self._place(name) is not None

    def number(self, name: str) -> int:
        """Return a number, or its default; 0 or 1 for a boolean."""
        _, code, default = self._fields[name]
        place = self._place(name)
        return default if place is None else _unpack(struct.Struct(f"<{code}"), self._data, place)

    def table(self, name: str, kind: str) -> Table | None:
        """Return a table of this table, or None."""
        place = self._place(name)
        return None if place is None else Table(self._data, _follow(self._data, place), kind)

    def tables(self, name: str, kind: str) -> Tables:
        """Return a vector of tables; empty if it is missing."""
        start, count = self._vector(name, _WORD.size) or (0, 0)
        return Tables(self._data, start, count, kind)

    def numbers(self, name: str, dtype: type[np.generic]) -> NDArray[Any] | None:
        """Return a vector of numbers `[n]`, or None."""
        stored = np.dtype(dtype).newbyteorder("<")
        found = self._vector(name, stored.itemsize)
        if found is None:
            return None
        return np.frombuffer(self._data, stored, found[1], found[0])

    def text(self, name: str) -> str:
        """Return a text; empty if it is missing."""
        start, count = self._vector(name, 1) or (0, 0)
        try:
            return self._data[start : start + count].decode()
        except UnicodeDecodeError:
            _refuse(f"the text at byte {start} is no UTF-8")

    def _place(self, name: str) -> int | None:
        """Position of a field, or None where the table lacks it."""
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
    """A vector of tables, each read when it is indexed; ModelError for an index outside."""

    def __init__(self, data: bytes, start: int, count: int, kind: str) -> None:
        self._data, self._start, self._count, self._kind = data, start, count, kind

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Table:
        if not 0 <= index < self._count:
            _refuse(f"entry {index} of {self._count}")
        return Table(self._data, _follow(self._data, self._start + 4 * index), self._kind)

    def __iter__(self) -> Iterator[Table]:
        return (self[index] for index in range(self._count))


def _follow(data: bytes, at: int) -> int:
    """Return the position that an offset points to."""
    return at + _unpack(_WORD, data, at)


def _unpack(code: struct.Struct, data: bytes, at: int) -> int:
    _check(data, at, code.size)
    return int(code.unpack_from(data, at)[0])


def _check(data: bytes, at: int, size: int) -> None:
    if at < 0 or at + size > len(data):
        _refuse(f"bytes {at} to {at + size} of {len(data)}")


def _refuse(reason: str) -> NoReturn:
    raise ModelError(
        f"damaged .tflite file: an offset or length leads out of it ({reason}); export it again"
    )


class Builder:
    """Writes a flatbuffer from its end to its start: content is written before its users.

    Each method returns the position of its content, in bytes from the end of the file.
    """

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self._alignment = 1
        self._places: dict[tuple[int, ...], int] = {}
        self._texts: dict[str, int] = {}

    def table(self, kind: str, values: Mapping[str, int]) -> int:
        """Write a table with these fields, in this order; defaults take no bytes."""
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
        """Write a vector of tables, or of texts."""
        self._align(4, 4 * len(places))
        for place in reversed(places):
            self._offset(place)
        self._put(_WORD.pack(len(places)))
        return self._size

    def numbers(self, values: NDArray[Any], alignment: int = 1) -> int:
        """Write a vector of numbers whose first one is aligned to at least `alignment` bytes."""
        stored = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
        for to in (4, max(alignment, stored.itemsize)):
            self._align(to, stored.nbytes)
        self._put(stored.tobytes())
        self._put(_WORD.pack(stored.size))
        return self._size

    def text(self, value: str) -> int:
        """Write a text; one that was written before is used again."""
        if value not in self._texts:
            content = value.encode()
            self._align(4, len(content) + 1)
            self._put(content + b"\0")
            self._put(_WORD.pack(len(content)))
            self._texts[value] = self._size
        return self._texts[value]

    def finish(self, first: int, identifier: bytes) -> bytes:
        """Return the whole file, whose first table is `first`."""
        self._align(self._alignment, 4 + len(identifier))
        self._put(identifier)
        self._offset(first)
        return b"".join(reversed(self._parts))

    def _offset(self, place: int) -> None:
        self._align(4)
        self._put(_WORD.pack(self._size + 4 - place))

    def _align(self, to: int, after: int = 0) -> None:
        """Pad so that the content that begins after `after` more bytes is aligned to `to` bytes."""
        self._alignment = max(self._alignment, to)
        self._put(bytes(-(self._size + after) % to))

    def _put(self, content: bytes) -> None:
        self._parts.append(content)
        self._size += len(content)
