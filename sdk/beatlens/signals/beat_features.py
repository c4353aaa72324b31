"""Features of a beat beside the evidence around it: RR ratios, and the patient's other beats.

The six features of `beatlens.signals.rr_features`, those of `beatlens.signals.morphology` and
`beatlens.signals.rr_irregularity`, and the nine of `beatlens.signals.patient_beats`, in integers,
for a recording or a stream. Needs numpy only.

>>> x, peaks = np.zeros(1000, np.int8), np.arange(50, 1000, 100)
>>> beat_features(x, peaks).values[9].tolist()
[16, 16, 16, 16, 16, 0, 0, 0, 16, 0, 16, 16, 31, 0, 0, 16, 16]
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from beatlens.signals.beat_shape import BEFORE, SEGMENT
from beatlens.signals.morphology import STEPS as SHARES
from beatlens.signals.morphology import MorphologySimilarity, cut_qrs, morphology_similarity
from beatlens.signals.patient_beats import STEPS as OF_PATIENT
from beatlens.signals.patient_beats import PatientBeats, patient_features
from beatlens.signals.qrs_decisions import RECENT
from beatlens.signals.rr_features import LONGEST, RRFeatures, rr_features
from beatlens.signals.rr_features import STEPS as RATIOS
from beatlens.signals.rr_irregularity import STEPS as OF_MEAN
from beatlens.signals.rr_irregularity import RRIrregularity, rr_irregularity

STEPS = {**RATIOS, "morphology_similarity": SHARES, "rr_irregularity": OF_MEAN, **OF_PATIENT}
"""Steps of a feature of 1, by name."""
FEATURES = tuple(STEPS)
TRAINED = FEATURES[: FEATURES.index("rr_irregularity")]
"""Features whose tables are trained with the network."""
KEPT = RECENT + 2 * SEGMENT
"""Samples that a stream keeps: the detector finds a beat that late, and looks as far beyond it."""


@dataclass(frozen=True)
class BeatRows:
    """Features of a recording's beats.

    Attributes:
        values: int64 `[b, 17]`, one column per entry of `FEATURES`, 0 to 31.
        clusters: int64 `[b]`, number of each beat's cluster.
        begins: bool `[b]`, whether the cluster begins with this beat.
    """

    values: NDArray[np.int64]
    clusters: NDArray[np.int64]
    begins: NDArray[np.bool_]


def beat_features(x: NDArray[np.int8], peaks: NDArray[np.integer]) -> BeatRows:
    """The features of every beat of a recording.

    Args:
        x: int8 `[n]`, front end output at 128 Hz.
        peaks: R peaks `[b]` in samples, in time order.

    Raises:
        SignalError: peaks are not in time order.
    """
    columns = [rr_features(peaks), morphology_similarity(x, peaks), rr_irregularity(peaks)]
    found = patient_features(x, peaks)
    values = np.column_stack([*columns, found.values])
    return BeatRows(values, found.clusters, found.begins)


@dataclass(frozen=True)
class BeatRow:
    """One beat's features, 0 to 31 in the order of `FEATURES`, and its cluster.

    `begins` says whether the cluster begins with it.
    """

    values: tuple[int, ...]
    cluster: int
    begins: bool


class BeatFeatures:
    """The same for a stream: a beat's features are certain when the next beat is there.

    Samples come first, then the R peaks that were found in them; at a peak the stream has seen
    `AFTER + SHIFT` samples of `beatlens.signals.morphology` beyond it, or has ended.

    Args:
        patient: what is known of the patient's beats from before a gap in the signal.
    """

    def __init__(self, patient: PatientBeats | None = None) -> None:
        self._patient = PatientBeats() if patient is None else patient
        self._rhythm, self._morphology = RRFeatures(), MorphologySimilarity()
        self._irregularity = RRIrregularity()
        self._x, self._first = np.zeros(0, np.int8), 0
        self._last: int | None = None
        self._interval: int | None = None
        self._segment = np.zeros(0, np.int8)
        self._of_last = 0, 0

    def add_samples(self, x: NDArray[np.int8]) -> None:
        """Take samples int8 `[n]`."""
        self._x = np.concatenate([self._x, x])
        self._fill_segment()
        # Behind what is new all that a late beat may need is kept.
        gone = max(0, len(self._x) - len(x) - KEPT)
        self._x, self._first = self._x[gone:], self._first + gone

    def push(self, peak: int) -> BeatRow | None:
        """Take an R peak; returns the features of the one before it, if there was one.

        Raises:
            SignalError: the peak is not after the last one.
        """
        rhythm = self._rhythm.push(peak)
        found = None if rhythm is None else self._row(rhythm)
        samples = cut_qrs(self._x, np.array([peak - self._first]))[0]
        self._of_last = self._morphology.push(samples), self._irregularity.push(peak)
        self._interval = None if self._last is None else min(peak - self._last, LONGEST)
        self._last = peak
        self._begin_segment()
        return found

    def end(self) -> BeatRow | None:
        """End the stream: the features of the last beat. What is pushed next begins a new one."""
        rhythm = self._rhythm.end()
        found = None if rhythm is None else self._row(rhythm)
        self.__init__(self._patient)  # type: ignore[misc]
        return found

    def _row(self, rhythm: tuple[int, ...]) -> BeatRow:
        """Of the last beat."""
        segment = np.pad(self._segment, (0, SEGMENT - len(self._segment))).astype(np.int64)
        beat = self._patient.push(segment, self._interval)
        return BeatRow((*rhythm, *self._of_last, *beat.features), beat.cluster, beat.begins)

    def _begin_segment(self) -> None:
        """Samples from `BEFORE` before the last peak on, as far as they are there."""
        assert self._last is not None
        start = self._last - BEFORE - self._first
        before = max(0, -start)
        self._segment = np.pad(self._x[max(0, start) :][: SEGMENT - before], (before, 0))

    def _fill_segment(self) -> None:
        """Append what came since to the last peak's samples."""
        if self._last is None or len(self._segment) == SEGMENT:
            return
        at = self._last - BEFORE + len(self._segment) - self._first
        more = self._x[at : at + SEGMENT - len(self._segment)]
        self._segment = np.concatenate([self._segment, more])
