"""The steps of a recipe, with what they print: `train`, `compress`, `evaluate` and `export`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from beatlens.compression.quantize import QuantizedEvidenceNet
from beatlens.nets.evidence import EvidenceNet
from beatlens.nets.teacher import TEACHER_FILE, Teacher
from beatlens.pipeline.compress import compress, load_compressed
from beatlens.pipeline.evaluate import (
    ANNOTATIONS,
    FIGURES_FILE,
    evaluate,
    evaluate_bundle,
    evaluate_ec57,
    load_networks,
)
from beatlens.pipeline.export import Exported, export_again, export_bundle
from beatlens.pipeline.folder import claim
from beatlens.pipeline.folds import train_folds
from beatlens.pipeline.train import find_teacher, read_teacher, train_teacher
from beatlens.recipe import Recipe
from beatlens.runtime.bundle import Bundle
from beatlens.tasks.common.sources import ROLES
from beatlens.tasks.common.workers import ALONE, Workers
from beatlens.tasks.contract import Evaluation, Int8Model, Networks, Prepared, Summary
from beatlens.tasks.registry import find_training, read_recipe
from beatlens.verbs.show import console, loading_bar, progress_bar, training_bar


def open_run(path: Path | None, run: Path | None, threads: int | None) -> tuple[Recipe, Path]:
    """Read the recipe and open its run folder, see `pipeline.folder.claim`."""
    recipe = read_recipe(path)
    use_threads(threads)
    return recipe, claim(run if run is not None else Path("runs") / recipe.name, recipe)


def use_threads(count: int | None) -> None:
    """Limit torch to `count` threads; None leaves it at all cores."""
    if count is not None:
        torch.set_num_threads(count)


def prepare(
    recipe: Recipe,
    folder: Path,
    data: Path | None,
    workers: Workers = ALONE,
    roles: Sequence[str] = ROLES,
) -> Prepared:
    """Recordings of a recipe, with a bar while they are read; prints which ECG it is."""
    kind = find_training(recipe.task.kind)
    with loading_bar() as show:
        prepared: Prepared = kind.prepare(recipe, folder, data, show, workers, roles)
    console.print(prepared.description, style="bold yellow" if prepared.simulated else "")
    if "train" in roles and (said := kind.describe(recipe, prepared)):
        console.print(said)
    return prepared


def run_training(recipe: Recipe, prepared: Prepared, folder: Path) -> Teacher:
    """The teacher of a run, trained now or before."""
    with training_bar("teacher") as report:
        teacher = train_teacher(recipe, prepared, folder, report)
    tables = "" if teacher.tables is None else f", lookup tables: {folder / 'tables.pt'}"
    console.print(f"teacher: {folder / TEACHER_FILE}{tables}")
    return teacher


def run_compression(
    recipe: Recipe, prepared: Prepared, teacher: Teacher, folder: Path
) -> tuple[EvidenceNet, QuantizedEvidenceNet]:
    """The student of a run, float and int8, made now or before."""
    with progress_bar("teacher's evidence") as progress, training_bar("student") as report:
        student, quantized = compress(recipe, prepared, teacher, folder, report, progress)
        train_folds(recipe, prepared, folder, report, progress)
    console.print(f"student: {student.weights:,} weights, {folder / 'quantized.pt'}")
    return student, quantized


def run_export(recipe: Recipe, folder: Path, data: Path | None) -> None:
    """Write the bundle of a run."""
    teacher, (_, quantized) = find_teacher(recipe, folder), load_compressed(folder)
    roles = find_training(recipe.task.kind).rule_roles(recipe)
    prepared = prepare(recipe, folder, data, roles=roles)
    print_exported(export_bundle(recipe, prepared, teacher, quantized, folder))


def run_export_again(
    recipe: Recipe, folder: Path, data: Path | None, bundle: Path, teacher: Path
) -> None:
    """Write the run folder's bundle from another: its network, with a rule chosen anew.

    Lookup tables, where the kind has some, are those beside the teacher.
    """
    given, model = read_teacher(teacher, recipe), _read_bundle(bundle)
    kind = find_training(recipe.task.kind)
    prepared = prepare(recipe, folder, data, roles=kind.rule_roles(recipe))
    with console.status("choosing the rule on validation patients"):
        exported = export_again(recipe, prepared, given, model, folder)
    console.print(f"bundle: {exported.folder}  model.tflite as in {bundle}")
    console.print(f"rule before: {kind.describe_rule(model)}")
    console.print(f"rule now: {kind.describe_rule(Bundle.load(exported.folder))}")


def _read_bundle(path: Path) -> Bundle:
    """A bundle that can be measured, before its recordings are prepared.

    Raises ModelError where it takes samples in other steps than recordings are prepared in.
    """
    bundle = Bundle.load(path)
    Int8Model.read(bundle)
    return bundle


def print_exported(exported: Exported) -> None:
    """What was written."""
    console.print(
        f"bundle: {exported.folder}  model.tflite {exported.file_bytes:,} bytes, "
        f"{exported.macs:,} multiply-accumulates, operators "
        f"{', '.join(exported.operators)}"
    )
    if exported.note:
        console.print(exported.note, soft_wrap=True)


def run_evaluation(
    recipe: Recipe, folder: Path, data: Path | None, ec57: Path | None
) -> Evaluation:
    """Measure a run's networks on the test patients; with `ec57`, EC57's figures into it."""
    if ec57 is not None:
        find_training(recipe.task.kind).check_ec57(recipe)
    networks, prepared = load_networks(recipe, folder), prepare(recipe, folder, data)
    with console.status("measuring on test patients"):
        found = evaluate(recipe, prepared, networks, folder)
    print_evaluation(recipe, prepared, found, folder)
    if ec57 is not None:
        command = f"beatlens evaluate models/{recipe.name}.toml --ec57"
        _run_ec57(recipe, prepared, networks, ec57, command, None)
    return found


def run_bundle_evaluation(
    recipe: Recipe,
    folder: Path,
    data: Path | None,
    bundle: Path,
    teacher: Path,
    ec57: Path | None,
) -> None:
    """As `run_evaluation`, of a bundle and its teacher."""
    if ec57 is not None:
        find_training(recipe.task.kind).check_ec57(recipe)
    given, model = read_teacher(teacher, recipe), _read_bundle(bundle)
    prepared = prepare(recipe, folder, data, roles=("validation", "test"))
    command = f"beatlens evaluate models/{recipe.name}.toml --bundle {bundle} --teacher {teacher}"
    with console.status("measuring on test patients"):
        found = evaluate_bundle(recipe, prepared, given, model, folder, command)
    print_evaluation(recipe, prepared, found, folder)
    if ec57 is not None:
        networks = Networks(given, None, Int8Model.read(model))
        _run_ec57(recipe, prepared, networks, ec57, f"{command} --ec57", model)


def _run_ec57(
    recipe: Recipe,
    prepared: Prepared,
    networks: Networks,
    out: Path,
    command: str,
    bundle: Bundle | None,
) -> None:
    with console.status("counting after EC57"):
        found = evaluate_ec57(recipe, prepared, networks, out, command, bundle)
    print_summary(found.summary)
    console.print(f"WFDB annotations of the int8 model: {out / ANNOTATIONS}")


def print_evaluation(recipe: Recipe, prepared: Prepared, found: Evaluation, folder: Path) -> None:
    """Print the table, write the report, and say where all is."""
    print_summary(found.summary)
    console.print(f"figures: {folder / FIGURES_FILE}")
    report = find_training(recipe.task.kind).write_report(recipe, prepared, found, folder)
    if report is not None:
        console.print(f"report: {report}")
    if found.annotations:
        console.print(f"WFDB annotations of the int8 model: {folder / ANNOTATIONS}")


def print_summary(summary: Summary) -> None:
    """Print a table."""
    from rich.table import Table

    table = Table(title=summary.title, caption=summary.caption)
    for column in summary.columns:
        table.add_column(column)
    for row in summary.rows:
        table.add_row(*row)
    console.print(table, soft_wrap=False)
