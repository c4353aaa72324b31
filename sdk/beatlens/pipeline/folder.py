"""A run folder belongs to one recipe: what is found in it is used again, so it must be the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from beatlens.errors import BeatlensError, RecipeError
from beatlens.output import write_whole
from beatlens.recipe import Recipe
from beatlens.training.loop import world

CLAIM = "recipe.json"
NOT_TRAINED = ("title", "threshold", "offset", "scored")
"""Settings of a class that change no network, only how figures are counted."""


def claim(folder: Path, recipe: Recipe) -> Path:
    """Make a run folder, or check that one that is there was made by this recipe; return it.

    Raises `RecipeError` naming the first setting that differs: networks of another recipe would
    otherwise be taken for this one's. Raises `OutputError` where the folder cannot be made.
    """
    wanted = _trained_settings(json.loads(recipe.model_dump_json()))
    path = folder / CLAIM
    if path.exists():
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise RecipeError(f"{path}: damaged ({error}); use another run folder") from error
        if isinstance(found, dict) and not isinstance(found.get("task"), dict):
            raise RecipeError(
                f"{path}: an older beatlens made this run folder, whose recipes have another form; "
                "use another run folder (--run)"
            )
        _check_same(folder, _trained_settings(_with_defaults(type(recipe), found)), wanted)
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


@contextmanager
def free_after_failure(folder: Path) -> Iterator[None]:
    """Free a run folder where preparing fails before anything was trained in it.

    The recipe can then be mended and used with the same folder.
    """
    try:
        yield
    except BeatlensError:
        if not {path.name for path in folder.iterdir()} - {CLAIM, "tracks"} and world()[0] == 0:
            (folder / CLAIM).unlink(missing_ok=True)
            if not any(folder.iterdir()):
                folder.rmdir()
        raise


def _trained_settings(recipe: Any) -> Any:
    """A recipe's plain content without what changes no network."""
    classes = recipe.get("task", {}).get("classes") if isinstance(recipe, dict) else None
    if not isinstance(classes, dict):
        return recipe
    kept = {
        name: {k: v for k, v in one.items() if k not in NOT_TRAINED}
        if isinstance(one, dict)
        else one
        for name, one in classes.items()
    }
    return {**recipe, "task": {**recipe["task"], "classes": kept}}


def _with_defaults(recipe_type: type[Recipe], found: object) -> object:
    """What an older version wrote, with the settings it did not know yet at their defaults.

    What is no recipe of this kind stays as it is: comparing names what is wrong with it.
    """
    try:
        return json.loads(recipe_type.model_validate(found).model_dump_json())
    except ValidationError:
        return found


def _check_same(folder: Path, found: object, wanted: dict[str, object], at: str = "") -> None:
    """Compare two recipes setting by setting."""
    if not isinstance(found, dict):
        raise RecipeError(f"{folder / CLAIM}: not a recipe; use another run folder")
    for key in wanted.keys() | found.keys():
        now, then = wanted.get(key), found.get(key)
        if isinstance(now, dict):
            _check_same(folder, then, now, f"{at}{key}.")
        elif now != then:
            raise RecipeError(
                f"run folder {folder} was made with {at}{key} = {then!r}, the recipe now says "
                f"{now!r}; use another run folder (--run) or delete this one"
            )
