"""`python -m benchmarks compress`: every compressor at two budgets, with and without matching."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from beatlens.verbs.options import DataFolder, Out, RecipePath, RunFolder, Threads

SMALL = 100
"""`benchmarks.compression.plans.SMALL`, for help."""
Teachers = Annotated[
    Path,
    typer.Option(
        metavar="DIR",
        help="Run folder of `python -m benchmarks attribution`, which has the teachers.",
    ),
]
Jobs = Annotated[int, typer.Option(metavar="N", min=1, help="Cells that are trained at a time.")]
Methods = Annotated[
    str, typer.Option(metavar="LIST", help="Only these methods, separated by `;`. (default: all)")
]
OneCell = Annotated[str, typer.Option(metavar="NAME", help="Make only this cell, in this process.")]
Quickly = Annotated[
    bool, typer.Option("--quick", help="Few methods with few steps, to test the benchmark itself.")
]
TableOnly = Annotated[
    bool, typer.Option("--table-only", help="Train nothing; write the table of the complete cells.")
]


def compress(
    recipe: RecipePath = None,
    run: RunFolder = None,
    data: DataFolder = None,
    threads: Threads = None,
    teachers: Teachers = Path("runs/strips"),
    seeds: Annotated[str, typer.Option(help="Seeds, comma separated.")] = "0,1,2",
    jobs: Jobs = 2,
    shares: Annotated[
        str,
        typer.Option(
            metavar="LIST",
            help="Only these budgets, as in `100,300`: the teacher's bytes divided by each.",
        ),
    ] = "",
    methods: Methods = "",
    cell: OneCell = "",
    quickly: Quickly = False,
    table_only: TableOnly = False,
    out: Out = Path("docs/figures"),
) -> None:
    """Compare the compression methods on test patients.

    Every method, with and without matched maps, at each budget of packed bytes. Each cell of the
    table is a process of its own and is kept: a benchmark that was interrupted continues where it
    stopped. Rows that the figures files have for the same teachers and recipe are not made again.
    """
    from benchmarks.compression.run import compress as work

    work(
        recipe,
        run,
        data,
        threads,
        teachers,
        seeds,
        jobs,
        shares,
        methods,
        cell,
        quickly,
        table_only,
        out,
    )


def compress_rates(
    recipe: RecipePath = None,
    run: RunFolder = None,
    data: DataFolder = None,
    threads: Threads = None,
    teachers: Teachers = Path("runs/strips"),
    share: Annotated[
        int, typer.Option(metavar="N", help="Budget: the teacher's float bytes divided by this.")
    ] = SMALL,
    jobs: Jobs = 2,
    methods: Methods = "",
    cell: OneCell = "",
    quickly: Quickly = False,
    table_only: TableOnly = False,
    out: Out = Path("docs/figures"),
) -> None:
    """Choose the learning rate of each method that retrains.

    On VALIDATION patients, with seed 0. Each cell of the table is a process of its own and is kept:
    a benchmark that was interrupted continues where it stopped.
    """
    from benchmarks.compression.run import compress_rates as work

    work(recipe, run, data, threads, teachers, share, jobs, methods, cell, quickly, table_only, out)


def compress_tries(
    recipes: Annotated[
        list[Path], typer.Argument(metavar="RECIPE", help="Recipes with the same teacher.")
    ],
    teacher: Annotated[Path, typer.Option(metavar="FILE", help="The teacher.pt of these recipes.")],
    run: Annotated[
        Path, typer.Option("--run", metavar="DIR", help="Run folder, with a sub-folder per recipe.")
    ] = Path("runs/tries"),
    data: DataFolder = None,
    threads: Threads = None,
    out: Out = Path("docs/figures"),
) -> None:
    """Compare recipes for one budget.

    To choose which one is released, on VALIDATION patients. Adds rows to compress_tries.json. What
    is in the run folder is not made again.
    """
    from benchmarks.compression.run import compress_tries as work

    work(recipes, teacher, run, data, threads, out)
