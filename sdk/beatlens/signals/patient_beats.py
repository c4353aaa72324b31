"""A beat held against the patient's own beats: nine features, in integers.

| feature | of | step |
|---|---|---|
| `rr_over_long_mean` | interval before the beat, by the mean of about 64 before it | 1/16 |
| `cluster_share` | count of the beat's cluster, by that of all (`beatlens.signals.beat_clusters`) | 1/31 |
| `cluster_rr` | interval before the beats of its cluster, about the last eight, by the long mean | 1/16 |
| `usual_similarity` | correlation with the usual beat | 1/16, 16 is none |
| `qrs_width`, `qrs_steepness`, `qrs_area`, `t_wave`, `p_wave` | see `beatlens.signals.beat_shape` | |

What a beat is held against is what was known before it. Needs numpy only.
"""  # noqa: E501

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from beatlens.signals.beat_clusters import CLUSTERS, BeatClusters
from beatlens.signals.beat_shape import BEFORE, SEGMENT, UsualBeat, measure
from beatlens.signals.morphology import BEFORE as QRS_BEFORE
from beatlens.signals.morphology import LENGTH, SHIFT
from beatlens.signals.rr_features import BINS, LONGEST, RATIO_STEPS

STEPS = {
    "rr_over_long_mean": RATIO_STEPS,
    "cluster_share": BINS - 1,
    "cluster_rr": RATIO_STEPS,
    "usual_similarity": 16,
    "qrs_width": 1,
    "qrs_steepness": BINS,
    "qrs_area": 8,
    "t_wave": 16,
    "p_wave": 16,
}
"""Steps of a feature of 1, by name."""
FEATURES = tuple(STEPS)
LONG = 64
"""Intervals that the long mean is of, about."""
CLUSTER_RR = 3
"""A cluster's interval moves by 1 / 2^CLUSTER_RR of the difference a beat."""
FRACTION = 4
"""Bits after the point of a cluster's interval."""
QRS = slice(BEFORE - QRS_BEFORE - SHIFT, BEFORE - QRS_BEFORE + SHIFT + LENGTH)


@dataclass(frozen=True)
class PatientBeat:
    """A beat held against the others: its features, and the number of its cluster.

    `begins` says whether the cluster begins with it.
    """

    features: tuple[int, ...]
    cluster: int
    begins: bool


@dataclass(frozen=True)
class PatientRows:
    """The same of a recording: int64 `[b, 9]`, int64 `[b]` and bool `[b]`."""

    values: NDArray[np.int64]
    clusters: NDArray[np.int64]
    begins: NDArray[np.bool_]


class PatientBeats:
    """The features of a recording's beats, beat by beat.

    Attributes:
        clusters: of the beats so far.
    """

    def __init__(self) -> None:
        self.clusters = BeatClusters()
        self._usual: list[UsualBeat | None] = [None] * CLUSTERS
        self._cluster_rr = [0] * CLUSTERS
        self._mean, self._count = 0, 0

    def push(self, segment: NDArray[np.int64], interval: int | None) -> PatientBeat:
        """Take a beat; returns its features and its cluster.

        Args:
            segment: int64 `[SEGMENT]` around its R peak, 0 where there are no samples.
            interval: samples since the R peak before it; None: there is none.
        """
        mean = self._long_mean(interval)
        beat, last_usual = measure(segment), self.clusters.usual
        found = self.clusters.push(segment[QRS])
        usual = self._usual[last_usual]
        compared = (8, 16, BINS - 1) if usual is None else usual.compare(beat)
        rr = self._push_cluster_rr(found.number, found.is_new, interval)
        own = self._usual[found.number]
        if found.is_new or own is None:
            self._usual[found.number] = UsualBeat(beat)
        else:
            own.add(beat)
        self._remember(interval)
        features = (
            RATIO_STEPS if interval is None else _ratio(interval << FRACTION, mean),
            found.share,
            RATIO_STEPS if not rr else _ratio(rr, mean),
            min(BINS - 1, (found.to_usual + 256) >> 4),
            beat.width,
            beat.steepness,
            *compared,
        )
        return PatientBeat(features, found.number, found.is_new)

    def _long_mean(self, interval: int | None) -> int:
        """Mean interval before this one, times 2^FRACTION."""
        if self._count:
            return self._mean
        return max(1, interval or 1) << FRACTION

    def _remember(self, interval: int | None) -> None:
        if interval is None:
            return
        self._count = min(LONG, self._count + 1)
        self._mean += ((interval << FRACTION) - self._mean) // self._count

    def _push_cluster_rr(self, number: int, is_new: bool, interval: int | None) -> int:
        """The cluster's interval with this beat's, times 2^FRACTION; 0: none is known."""
        if is_new:
            self._cluster_rr[number] = 0
        if interval is not None:
            now = interval << FRACTION
            old = self._cluster_rr[number] or now
            self._cluster_rr[number] = old + ((now - old) >> CLUSTER_RR)
        return self._cluster_rr[number]


def _ratio(part: int, whole: int) -> int:
    return min(BINS - 1, RATIO_STEPS * part // whole)


def patient_features(x: NDArray[np.int8], peaks: NDArray[np.integer]) -> PatientRows:
    """Features and clusters of every beat of a recording.

    Args:
        x: int8 `[n]`, front end output at 128 Hz.
        peaks: R peaks `[b]` in samples, in time order.
    """
    padded = np.pad(x.astype(np.int64), SEGMENT)
    beats, found = PatientBeats(), []
    before: int | None = None
    for peak in np.asarray(peaks).tolist():
        first = peak + SEGMENT - BEFORE
        interval = None if before is None else min(peak - before, LONGEST)
        found.append(beats.push(padded[first : first + SEGMENT], interval))
        before = peak
    values = np.array([beat.features for beat in found], np.int64)
    return PatientRows(
        values.reshape(len(found), len(FEATURES)),
        np.array([beat.cluster for beat in found], np.int64),
        np.array([beat.begins for beat in found], bool),
    )
