"""Evidence in a few discrete levels: the same edges for teacher and device, so that they compare.

Only evidence *for* the class is drawn. A continuous shade would ask the eye for more than the map
says; three steps of one hue, in lightness, survive a grey print and any colour vision.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import floor, log10

import numpy as np

from beatlens.errors import DataError
from beatlens.report.views import MapView, StripView, check_edges

LEVEL_NAMES = ("none", "weak", "medium", "strong")
# Blue, lighter to darker; black on the darkest has a contrast of 6.6 to 1.
LEVEL_COLOURS = ("#ffffff", "#cfe3f5", "#8fc0e6", "#4a94cf")
# The edges as fractions of the top, which is the 95th percentile of all positive evidence.
FRACTIONS = (0.2, 0.5, 0.8)
TOP_PERCENTILE = 95
# Below one logit (odds times e) nothing counts as strong, however small the rest of the map is.
LEAST_TOP = 1.0


def quantise(evidence: np.ndarray, edges: Sequence[float]) -> np.ndarray:
    """Return the level 0 to 3 of each column, int `[T]`: how many edges the evidence reaches.

    >>> quantise(np.array([-9.0, 0.9, 1.0, 2.5, 4.0]), (1.0, 2.0, 4.0)).tolist()
    [0, 0, 1, 2, 3]
    """
    check_edges("evidence", edges)
    values = np.asarray(evidence, dtype=float)
    if not np.isfinite(values).all():
        raise DataError("evidence has values that are not finite; draw only computed maps")
    return np.searchsorted(np.asarray(edges, dtype=float), values, side="right")


def runs(levels: np.ndarray) -> list[tuple[int, int, int]]:
    """Return `(first column, one past the last, level)` of each run of one level above 0.

    >>> runs(np.array([0, 2, 2, 1, 0]))
    [(1, 3, 2), (3, 4, 1)]
    """
    starts = np.flatnonzero(np.diff(levels, prepend=-1))
    stops = np.append(starts[1:], len(levels))
    return [
        (int(a), int(b), int(levels[a]))
        for a, b in zip(starts, stops, strict=True)
        if levels[a] > 0
    ]


def level_edges(strips: Iterable[StripView], name: str) -> tuple[float, float, float]:
    """Return the three level edges for class `name` over all strips and both models together.

    Logit units, rounded to two digits so that the legend can state them exactly.
    """
    maps: list[MapView] = [m for strip in strips for m in strip.models if name in m.evidence]
    return find_edges([np.asarray(m.evidence[name], dtype=float) for m in maps])


def find_edges(maps: Iterable[np.ndarray]) -> tuple[float, float, float]:
    """Return the three level edges of evidence `[T]` in logit units, of all maps together.

    >>> find_edges([np.array([-3.0, 10.0]), np.array([10.0])])
    (2.0, 5.0, 8.0)
    """
    values = list(maps)
    positive = np.concatenate(values) if values else np.empty(0)
    positive = positive[positive > 0]
    top = float(np.percentile(positive, TOP_PERCENTILE)) if positive.size else 0.0
    first, second, third = (_two_digits(f * max(top, LEAST_TOP)) for f in FRACTIONS)
    return first, second, third


def _two_digits(value: float) -> float:
    return round(value, 1 - floor(log10(value)))
