"""`train`, `compress`, `export` and `evaluate`: the steps, each from the last one's files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from beatlens.verbs.options import (
    DataFolder,
    Jobs,
    RecipePath,
    RunFolder,
    Scheduler,
    Threads,
    complete_names,
    resolve_bundle,
)

TeacherFile = Annotated[
    Path | None,
    typer.Option(
        "--teacher", metavar="FILE", help="The teacher.pt that a bundle was compressed from."
    ),
]


def train(
    recipe: RecipePath = None,
    run: RunFolder = None,
    data: DataFolder = None,
    threads: Threads = None,
    jobs: Jobs = 1,
    scheduler: Scheduler = None,
) -> None:
    """Train the teacher, the uncompressed network.

    Writes teacher.pt into the run folder. A training that was interrupted continues where it
    stopped. Recordings are prepared into the run folder and read from there in crops, so they need
    not fit into memory.

    On several processes: torchrun --nproc-per-node 2 -m beatlens -- train RECIPE --run DIR. On
    several machines that share the run folder, add --nnodes 2 --rdzv-backend c10d --rdzv-endpoint
    HOST. (Without `--`, torchrun takes --run as an option of its own.)
    """
    from beatlens.pipeline.folder import free_after_failure
    from beatlens.tasks.common.workers import Workers
    from beatlens.verbs.runs import open_run, prepare, run_training

    chosen, folder = open_run(recipe, run, threads)
    with free_after_failure(folder):
        prepared = prepare(chosen, folder, data, Workers(jobs, scheduler))
    run_training(chosen, prepared, folder)


def compress(
    recipe: RecipePath = None,
    run: RunFolder = None,
    data: DataFolder = None,
    threads: Threads = None,
    teacher: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A trained teacher.pt to compress, instead of the run folder's. For beats and "
            "recordings, its tables.pt must be beside it.",
        ),
    ] = None,
) -> None:
    """Compress the teacher, and keep its evidence maps.

    Runs the compression steps of the recipe. The default steps distil a small student whose maps
    match the teacher's, and then train it as int8. Writes student.pt and quantized.pt into the run
    folder.
    """
    from beatlens.pipeline.folder import free_after_failure
    from beatlens.pipeline.train import find_teacher, keep_teacher
    from beatlens.verbs.runs import open_run, prepare, run_compression

    chosen, folder = open_run(recipe, run, threads)
    with free_after_failure(folder):
        if teacher is not None:
            keep_teacher(teacher, chosen, folder)
        trained = find_teacher(chosen, folder)
    run_compression(chosen, prepare(chosen, folder, data), trained, folder)


def export(
    recipe: RecipePath = None,
    run: RunFolder = None,
    data: DataFolder = None,
    from_bundle: Annotated[
        Path | None,
        typer.Option(
            "--from-bundle",
            metavar="NAME|DIR",
            callback=resolve_bundle,
            autocompletion=complete_names,
            help="Keep the network of this bundle, and choose its rule again. Needs "
            "--teacher; nothing is trained, and the bundle's own run folder is not needed.",
        ),
    ] = None,
    teacher: TeacherFile = None,
) -> None:
    """Export the int8 model as a bundle.

    A bundle is a folder with model.tflite, the packed weights, bundle.json with the figures that
    `evaluate` measured, golden vectors and checksums.
    """
    from beatlens.pipeline.folder import free_after_failure
    from beatlens.verbs.runs import open_run, run_export, run_export_again

    chosen, folder = open_run(recipe, run, None)
    with free_after_failure(folder):
        if from_bundle is None:
            run_export(chosen, folder, data)
        else:
            given = check_teacher(teacher, "--from-bundle")
            run_export_again(chosen, folder, data, from_bundle, given)


def evaluate(
    recipe: RecipePath = None,
    run: RunFolder = None,
    data: DataFolder = None,
    threads: Threads = None,
    ec57: Annotated[
        bool,
        typer.Option(
            "--ec57",
            help="Also write figures as ANSI/AAMI EC57 defines them into --out: for a recipe of "
            "beats, beat by beat, into ec57.json, and run by run, into ec57_runs.json; for one of "
            "windows, episodes of fibrillation, into ec57_episodes.json.",
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="PATH",
            help="Folder that --ec57 writes to (default: the run folder); with --database, the "
            "file that figures are written to (default: none).",
        ),
    ] = None,
    bundle: Annotated[
        Path | None,
        typer.Option(
            "--bundle",
            metavar="NAME|DIR",
            callback=resolve_bundle,
            autocompletion=complete_names,
            help="Measure this bundle, with its own thresholds and rule, and its --teacher, "
            "instead of the networks of the run folder.",
        ),
    ] = None,
    teacher: TeacherFile = None,
    database: Annotated[
        str | None,
        typer.Option(
            "--database",
            metavar="NAME",
            help="Measure --bundle on records of this database instead. For a bundle with the "
            "classes of a built-in recipe, RECIPE is not needed.",
        ),
    ] = None,
    records: Annotated[
        Path | None,
        typer.Option(
            "--records",
            metavar="FILE",
            help="With --database: text file of record names, one per line; # begins a comment.",
        ),
    ] = None,
) -> None:
    """Measure teacher, student and int8 model on the test patients.

    Writes figures.json into the run folder. For a recipe of windows also report.html; for one of
    beats also records.json, runs.json, and the beats of the int8 model as WFDB annotations; for one
    of recordings also misclassified.json.

    With --database and --records a bundle is measured as it ships on records that you name; with
    --teacher also the agreement of its evidence.
    """
    from beatlens.pipeline.folder import free_after_failure
    from beatlens.verbs.runs import open_run, run_bundle_evaluation, run_evaluation, use_threads

    if database is not None or records is not None:
        from beatlens.verbs.records import RecordsAsked, evaluate_records

        use_threads(threads)
        asked = RecordsAsked.check(bundle, database, records, ec57)
        evaluate_records(asked, recipe, teacher, data, out)
        return
    chosen, folder = open_run(recipe, run, threads)
    into = (out or folder) if ec57 else None
    with free_after_failure(folder):
        if bundle is None:
            run_evaluation(chosen, folder, data, into)
        else:
            given = check_teacher(teacher, "--bundle")
            run_bundle_evaluation(chosen, folder, data, bundle, given, into)


def check_teacher(teacher: Path | None, option: str) -> Path:
    """The teacher, which an option needs; `RecipeError` where there is none."""
    from beatlens.errors import RecipeError

    if teacher is None:
        raise RecipeError(
            f"{option} was given without --teacher, expected the teacher.pt that the model was "
            "compressed from: its decisions set thresholds, and evidence is held against its"
        )
    return teacher
