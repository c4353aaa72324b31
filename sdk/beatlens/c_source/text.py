"""Pieces of C: names, constants, arrays."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass

from beatlens.errors import RecipeError

_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_TAKEN = re.compile(
    # Keywords of C99 to C23 and of C++, which may include the headers.
    "auto|break|case|char|const|continue|default|do|double|else|enum|extern|float|for|goto|if|"
    "inline|int|long|register|restrict|return|short|signed|sizeof|static|struct|switch|typedef|"
    "union|unsigned|void|volatile|while|asm|typeof|typeof_unqual|alignas|alignof|bool|constexpr|"
    "false|true|nullptr|static_assert|thread_local|and|and_eq|bitand|bitor|catch|class|compl|"
    "concept|const_cast|consteval|constinit|co_await|co_return|co_yield|decltype|delete|"
    "dynamic_cast|explicit|export|friend|mutable|namespace|new|noexcept|not|not_eq|operator|or|"
    "or_eq|private|protected|public|reinterpret_cast|requires|static_cast|template|this|throw|try|"
    "typeid|typename|using|virtual|xor|xor_eq|"
    # Types and macros of the standard headers; all names that end with _t are the system's.
    r"\w+_t|(U?INT|UINTPTR|INTPTR|PTRDIFF|SIZE|WCHAR|WINT|SIG_ATOMIC|CHAR|SCHAR|UCHAR|SHRT|USHRT|"
    r"LONG|ULONG|LLONG|ULLONG|FLT|DBL|LDBL)(_?\w*)_(MIN|MAX|BIT|C|WIDTH|DIG|EPSILON)|"
    "FILE|EOF|NULL|BUFSIZ|errno|offsetof|assert|NDEBUG|INFINITY|NAN|"
    # Functions of the C library that compilers know, and macros that compilers define.
    "main|abort|abs|atan|ceil|cos|exit|exp|floor|fprintf|fputs|fputc|free|labs|log|calloc|malloc|"
    "memcmp|memcpy|memmove|memset|pow|printf|putchar|puts|realloc|scanf|signal|sin|snprintf|"
    "sprintf|sqrt|strcat|strchr|strcmp|strcpy|strlen|strncmp|strncpy|tan|vprintf|"
    "linux|unix|i386|arm|"
    # Headers that a file NAME.h would hide, and names of the engine and of its self-test.
    "complex|ctype|fenv|inttypes|iso646|limits|locale|math|setjmp|stdalign|stdarg|stdatomic|"
    "stdbool|stddef|stdint|stdio|stdlib|stdnoreturn|string|tgmath|threads|time|uchar|wchar|wctype|"
    "beatlens|bl_.*|BL_.*|selftest.*"
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
    if not _IDENTIFIER.fullmatch(name):
        raise RecipeError(f"name of {of} is {name!r}, expected a C identifier such as chest_lead")
    if _TAKEN.fullmatch(name):
        raise RecipeError(
            f"name of {of} is {name!r}, which C, C++, a standard header or the engine uses already;"
            " expected another C identifier such as chest_lead"
        )


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
