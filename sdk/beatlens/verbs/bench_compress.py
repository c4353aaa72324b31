"""`beatlens bench compress`: every compressor at two budgets, with and without matching."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from beatlens.errors import BeatlensError, RecipeError
from beatlens.evaluate.figures import merge_figures, write_figures
from beatlens.pipeline.compress_bench import Table, cell_command, run_cells
from beatlens.pipeline.compress_cells import Cell, Workshop, cells_of, quick
from beatlens.pipeline.compress_plans import BOTH, SHARES, SMALL, plans, retraining
from beatlens.pipeline.compress_rates import RATES_TRIED, rate_cells, rate_rows
from beatlens.verbs.options import (
    DataFolder,
    RecipePath,
    RunFolder,
    Threads,
    console,
    opened,
    progress_bar,
)
from beatlens.verbs.steps import prepared_for

QUICK_METHODS = ("channels L1", "weights", "distilled", "evidence repair")
QUICK_RETRAINING = ("channels L1", "weights")
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
    methods: Methods = "",
    cell: OneCell = "",
    quickly: Quickly = False,
    table_only: TableOnly = False,
    out: Path = Path("docs/figures"),
) -> None:
    """Every compressor x matching loss x budget on test patients, down to the packed bytes.

    Cells are processes of their own and are kept: interrupted, it goes on where it stopped.
    """
    chosen, folder = opened(recipe, run, threads)
    chosen = quick(chosen) if quickly else chosen
    numbers = [int(part) for part in seeds.split(",")]
    known = plans()
    wanted = _named(methods, [*{method: None for method, _ in known}])
    wanted = wanted or (QUICK_METHODS if quickly else ())
    kept = {key: plan for key, plan in known.items() if not wanted or key[0] in wanted}
    if quickly:
        kept = {key: replace(plan, matchings=BOTH) for key, plan in kept.items()
                if key[1] == SMALL}  # fmt: skip
    prepared = prepared_for(chosen, folder, data)
    workshop = Workshop(chosen, prepared, teachers, folder, kept, quick=quickly)
    cells = cells_of(kept, numbers)
    if cell:
        _one(workshop, cells, cell)
        return
    if not table_only:
        options = _options(recipe, run, data, teachers, quickly)
        _all(workshop, cells, jobs, "compress", [*options, "--seeds", seeds])
    complete = [one for one in cells if workshop.done(one)]
    rows, differences = Table(workshop).figures(complete)
    named = f" {recipe}" if recipe else ""
    command = f"beatlens bench compress{named} --teachers {teachers} --seeds {seeds}"
    described = f"{workshop.prepared.description}; every third strip"
    write_figures(out / "compress.json", command, described, rows)
    write_figures(out / "compress_differences.json", command, described, differences)
    console.print(f"{out / 'compress.json'}: {len(complete)} of {len(cells)} cells")


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
    out: Path = Path("docs/figures"),
) -> None:
    """Learning rates of every compressor that retrains, on VALIDATION patients, seed 0.

    Cells are processes of their own and are kept: interrupted, it goes on where it stopped.
    """
    chosen, folder = opened(recipe, run, threads)
    chosen = quick(chosen) if quickly else chosen
    wanted = _named(methods, retraining()) or (QUICK_RETRAINING if quickly else retraining())
    kept = {key: plan for key, plan in plans().items() if key[0] in wanted and key[1] == share}
    if not kept:
        raise RecipeError(f"share is {share}, expected one of {', '.join(map(str, SHARES))}")
    prepared = prepared_for(chosen, folder, data)
    workshop = Workshop(chosen, prepared, teachers, folder, kept, quick=quickly)
    cells = rate_cells(
        wanted, share, rates=RATES_TRIED[:: len(RATES_TRIED) - 1] if quickly else RATES_TRIED
    )
    if cell:
        _one(workshop, cells, cell)
        return
    if not table_only:
        options = [*_options(recipe, run, data, teachers, quickly), "--share", str(share)]
        _all(workshop, cells, jobs, "compress-rates", options)
    complete = [one for one in cells if workshop.done(one)]
    command = f"beatlens bench compress-rates{f' {recipe}' if recipe else ''} --share {share}"
    described = f"{workshop.prepared.description}; MEASURED ON VALIDATION PATIENTS"
    rows = rate_rows(workshop, complete)
    merge_figures(out / "compress_rates.json", command, described, rows, key=("method", "share"))
    console.print(f"{out / 'compress_rates.json'}: {len(complete)} of {len(cells)} cells")


def _named(methods: str, known: Sequence[str]) -> tuple[str, ...]:
    """The methods of an option's text, in its order."""
    wanted = tuple(name.strip() for name in methods.split(";") if name.strip())
    if unknown := [name for name in wanted if name not in known]:
        raise RecipeError(f"method is {unknown[0]!r}, expected some of: {'; '.join(sorted(known))}")
    return wanted


def _one(workshop: Workshop, cells: Sequence[Cell], name: str) -> None:
    found = [one for one in cells if one.name == name]
    if not found:
        raise RecipeError(f"cell is {name!r}, expected one such as {cells[0].name!r}")
    workshop.make(found[0])


def _all(
    workshop: Workshop, cells: Sequence[Cell], jobs: int, verb: str, options: list[str]
) -> None:
    """Make the pools that cells share, then the cells."""
    for seed in sorted({one.seed for one in cells}):
        workshop.pool(seed)
    with progress_bar("cells") as shown:

        def done(one: Cell, finished: int, total: int, seconds: float) -> None:
            shown(finished, total)
            console.print(f"{one.name}: {seconds:.0f} s")

        failed = run_cells(cells, workshop, cell_command(verb, options), jobs, done)
    if failed:
        where = workshop.place(failed[0]) / "log.txt"
        raise BeatlensError(
            f"{len(failed)} of {len(cells)} cells failed, {failed[0].name} first: see {where}; "
            "the others are kept"
        )


def _options(
    recipe: Path | None,
    run: Path | None,
    data: Path | None,
    teachers: Path,
    quickly: bool,
) -> list[str]:
    """The command line of a cell's process, without the cell."""
    options = [str(recipe)] if recipe else []
    for name, value in (("--run", run), ("--data", data)):
        options += [name, str(value)] if value else []
    options += ["--teachers", str(teachers), "--threads", "1"]
    return options + (["--quick"] if quickly else [])
