"""Models as the generator writes them, read back from its C text as bytes for `kernel_harness.c`.

What is tested is so what is shipped, and no program is compiled per model. Which fields a structure
has, and which of them point, is read from `bl_net.h`.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

from beatlens.firmware import CSource
from benchmarks.device.measure import KERNELS

from .compiled import FIRMWARE

_ARRAY = re.compile(r"static const (\w+) (\w+)\[(\d+)\] = \{\n(.*?)\n\};", re.DOTALL)
_MODEL = re.compile(r"const bl_model \w+ = \{\n(.*?)\n\};", re.DOTALL)
_ROW = re.compile(r"\{([^{}]*)\}")
_FORMATS = {
    "int8_t": "b", "uint8_t": "B", "int16_t": "h", "uint16_t": "H", "int32_t": "i",
    "uint32_t": "I",
}  # fmt: skip
_STRUCTURES = ("bl_layer", "bl_buffer")


class Member(NamedTuple):
    """A member of a structure: its name, its type, and whether it points to that."""

    name: str
    kind: str
    points: bool


def encode_model(made: CSource) -> bytes:
    """Arrays, layers, buffers and the model's own fields, as `kernel_harness.c` reads them."""
    names = dict(re.findall(r"#define (\w+_STATE_BYTES) (\d+)u", made.header))
    names |= {name: str(number) for number, name in enumerate(KERNELS)}
    arrays: dict[str, bytes] = {}
    rows: dict[str, list[list[str]]] = {}
    for kind, name, size, body in _ARRAY.findall(made.source):
        if kind in _STRUCTURES:
            rows[kind] = [_tokens(row) for row in _ROW.findall(body)]
            assert len(rows[kind]) == int(size)
        else:
            names[name] = str(len(arrays))
            arrays[name] = _packed(kind, body, int(size))
    found = _MODEL.search(made.source)
    assert found is not None, made.source
    parts = [struct.pack("<i", len(arrays))]
    parts += [struct.pack("<i", len(data)) + data for data in arrays.values()]
    for kind in _STRUCTURES:
        parts.append(struct.pack("<i", len(rows[kind])))
        parts += [_fields(kind, row, names) for row in rows[kind]]
    parts.append(_fields("bl_model", _tokens(found[1]), names))
    return b"".join(parts)


def _packed(kind: str, body: str, size: int) -> bytes:
    if kind == "bl_factor":
        factors = [[_number(token) for token in _tokens(row)] for row in _ROW.findall(body)]
        assert len(factors) == size
        return b"".join(struct.pack("<ib3x", *factor) for factor in factors)
    values = [_number(token) for token in _tokens(body)]
    assert len(values) == size
    return struct.pack(f"<{size}{_FORMATS[kind]}", *values)


def _fields(kind: str, tokens: list[str], names: dict[str, str]) -> bytes:
    """The fields of a structure; those that point to layers or buffers are left out."""
    assert len(members(kind)) == len(tokens), (kind, tokens)
    values = [
        -1 if member.points and token == "0" else _number(names.get(token, token))
        for member, token in zip(members(kind), tokens, strict=True)
        if member.kind not in _STRUCTURES
    ]
    return struct.pack(f"<{len(values)}i", *values)


@cache
def members(kind: str) -> tuple[Member, ...]:
    """The members of a structure in `bl_net.h`, in order."""
    text = re.sub(r"/\*.*?\*/", "", _header(), flags=re.DOTALL)
    found = re.search(
        rf"(?:typedef struct \{{([^}}]*)\}} {kind};|struct {kind} \{{([^}}]*)\}};)", text
    )
    assert found is not None, kind
    declared = [
        re.sub(r"\bconst\b", "", part).split() for part in (found[1] or found[2]).split(";")
    ]
    return tuple(
        Member(words[-1].lstrip("*"), words[0], any("*" in word for word in words))
        for words in declared
        if words
    )


@cache
def _header() -> str:
    return (FIRMWARE / "include" / "bl_net.h").read_text(encoding="ascii")


@cache
def _constants() -> dict[str, int]:
    """Numbers that `bl_net.h` gives names."""
    return {name: int(value) for name, value in re.findall(r"(BL_\w+) = (-?\d+)", _header())}


def _tokens(text: str) -> list[str]:
    return [" ".join(token.split()) for token in text.split(",")]


def _number(token: str) -> int:
    """A constant; the lowest of a type is written as one more, less 1."""
    if token in _constants():
        return _constants()[token]
    value, *less = token.rstrip("u").split(" - ")
    return int(value) - sum(map(int, less))


def encode_case(made: CSource, seed: int, columns: int, x: bytes) -> bytes:
    """A model, the seed of random pieces, and its input."""
    return encode_model(made) + struct.pack("<Ii", seed, columns) + x


def decode_cases(data: bytes) -> Iterable[tuple[int, bytes]]:
    """Result and evidence of each run in what the harness wrote; a cut off one is left out."""
    at = 0
    while at + 8 <= len(data):
        rc, size = struct.unpack_from("<ii", data, at)
        if at + 8 + size > len(data):
            return
        yield rc, data[at + 8 : at + 8 + size]
        at += 8 + size
