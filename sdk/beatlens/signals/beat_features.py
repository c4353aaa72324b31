"""Features of a beat beside the evidence around it: RR ratios, and similarity to other beats.

The six features of `beatlens.signals.rr_features`, and those of `beatlens.signals.morphology` and
`beatlens.signals.rr_irregularity`, in integers, for a recording or a stream. Needs numpy only.

>>> x, peaks = np.zeros(1000, np.int8), np.arange(50, 1000, 100)
>>> beat_features(x, peaks)[9].tolist()
[16, 16, 16, 16, 16, 0, 0, 0]
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from beatlens.signals.morphology import SEEN, MorphologySimilarity, cut_qrs, morphology_similarity
from beatlens.signals.morphology import STEPS as SHARES
from beatlens.signals.qrs import RECENT
from beatlens.signals.rr_features import STEPS as RATIOS
from beatlens.signals.rr_features import RRFeatures, rr_features
from beatlens.signals.rr_irregularity import STEPS as OF_MEAN
from beatlens.signals.rr_irregularity import RRIrregularity, rr_irregularity

STEPS = {**RATIOS, "morphology_similarity": SHARES, "rr_irregularity": OF_MEAN}
"""Steps of a feature of 1, by name."""
FEATURES = tuple(STEPS)
TRAINED = FEATURES[:-1]
"""Features whose tables are trained; that of `rr_irregularity` is set by the decision rule."""
KEPT = RECENT + 2 * SEEN
"""Samples that a stream keeps: the detector finds a beat that late, and looks as far beyond it."""


def beat_features(x: NDArray[np.int8], peaks: NDArray[np.integer]) -> NDArray[np.int64]:
    """The features of every beat of a recording.

    Args:
        x: int8 `[n]`, front end output at 128 Hz.
        peaks: R peaks `[b]` in samples, in time order.

    Returns:
        int64 `[b, 8]`, one column per entry of `FEATURES`, values 0 to 31.

    Raises:
        SignalError: peaks are not in time order.
    """
    return np.column_stack(
        [rr_features(peaks), morphology_similarity(x, peaks), rr_irregularity(peaks)]
    )


class BeatFeatures:
    """The same for a stream: a beat's features are certain when the next beat is there.

    Samples come first, then the R peaks that were found in them; at a peak the stream has seen
    `AFTER + SHIFT` samples beyond it, or has ended.
    """

    def __init__(self) -> None:
        self._rhythm, self._morphology = RRFeatures(), MorphologySimilarity()
        self._irregularity = RRIrregularity()
        self._x, self._first = np.zeros(0, np.int8), 0
        self._of_last = 0, 0

    def add_samples(self, x: NDArray[np.int8]) -> None:
        """Take samples int8 `[n]`."""
        self._x = np.concatenate([self._x, x])
        # Behind what is new all that a late beat may need is kept.
        gone = max(0, len(self._x) - len(x) - KEPT)
        self._x, self._first = self._x[gone:], self._first + gone

    def push(self, peak: int) -> tuple[int, ...] | None:
        """Take an R peak; returns the features of the one before it, if there was one.

        Raises:
            SignalError: the peak is not after the last one.
        """
        rhythm = self._rhythm.push(peak)
        found = None if rhythm is None else (*rhythm, *self._of_last)
        samples = cut_qrs(self._x, np.array([peak - self._first]))[0]
        self._of_last = self._morphology.push(samples), self._irregularity.push(peak)
        return found

    def end(self) -> tuple[int, ...] | None:
        """End the stream: the features of the last beat. What is pushed next begins a new one."""
        rhythm = self._rhythm.end()
        found = None if rhythm is None else (*rhythm, *self._of_last)
        self.__init__()  # type: ignore[misc]
        return found
