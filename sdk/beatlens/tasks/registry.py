"""The kinds of span as training sees them, by name; and the reading of a recipe of any kind.

Another package adds a kind by an entry point of the group `beatlens.tasks`, whose name is the
kind's and whose object is a `beatlens.runtime.kind.Kind`; its `training` says where the
`KindTraining` is, as "module:object". A built-in name stays what it is.

>>> find_training("beats").recipe_type.__name__
'BeatRecipe'
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

from beatlens.errors import RecipeError
from beatlens.recipe import Recipe, read_toml
from beatlens.runtime.kinds import find_kind, kind_names
from beatlens.tasks.contract import KindTraining


@lru_cache(maxsize=16)
def find_training(name: str) -> KindTraining[Any, Any]:
    """The training side of the kind called `name`.

    Raises:
        RecipeError: there is no such kind, or what its package names as `training` is none.
    """
    if name not in kind_names():
        raise RecipeError(f"task.kind is {name!r}, expected one of {', '.join(kind_names())}")
    where = find_kind(name).training
    module, _, attribute = where.partition(":")
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        if isinstance(error, ModuleNotFoundError) and error.name not in (module, None):
            raise  # A package that training needs is not installed; the command line names it.
        raise RecipeError(
            f"kind {name!r}: its training side {where!r} cannot be loaded ({error}); mend or "
            "remove its package"
        ) from error
    if not isinstance(found, KindTraining):
        raise RecipeError(
            f"kind {name!r}: {where} is a {type(found).__name__}, expected a "
            "beatlens.tasks.contract.KindTraining"
        )
    return found


def read_recipe(path: Path | None) -> Recipe:
    """Read a recipe of any kind; None is the built-in recipe of windows.

    Raises `RecipeError` naming file, key, value and what was expected.
    """
    if path is None:
        return default_recipe("windows")
    return parse_recipe(read_toml(path), str(path))


def parse_recipe(data: Mapping[str, object], where: str = "recipe") -> Recipe:
    """Check plain data, such as a TOML file's content; `where` names it in errors."""
    task = data.get("task")
    if isinstance(task, str):
        kind = {"strips": "windows", "wearable": "recordings"}.get(task, task)
        raise RecipeError(
            f"{where}: task is {task!r}, expected a section: [task] with kind = {kind!r}, and "
            "[task.classes] (recipes of this package are examples)"
        )
    if not isinstance(task, Mapping) or "kind" not in task:
        raise RecipeError(
            f"{where}: there is no [task] with a kind, expected one of {', '.join(kind_names())}"
        )
    kind = task["kind"]
    if not isinstance(kind, str):
        raise RecipeError(f"{where}: task.kind is {kind!r}, expected one of "
                          f"{', '.join(kind_names())}")  # fmt: skip
    try:
        training = find_training(kind)
    except RecipeError as error:
        raise RecipeError(f"{where}: {error}") from error
    found: Recipe = training.recipe_type.parse(data, where)
    return found


def default_recipe(kind: str) -> Recipe:
    """The recipe of a kind that is used where none is given: a file of the package.

    >>> default_recipe("recordings").classes
    ('normal', 'afib', 'other', 'noise')
    """
    path = find_training(kind).default_recipe
    return parse_recipe(read_toml(path), str(path))
