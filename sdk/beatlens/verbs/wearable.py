"""`train`, `compress`, `export`, `evaluate` and `bench` of the wearable task; see `verbs.steps`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from beatlens.compress.quantize import QuantizedEvidenceNet
from beatlens.errors import ModelError, RecipeError
from beatlens.evaluate.figures import write_figures
from beatlens.nets.evidence import EvidenceNet
from beatlens.nets.files import load_net
from beatlens.nets.lookup_tables import TABLES_FILE, LookupTables, load_tables
from beatlens.pipeline.export import export_wearable_bundle
from beatlens.pipeline.student import load_quantized
from beatlens.pipeline.wearable_data import PreparedWearable, prepare_wearable
from beatlens.pipeline.wearable_evaluate import rows_of, tell
from beatlens.pipeline.wearable_steps import compress_wearable, train_wearable_teacher
from beatlens.tasks.common.workers import ALONE, Workers
from beatlens.tasks.recordings.labels import CLASSES
from beatlens.verbs.show import console, loading_bar, progress_bar, training_bar
from beatlens.wearable_recipe import WearableRecipe


def prepared_for(
    recipe: WearableRecipe, folder: Path, data: Path | None, workers: Workers = ALONE
) -> PreparedWearable:
    """Recordings of a recipe, with a bar while they are read; says which ECG it is."""
    with loading_bar() as show:
        prepared = prepare_wearable(recipe, folder, data, show, workers)
    console.print(prepared.description, style="bold yellow" if prepared.simulated else "")
    return prepared


def train(
    recipe: WearableRecipe, folder: Path, data: Path | None, workers: Workers = ALONE
) -> None:
    """Train the teacher and its lookup tables."""
    prepared = prepared_for(recipe, folder, data, workers)
    with training_bar("teacher") as report:
        train_wearable_teacher(recipe, prepared, folder, report)
    console.print(
        f"teacher: {folder / 'teacher.pt'}, tables of beat features: {folder / TABLES_FILE}"
    )


def compress(recipe: WearableRecipe, folder: Path, data: Path | None) -> None:
    """Distil the student with matched maps, train it as int8."""
    teacher, tables = _teacher(folder)
    prepared = prepared_for(recipe, folder, data)
    with progress_bar("teacher's evidence") as progress, training_bar("student") as report:
        student, _ = compress_wearable(recipe, prepared, teacher, tables, folder, report, progress)
    console.print(f"student: {student.weights:,} weights, {folder / 'quantized.pt'}")


def export(recipe: WearableRecipe, folder: Path, data: Path | None) -> None:
    """Write the bundle."""
    _, tables, _, quantized = _networks(folder)
    prepared = prepared_for(recipe, folder, data)
    exported = export_wearable_bundle(recipe, prepared, tables, quantized, folder)
    console.print(
        f"bundle: {exported.folder}  model.tflite {exported.file_bytes:,} bytes, operators "
        f"{', '.join(exported.operators)}"
    )
    if exported.note:
        console.print(exported.note, soft_wrap=True)


def evaluate(recipe: WearableRecipe, folder: Path, data: Path | None, out: Path | None) -> None:
    """Measure all networks on the recipe's test fold. Writes figures.json. `out` must be None."""
    if out is not None:
        raise RecipeError(
            f"{recipe.name}: --ec57 counts beats and episodes, expected a recipe of beats or "
            f"strips; this one is of the task {recipe.task!r}"
        )
    if recipe.data.test_fold is None:
        raise RecipeError(
            f"{recipe.name} trains on all recordings (data.test_fold is not set), so none is left "
            "to measure on: set it, or run `python -m benchmarks wearable` in a checkout, which "
            "measures every recording by networks not trained on it"
        )
    networks = _networks(folder)
    prepared = prepared_for(recipe, folder, data)
    with console.status("measuring on test recordings"):
        rows = rows_of(recipe, tell(recipe, prepared, networks))
    command = f"beatlens evaluate (recipe {recipe.name}, seed {recipe.seed})"
    write_figures(folder / "figures.json", command, prepared.description, rows)
    print_rows(rows)


def _teacher(folder: Path) -> tuple[EvidenceNet, LookupTables]:
    if not (folder / "teacher.pt").exists():
        raise ModelError(f"{folder / 'teacher.pt'} is not there: run `beatlens train` first")
    return load_net(folder / "teacher.pt")[0], load_tables(folder / TABLES_FILE)


def _networks(
    folder: Path,
) -> tuple[EvidenceNet, LookupTables, EvidenceNet, QuantizedEvidenceNet]:
    teacher, tables = _teacher(folder)
    if not (folder / "student.pt").exists():
        raise ModelError(f"{folder / 'student.pt'} is not there: run `beatlens compress` first")
    student = load_net(folder / "student.pt")[0]
    return teacher, tables, student, load_quantized(folder / "quantized.pt", student)


def print_rows(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print scores, F1 by class and agreement."""
    from rich.table import Table

    table = Table(title="Challenge score", caption="[95 % interval by recording]")
    for column in ("model", "form", "bytes", "score", *(f"F1 {name}" for name in CLASSES),
                   "Spearman"):  # fmt: skip
        table.add_column(column)
    for row in rows:
        score = f"{row['score']:.3f} [{row['score_lo']:.3f}, {row['score_hi']:.3f}]"
        classes = [f"{row[f'f1_{name}']:.2f}" for name in CLASSES]
        spearman = f"{row['spearman']:.2f}" if "spearman" in row else "-"
        table.add_row(row["model"], row["form"], f"{row['bytes']:,}", score, *classes, spearman)
    console.print(table, soft_wrap=False)
