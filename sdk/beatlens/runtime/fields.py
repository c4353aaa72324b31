"""Reading JSON that may be damaged or hostile: every field has a type and a range, none is extra.

Written by hand because pydantic is not on the device. Every complaint is a ModelError that names
file, field, the value found and what was expected.

>>> fields = Fields("bundle.json", parse("bundle.json", b'{"stride": 0}'))
>>> fields.integer("stride", 1, 4096)
Traceback (most recent call last):
...
beatlens.errors.ModelError: bundle.json: stride is 0, expected a whole number from 1 to 4096
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any, NoReturn

from beatlens.errors import ModelError

MAX_SHOWN = 60
"""Characters of a bad value that an error message repeats."""


def parse(file: str, data: bytes) -> Any:
    """Parse strict JSON: no NaN or infinity, no key given twice, valid UTF-8."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"key {shown(twice)} is given twice")
        return found

    def finite(text: str) -> float:
        value = float(text)
        if not math.isfinite(value):
            raise ValueError(f"{text[:MAX_SHOWN]} is not a finite number")
        return value

    try:
        return json.loads(
            data.decode("utf-8"),
            object_pairs_hook=unique,
            parse_float=finite,
            parse_constant=finite,
        )
    except (ValueError, RecursionError) as error:
        raise ModelError(
            f"{file}: not valid JSON ({error}); the file is damaged, get the bundle again"
        ) from error


def shown(value: object) -> str:
    """The value as a message shows it: its repr, cut short."""
    if isinstance(value, int) and value.bit_length() > 128:
        return "a number of more than 38 digits"
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 3] + "..."


class Fields:
    """The fields of one JSON object; `where` is the path to it, for messages.

    Each method raises ModelError if the field is missing, or not what was asked for.
    """

    def __init__(self, file: str, value: Any, where: str = "") -> None:
        self.file, self.where = file, where
        if not isinstance(value, dict):
            raise ModelError(
                f"{file}: {where or 'the file'} is {shown(value)}, expected an object {{...}}"
            )
        self._values = value
        self._asked: set[str] = set()

    def refuse(self, key: str, expected: str) -> NoReturn:
        """Raise ModelError about the field `key`."""
        value = self._values.get(key)
        raise ModelError(f"{self.file}: {self._path(key)} is {shown(value)}, expected {expected}")

    def text(self, key: str, pattern: str, expected: str) -> str:
        """A string that matches `pattern` as a whole; `expected` is that in words."""
        value = self._get(key)
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            self.refuse(key, expected)
        return value

    def integer(self, key: str, low: int, high: int) -> int:
        """A whole number from `low` to `high`."""
        value = self._get(key)
        if type(value) is not int or not low <= value <= high:
            self.refuse(key, f"a whole number from {low} to {high}")
        return value

    def number(self, key: str, low: float, high: float) -> float:
        """A number from `low` to `high`, as float."""
        value = self._get(key)
        if type(value) not in (int, float) or not low <= value <= high:
            self.refuse(key, f"a number from {low:g} to {high:g}")
        return float(value)

    def integers(self, key: str, count: int, low: int, high: int) -> list[int]:
        """A list of `count` whole numbers from `low` to `high`."""
        value = self._get(key)
        whole = isinstance(value, list) and len(value) == count
        if not whole or not all(type(v) is int and low <= v <= high for v in value):
            self.refuse(key, f"a list of {count} whole numbers from {low} to {high}")
        return list(value)

    def numbers(self, key: str, count: int, low: float, high: float) -> list[float]:
        """A list of `count` numbers from `low` to `high`, as floats."""
        value = self._get(key)
        whole = isinstance(value, list) and len(value) == count
        if not whole or not all(type(v) in (int, float) and low <= v <= high for v in value):
            self.refuse(key, f"a list of {count} numbers from {low:g} to {high:g}")
        return [float(v) for v in value]

    def some_classes(self, key: str, classes: Sequence[str]) -> list[str]:
        """A list of some of the classes, each once, in their order, but not all of them."""
        value = self._get(key)
        if not isinstance(value, list) or value != [name for name in classes if name in value]:
            self.refuse(key, f"a list of some of {', '.join(classes)}, in this order")
        if len(value) == len(classes):
            self.refuse(key, "fewer classes than there are")
        return list(value)

    def section(self, key: str) -> Fields:
        """An object inside this one."""
        return Fields(self.file, self._get(key), self._path(key))

    def sections(self, key: str, most: int) -> list[Fields]:
        """A list of 1 to `most` objects."""
        value = self._get(key)
        if not isinstance(value, list) or not 1 <= len(value) <= most:
            self.refuse(key, f"a list of 1 to {most} objects")
        path = self._path(key)
        return [Fields(self.file, item, f"{path}[{i}]") for i, item in enumerate(value)]

    def free(self, key: str) -> dict[str, Any]:
        """An object whose content is not looked at."""
        value = self._get(key)
        if not isinstance(value, dict):
            self.refuse(key, "an object {...}")
        return value

    def names(self) -> list[str]:
        """The keys there are."""
        return list(self._values)

    def finish(self) -> None:
        """Raise ModelError if there is a field that nobody asked for."""
        if extra := sorted(set(self._values) - self._asked):
            raise ModelError(
                f"{self.file}: {self._path(shown(extra[0]))} is unknown, expected only "
                f"{', '.join(sorted(self._asked))}; was the bundle made by a newer beatlens?"
            )

    def _get(self, key: str) -> Any:
        self._asked.add(key)
        if key not in self._values:
            raise ModelError(f"{self.file}: {self._path(key)} is missing")
        return self._values[key]

    def _path(self, key: str) -> str:
        return f"{self.where}.{key}" if self.where else key
