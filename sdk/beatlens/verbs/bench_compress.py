"""`beatlens bench compress`: every compressor at two budgets, with and without matching."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from beatlens.verbs.options import DataFolder, Out, RecipePath, RunFolder, Threads

SMALL = 100
"""`beatlens.pipeline.compress_plans.SMALL`, for help."""
Teachers = Annotated[
    Path, typer.Option(metavar="DIR", help="Run folder of `bench attribution`: the teachers.")
]
Jobs = Annotated[int, typer.Option(min=1, help="Cells trained at a time.")]
Methods = Annotated[str, typer.Option(help="Only these methods, separated by `;`. (default: all)")]
OneCell = Annotated[str, typer.Option(metavar="NAME", help="Make this one cell here.")]
Quickly = Annotated[
    bool, typer.Option("--quick", help="A few steps of a few methods: tests the machinery.")
]
TableOnly = Annotated[
    bool, typer.Option(help="Train nothing; a table of the cells that are complete.")
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
        typer.Option(help="Only these budgets: `100,300`, the teacher's bytes divided by these."),
    ] = "",
    methods: Methods = "",
    cell: OneCell = "",
    quickly: Quickly = False,
    table_only: TableOnly = False,
    out: Out = Path("docs/figures"),
) -> None:
    """Every compressor x matching loss x budget on test patients, down to the packed bytes.

    Cells are processes of their own and are kept: interrupted, it goes on where it stopped. What
    the figures files have already, with the same teachers and recipe, is not made again.
    """
    from beatlens.verbs.compressors import compress as work

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
        int, typer.Option(help="Budget: the teacher's float bytes divided by this.")
    ] = SMALL,
    jobs: Jobs = 2,
    methods: Methods = "",
    cell: OneCell = "",
    quickly: Quickly = False,
    table_only: TableOnly = False,
    out: Out = Path("docs/figures"),
) -> None:
    """Learning rates of every compressor that retrains, on VALIDATION patients, seed 0.

    Cells are processes of their own and are kept: interrupted, it goes on where it stopped.
    """
    from beatlens.verbs.compressors import compress_rates as work

    work(recipe, run, data, threads, teachers, share, jobs, methods, cell, quickly, table_only, out)


def compress_tries(
    recipes: Annotated[list[Path], typer.Argument(metavar="RECIPE...", help="Of one teacher.")],
    teacher: Annotated[Path, typer.Option(metavar="FILE", help="The teacher.pt of all of them.")],
    run: Annotated[
        Path, typer.Option("--run", metavar="DIR", help="Run folder, a sub-folder per recipe.")
    ] = Path("runs/tries"),
    data: DataFolder = None,
    threads: Threads = None,
    out: Out = Path("docs/figures"),
) -> None:
    """Recipes for the same budget, whole ones, on VALIDATION patients: what to release.

    Adds their rows to docs/figures/compress_tries.json. What is in the run folder is not made
    again.
    """
    from beatlens.verbs.compressors import compress_tries as work

    work(recipes, teacher, run, data, threads, out)
