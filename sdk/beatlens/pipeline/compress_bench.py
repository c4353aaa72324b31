"""`beatlens bench compress`: every compressor, with and without matching, in one table.

Cells run as separate processes (`beatlens bench compress --cell NAME`), a few at a time; what they
left is measured here. Rows are held against the float teacher on the same test strips; differences
pair a cell with the same cell trained without matching, record by record.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from beatlens.errors import BeatlensError
from beatlens.evaluate.bootstrap import paired_difference
from beatlens.evaluate.strips import Measured, Reference, Run, measure, row_of
from beatlens.pipeline.compress_cells import Cell, Workshop

Done = Callable[[Cell, int, int, float], None]
PAIRED = ("macro_ap", "loc_auc_pvc", "point_pvc", "spearman", "spearman_p5", "same_peak")


def run_cells(
    cells: Sequence[Cell],
    workshop: Workshop,
    command: Sequence[str],
    jobs: int,
    done: Done,
) -> list[Cell]:
    """Run the cells that are not complete, `jobs` at a time, each as a process of its own.

    Args:
        cells: what is wanted.
        workshop: knows which are complete.
        command: to which `--cell NAME` is added.
        jobs: processes at a time.
        done: called after each with (cell, how many are done, how many there are, seconds).

    Returns:
        Cells that failed; what they said is in `cells/NAME/log.txt`.
    """
    left = [cell for cell in cells if not workshop.done(cell)]
    failed: list[Cell] = []
    finished = 0

    def one(cell: Cell) -> None:
        nonlocal finished
        place = workshop.place(cell)
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
    """The command `beatlens bench VERB` that runs one cell with this very Python."""
    return [sys.executable, "-m", "beatlens", "bench", verb, *options]


@dataclass(frozen=True)
class Table:
    """Measures complete cells."""

    workshop: Workshop
    replicates: int = 1000

    def figures(self, cells: Sequence[Cell]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Rows of the cells (and of each seed's teacher), and their paired differences."""
        rows: list[dict[str, Any]] = []
        differences: list[dict[str, Any]] = []
        for seed in sorted({cell.seed for cell in cells}):
            run, thresholds = self.workshop.reference(seed)
            reference = Reference(run, thresholds)
            teacher = measure(self.workshop.strips, run, thresholds, reference)
            size = 4 * self.workshop.teacher(seed).weights
            about = {"method": "teacher", "start": "-", "share": 1, "matching": "-"}
            figures = row_of(teacher, self.replicates)
            rows.append({**about, "form": "float", "seed": seed, "bytes": size, **figures})
            measured: dict[tuple[str, int, str], Measured] = {}
            for cell in (c for c in cells if c.seed == seed):
                one = self._measured(cell, reference)
                measured[cell.method, cell.share, cell.matching] = one
                rows.append(self._row(cell, one))
            differences += self._differences(seed, measured)
        return rows, differences

    def _measured(self, cell: Cell, reference: Reference) -> Measured:
        run = Run.load(self.workshop.place(cell) / "int8-test.npz")
        return measure(self.workshop.strips, run, reference.thresholds, reference)

    def _row(self, cell: Cell, one: Measured) -> dict[str, Any]:
        path = self.workshop.place(cell) / "cell.json"
        try:
            about = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise BeatlensError(f"{path}: damaged ({error}); delete its folder") from error
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
            **row_of(one, self.replicates),
        }

    def _differences(
        self, seed: int, measured: dict[tuple[str, int, str], Measured]
    ) -> list[dict[str, Any]]:
        """Each matched cell less the same cell without matching, paired by record."""
        rows: list[dict[str, Any]] = []
        for (method, share, matching), ours in measured.items():
            plain = measured.get((method, share, "none"))
            if matching == "none" or plain is None:
                continue
            row: dict[str, Any] = {
                "method": method, "share": share, "matching": matching, "less": "none",
                "seed": seed,
            }  # fmt: skip
            first, second = ours.statistics(), plain.statistics()
            for key in PAIRED:
                found = paired_difference(
                    first[key], second[key], self.workshop.strips.records, n=self.replicates
                )
                row |= {key: found.estimate, f"{key}_lo": found.lo, f"{key}_hi": found.hi}
            rows.append(row)
        return rows
