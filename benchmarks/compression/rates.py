"""`python -m benchmarks compress-rates`: which learning rate each compressor retrains best with.

Two questions with one set of cells. Methods can only be compared where each has the rate that suits
it, so every one that retrains tries the same rates, and the best on *validation* patients is taken
(`RATES` of `compress_plans`). And Wang, Qin, Bai & Fu (arXiv 2105.05916) hold that the larger rate
wins after filter pruning because pruning breaks dynamical isometry: rows of methods that log the
Jacobian's singular values carry them as they were right after pruning and after retraining.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from beatlens.checked_read import checked_read
from benchmarks.compression.grid import Grid, GridCell

RATES_TRIED = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
SCORES = ("score", "spearman", "macro_ap")
MONITORED = ("jsv_mean", "jsv_min", "jsv_max")


def rate_cells(
    methods: Sequence[str],
    share: int,
    seed: int = 0,
    matching: str = "classwise",
    rates: Sequence[float] = RATES_TRIED,
) -> list[GridCell]:
    """One cell per method and rate."""
    return [GridCell(method, share, matching, seed, rate) for method in methods for rate in rates]


def rate_rows(grid: Grid, cells: Sequence[GridCell]) -> list[dict[str, Any]]:
    """What complete cells reached on validation patients; `best` marks each method's rate.

    `score` is the mean of `spearman` (agreement with the teacher) and `macro_ap`.
    """
    rows: list[dict[str, Any]] = []
    for cell in cells:
        path = grid.place(cell) / "cell.json"
        with checked_read(path, "a cell's results", "delete its folder, and it is made again"):
            about: dict[str, Any] = {**json.loads(path.read_text(encoding="utf-8"))}
        row: dict[str, Any] = {
            "method": cell.method, "share": cell.share, "matching": cell.matching,
            "seed": cell.seed, "rate": cell.rate, "seconds": about["seconds"],
            **{key: about["validated"][key] for key in SCORES},
        }  # fmt: skip
        rows.append(row | _monitored(about["log"]))
    for row in rows:
        rivals = [r["score"] for r in rows if all(r[k] == row[k] for k in ("method", "share"))]
        row["best"] = row["score"] == max(rivals)
    return rows


def _monitored(log: Sequence[dict[str, Any]]) -> dict[str, float]:
    """The Jacobian's singular values after pruning and after retraining, where they were logged."""
    found: dict[str, float] = {}
    for event in ("pruned", "retrained"):
        logged = [row for row in log if row["event"] == event and MONITORED[0] in row]
        if logged:
            found |= {f"{key}_{event}": logged[0][key] for key in MONITORED}
    return found
