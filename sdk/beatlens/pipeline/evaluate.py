"""Teacher, student and int8 model measured side by side on the test recordings."""

from __future__ import annotations

from pathlib import Path

from beatlens.evaluate.figures import write_figures
from beatlens.nets.teacher import Teacher
from beatlens.pipeline.compress import load_compressed
from beatlens.pipeline.folds import load_folds
from beatlens.pipeline.train import find_teacher
from beatlens.recipe import Recipe
from beatlens.runtime.bundle import Bundle
from beatlens.signals.annotations import write_annotations
from beatlens.tasks.contract import Evaluation, Int8Model, Networks, Prepared
from beatlens.tasks.registry import find_training

FIGURES_FILE = "figures.json"
ANNOTATIONS = "ec57"
"""Folder of what the int8 model decided, as WFDB annotations."""


def load_networks(recipe: Recipe, folder: Path) -> Networks:
    """The networks of a run folder; `ModelError` where one was not made yet."""
    kind, teacher = find_training(recipe.task.kind), find_teacher(recipe, folder)
    student, quantized = load_compressed(folder)
    model = Int8Model.build(quantized, kind.model_span)
    return Networks(teacher, student, model, load_folds(recipe, folder))


def evaluate(
    recipe: Recipe, prepared: Prepared, networks: Networks, folder: Path, command: str = ""
) -> Evaluation:
    """Measure a run's networks on test recordings, and write what was found into its folder.

    Writes `figures.json` and the kind's further files; see `write_evaluation`.

    Raises:
        RecipeError: the recipe leaves no recording to test on.
    """
    found = find_training(recipe.task.kind).evaluate(recipe, prepared, networks)
    write_evaluation(recipe, prepared, found, folder, command)
    return found


def evaluate_bundle(
    recipe: Recipe,
    prepared: Prepared,
    teacher: Teacher,
    bundle: Bundle,
    folder: Path,
    command: str,
) -> Evaluation:
    """As `evaluate`, of a bundle with its own rule, beside the teacher it came from.

    Raises:
        ModelError: the bundle decides on something else than the recipe does.
    """
    kind = find_training(recipe.task.kind)
    bundle.check_decides(recipe.task.kind, recipe.classes)
    networks = Networks(teacher, None, Int8Model.read(bundle))
    found = kind.evaluate(recipe, prepared, networks, kind.read_rule(bundle))
    write_evaluation(recipe, prepared, found, folder, command)
    return found


def evaluate_ec57(
    recipe: Recipe,
    prepared: Prepared,
    networks: Networks,
    folder: Path,
    command: str,
    bundle: Bundle | None = None,
) -> Evaluation:
    """Figures of ANSI/AAMI EC57 besides those of `evaluate`, written into a folder.

    Raises:
        RecipeError: EC57 has none for the recipe.
    """
    kind = find_training(recipe.task.kind)
    rule = None if bundle is None else kind.read_rule(bundle)
    found = kind.evaluate_ec57(recipe, prepared, networks, rule)
    write_tables(prepared, found, folder, command)
    return found


def write_evaluation(
    recipe: Recipe, prepared: Prepared, found: Evaluation, folder: Path, command: str = ""
) -> None:
    """Write `figures.json`, the further tables, and the int8 model's WFDB annotations.

    The annotations are in `ec57/`, annotator `device`: `bxb -r RECORD -a atr device` reads them.
    """
    command = command or f"beatlens evaluate (recipe {recipe.name}, seed {recipe.seed})"
    write_figures(folder / FIGURES_FILE, command, prepared.description, found.rows)
    write_tables(prepared, found, folder, command)


def write_tables(prepared: Prepared, found: Evaluation, folder: Path, command: str) -> None:
    """Write the tables and annotations of an evaluation, without its `figures.json`."""
    for name, rows in found.tables.items():
        write_figures(folder / name, command, prepared.description, rows)
    where = folder / ANNOTATIONS
    for decided, rate_hz in found.annotations:
        write_annotations(where, found.annotator, decided, rate_hz)
