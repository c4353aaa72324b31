"""`python -m benchmarks recordings-crossval`: recordings, each decided by networks new to it.

Teacher, student and int8 model are trained anew for each of five folds; offsets and calibration are
chosen on a part of the training folds. All is kept under the run folder, fold by fold.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from beatlens.errors import DataError, RecipeError
from beatlens.nets.lookup_tables import TABLES_FILE
from beatlens.nets.teacher import TEACHER_FILE
from beatlens.pipeline.compress import compress
from beatlens.pipeline.folder import CLAIM
from beatlens.pipeline.train import train_teacher
from beatlens.recipe import PartSplit, read_json
from beatlens.tasks.contract import Int8Model, Networks
from beatlens.tasks.recordings.data import PreparedRecordings
from beatlens.tasks.recordings.evaluation import FORMS, Predictions, predict
from beatlens.tasks.recordings.recipe import RecordingRecipe
from beatlens.tasks.registry import find_training
from beatlens.training.loop import Report
from benchmarks.crossval.predictions import load_predictions, save_predictions

FOLDS = 5
FIGURES = "crossval.json"
"""Figures file in the run folder."""
MISCLASSIFIED = "crossval_misclassified.json"
"""Figures file in the run folder: the recordings that the int8 model misclassifies."""
KEY = ("model", "form", "seed", "teacher_steps")
"""What names a row of the figures."""
SHARED = ("data", "sampling", "teacher", "teacher_schedule")
"""Sections that make a teacher what it is, besides the classes."""


def fold_folder(folder: Path, recipe: RecordingRecipe, fold: int) -> Path:
    """Where a fold's networks and predictions are kept in a run folder."""
    return folder / "crossval" / f"seed-{recipe.seed}-fold-{fold}"


def fold_recipe(recipe: RecordingRecipe, fold: int) -> RecordingRecipe:
    """The recipe that tests on one of `FOLDS` parts of its source.

    Raises:
        RecipeError: it has not one source, or one that is split otherwise than in parts.
    """
    sources = recipe.data.sources
    if len(sources) != 1 or not isinstance(sources[0].split, PartSplit):
        raise RecipeError(
            f"{recipe.name} is cross-validated on one source that is split in parts, expected one "
            "[[data.sources]] with split = { parts = 5 }"
        )
    split = sources[0].split.model_copy(update={"parts": FOLDS, "test_part": fold})
    data = recipe.data.model_copy(
        update={"sources": (sources[0].model_copy(update={"split": split}),)}
    )
    return recipe.model_copy(update={"data": data})


def out_of_fold(
    recipe: RecordingRecipe,
    prepared: Mapping[int, PreparedRecordings],
    folder: Path,
    teachers: Path | None = None,
    report: Report | None = None,
    say: Callable[[str], None] = print,
) -> dict[str, Predictions]:
    """Train a recipe's networks once per fold; returns the predictions for held-out recordings.

    Args:
        recipe: of the networks.
        prepared: the recordings of each fold to train or load, see `fold_recipe`.
        folder: run folder; what is in it is used again.
        teachers: run folder of another recipe with the same teacher, to take its teachers from.
        report, say: progress.

    Raises:
        RecipeError: the teachers of the other run folder are of other settings.
        DataError: what is kept in the run folder is of other recordings.
    """
    if teachers is not None:
        _check_teachers(recipe, teachers)
    joined: dict[str, list[Predictions]] = {form: [] for form in FORMS}
    span = find_training(recipe.task.kind).model_span
    for fold, recordings in prepared.items():
        place = fold_folder(folder, recipe, fold)
        place.mkdir(parents=True, exist_ok=True)
        path, one = place / "predictions.npz", fold_recipe(recipe, fold)
        offsets = recipe.task.offsets
        found = load_predictions(path, offsets) if path.exists() else None
        if found is None:
            say(f"{recipe.name}, seed {recipe.seed}: fold {fold + 1} of {FOLDS}")
            if teachers is not None:
                _take_teacher(fold_folder(teachers, recipe, fold), place)
            teacher = train_teacher(one, recordings, place, report)
            student, quantized = compress(one, recordings, teacher, place, report)
            networks = Networks(teacher, student, Int8Model.build(quantized, span))
            found = predict(one, recordings, networks)
            save_predictions(path, found, offsets)
        for form, predictions in found.items():
            wanted = [track.record for track in recordings.test]
            _check_records(path, predictions.records.tolist(), wanted)
            joined[form].append(predictions)
    return {form: Predictions.joined(parts) for form, parts in joined.items()}


def describe(
    recipe: RecordingRecipe, prepared: PreparedRecordings, found: Mapping[str, Predictions]
) -> str:
    """Which recordings a cross-validation is of, in words."""
    labels, (source,) = found["device"].labels, recipe.data.sources
    counts = ", ".join(f"{(labels == n).sum()} {name}" for n, name in enumerate(recipe.classes))
    return (
        f"{'SIMULATED ECG' if prepared.simulated else 'real ECG'}: {len(labels)} recordings of "
        f"{source.name} ({counts}); every one classified by networks not trained on it, "
        f"{FOLDS} folds"
    )


def _check_records(path: Path, found: Sequence[str], wanted: Sequence[str]) -> None:
    """Raise `DataError` unless predictions are for the recordings of the fold."""
    if found != wanted:
        raise DataError(
            f"{path}: predictions for {len(found)} recordings from {found[0]} to {found[-1]}, "
            f"expected the fold's {len(wanted)} from {wanted[0]} to {wanted[-1]}: the recordings "
            "at hand were others then; use another run folder"
        )


def _check_teachers(recipe: RecordingRecipe, teachers: Path) -> None:
    """Raise `RecipeError` unless a run folder's teachers are what the recipe would train."""
    other = RecordingRecipe.parse(read_json(teachers / CLAIM), str(teachers / CLAIM))
    if (other.classes, other.task.numbers) != (recipe.classes, recipe.task.numbers):
        raise RecipeError(
            f"{teachers}: its classes are {', '.join(other.classes)}, expected the recipe's own, "
            f"made by the same labels: {', '.join(recipe.classes)}"
        )
    for name in SHARED:
        if getattr(other, name) != getattr(recipe, name):
            raise RecipeError(
                f"{teachers}: its section {name} is {getattr(other, name)!r}, expected the "
                f"recipe's own, {getattr(recipe, name)!r}: teachers can be shared by recipes with "
                "the same one"
            )


def _take_teacher(source: Path, target: Path) -> None:
    """Copy a fold's teacher where it is not there yet, its tables first."""
    for name in (TABLES_FILE, "teacher.json", TEACHER_FILE):
        if (source / name).exists() and not (target / name).exists():
            shutil.copyfile(source / name, target / name)


def read_folds(text: str) -> list[int]:
    """Numbers of folds; `RecipeError` unless each is one of them, and there once."""
    parts, known = text.split(","), [str(fold) for fold in range(FOLDS)]
    if not set(parts) <= set(known) or len(set(parts)) < len(parts):
        raise RecipeError(f"--folds is {text!r}, expected some of {','.join(known)}, each once")
    return [int(part) for part in parts]
