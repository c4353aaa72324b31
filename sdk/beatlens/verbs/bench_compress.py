"""`beatlens bench compress`: every compressor at two budgets, with and without matching."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from beatlens.errors import BeatlensError, RecipeError
from beatlens.evaluate.figures import write_figures
from beatlens.pipeline.compress_bench import Table, cell_command, run_cells
from beatlens.pipeline.compress_cells import Cell, Workshop, cells_of, quick
from beatlens.pipeline.compress_plans import BOTH, SHARES, plans
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


def compress(
    recipe: RecipePath = None,
    run: RunFolder = None,
    data: DataFolder = None,
    threads: Threads = None,
    teachers: Annotated[
        Path, typer.Option(metavar="DIR", help="Run folder of `bench attribution`: the teachers.")
    ] = Path("runs/strips"),
    seeds: Annotated[str, typer.Option(help="Seeds, comma separated.")] = "0,1,2",
    jobs: Annotated[int, typer.Option(min=1, help="Cells trained at a time.")] = 2,
    methods: Annotated[
        str, typer.Option(help="Only these methods, separated by `;`. (default: all)")
    ] = "",
    cell: Annotated[str, typer.Option(metavar="NAME", help="Make this one cell here.")] = "",
    quickly: Annotated[
        bool,
        typer.Option(
            "--quick", help="A few steps of four methods at one budget: tests the machinery."
        ),
    ] = False,
    table_only: Annotated[
        bool, typer.Option(help="Train nothing; a table of the cells that are complete.")
    ] = False,
    out: Path = Path("docs/figures"),
) -> None:
    """Every compressor x matching loss x budget on test patients, down to the packed bytes.

    Cells are processes of their own and are kept: interrupted, it goes on where it stopped.
    """
    chosen, folder = opened(recipe, run, threads)
    chosen = quick(chosen) if quickly else chosen
    numbers = [int(part) for part in seeds.split(",")]
    wanted = tuple(name.strip() for name in methods.split(";") if name.strip())
    wanted = wanted or (QUICK_METHODS if quickly else ())
    known = plans()
    if unknown := [name for name in wanted if name not in {method for method, _ in known}]:
        listed = "; ".join(sorted({method for method, _ in known}))
        raise RecipeError(f"method is {unknown[0]!r}, expected some of: {listed}")
    kept = {key: plan for key, plan in known.items() if not wanted or key[0] in wanted}
    if quickly:
        kept = {key: replace(plan, matchings=BOTH) for key, plan in kept.items()
                if key[1] == SHARES[-1]}  # fmt: skip
    prepared = prepared_for(chosen, folder, data)
    workshop = Workshop(chosen, prepared, teachers, folder, kept, quick=quickly)
    cells = cells_of(kept, numbers)
    if cell:
        _one(workshop, cells, cell)
        return
    if not table_only:
        _all(workshop, cells, jobs, _options(recipe, run, data, teachers, seeds, quickly))
    complete = [one for one in cells if workshop.done(one)]
    rows, differences = Table(workshop).figures(complete)
    named = f" {recipe}" if recipe else ""
    command = f"beatlens bench compress{named} --teachers {teachers} --seeds {seeds}"
    described = f"{workshop.prepared.description}; every third strip"
    write_figures(out / "compress.json", command, described, rows)
    write_figures(out / "compress_differences.json", command, described, differences)
    console.print(f"{out / 'compress.json'}: {len(complete)} of {len(cells)} cells")


def _one(workshop: Workshop, cells: Sequence[Cell], name: str) -> None:
    found = [one for one in cells if one.name == name]
    if not found:
        raise RecipeError(f"cell is {name!r}, expected one such as {cells[0].name!r}")
    workshop.make(found[0])


def _all(workshop: Workshop, cells: Sequence[Cell], jobs: int, options: list[str]) -> None:
    """Make what teachers and pools cells share, then the cells."""
    for seed in sorted({one.seed for one in cells}):
        workshop.reference(seed)
        workshop.pool(seed)
    with progress_bar("cells") as shown:

        def done(one: Cell, finished: int, total: int, seconds: float) -> None:
            shown(finished, total)
            console.print(f"{one.name}: {seconds:.0f} s")

        failed = run_cells(cells, workshop, cell_command(options), jobs, done)
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
    seeds: str,
    quickly: bool,
) -> list[str]:
    """The command line of a cell's process, without the cell."""
    options = [str(recipe)] if recipe else []
    for name, value in (("--run", run), ("--data", data)):
        options += [name, str(value)] if value else []
    options += ["--teachers", str(teachers), "--seeds", seeds, "--threads", "1"]
    return options + (["--quick"] if quickly else [])
