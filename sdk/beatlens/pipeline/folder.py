"""A run folder belongs to one recipe: what is found in it is used again, so it must be the same."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import ValidationError

from beatlens.errors import RecipeError
from beatlens.output import write_whole
from beatlens.recipe import ModelRecipe
from beatlens.training.loop import world

CLAIM = "recipe.json"
NOT_TRAINED = {"decision"}
"""Sections that change no network, only how figures are counted."""
UNKNOWN_THEN = {
    "sampling": {"excerpts": 0},
    "data": {"ludb_ectopy": False},
    "teacher_schedule": {"keep": "best"},
    "student_schedule": {"keep": "best"},
    "quantize_schedule": {"keep": "best"},
}
"""What versions without such a setting did, whose only task was strips, where that is not the
default now."""


def claim(folder: Path, recipe: ModelRecipe) -> Path:
    """Make a run folder, or check that one that is there was made by this recipe; return it.

    Raises `RecipeError` naming the first setting that differs: networks of another recipe would
    otherwise be taken for this one's. Raises `OutputError` where the folder cannot be made.
    """
    wanted = json.loads(recipe.model_dump_json(exclude=NOT_TRAINED))
    path = folder / CLAIM
    if path.exists():
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise RecipeError(f"{path}: damaged ({error}); use another run folder") from error
        if isinstance(found, dict) and found.get("task", "strips") == "strips":
            found = _filled(found, UNKNOWN_THEN)
        _same(folder, _with_defaults(type(recipe), found), wanted)
    elif world()[0] == 0:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RecipeError(
                f"run folder {folder} cannot be made ({error.strerror}), expected a folder or a "
                "name that is free: give another one with --run"
            ) from error
        write_whole(path, (json.dumps(wanted, indent=1) + "\n").encode())
    return folder


def _with_defaults(kind: type[ModelRecipe], found: object) -> object:
    """What an older version wrote, with the settings it did not know yet at their defaults.

    What is no recipe of this kind stays as it is: comparing names what is wrong with it.
    """
    try:
        return json.loads(kind.model_validate(found).model_dump_json(exclude=NOT_TRAINED))
    except ValidationError:
        return found


def _filled(found: object, default: object) -> object:
    """`found` with what it lacks of `default`, section by section."""
    if not isinstance(found, dict) or not isinstance(default, dict):
        return found
    known = {key: _filled(value, default.get(key)) for key, value in found.items()}
    return {**default, **known}


def _same(folder: Path, found: object, wanted: dict[str, object], at: str = "") -> None:
    """Compare two recipes setting by setting."""
    if not isinstance(found, dict):
        raise RecipeError(f"{folder / CLAIM}: not a recipe; use another run folder")
    for key in wanted.keys() | found.keys():
        mine, theirs = wanted.get(key), found.get(key)
        if isinstance(mine, dict):
            _same(folder, theirs, mine, f"{at}{key}.")
        elif mine != theirs:
            raise RecipeError(
                f"run folder {folder} was made with {at}{key} = {theirs!r}, the recipe now says "
                f"{mine!r}; use another run folder (--run) or delete this one"
            )
