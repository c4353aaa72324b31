"""What five compression systems claim, and we of our matching, held against the table.

Everything is computed from the rows of `compress.json`, `compress_differences.json` and
`compress_rates.json`, so that a line can be checked by hand. A claim whose cells are not measured
yet has no line.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from beatlens.report.tables import Row
from benchmarks.compression.plans import LARGE, SMALL

POINT = 0.01
"""Of macro AP."""
TIMES_FASTER = 20
BLOCKS = 8
BITS = 1.6


@dataclass(frozen=True)
class Measurements:
    """Rows of the three figures files."""

    cells: Sequence[Row]
    differences: Sequence[Row]
    rates: Sequence[Row] = ()

    def cell(self, method: str, share: int, key: str) -> float | None:
        """Mean over seeds of a figure of a method's matched cells."""
        wanted = {"method": method, "share": share, "matching": "classwise"}
        return _mean([r.get(key) for r in self.cells if _has(r, wanted)])

    def lost(self, method: str, share: int) -> float | None:
        """Macro AP that the matched cells have less than the teacher, mean over seeds."""
        wanted = {"method": method, "share": share, "matching": "classwise", "less": "teacher"}
        found = _mean([r["macro_ap"] for r in self.differences if _has(r, wanted)])
        return None if found is None else -found


def _has(row: Row, wanted: Mapping[str, Any]) -> bool:
    return all(row.get(key) == value for key, value in wanted.items())


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None and not math.isnan(value)]
    return sum(known) / len(known) if known else None


def headlines(found: Measurements) -> list[dict[str, Any]]:
    """One row per claim: what was claimed, its figure and limit here, macro AP lost, met or not."""
    made = [claim(found) for claim in (_blocks, _kernels, _unified, _isometry, _manifold)]
    return [row for row in (*made, *_matching(found)) if row is not None]


def _line(
    system: str, figure: str, value: float, limit: float, lost: float | None, *, met: bool
) -> dict[str, Any]:
    return {"system": system, "figure": figure, "value": value, "limit": limit,
            "macro_ap_lost": lost, "met": "yes" if met else "no"}  # fmt: skip


def _blocks(found: Measurements) -> dict[str, Any] | None:
    """MPDCompress (arXiv 1805.12085): as many times fewer weights as blocks, < 1 point lost."""
    times, lost = (
        found.cell("permuted blocks", LARGE, "covered_times"),
        found.lost("permuted blocks", LARGE),
    )
    if times is None or lost is None:
        return None
    what = "times fewer products in the layers covered, from the teacher"
    return _line("MPDCompress", what, times, BLOCKS, lost, met=times >= BLOCKS and lost < POINT)


def _kernels(found: Measurements) -> dict[str, Any] | None:
    """Kernel quantization (arXiv 2003.05148): 1.05 to 1.62 bit a weight, < 2 points lost."""
    bits = found.cell("coded kernels", LARGE, "bits_per_weight")
    lost = found.lost("coded kernels", LARGE)
    if bits is None or lost is None:
        return None
    what = "bits a weight in the layers covered, codebook and indices, from the teacher"
    return _line(
        "kernel quantization", what, bits, BITS, lost, met=bits <= BITS and lost < 2 * POINT
    )


def _unified(found: Measurements) -> dict[str, Any] | None:
    """Micro-structured unification (arXiv 2106.08301): what its format saves, < 1 point lost."""
    method = "unified blocks"
    size, weights = found.cell(method, LARGE, "packed_bytes"), found.cell(method, LARGE, "weights")
    lost = found.lost(method, LARGE)
    if size is None or weights is None or lost is None:
        return None
    what = "share of the plain int8 weights' bytes that is saved, from the teacher"
    return _line("weight unification", what, 1 - size / weights, 0.0, lost, met=lost < POINT)


def _isometry(found: Measurements) -> dict[str, Any] | None:
    """Dynamical isometry (arXiv 2105.05916): a larger retraining rate wins after filter pruning."""
    rows = [row for row in found.rates if _has(row, {"method": "channels L1", "share": SMALL})]
    if len(rows) < 2:
        return None
    rows = sorted(rows, key=lambda row: row["rate"])
    gained = rows[-1]["spearman"] - rows[0]["spearman"]
    what = (
        f"Spearman gained by retraining at {rows[-1]['rate']:g} instead of {rows[0]['rate']:g} "
        "(validation patients)"
    )
    lost = rows[0]["macro_ap"] - rows[-1]["macro_ap"]
    return _line("dynamical isometry", what, gained, 0.0, lost, met=gained > 0)


def _manifold(found: Measurements) -> dict[str, Any] | None:
    """Manifold head (arXiv 2106.07905): as good as gradient fine-tuning in 1/20 of its time."""
    manifold, gradient = (
        [found.cell(f"head, {kind}", SMALL, key) for key in ("fit_seconds", "macro_ap")]
        for kind in ("manifold", "gradient")
    )
    if None in (*manifold, *gradient):
        return None
    times, lost = gradient[0] / manifold[0], gradient[1] - manifold[1]  # type: ignore[operator]
    what = "times faster than fine-tuning the head by gradient; macro AP less than its"
    met = times >= TIMES_FASTER and lost <= POINT
    return _line("manifold head", what, times, TIMES_FASTER, lost, met=met)


def _matching(found: Measurements) -> list[dict[str, Any]]:
    """Ours: classwise matching improves every method's fidelity and costs no accuracy."""
    wanted = {"matching": "classwise", "less": "none"}
    rows = [row for row in found.differences if _has(row, wanted)]
    if not rows:
        return []
    pairs = sorted({(row["method"], row["share"]) for row in rows})

    def least(key: str) -> float | None:
        means = [
            _mean([row[key] for row in rows if (row["method"], row["share"]) == pair])
            for pair in pairs
        ]
        return min((value for value in means if value is not None), default=None)

    gained, gain = least("spearman_lo"), least("macro_ap")
    if gained is None or gain is None:
        return []
    cost = -gain
    return [
        _line("classwise matching", f"least lower end of the Spearman gained, of {len(pairs)} "
              "methods and budgets", gained, 0.0, None, met=gained > 0),
        _line("classwise matching", f"most macro AP lost, of {len(pairs)} methods and budgets",
              cost, POINT, cost, met=cost <= POINT),
    ]  # fmt: skip
