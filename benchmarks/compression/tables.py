"""`python -m benchmarks compress`: every compressor, with and without matching, in one table.

Cells run as separate processes (`python -m benchmarks compress --cell NAME`), a few at a time; what
they left is measured here. Rows are held against the float teacher on the same test strips;
differences pair a cell with the same cell trained without matching, and with the teacher, record by
record.

The table is kept with the teachers it was measured with (`basis`), so that it may be completed on
another machine: what the figures files have already is not made again (`left_to_make`), and is
there in the next table (`with_older`).
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beatlens.checked_read import checked_read
from beatlens.evaluate.bootstrap import paired_difference
from beatlens.report.tables import Row
from beatlens.tasks.windows.metrics import Measured, Reference, Run, format_row, measure
from benchmarks.compression.grid import Grid, GridCell
from benchmarks.compression.plans import PAPER, WITH_AND_WITHOUT

Done = Callable[[GridCell, int, int, float], None]
Result = dict[str, Any]
DECIDED = ("macro_ap", "loc_auc_pvc", "point_pvc")
PAIRED = (*DECIDED, "spearman", "spearman_p5", "same_peak")
NAMED = ("method", "share", "matching", "seed")
"""What names a cell in its rows; differences have `less` besides."""


def older_rows(path: Path, bases: Mapping[int, str]) -> list[Row]:
    """Rows of a figures file that were measured with these very teachers, by seed, and recipe."""
    if not path.exists():
        return []
    with checked_read(path, "a figures file", "delete it, or name another folder"):
        rows: list[Row] = json.loads(path.read_text(encoding="utf-8"))["rows"]
        return [row for row in rows if bases.get(row["seed"]) == row.get("basis")]


def left_to_make(cells: Sequence[GridCell], measured: Iterable[Row]) -> list[GridCell]:
    """The cells without a row yet, and those that are paired with one of them."""

    def paired(cell: GridCell) -> tuple[str, int, int]:
        return cell.method, cell.share, cell.seed

    known = {tuple(row[key] for key in NAMED) for row in measured}
    missing = {
        paired(cell)
        for cell in cells
        if (cell.method, cell.share, cell.matching, cell.seed) not in known
    }
    return [cell for cell in cells if paired(cell) in missing]


def with_older(rows: Sequence[Row], older: Sequence[Row], plans: Iterable[str]) -> list[Row]:
    """New rows and the older ones they do not replace, by budget and in the order of the plans."""

    def name(row: Row) -> tuple[Any, ...]:
        return *(row[key] for key in NAMED), row.get("less")

    new = {name(row) for row in rows}
    order = {method: place for place, method in enumerate(dict.fromkeys(("teacher", *plans)))}
    matchings = ("-", *WITH_AND_WITHOUT, *PAPER)

    def place(row: Row) -> tuple[int, ...]:
        share, method = row["share"], order.get(row["method"], len(order))
        return share, method, matchings.index(row["matching"]), row["seed"]

    return sorted([*rows, *(row for row in older if name(row) not in new)], key=place)


def run_cells(
    cells: Sequence[GridCell],
    grid: Grid,
    command: Sequence[str],
    jobs: int,
    done: Done,
) -> list[GridCell]:
    """Run the cells that are not complete, `jobs` at a time, each as a process of its own.

    Args:
        cells: what is wanted.
        grid: knows which are complete.
        command: to which `--cell NAME` is added.
        jobs: processes at a time.
        done: called after each with (cell, how many are done, how many there are, seconds).

    Returns:
        Cells that failed; their output is in `cells/NAME/log.txt`.
    """
    left = [cell for cell in cells if not grid.done(cell)]
    failed: list[GridCell] = []
    finished = 0

    def one(cell: GridCell) -> None:
        nonlocal finished
        place = grid.place(cell)
        place.mkdir(parents=True, exist_ok=True)
        started = time.perf_counter()
        with (place / "log.txt").open("w", encoding="utf-8") as log:
            code = subprocess.run(
                [*command, "--cell", cell.name], stdout=log, stderr=subprocess.STDOUT, check=False
            ).returncode
        if code:
            failed.append(cell)
        finished += 1
        done(cell, finished, len(left), time.perf_counter() - started)

    with ThreadPoolExecutor(jobs) as crew:
        list(crew.map(one, left))
    return failed


def cell_command(verb: str, options: Sequence[str]) -> list[str]:
    """The command `python -m benchmarks VERB` that runs one cell with this very Python."""
    return [sys.executable, "-m", "benchmarks", verb, *options]


def _logged(log: Sequence[Row]) -> dict[str, float | None]:
    """Figures of a method's log, None for other methods: how many times fewer weights the
    layers with blocks have, bits per weight of coded kernels, how long a fit of the head took.
    """
    blocks = [row for row in log if row["event"] == "blocks"]
    kept, of = (sum(row[key] for row in blocks) for key in ("weights", "of"))
    coded = [row["bits_per_weight"] for row in log if "bits_per_weight" in row]
    fitted = [row["seconds"] for row in log if row["event"] == "fitted"]
    return {
        "covered_times": of / kept if blocks else None,
        "bits_per_weight": coded[-1] if coded else None,
        "fit_seconds": sum(fitted) if fitted else None,
    }


@dataclass(frozen=True)
class Table:
    """Measures complete cells."""

    grid: Grid
    replicates: int = 1000

    def figures(self, cells: Sequence[GridCell]) -> tuple[list[Result], list[Result]]:
        """Rows of the cells (and of each seed's teacher), and their paired differences."""
        rows: list[dict[str, Any]] = []
        differences: list[dict[str, Any]] = []
        for seed in sorted({cell.seed for cell in cells}):
            run, thresholds = self.grid.reference(seed)
            reference = Reference(run, thresholds)
            teacher = self._measure(run, thresholds, reference)
            size = 4 * self.grid.teacher(seed).weights
            basis = {"seed": seed, "basis": self.grid.basis(seed)}
            about = {"method": "teacher", "start": "-", "share": 1, "matching": "-"}
            figures = format_row(teacher, self.replicates)
            rows.append({**about, "form": "float", **basis, "bytes": size, **figures})
            measured: dict[tuple[str, int, str], Measured] = {}
            for cell in (c for c in cells if c.seed == seed):
                one = self._measured(cell, reference)
                measured[cell.method, cell.share, cell.matching] = one
                rows.append(self._row(cell, one) | basis)
            differences += [row | basis for row in self._differences(measured, teacher)]
        return rows, differences

    def _measured(self, cell: GridCell, reference: Reference) -> Measured:
        run = Run.load(self.grid.place(cell) / "int8-test.npz")
        return self._measure(run, reference.thresholds, reference)

    def _measure(self, run: Run, thresholds: NDArray[np.float64], reference: Reference) -> Measured:
        classes = self.grid.recipe.task.classes
        return measure(classes, self.grid.strips, run, thresholds, reference)

    def _row(self, cell: GridCell, one: Measured) -> dict[str, Any]:
        path = self.grid.place(cell) / "cell.json"
        with checked_read(path, "a cell's results", "delete its folder, and it is made again"):
            about: dict[str, Any] = {**json.loads(path.read_text(encoding="utf-8"))}
        return {
            "method": cell.method,
            "start": about["start"],
            "share": cell.share,
            "matching": cell.matching,
            "form": "int8",
            "seed": cell.seed,
            **about["account"],
            **{key: about["weights"][key] for key in ("weights", "nonzero")},
            "seconds": about["seconds"],
            **_logged(about["log"]),
            **format_row(one, self.replicates),
        }

    def _differences(
        self, measured: dict[tuple[str, int, str], Measured], teacher: Measured
    ) -> list[dict[str, Any]]:
        """Each cell less the teacher, each matched one less the same without matching."""
        rows: list[dict[str, Any]] = []
        for (method, share, matching), cell in measured.items():
            about = {"method": method, "share": share, "matching": matching}
            rows.append({**about, "less": "teacher", **self._less(cell, teacher, DECIDED)})
            plain = measured.get((method, share, "none"))
            if matching != "none" and plain is not None:
                rows.append({**about, "less": "none", **self._less(cell, plain, PAIRED)})
        return rows

    def _less(self, one: Measured, other: Measured, keys: Sequence[str]) -> dict[str, float]:
        """One network's figures less another's, paired by record."""
        first, second = one.statistics(), other.statistics()
        row: dict[str, float] = {}
        for key in keys:
            found = paired_difference(
                first[key], second[key], self.grid.strips.records, n=self.replicates
            )
            row |= {key: found.estimate, f"{key}_lo": found.lo, f"{key}_hi": found.hi}
        return row
