"""`train`, `compress`, `export`, `evaluate`: the steps, each from the last one's files."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from beatlens.beat_recipe import BeatRecipe
from beatlens.compress.quantize import QuantizedEvidenceNet
from beatlens.errors import ModelError, RecipeError
from beatlens.firmware.beat_package import write_beats
from beatlens.firmware.cores import core_of
from beatlens.firmware.package import write_task
from beatlens.nets.evidence import EvidenceNet
from beatlens.nets.files import load_net
from beatlens.pipeline.compress import compress as compress_step
from beatlens.pipeline.data import Prepared, prepare
from beatlens.pipeline.episode_evaluate import evaluate_episodes
from beatlens.pipeline.evaluate import Evaluation
from beatlens.pipeline.evaluate import evaluate as evaluate_step
from beatlens.pipeline.export import export_bundle
from beatlens.pipeline.report import COLUMNS, make_report
from beatlens.pipeline.student import load_quantized
from beatlens.pipeline.train import keep_teacher, taken_teacher, train_teacher
from beatlens.recipe import Recipe
from beatlens.report.tables import load_figures, make_table
from beatlens.runtime.bundle import Bundle
from beatlens.signals.frontend import FrontEnd
from beatlens.signals.simulate import COUNTS_PER_MV, RAILS
from beatlens.tasks.workers import ALONE, Workers
from beatlens.verbs import beats, wearable
from beatlens.verbs.firmware import identifier
from beatlens.verbs.options import (
    DataFolder,
    Jobs,
    RecipePath,
    RunFolder,
    Scheduler,
    Threads,
    console,
    loading_bar,
    opened_any,
    progress_bar,
    training_bar,
)
from beatlens.wearable_recipe import WearableRecipe

MITDB_RATE_HZ = 360


def prepared_for(
    recipe: Recipe, folder: Path, data: Path | None, workers: Workers = ALONE
) -> Prepared:
    """Tracks of a recipe, with a bar while they are read; says which ECG it is."""
    with loading_bar() as show:
        prepared = prepare(recipe, folder, data, show, workers)
    console.print(prepared.description, style="bold yellow" if prepared.simulated else "")
    return prepared


def trained(recipe: Recipe, prepared: Prepared, folder: Path) -> EvidenceNet:
    """The teacher of a run, trained now or before."""
    with training_bar("teacher") as report:
        return train_teacher(recipe, prepared, folder, report)


def compressed(
    recipe: Recipe, prepared: Prepared, teacher: EvidenceNet, folder: Path
) -> tuple[EvidenceNet, QuantizedEvidenceNet]:
    """The student of a run, float and int8, trained now or before."""
    with (
        progress_bar("teacher's evidence") as progress,
        training_bar("student") as report,
    ):
        return compress_step(recipe, prepared, teacher, folder, report, progress)


def _networks(folder: Path) -> tuple[EvidenceNet, EvidenceNet, QuantizedEvidenceNet]:
    for name, verb in (("teacher.pt", "train"), ("student.pt", "compress")):
        if not (folder / name).exists():
            raise ModelError(f"{folder / name} is not there: run `beatlens {verb}` first")
    student = load_net(folder / "student.pt")[0]
    quantized = load_quantized(folder / "quantized.pt", student)
    return load_net(folder / "teacher.pt")[0], student, quantized


def train(
    recipe: RecipePath = None,
    run: RunFolder = None,
    data: DataFolder = None,
    threads: Threads = None,
    jobs: Jobs = 1,
    scheduler: Scheduler = None,
) -> None:
    """Train the teacher: the uncompressed network. Writes teacher.pt.

    Interrupted, it goes on where it stopped. Recordings are prepared into the run folder and read
    from there in crops, so there may be more of them than memory holds.

    On several processes: torchrun --nproc-per-node 2 -m beatlens -- train RECIPE --run DIR; on
    several machines that share the run folder, with --nnodes 2 --rdzv-backend c10d
    --rdzv-endpoint HOST besides. (Without `--` torchrun takes --run for an option of its own.)
    """
    chosen, folder = opened_any(recipe, run, threads)
    workers = Workers(jobs, scheduler)
    if isinstance(chosen, BeatRecipe):
        return beats.train(chosen, folder, data, workers)
    if isinstance(chosen, WearableRecipe):
        return wearable.train(chosen, folder, data, workers)
    trained(chosen, prepared_for(chosen, folder, data, workers), folder)
    console.print(f"teacher: {folder / 'teacher.pt'}")


def compress(
    recipe: RecipePath = None,
    run: RunFolder = None,
    data: DataFolder = None,
    threads: Threads = None,
    teacher: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A trained teacher.pt (with the tables.pt beside it, if its task has one), "
            "instead of the run folder's own.",
        ),
    ] = None,
) -> None:
    """Make the network small, its map kept, and int8. Writes student.pt, quantized.pt.

    Runs the recipe's compression steps; the default ones distil the student with matched maps, then
    train it as int8.
    """
    chosen, folder = opened_any(recipe, run, threads)
    if teacher is not None:
        keep_teacher(teacher, chosen, folder)
    if isinstance(chosen, BeatRecipe):
        return beats.compress(chosen, folder, data)
    if isinstance(chosen, WearableRecipe):
        return wearable.compress(chosen, folder, data)
    if not (folder / "teacher.pt").exists():
        raise ModelError(
            f"{folder / 'teacher.pt'} is not there: run `beatlens train` first, or give --teacher"
        )
    taught_by = taken_teacher(folder / "teacher.pt", chosen)
    student, _ = compressed(chosen, prepared_for(chosen, folder, data), taught_by, folder)
    console.print(f"student: {student.weights:,} weights, {folder / 'quantized.pt'}")


def export(
    recipe: RecipePath = None,
    run: RunFolder = None,
    data: DataFolder = None,
    firmware: Annotated[
        str | None,
        typer.Option(
            metavar="CORE",
            help="Also write C for a core (m4, any, ...) and the recordings' sensor; for another "
            "sensor see `beatlens firmware`.",
        ),
    ] = None,
) -> None:
    """Write the bundle: model.tflite (int8), bundle.json, golden vectors, checksums."""
    chosen, folder = opened_any(recipe, run, None)
    core = None if firmware is None else core_of(firmware)
    if isinstance(chosen, WearableRecipe):
        if core is not None:
            raise RecipeError(
                f"--firmware {firmware}: the task is {chosen.task!r}, expected strips or beats; "
                "there is no C for whole recordings yet"
            )
        wearable.export(chosen, folder, data)
    elif isinstance(chosen, BeatRecipe):
        beats.export(chosen, folder, data)
    else:
        networks = _networks(folder)
        say_exported(chosen, prepared_for(chosen, folder, data), networks[2], folder)
    if core is not None:
        say_firmware(folder, firmware or "any")


def say_firmware(folder: Path, core: str) -> None:
    """Write the firmware of a run's bundle for the sensor of the MIT-BIH databases."""
    bundle = Bundle.load(folder / "bundle")
    sensor = FrontEnd(MITDB_RATE_HZ, float(COUNTS_PER_MV), RAILS)
    shutil.rmtree(folder / "firmware", ignore_errors=True)
    write = write_task if bundle.beats is None else write_beats
    written = write(bundle, sensor, folder / "firmware", identifier(bundle.name), core)
    console.print(f"firmware: {written}")


