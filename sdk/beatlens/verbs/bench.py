"""`beatlens bench`: the benchmarks behind the tables; each writes docs/figures/NAME.json."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from beatlens.evaluate.figures import machine, write_figures
from beatlens.pipeline.attribution_bench import Bench, arms_of
from beatlens.pipeline.step_cost import step_cost as measure_step_cost
from beatlens.verbs.options import (
    DataFolder,
    RecipePath,
    RunFolder,
    Threads,
    console,
    opened,
    training_bar,
)
from beatlens.verbs.steps import prepared_for

app = typer.Typer(no_args_is_help=True, help="Measure, and write what was measured.")
Out = Annotated[
    Path, typer.Option("--out", metavar="DIR", help="Folder for the figures files written.")
]


@app.command()
def attribution(
    recipe: RecipePath = None,
    run: RunFolder = None,
    data: DataFolder = None,
    threads: Threads = None,
    seeds: Annotated[str, typer.Option(help="Seeds, comma separated.")] = "0,1,2",
    train_only: Annotated[
        bool, typer.Option(help="Train and run the networks; leave the table to a later call.")
    ] = False,
    out: Out = Path("docs/figures"),
) -> None:
    """Teacher, students alone, KD, KD with each matching loss; float and int8; on test patients.

    Everything trained is kept under the run folder: interrupted, it goes on where it stopped.
    """
    chosen, folder = opened(recipe, run, threads)
    numbers = [int(part) for part in seeds.split(",")]
    prepared = prepared_for(chosen, folder, data)
    with training_bar("training") as report:
        bench = Bench(
            chosen, prepared, folder, numbers, arms_of(chosen), say=console.print, report=report
        )
        bench.train()
    if train_only:
        return
    rows, differences = bench.figures()
    command = f"beatlens bench attribution --seeds {seeds}"
    write_figures(out / "attribution.json", command, prepared.description, rows)
    write_figures(out / "attribution_differences.json", command, prepared.description, differences)
    console.print(f"{out / 'attribution.json'}: {len(rows)} rows")


@app.command("step-cost")
def step_cost(
    recipe: RecipePath = None,
    threads: Threads = None,
    rounds: Annotated[int, typer.Option(min=3, help="Steps of each kind.")] = 15,
    out: Out = Path("docs/figures"),
) -> None:
    """What matching adds to the time of a training step, in ratios to a plain KD step."""
    chosen, _ = opened(recipe, None, threads)
    rows = measure_step_cost(chosen.teacher.spec, chosen.student.spec, 24, rounds)
    write_figures(
        out / "step_cost.json",
        f"beatlens bench step-cost --rounds {rounds}",
        "random input; no data needed",
        rows,
    )
    for row in rows:
        console.print(
            f"{row['matching']:>10} {row['path']:<16} teacher {row['teacher']:<7} "
            f"{row['ms']:7.1f} ms  {row['ratio']:.2f} x KD"
        )
    console.print(machine(), style="dim")
