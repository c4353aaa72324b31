"""`train`, `compress`, `export` and `evaluate` of the beats task; see `beatlens.verbs.steps`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from beatlens.beat_recipe import BeatRecipe
from beatlens.compress.quantize import QuantizedEvidenceNet
from beatlens.errors import ModelError
from beatlens.nets.evidence import EvidenceNet
from beatlens.nets.files import load_net
from beatlens.nets.lookup_tables import TABLES_FILE, LookupTables, load_tables
from beatlens.pipeline.beat_data import (
    PreparedBeats,
    count_labels,
    prepare_beats,
    read_unlabelled,
)
from beatlens.pipeline.beat_evaluate import (
    BeatEvaluation,
    evaluate_beats,
    evaluate_bundle,
    merge_evaluation,
    write_evaluation,
)
from beatlens.pipeline.beat_steps import compress_beats, train_beat_teacher
from beatlens.pipeline.data import ROLES
from beatlens.pipeline.export import export_beat_bundle, export_rule
from beatlens.pipeline.student import load_quantized
from beatlens.pipeline.train import taken_teacher
from beatlens.runtime.bundle import Bundle
from beatlens.signals.beat_features import TRAINED
from beatlens.signals.frontend import MODEL_RATE_HZ
from beatlens.tasks.beats.labels import NOT_S, BeatTrack
from beatlens.tasks.beats.rule import beat_rule
from beatlens.tasks.common.workers import ALONE, Workers
from beatlens.verbs.show import console, loading_bar, progress_bar, training_bar

SHOWN = ("qrs", "veb", "sveb")


def prepared_for(
    recipe: BeatRecipe,
    folder: Path,
    data: Path | None,
    workers: Workers = ALONE,
    roles: Sequence[str] = ROLES,
) -> PreparedBeats:
    """Tracks of a recipe, with a bar while they are read; says which ECG it is."""
    with loading_bar() as show:
        prepared = prepare_beats(recipe, folder, data, show, workers, roles)
    console.print(prepared.description, style="bold yellow" if prepared.simulated else "")
    if not prepared.train:
        return prepared
    counts = ", ".join(f"{n:,} {name}" for name, n in count_labels(prepared.train).items())
    console.print(f"beats to train on: {counts}")
    return prepared


def unlabelled_for(
    recipe: BeatRecipe,
    prepared: PreparedBeats,
    folder: Path,
    data: Path | None,
    workers: Workers = ALONE,
) -> list[BeatTrack]:
    """Recordings whose beats nobody labelled, with a bar while they are read."""
    with loading_bar() as show:
        others = read_unlabelled(recipe, prepared, folder, data, show, workers)
    if others:
        hours = sum(len(track.x) for track in others) / MODEL_RATE_HZ / 3600
        fibrillating = sum(bool((track.labels == NOT_S).any()) for track in others)
        console.print(
            f"recordings without beat labels: {len(others):,}, {hours:.1f} h, "
            f"{fibrillating:,} of them in atrial fibrillation"
        )
    return others


def train(recipe: BeatRecipe, folder: Path, data: Path | None, workers: Workers = ALONE) -> None:
    """Train the teacher and its lookup tables."""
    prepared = prepared_for(recipe, folder, data, workers)
    others = unlabelled_for(recipe, prepared, folder, data, workers)
    with training_bar("teacher") as report:
        train_beat_teacher(recipe, prepared, folder, report, others)
    console.print(
        f"teacher: {folder / 'teacher.pt'}, tables of beat features: {folder / TABLES_FILE}"
    )


def compress(recipe: BeatRecipe, folder: Path, data: Path | None) -> None:
    """Distil the student with matched maps, train it as int8."""
    teacher, tables = _teacher(folder)
    prepared = prepared_for(recipe, folder, data)
    others = unlabelled_for(recipe, prepared, folder, data)
    with progress_bar("teacher's evidence") as progress, training_bar("student") as report:
        student, _ = compress_beats(
            recipe, prepared, teacher, tables, folder, report, progress, others
        )
    console.print(f"student: {student.weights:,} weights, {folder / 'quantized.pt'}")


def export(recipe: BeatRecipe, folder: Path, data: Path | None) -> None:
    """Write the bundle."""
    _, tables, _, quantized = networks_of(folder)
    exported = export_beat_bundle(
        recipe, prepared_for(recipe, folder, data), tables, quantized, folder
    )
    console.print(
        f"bundle: {exported.folder}  model.tflite {exported.file_bytes:,} bytes, operators "
        f"{', '.join(exported.operators)}"
    )
    if exported.note:
        console.print(exported.note, soft_wrap=True)


def export_from(
    recipe: BeatRecipe, folder: Path, data: Path | None, bundle: Path, teacher: Path
) -> None:
    """Write the run folder's bundle from another: its network, with a rule chosen anew.

    The rule's lookup tables are those beside the teacher.
    """
    _, tables = _given_teacher(recipe, teacher)
    released = Bundle.load(bundle)
    prepared = prepared_for(recipe, folder, data, roles=("validation",))
    with console.status("choosing offsets, calibration and warnings on validation patients"):
        exported = export_rule(recipe, prepared, released, tables, folder)
    again = Bundle.load(exported.folder)
    console.print(f"bundle: {exported.folder}  model.tflite as in {bundle}")
    for when, model in (("before", released), ("now", again)):
        console.print(f"rule {when}: {_rule_text(model)}")


def _rule_text(bundle: Bundle) -> str:
    rule = beat_rule(bundle)
    offsets = ", ".join(
        f"{name} {value:+.2f}"
        for name, value in zip(bundle.classes, rule.step * rule.offsets, strict=True)
    )
    calibration, warning = rule.calibration, rule.warning
    return (
        f"offsets {offsets} (logits), temperature {calibration.temperature:.3f}, low margin below "
        f"{rule.step * warning.low_margin:.2f}, out of distribution below "
        f"{rule.step * warning.out_of_distribution:.2f}"
    )


def evaluate(recipe: BeatRecipe, folder: Path, data: Path | None, out: Path | None) -> None:
    """Measure all networks on the test patients; with `out`, EC57 figures into it."""
    networks = networks_of(folder)
    prepared = prepared_for(recipe, folder, data)
    with console.status("measuring on test patients"):
        found = evaluate_beats(recipe, prepared, *networks)
    command = f"beatlens evaluate models/{recipe.name}.toml --ec57"
    _say_evaluated(recipe, prepared, found, folder, command, out)


def evaluate_from(
    recipe: BeatRecipe,
    folder: Path,
    data: Path | None,
    bundle: Path,
    teacher: Path,
    out: Path | None,
) -> None:
    """As `evaluate`, of a bundle and its teacher."""
    network, tables = _given_teacher(recipe, teacher)
    released = Bundle.load(bundle)
    prepared = prepared_for(recipe, folder, data, roles=("validation", "test"))
    with console.status("measuring on test patients"):
        found = evaluate_bundle(recipe, prepared, released, network, tables)
    command = (
        f"beatlens evaluate models/{recipe.name}.toml --bundle {bundle} --teacher {teacher} --ec57"
    )
    _say_evaluated(recipe, prepared, found, folder, command, out)


def _say_evaluated(
    recipe: BeatRecipe,
    prepared: PreparedBeats,
    found: BeatEvaluation,
    folder: Path,
    command: str,
    out: Path | None,
) -> None:
    write_evaluation(recipe, prepared, found, folder)
    if out is not None:
        merge_evaluation(command, prepared, found, out)
    _print(found)
    console.print(f"WFDB annotations of the int8 model's beats: {folder / 'ec57'}")


def _given_teacher(recipe: BeatRecipe, path: Path) -> tuple[EvidenceNet, LookupTables]:
    tables = load_tables(path.with_name(TABLES_FILE), len(TRAINED))
    return taken_teacher(path, recipe), tables


def _teacher(folder: Path) -> tuple[EvidenceNet, LookupTables]:
    if not (folder / "teacher.pt").exists():
        raise ModelError(f"{folder / 'teacher.pt'} is not there: run `beatlens train` first")
    return load_net(folder / "teacher.pt")[0], load_tables(folder / TABLES_FILE, len(TRAINED))


def networks_of(
    folder: Path,
) -> tuple[EvidenceNet, LookupTables, EvidenceNet, QuantizedEvidenceNet]:
    """Teacher, lookup tables, student and int8 model of a run folder.

    Raises:
        ModelError: the recipe was not trained or not compressed yet.
    """
    teacher, tables = _teacher(folder)
    if not (folder / "student.pt").exists():
        raise ModelError(f"{folder / 'student.pt'} is not there: run `beatlens compress` first")
    student = load_net(folder / "student.pt")[0]
    return teacher, tables, student, load_quantized(folder / "quantized.pt", student)


def _print(found: BeatEvaluation) -> None:
    """Print the gross figures of the literature's mapping."""
    from rich.table import Table

    table = Table(title="EC57, gross, %", caption="sensitivity / positive predictivity")
    for column in (
        "model",
        "form",
        "decided",
        "split",
        *(name.upper() for name in SHOWN),
        "Spearman",
    ):
        table.add_column(column)
    for row in found.rows:
        if row["mapping"] == "aami":
            pairs = [f"{row[f'{n}_sensitivity']:.1f} / {row[f'{n}_predictivity']:.1f}"
                     for n in SHOWN]  # fmt: skip
            spearman = f"{row['spearman']:.2f}" if "spearman" in row else "-"
            table.add_row(row["model"], row["form"], row["decided"], row["split"], *pairs, spearman)
    console.print(table, soft_wrap=False)
