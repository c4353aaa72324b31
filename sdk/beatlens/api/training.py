"""`beatlens.train` and `beatlens.read_recipe`: from recordings to a bundle."""

from __future__ import annotations

from pathlib import Path

from beatlens.pipeline.compress import compress
from beatlens.pipeline.evaluate import evaluate
from beatlens.pipeline.export import export_bundle
from beatlens.pipeline.folder import claim, free_after_failure
from beatlens.pipeline.train import train_teacher
from beatlens.recipe import Recipe
from beatlens.runtime.bundle import Bundle
from beatlens.tasks import registry
from beatlens.tasks.common.sources import ROLES
from beatlens.tasks.common.workers import ALONE
from beatlens.tasks.contract import Int8Model, Networks


def read_recipe(path: Path | str | None = None) -> Recipe:
    """Read a recipe, a TOML file, of any kind of span.

    Args:
        path: of the file; None: the built-in recipe of windows.

    Raises:
        RecipeError: naming file, key, value and what was expected.

    >>> read_recipe().classes
    ('pvc', 'sve', 'afib', 'bbb')
    """
    return registry.read_recipe(None if path is None else Path(path))


def train(
    recipe: Recipe | Path | str, folder: Path | str, data: Path | str | None = None
) -> Bundle:
    """Train a recipe's teacher, compress it, measure both, and export the int8 model.

    As `beatlens train`, `compress`, `evaluate` and `export` do one after the other.

    Args:
        recipe: the recipe, or its file.
        folder: run folder; what is there already is not made again.
        data: folder of databases; None searches BEATLENS_DATA and the cache.

    Returns:
        The bundle, which lies in `bundle/` of the run folder.

    Raises:
        RecipeError: the recipe, or the run folder of another one.
        DataError: recordings are not found, or damaged.

    >>> bundle = train("recipe.toml", "runs/first")  # doctest: +SKIP
    """
    chosen = recipe if isinstance(recipe, Recipe) else read_recipe(recipe)
    where = claim(Path(folder), chosen)
    kind = registry.find_training(chosen.task.kind)
    root = None if data is None else Path(data)
    with free_after_failure(where):
        prepared = kind.prepare(chosen, where, root, None, ALONE, ROLES)
    teacher = train_teacher(chosen, prepared, where)
    student, quantized = compress(chosen, prepared, teacher, where)
    networks = Networks(teacher, student, Int8Model.build(quantized, kind.model_span))
    evaluate(chosen, prepared, networks, where)
    return Bundle.load(export_bundle(chosen, prepared, teacher, quantized, where).folder)
