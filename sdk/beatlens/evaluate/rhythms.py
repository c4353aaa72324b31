"""Episodes of a rhythm out of evidence over whole recordings, held against annotations.

A column belongs to an episode where the span around it, as long as a decision's, is decided for the
rhythm; near the ends of a recording the span is moved in. So an episode is what a stream's
decisions say, laid on the middles of their spans.

>>> evidence = np.repeat([-1.0, 3.0, -1.0], [40, 40, 40])
>>> inside_episodes(evidence, level=0.0, span=10).nonzero()[0][[0, -1]].tolist()
[38, 82]
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from beatlens.errors import SignalError
from beatlens.evaluate.bootstrap import interval, ratio_statistic
from beatlens.evaluate.episodes import EpisodeCounts
from beatlens.signals.annotations import Annotations
from beatlens.signals.frontend import MODEL_RATE_HZ

EPISODE, REST = "(AFIB", "(N"


def inside_episodes(
    evidence: NDArray[np.floating], level: float | NDArray[np.floating], span: int
) -> NDArray[np.bool_]:
    """Which columns `[T]` belong to an episode.

    Args:
        evidence: of one class, `[T]`, in logit units.
        level: the logit that a span's mean has to reach, one or `[T]`.
        span: columns of a decision.

    Raises:
        SignalError: the recording is shorter than a span.
    """
    columns = len(evidence)
    if columns < span:
        raise SignalError(f"the recording has {columns} columns, expected at least a span's {span}")
    upto = np.pad(evidence.astype(np.float64).cumsum(), (1, 0))
    first = np.clip(np.arange(columns) - span // 2, 0, columns - span)
    means = (upto[first + span] - upto[first]) / span
    return np.asarray(means >= level)


def rhythm_annotations(
    inside: NDArray[np.bool_], name: str, stride: int, samples: int, rate_hz: int
) -> Annotations:
    """Episodes as WFDB rhythm changes, `(AFIB` and `(N`, the first at sample 0.

    Args:
        inside: columns in an episode, `[T]`.
        name: of the record.
        stride: samples of a column at 128 Hz.
        samples, rate_hz: of the record.
    """
    changes = np.flatnonzero(np.diff(inside.astype(np.int8), prepend=2))
    at = np.round(changes * stride * rate_hz / MODEL_RATE_HZ).astype(np.int64)
    kept = at < samples
    changes, at = changes[kept], at[kept]
    none = np.zeros(len(at), np.int64)
    aux = tuple(EPISODE if inside[column] else REST for column in changes.tolist())
    return Annotations(name, samples, at, np.full(len(at), "+"), none, aux)


def episode_row(counts: Mapping[str, EpisodeCounts]) -> dict[str, float]:
    """Gross figures of records in percent, with intervals by record.

    `episode_` and `duration_`, each `sensitivity` and `predictivity`; and `episodes`, those of the
    reference.
    """
    found = list(counts.values())
    row: dict[str, float] = {
        "episodes": float(sum(c.episodes_found + c.episodes_missed for c in found))
    }

    def numbers(name: str) -> NDArray[np.float64]:
        return np.array([getattr(count, name) for count in found], np.float64)

    for key, part, whole in (
        ("episode_sensitivity", "episodes_found", ("episodes_found", "episodes_missed")),
        ("episode_predictivity", "episodes_right", ("episodes_right", "episodes_wrong")),
        ("duration_sensitivity", "overlap", ("reference_length",)),
        ("duration_predictivity", "overlap", ("test_length",)),
    ):
        total = sum((numbers(name) for name in whole), np.zeros(len(found)))
        ends = interval(ratio_statistic(100 * numbers(part), total), np.arange(len(found)))
        row |= {key: ends.estimate, f"{key}_lo": ends.lo, f"{key}_hi": ends.hi}
    return row
