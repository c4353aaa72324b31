"""`python -m benchmarks wearable`: every recording decided by networks that were not trained on it.

Teacher, student and int8 model are trained anew for each of five folds; offsets and calibration are
chosen on a part of the training folds. All is kept under the run folder, fold by fold.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from beatlens.errors import DataError, RecipeError
from beatlens.nets.lookup_tables import TABLES_FILE
from beatlens.pipeline.folder import CLAIM
from beatlens.tasks.recordings.data import Recordings
from beatlens.tasks.recordings.evaluation import (
    FORMS,
    Told,
    tell,
)
from beatlens.tasks.recordings.training import compress_wearable, train_wearable_teacher
from beatlens.recipe import read_json
from beatlens.training.loop import Report
from beatlens.tasks.recordings.recipe import FOLDS, RecordingRecipe
from benchmarks.crossval.decisions import load_decisions, save_decisions

MISCLASSIFIED = "crossval_misclassified.json"
"""Figures file in the run folder: the recordings that the int8 model misclassifies."""
KEY = ("model", "form", "seed", "teacher_steps")
"""What names a row of the figures."""
SHARED = ("data", "sampling", "teacher", "teacher_schedule")
"""Sections that make a teacher what it is."""


def fold_folder(folder: Path, recipe: RecordingRecipe, fold: int) -> Path:
    """Where a fold's networks and decisions are kept in a run folder."""
    return folder / "crossval" / f"seed-{recipe.seed}-fold-{fold}"


def out_of_fold(
    recipe: RecordingRecipe,
    recordings: Recordings,
    folder: Path,
    folds: Sequence[int] = range(FOLDS),
    teachers: Path | None = None,
    report: Report | None = None,
    say: Callable[[str], None] = print,
) -> dict[str, Told]:
    """Train a recipe's networks once per fold; returns the decisions on the held-out recordings.

    Args:
        recipe: of the networks.
        recordings: all there are.
        folder: run folder; what is in it is used again.
        folds: which of the `FOLDS` to train or load.
        teachers: run folder of another recipe with the same teacher, to take its teachers from.
        report, say: progress.

    Raises:
        RecipeError: the teachers of the other run folder are of other settings.
        DataError: what is kept in the run folder is of other recordings.
    """
    if teachers is not None:
        _check_teachers(recipe, teachers)
    decided: dict[str, list[Told]] = {form: [] for form in FORMS}
    for fold in folds:
        place = fold_folder(folder, recipe, fold)
        place.mkdir(parents=True, exist_ok=True)
        path, offsets = place / "decisions.npz", recipe.decision.by_class
        prepared = recordings.split(fold, recipe.data.validation)
        fold_decisions = load_decisions(path, offsets) if path.exists() else None
        if fold_decisions is None:
            say(f"{recipe.name}, seed {recipe.seed}: fold {fold + 1} of {FOLDS}")
            if teachers is not None:
                _take_teacher(fold_folder(teachers, recipe, fold), place)
            teacher, tables = train_wearable_teacher(recipe, prepared, place, report)
            student, quantized = compress_wearable(recipe, prepared, teacher, tables, place, report)
            fold_decisions = tell(recipe, prepared, (teacher, tables, student, quantized))
            save_decisions(path, fold_decisions, offsets)
        for form, found in fold_decisions.items():
            _check_records(path, found.records.tolist(), [t.record for t in prepared.test])
            decided[form].append(found)
    return {form: Told.joined(parts) for form, parts in decided.items()}


def _check_records(path: Path, found: Sequence[str], wanted: Sequence[str]) -> None:
    """Raise `DataError` unless decisions are on the recordings of the fold."""
    if found != wanted:
        raise DataError(
            f"{path}: decisions on {len(found)} recordings from {found[0]} to {found[-1]}, "
            f"expected the fold's {len(wanted)} from {wanted[0]} to {wanted[-1]}: the recordings "
            "at hand were others then; use another run folder"
        )


def _check_teachers(recipe: RecordingRecipe, teachers: Path) -> None:
    """Raise `RecipeError` unless a run folder's teachers are what the recipe would train."""
    other = RecordingRecipe.parse(read_json(teachers / CLAIM), str(teachers / CLAIM))
    for name in SHARED:
        if getattr(other, name) != getattr(recipe, name):
            raise RecipeError(
                f"{teachers}: its section {name} is {getattr(other, name)!r}, expected the "
                f"recipe's own, {getattr(recipe, name)!r}: teachers can be shared by recipes with "
                "the same one"
            )


def _take_teacher(source: Path, target: Path) -> None:
    """Copy a fold's teacher where it is not there yet, its tables first."""
    for name in (TABLES_FILE, "teacher.json", "teacher.pt"):
        if (source / name).exists() and not (target / name).exists():
            shutil.copyfile(source / name, target / name)


def read_folds(text: str) -> list[int]:
    """Numbers of folds; `RecipeError` unless each is one of them, and there once."""
    parts, known = text.split(","), [str(fold) for fold in range(FOLDS)]
    if not set(parts) <= set(known) or len(set(parts)) < len(parts):
        raise RecipeError(f"--folds is {text!r}, expected some of {','.join(known)}, each once")
    return [int(part) for part in parts]