def say_exported(
    recipe: Recipe, prepared: Prepared, quantized: QuantizedEvidenceNet, folder: Path
) -> None:
    """Export and say what was written."""
    exported = export_bundle(recipe, prepared, quantized, folder)
    console.print(
        f"bundle: {exported.folder}  model.tflite {exported.file_bytes:,} bytes, "
        f"{exported.macs:,} multiply-accumulates per strip, "
        f"operators {', '.join(exported.operators)}"
    )


def evaluate(
    recipe: RecipePath = None,
    run: RunFolder = None,
    data: DataFolder = None,
    threads: Threads = None,
    ec57: Annotated[
        bool,
        typer.Option(
            "--ec57",
            help="Also put figures after ANSI/AAMI EC57 into docs/figures: of a beats recipe beat "
            "by beat into ec57.json, of others episodes of fibrillation into ec57_episodes.json.",
        ),
    ] = False,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder that --ec57 writes into.")
    ] = Path("docs/figures"),
) -> None:
    """Measure all networks on the test patients. Writes figures.json and report.html.

    Of a beats recipe: figures.json, records.json, and the int8 model's beats as WFDB annotations;
    of a wearable one: figures.json.
    """
    chosen, folder = opened_any(recipe, run, threads)
    if isinstance(chosen, BeatRecipe):
        return beats.evaluate(chosen, folder, data, out if ec57 else None)
    if isinstance(chosen, WearableRecipe):
        if ec57:
            raise RecipeError(
                f"{recipe}: --ec57 counts beats and episodes, expected a recipe of beats or "
                f"strips; this one is of the task {chosen.task!r}"
            )
        return wearable.evaluate(chosen, folder, data)
    networks, prepared = _networks(folder), prepared_for(chosen, folder, data)
    evaluated(chosen, prepared, networks, folder)
    if ec57:
        _episodes(chosen, prepared, networks, folder, out, data)


def evaluated(
    recipe: Recipe,
    prepared: Prepared,
    networks: tuple[EvidenceNet, EvidenceNet, QuantizedEvidenceNet],
    folder: Path,
) -> Evaluation:
    """Evaluate, print the table, write the report."""
    with console.status("measuring on test patients"):
        found = evaluate_step(recipe, prepared, *networks, folder)
        report = make_report(recipe, prepared, found, folder)
    print_table(folder / "figures.json")
    console.print(f"report: {report}")
    return found


def _episodes(
    recipe: Recipe,
    prepared: Prepared,
    networks: tuple[EvidenceNet, EvidenceNet, QuantizedEvidenceNet],
    folder: Path,
    out: Path,
    data: Path | None,
) -> None:
    """Count episodes of fibrillation, and print what was found."""
    teacher, _, quantized = networks
    with console.status("counting episodes of fibrillation"):
        rows = evaluate_episodes(recipe, prepared, teacher, quantized, folder, out, data)
    for row in rows:
        console.print(
            f"{row['model']} {row['form']}, {row['split']}: of {row['episodes']:.0f} episodes "
            f"{row['episode_sensitivity']:.0f} % found, {row['episode_predictivity']:.0f} % of its "
            f"own right; of their time {row['duration_sensitivity']:.0f} % and "
            f"{row['duration_predictivity']:.0f} %"
        )
    console.print(f"annotations of the int8 model's episodes: {folder / 'ec57'}")


def print_table(path: Path) -> None:
    """Print a figures file, one network a column."""
    from rich.table import Table

    made = make_table(load_figures(path), COLUMNS, ("model", "matching", "form"))
    table = Table(title=f"{path}", caption="mean [95 % interval by record]")
    table.add_column("")
    for row in made.rows:
        table.add_column("\n".join(row[:3]), justify="right")
    for column in range(3, len(made.columns)):
        table.add_row(made.columns[column], *(row[column] for row in made.rows))
    console.print(table)
