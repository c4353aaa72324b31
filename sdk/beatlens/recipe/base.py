"""A recipe: what recipes of all kinds of span have, checked, and read from plain data."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, ValidationError

from beatlens.attribution.matching import build_matching
from beatlens.errors import RecipeError
from beatlens.nets.backbones import STUDENTS, TEACHER
from beatlens.recipe.data import DataSection, TaskSection
from beatlens.recipe.section import Name, Section
from beatlens.recipe.training import (
    CompressSection,
    DistillSection,
    NetworkSection,
    ScheduleSection,
    TeacherSection,
)
from beatlens.renamed_keys import refuse_renamed


class Recipe(Section):
    """What recipes of all kinds of span have: task, data, networks, trainings, compression.

    A kind's own recipe (`beatlens.tasks.KIND.recipe`) narrows `task` and adds `sampling`. Read one
    with `beatlens.read_recipe`.

    >>> from beatlens.tasks.registry import default_recipe
    >>> recipe = default_recipe("windows")
    >>> isinstance(recipe, Recipe), recipe.task.kind, recipe.classes
    (True, 'windows', ('pvc', 'sve', 'afib', 'bbb'))
    """

    task: TaskSection
    name: Name
    data: DataSection
    seed: Annotated[int, Field(ge=0)] = 0
    teacher: TeacherSection = TeacherSection.of(TEACHER)
    teacher_schedule: ScheduleSection = ScheduleSection(
        steps=2500, learning_rate=3e-3, precision="bfloat16", validate_every=500, keep="last"
    )
    student: NetworkSection = NetworkSection.of(STUDENTS["dense-26k"])
    student_schedule: ScheduleSection = ScheduleSection(
        steps=4000,
        learning_rate=6e-3,
        batch=32,
        validate_every=1000,
        precision="bfloat16",
        keep="last",
    )
    distill: DistillSection = DistillSection()
    quantize_schedule: ScheduleSection = ScheduleSection(
        steps=600, learning_rate=1e-3, batch=32, validate_every=200, keep="last"
    )
    compress: CompressSection = CompressSection()

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the network's outputs."""
        return tuple(self.task.classes)

    @property
    def titles(self) -> dict[str, str]:
        """Long name of each class by its name; the name itself where none is given."""
        return {name: one.title or name for name, one in self.task.classes.items()}

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a TOML file. Raises `RecipeError` naming file, key, value and what was expected."""
        return cls.parse(read_toml(path), str(path))

    @classmethod
    def parse(cls, data: Mapping[str, object], where: str = "recipe") -> Self:
        """Check plain data, such as a TOML file's content; `where` names it in errors."""
        refuse_renamed(data, where)
        try:
            recipe = cls.model_validate(data)
        except ValidationError as error:
            raise RecipeError(f"{where}: {_describe(error)}") from error
        try:
            build_matching(recipe.distill.matching)
            _ = recipe.teacher.spec, recipe.student.spec
            recipe.compress.check()
            recipe.check_start()
        except RecipeError as error:
            raise RecipeError(f"{where}: {error}") from error
        return recipe

    def check_start(self) -> None:
        """Raise `RecipeError` where compression starts from a teacher of several members."""
        members = self.teacher.members
        if self.compress.start == "teacher" and members > 1:
            raise RecipeError(
                f'compress.start is "teacher", which is the mean of {members} networks; expected '
                "one that a device can have: set teacher.members = 1, or distil a student"
            )

    def of_member(self, number: int) -> Self:
        """The recipe of one of the teacher's members, `number` 0 and up: one network, own seed.

        With M members and seed s, member i has the seed `M * s + i`.
        """
        members = self.teacher.members
        teacher = self.teacher.model_copy(update={"members": 1})
        seed = self.seed * members + number
        return self.model_copy(update={"teacher": teacher, "seed": seed})


_EXPECTED = {
    "tuple_type": "expected a list, in [ ]",
    "model_type": "expected a table, in { }",
    "mapping_type": "expected a table, in { }",
    "dict_type": "expected a table, in { }",
    "string_type": "expected text, in quotes",
    "model_attributes_type": "expected a table, in { }",
}
"""What is expected instead, in TOML's words, by the type of an error."""
_SPLITS = ("patients", "parts", "lists", "name")
"""Kinds of split, which are no keys of a recipe."""


def _describe(error: ValidationError) -> str:
    """The first thing that is wrong: key, value, and what was expected."""
    first = error.errors()[0]
    kind, place, message = first["type"], list(first["loc"]), first["msg"]
    place = [
        part
        for at, part in enumerate(place)
        if not (at and part in _SPLITS and place[at - 1] == "split")
        and part != "[key]"
        and not str(part).startswith("literal[")
    ]
    key = ".".join(str(part) for part in place)
    if kind == "missing":
        return f"{key} is missing, expected it"
    if kind == "extra_forbidden":
        return f"{key} is {first['input']!r}, but there is no such key"
    if kind == "too_short":
        least = first["ctx"]["min_length"]
        return f"{key} has {len(first['input'])} entries, expected at least {least}"
    said = _EXPECTED.get(kind, message.removeprefix("Value error, "))
    said = said.replace("Input should be", "expected").replace("String should", "text should")
    if not key:
        return said  # of the whole
    if isinstance(first["input"], Mapping):
        return f"{key}: {said}"
    return f"{key} is {first['input']!r}: {said}"


def read_toml(path: Path) -> dict[str, object]:
    """The content of a TOML file; `RecipeError` where it cannot be read or is none."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: not a TOML file: {error}") from error


def read_json(path: Path) -> dict[str, object]:
    """The object in a JSON file; `RecipeError` where it cannot be read or is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise RecipeError(f"{path}: not a JSON file: {error}") from error
    if not isinstance(found, dict):
        raise RecipeError(f"{path}: holds a {type(found).__name__}, expected an object")
    return found
