"""Pieces of C: names, constants, arrays."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass

from beatlens.errors import RecipeError

_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_KEYWORDS = re.compile(
    "auto|break|case|char|const|continue|default|do|double|else|enum|extern|float|for|goto|if|"
    "inline|int|long|main|register|restrict|return|short|signed|sizeof|static|struct|switch|typedef|"
    "union|unsigned|void|volatile|while"
)


@dataclass(frozen=True)
class CSource:
    """A header, and the source that includes it."""

    header: str
    source: str


def check_identifier(name: str, of: str) -> None:
    """Raise `RecipeError` for what C does not take as a name.

    >>> check_identifier("chest_lead", "the sensor")
    """
    if not _IDENTIFIER.fullmatch(name) or _KEYWORDS.fullmatch(name):
        raise RecipeError(f"name of {of} is {name!r}, expected a C identifier such as chest_lead")


def guarded(name: str, *parts: str) -> str:
    """A header NAME.h of these parts."""
    guard = f"{name.upper()}_H"
    return "\n".join((f"#ifndef {guard}\n#define {guard}\n", *parts, "#endif\n"))


def numbers(kind: str, name: str, values: Iterable[int]) -> str:
    """An array of whole numbers.

    >>> print(numbers("int8_t", "taps", [1, -2]), end="")
    static const int8_t taps[2] = {
        1, -2
    };
    """
    return array(kind, name, [constant(value) for value in values])


def array(kind: str, name: str, values: list[str]) -> str:
    """An array of constants, or of rows."""
    return f"static const {kind} {name}[{len(values)}] = {{\n{wrapped(values)}\n}};\n"


def row(*values: object) -> str:
    """Values of one structure.

    >>> row(1, "NAME")
    '{1, NAME}'
    """
    return f"{{{', '.join(map(str, values))}}}"


def constant(value: int) -> str:
    """A number as C takes it: the lowest of int32, and of 16 bit integers, has no constant."""
    return f"{value + 1} - 1" if value in (-(1 << 31), -(1 << 15)) else str(value)


def wrapped(values: Iterable[object]) -> str:
    """Values one behind the other, in lines of 79 characters."""
    text = ", ".join(map(str, values))
    return textwrap.fill(text, 79, initial_indent="    ", subsequent_indent="    ")
