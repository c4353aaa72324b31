"""The work of `python -m benchmarks compress`, `compress-rates` and `compress-tries`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from beatlens.errors import BeatlensError, RecipeError
from beatlens.evaluate.figures import merge_figures, write_figures
from beatlens.pipeline.train import read_teacher
from beatlens.report.tables import Row, load_figures
from beatlens.verbs.runs import use_threads
from beatlens.verbs.show import console, progress_bar, training_bar
from benchmarks.compression.grid import Grid, GridCell, all_seeds, list_cells, quick
from benchmarks.compression.headlines import Measurements, headlines
from benchmarks.compression.plans import SHARES, SMALL, WITH_AND_WITHOUT, Plan, plans, retraining
from benchmarks.compression.rates import RATES_TRIED, rate_cells, rate_rows
from benchmarks.compression.recipes import Tries
from benchmarks.compression.tables import (
    Table,
    cell_command,
    left_to_make,
    older_rows,
    run_cells,
    with_older,
)
from benchmarks.open_recipe import open_windows, read_window_recipe, read_windows

QUICK_METHODS = ("channels L1", "weights", "distilled", "evidence repair")
QUICK_RETRAINING = ("channels L1", "weights")


def compress(
    recipe: Path | None,
    run: Path | None,
    data: Path | None,
    threads: int | None,
    teachers: Path,
    seeds: str,
    jobs: int,
    shares: str,
    methods: str,
    cell: str,
    quickly: bool,
    table_only: bool,
    out: Path,
) -> None:
    """What `python -m benchmarks compress` does."""
    chosen, folder = open_windows(recipe, run, threads)
    chosen = quick(chosen) if quickly else chosen
    numbers = [int(part) for part in seeds.split(",")]
    kept = compared(methods, shares, quickly=quickly)
    prepared = read_windows(chosen, folder, data)
    grid = Grid(chosen, prepared, teachers, folder, kept, quick=quickly)
    cells = list_cells(kept, numbers)
    if cell:
        _one(grid, cells, cell)
        return
    basis = {seed: grid.basis(seed) for seed in numbers}
    missing = left_to_make(cells, older_rows(out / "compress.json", basis))
    if not table_only:
        options = _options(recipe, run, data, teachers, quickly)
        _all(grid, missing, jobs, "compress", [*options, "--seeds", seeds])
    _write_table(grid, missing, f"{recipe or ''} --teachers {teachers}", out)


def _write_table(grid: Grid, cells: Sequence[GridCell], of: str, out: Path) -> None:
    """Measure those of some cells that are complete and add their rows to the figures files."""
    complete = [one for one in cells if grid.done(one)]
    found = Table(grid).figures(complete)
    bases = {seed: grid.basis(seed) for seed in all_seeds(grid.teachers)}
    command = " ".join(f"python -m benchmarks compress {of}".split())
    described = f"{grid.prepared.description}; every third strip"
    rows, differences = (
        with_older(new, older_rows(out / f"{name}.json", bases), (method for method, _ in plans()))
        for name, new in zip(("compress", "compress_differences"), found, strict=True)
    )
    write_figures(out / "compress.json", command, described, rows)
    write_figures(out / "compress_differences.json", command, described, differences)
    claims = headlines(Measurements(rows, differences, _rates(out / "compress_rates.json")))
    write_figures(out / "compress_headlines.json", command, described, claims)
    console.print(f"{out / 'compress.json'}: {len(complete)} of {len(cells)} cells are new")


def _rates(path: Path) -> Sequence[Row]:
    """Rows of the learning rates' figures, if they are there."""
    return load_figures(path).rows if path.exists() else ()


