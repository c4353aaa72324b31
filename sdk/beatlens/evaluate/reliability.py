"""Do probabilities mean what they say? Reliability by class, and calibration errors.

A class's probabilities fall into bins; a bin's mean probability is held against how often the class
was really there (DeGroot and Fienberg 1983; Niculescu-Mizil and Caruana, ICML 2005, section 4).
The expected calibration error (Naeini, Cooper and Hauskrecht, AAAI 2015, section 3) is the mean
distance of the two, bins weighted by what they hold. Intervals are by record.

>>> chances = np.array([[0.9, 0.1], [0.9, 0.1], [0.2, 0.8], [0.2, 0.8]])
>>> truth = np.array([[1, 0], [1, 0], [0, 1], [1, 0]], float)
>>> round(calibration_error(chances, truth), 3)
0.2
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beatlens.errors import SignalError
from beatlens.evaluate.bootstrap import interval, ratio_statistic

EDGES = (0.0, 0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98, 1.0)
"""Of bins; narrow where nearly all beats are."""
Floats = NDArray[np.float64]


def reliability_rows(
    probabilities: Floats, truth: Floats, records: NDArray[np.str_], classes: Sequence[str]
) -> list[dict[str, Any]]:
    """A row per class and bin that holds anything.

    Args:
        probabilities: `[b, C]`, 0 to 1.
        truth: `[b, C]`, 1 or 0, NaN where not known.
        records: `[b]`.
        classes: names of the C classes.

    Returns:
        `class`, `bin`, `count`, `records`, `probability` (mean in the bin) and `observed` with
        `observed_lo` and `observed_hi`, NaN for a bin of one record.

    Raises:
        SignalError: shapes that do not belong together.
    """
    _check(probabilities, truth)
    rows: list[dict[str, Any]] = []
    for c, name in enumerate(classes):
        known = np.isfinite(truth[:, c])
        chances, present, of = probabilities[known, c], truth[known, c], records[known]
        bins = _bins(chances)
        for number in range(len(EDGES) - 1):
            inside = bins == number
            if not inside.any():
                continue
            ends = float("nan"), float("nan")
            if len(set(of[inside])) > 1:
                statistic = ratio_statistic(present[inside], np.ones(int(inside.sum())))
                found = interval(statistic, of[inside])
                ends = found.lo, found.hi
            rows.append({
                "class": name,
                "bin": f"{EDGES[number]:g} to {EDGES[number + 1]:g}",
                "count": int(inside.sum()),
                "records": len(set(of[inside])),
                "probability": float(chances[inside].mean()),
                "observed": float(present[inside].mean()),
                "observed_lo": ends[0],
                "observed_hi": ends[1],
            })  # fmt: skip
    return rows


def calibration_error(probabilities: Floats, truth: Floats) -> float:
    """Expected calibration error, the mean over the classes; arguments as `reliability_rows`."""
    _check(probabilities, truth)
    errors = []
    for chances, present in zip(probabilities.T, truth.T, strict=True):
        known = np.isfinite(present)
        bins, gap = _bins(chances[known]), chances[known] - present[known]
        parts = [abs(gap[bins == number].sum()) for number in range(len(EDGES) - 1)]
        errors.append(sum(parts) / max(1, known.sum()))
    return float(np.mean(errors))


def _bins(chances: Floats) -> NDArray[np.int64]:
    return np.asarray(np.searchsorted(EDGES[1:-1], chances, side="right"), np.int64)


def _check(probabilities: Floats, truth: Floats) -> None:
    if probabilities.ndim != 2 or probabilities.shape != truth.shape:
        raise SignalError(
            f"probabilities are {list(probabilities.shape)}, truth is {list(truth.shape)}; "
            "expected one shape [b, C]"
        )
