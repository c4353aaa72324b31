"""What the steps share: reading a recipe, opening its run folder, finding its task's work."""

from __future__ import annotations

import shutil
from importlib import import_module
from pathlib import Path
from types import ModuleType

import torch

from beatlens.beat_recipe import AnyRecipe
from beatlens.beat_recipe import read_recipe as read_any_recipe
from beatlens.errors import RecipeError
from beatlens.firmware.package import write_bundle
from beatlens.pipeline.folder import claim
from beatlens.recipe import Recipe
from beatlens.runtime.bundle import Bundle
from beatlens.signals.frontend import FrontEnd
from beatlens.signals.simulate import COUNTS_PER_MV, RAILS
from beatlens.verbs.firmware import identifier
from beatlens.verbs.show import console

MITDB_RATE_HZ = 360


def opened(path: Path | None, run: Path | None, threads: int | None) -> tuple[Recipe, Path]:
    """Read the recipe and open its run folder, see `pipeline.folder.claim`."""
    recipe = read_recipe(path)
    use_threads(threads)
    return recipe, claim(run if run is not None else Path("runs") / recipe.name, recipe)


def opened_any(path: Path | None, run: Path | None, threads: int | None) -> tuple[AnyRecipe, Path]:
    """As `opened`, for a recipe of any task."""
    recipe = Recipe() if path is None else read_any_recipe(path)
    use_threads(threads)
    return recipe, claim(run if run is not None else Path("runs") / recipe.name, recipe)


def read_recipe(path: Path | None) -> Recipe:
    """The recipe of a file; None: the built-in one."""
    return Recipe() if path is None else Recipe.read(path)


def use_threads(count: int | None) -> None:
    """Limit torch to `count` threads; None leaves it at all cores."""
    if count is not None:
        torch.set_num_threads(count)


def work_of(recipe: AnyRecipe) -> ModuleType:
    """The module with `train`, `compress`, `export` and `evaluate` of a recipe's task."""
    return import_module(f"beatlens.verbs.{recipe.task}")


def work_on_bundles(recipe: AnyRecipe, option: str) -> ModuleType:
    """As `work_of`, with `export_from` and `evaluate_from`, which start from a bundle.

    Raises `RecipeError` that names the option where the task has none.
    """
    work = work_of(recipe)
    if not hasattr(work, "export_from"):
        raise RecipeError(
            f"{option} was given with recipe {recipe.name!r} of the task {recipe.task!r}, expected "
            "a recipe of strips or beats"
        )
    return work


def say_firmware(folder: Path, core: str) -> None:
    """Write the firmware of a run's bundle for the sensor of the MIT-BIH databases."""
    bundle = Bundle.load(folder / "bundle")
    sensor = FrontEnd(MITDB_RATE_HZ, float(COUNTS_PER_MV), RAILS)
    shutil.rmtree(folder / "firmware", ignore_errors=True)
    written = write_bundle(bundle, sensor, folder / "firmware", identifier(bundle.name), core)
    console.print(f"firmware: {written}")