def compress_rates(
    recipe: Path | None,
    run: Path | None,
    data: Path | None,
    threads: int | None,
    teachers: Path,
    share: int,
    jobs: int,
    methods: str,
    cell: str,
    quickly: bool,
    table_only: bool,
    out: Path,
) -> None:
    """What `python -m benchmarks compress-rates` does."""
    chosen, folder = open_windows(recipe, run, threads)
    chosen = quick(chosen) if quickly else chosen
    wanted = _named(methods, retraining()) or (QUICK_RETRAINING if quickly else retraining())
    kept = {key: plan for key, plan in plans().items() if key[0] in wanted and key[1] == share}
    if not kept:
        raise RecipeError(f"share is {share}, expected one of {', '.join(map(str, SHARES))}")
    prepared = read_windows(chosen, folder, data)
    grid = Grid(chosen, prepared, teachers, folder, kept, quick=quickly)
    cells = rate_cells(
        wanted, share, rates=RATES_TRIED[:: len(RATES_TRIED) - 1] if quickly else RATES_TRIED
    )
    if cell:
        _one(grid, cells, cell)
        return
    if not table_only:
        options = [*_options(recipe, run, data, teachers, quickly), "--share", str(share)]
        _all(grid, cells, jobs, "compress-rates", options)
    complete = [one for one in cells if grid.done(one)]
    command = f"python -m benchmarks compress-rates{f' {recipe}' if recipe else ''} --share {share}"
    described = f"{grid.prepared.description}; MEASURED ON VALIDATION PATIENTS"
    rows = rate_rows(grid, complete)
    merge_figures(out / "compress_rates.json", command, described, rows, key=("method", "share"))
    console.print(f"{out / 'compress_rates.json'}: {len(complete)} of {len(cells)} cells")


def compress_tries(
    recipes: list[Path],
    teacher: Path,
    run: Path,
    data: Path | None,
    threads: int | None,
    out: Path,
) -> None:
    """What `python -m benchmarks compress-tries` does."""
    use_threads(threads)
    chosen = [read_window_recipe(path) for path in recipes]
    prepared = read_windows(chosen[0], run, data)
    rows: list[dict[str, Any]] = []
    with training_bar("recipes") as report:
        tries = Tries(chosen, prepared, read_teacher(teacher, chosen[0]), run, report)
        for one in chosen:
            rows.append(tries.row(one))
            row = rows[-1]
            console.print(
                f"{one.name}: {row['packed_bytes']:,} bytes, Spearman {row['spearman']:.3f}, "
                f"macro AP {row['macro_ap']:.3f}"
            )
    command = f"python -m benchmarks compress-tries RECIPE... --teacher {teacher}"
    described = f"{prepared.description}; MEASURED ON VALIDATION PATIENTS"
    merge_figures(out / "compress_tries.json", command, described, rows, key=("recipe", "seed"))


def _named(methods: str, known: Sequence[str]) -> tuple[str, ...]:
    """The methods of an option's text, in its order."""
    wanted = tuple(name.strip() for name in methods.split(";") if name.strip())
    if unknown := [name for name in wanted if name not in known]:
        raise RecipeError(f"method is {unknown[0]!r}, expected some of: {'; '.join(sorted(known))}")
    return wanted


def compared(methods: str, shares: str, *, quickly: bool) -> dict[tuple[str, int], Plan]:
    """The plans of the options' texts, all where they are empty; of a quick benchmark a few."""
    known = plans()
    wanted = _named(methods, [*{method: None for method, _ in known}])
    wanted = wanted or (QUICK_METHODS if quickly else ())
    budgets = [share.strip() for share in shares.split(",") if share.strip()]
    if unknown := [share for share in budgets if share not in map(str, SHARES)]:
        allowed = ", ".join(map(str, SHARES))
        raise RecipeError(f"share is {unknown[0]!r}, expected some of: {allowed}")
    taken = [int(share) for share in budgets] or ((SMALL,) if quickly else SHARES)
    kept = {
        (method, share): plan
        for (method, share), plan in known.items()
        if share in taken and (not wanted or method in wanted)
    }
    if quickly:
        kept = {key: replace(plan, matchings=WITH_AND_WITHOUT) for key, plan in kept.items()}
    if not kept:
        raise RecipeError(f"no such plan: methods {methods!r} at shares {shares or SMALL}")
    return kept


def _one(grid: Grid, cells: Sequence[GridCell], name: str) -> None:
    found = [one for one in cells if one.name == name]
    if not found:
        raise RecipeError(f"cell is {name!r}, expected one such as {cells[0].name!r}")
    grid.make(found[0])


def _all(grid: Grid, cells: Sequence[GridCell], jobs: int, verb: str, options: list[str]) -> None:
    """Make the caches that cells share, then the cells."""
    for seed in sorted({one.seed for one in cells}):
        grid.cache(seed)
    with progress_bar("cells") as shown:

        def done(one: GridCell, finished: int, total: int, seconds: float) -> None:
            shown(finished, total)
            console.print(f"{one.name}: {seconds:.0f} s")

        failed = run_cells(cells, grid, cell_command(verb, options), jobs, done)
    if failed:
        where = grid.place(failed[0]) / "log.txt"
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
