"""`train`, `compress`, `export` and `evaluate`: the steps, each from the last one's files.

What a step does depends on the recipe's task, see `beatlens.verbs.strips`, `.beats`, `.wearable`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from beatlens.verbs.options import DataFolder, Jobs, RecipePath, RunFolder, Scheduler, Threads

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
    """Train the teacher: the uncompressed network. Writes teacher.pt.

    Interrupted, it goes on where it stopped. Recordings are prepared into the run folder and read
    from there in crops, so there may be more of them than memory holds.

    On several processes: torchrun --nproc-per-node 2 -m beatlens -- train RECIPE --run DIR; on
    several machines that share the run folder, with --nnodes 2 --rdzv-backend c10d
    --rdzv-endpoint HOST besides. (Without `--` torchrun takes --run for an option of its own.)
    """
    from beatlens.tasks.workers import Workers
    from beatlens.verbs.runs import opened_any, work_of

    chosen, folder = opened_any(recipe, run, threads)
    work_of(chosen).train(chosen, folder, data, Workers(jobs, scheduler))


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
    from beatlens.pipeline.train import keep_teacher
    from beatlens.verbs.runs import opened_any, work_of

    chosen, folder = opened_any(recipe, run, threads)
    if teacher is not None:
        keep_teacher(teacher, chosen, folder)
    work_of(chosen).compress(chosen, folder, data)


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
    from_bundle: Annotated[
        Path | None,
        typer.Option(
            "--from-bundle",
            metavar="DIR",
            help="Take the network of this bundle as it is, and set anew what decides with it. "
            "Needs --teacher; nothing is trained, and no run folder of it need be left.",
        ),
    ] = None,
    teacher: TeacherFile = None,
) -> None:
    """Write the bundle: model.tflite (int8), bundle.json, golden vectors, checksums."""
    from beatlens.errors import RecipeError
    from beatlens.firmware.cores import core_of
    from beatlens.verbs.runs import opened_any, say_firmware, work_of, work_on_bundles

    chosen, folder = opened_any(recipe, run, None)
    core = None if firmware is None else core_of(firmware)
    if core is not None and chosen.task == "wearable":
        raise RecipeError(
            f"--firmware {firmware}: the task is {chosen.task!r}, expected strips or beats; "
            "there is no C for whole recordings yet"
        )
    if from_bundle is None:
        work_of(chosen).export(chosen, folder, data)
    else:
        given = teacher_given(teacher, "--from-bundle")
        work_on_bundles(chosen, "--from-bundle").export_from(
            chosen, folder, data, from_bundle, given
        )
    if core is not None:
        say_firmware(folder, firmware or "any")


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
        Path | None,
        typer.Option(
            "--out",
            metavar="PATH",
            help="Folder that --ec57 writes into (default: docs/figures); with --database the "
            "file of figures (default: none).",
        ),
    ] = None,
    bundle: Annotated[
        Path | None,
        typer.Option(
            "--bundle",
            metavar="DIR",
            help="Measure this bundle beside its --teacher, as it decides, instead of the run "
            "folder's networks.",
        ),
    ] = None,
    teacher: TeacherFile = None,
    database: Annotated[
        str | None,
        typer.Option(
            "--database",
            metavar="NAME",
            help="Measure --bundle on records of this database instead (mitdb, svdb, qtdb; "
            "cinc2017 for whole recordings). RECIPE is not needed then.",
        ),
    ] = None,
    records: Annotated[
        Path | None,
        typer.Option(
            "--records",
            metavar="FILE",
            help="Which: a text file with one record's name a line, # begins a comment.",
        ),
    ] = None,
) -> None:
    """Measure all networks on the test patients. Writes figures.json and report.html.

    Of a beats recipe: figures.json, records.json, and the int8 model's beats as WFDB annotations;
    of a wearable one: figures.json. With --database and --records a bundle is measured as it ships
    on records that you name; with --teacher also how far its evidence agrees.
    """
    from beatlens.errors import RecipeError
    from beatlens.verbs.runs import opened_any, use_threads, work_of, work_on_bundles

    if database is not None or records is not None:
        if bundle is None or ec57:
            wrong = "--ec57 was given" if ec57 else "--bundle is missing"
            raise RecipeError(
                f"{wrong}, expected --bundle, --database and --records together, without --ec57"
            )
        from beatlens.verbs.records import evaluate_records

        use_threads(threads)
        return evaluate_records(bundle, database, records, teacher, data, out)
    chosen, folder = opened_any(recipe, run, threads)
    into = (out or Path("docs/figures")) if ec57 else None
    if bundle is None:
        work_of(chosen).evaluate(chosen, folder, data, into)
        return
    given = teacher_given(teacher, "--bundle")
    work_on_bundles(chosen, "--bundle").evaluate_from(chosen, folder, data, bundle, given, into)


def teacher_given(teacher: Path | None, option: str) -> Path:
    """The teacher, which an option needs; `RecipeError` where there is none."""
    from beatlens.errors import RecipeError

    if teacher is None:
        raise RecipeError(
            f"{option} was given without --teacher, expected the teacher.pt that the model was "
            "compressed from: its decisions set thresholds, and evidence is held against its"
        )
    return teacher
