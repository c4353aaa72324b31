"""Features of the rhythm up to an instant, in integers: is it as irregular as atrial fibrillation?

Sinus rhythm with premature beats is irregular too, but differently. Between premature beats its
intervals stay alike, and where every second or third beat is premature, an interval is like the one
before the last. In atrial fibrillation neither holds. Two features of the last 48 RR intervals,
each in one of `BINS` steps of 1/256:

| feature | of |
|---|---|
| `sinus_irregularity` | median difference of successive intervals, ectopic ones left out |
| `alternate_irregularity` | median difference of each interval and the one before the last |

Each is divided by the mean of the intervals that it is of.

Ectopic intervals are those below 7/8 of the median and, as their compensatory pauses, the intervals
after them. A feature that is not known yet (fewer than 6 intervals, or fewer than 4 differences)
counts as `UNKNOWN`, the highest step: nothing speaks against fibrillation.

That ectopic intervals are left out before irregularity is judged is common (Lian et al. 2011 and
others before them); the limits are round numbers of ours (docs/lab-notebook.md). Needs numpy only.

>>> sinus = np.cumsum([100, 101, 99, 60, 140, 100, 100, 101, 60, 139, 100, 99])
>>> rhythm_features(sinus)
(2, 31)
>>> bigeminy = np.cumsum(20 * [60, 140])
>>> rhythm_features(bigeminy)[1]
0
>>> rhythm_features(np.cumsum(np.random.default_rng(0).integers(60, 140, 40)))
(31, 31)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from beatlens.errors import SignalError
from beatlens.signals.frontend import LSB_MV
from beatlens.signals.qrs import QrsDetector
from beatlens.signals.rr_features import BINS, LONGEST

FEATURES = ("sinus_irregularity", "alternate_irregularity")
STEPS = dict.fromkeys(FEATURES, 256)
"""Steps of a ratio of 1, by name."""
INTERVALS = 48
"""RR intervals that count: about 40 s."""
FEWEST, FEWEST_DIFFERENCES = 6, 4
UNKNOWN = BINS - 1
EARLY = 7, 8
"""A shorter interval than this part of the median is ectopic."""


class RhythmFeatures:
    """The same for a stream: R peaks one by one, features whenever they are asked for.

    >>> rhythm = RhythmFeatures()
    >>> for peak in range(0, 1000, 100):
    ...     rhythm.push(peak)
    >>> rhythm.measure()
    (0, 0)
    """

    def __init__(self) -> None:
        self._intervals: deque[int] = deque(maxlen=INTERVALS)
        self._last: int | None = None

    def push(self, peak: int) -> None:
        """Take an R peak, a sample number at 128 Hz.

        Raises:
            SignalError: the peak is not after the last one.
        """
        if self._last is not None:
            interval = min(peak - self._last, LONGEST)
            if interval < 1:
                raise SignalError(f"R peak at {peak}, expected one after the last at {self._last}")
            self._intervals.append(interval)
        self._last = peak

    def measure(self) -> tuple[int, ...]:
        """The features of the peaks so far, one per entry of `FEATURES`, 0 to `BINS - 1`."""
        intervals = list(self._intervals)
        if len(intervals) < FEWEST:
            return (UNKNOWN, UNKNOWN)
        return (
            _irregularity(_leave_out_ectopic(intervals), 1),
            _irregularity(intervals, 2),
        )


def rhythm_features(peaks: NDArray[np.integer]) -> tuple[int, ...]:
    """The features after the last of R peaks `[b]`, samples at 128 Hz in time order.

    Raises:
        SignalError: peaks are not in time order.
    """
    rhythm = RhythmFeatures()
    for peak in peaks:
        rhythm.push(int(peak))
    return rhythm.measure()


class RhythmTracker:
    """Samples in, the features at any sample: with the R peaks that are found by then.

    A peak is found about a quarter of a second late, the first ones after eight seconds, and an
    overdue one later; so features are those of the peaks that were *found* before a sample, which
    does not depend on the pieces that a stream comes in.
    """

    def __init__(self, lsb_mv: float = LSB_MV) -> None:
        self._detector, self._rhythm = QrsDetector(lsb_mv), RhythmFeatures()

    def push(self, x: NDArray[np.int8]) -> tuple[int, ...]:
        """Take samples int8 `[n]`; returns the features after the last of them."""
        for peak in self._detector.push(x):
            self._rhythm.push(peak)
        return self._rhythm.measure()


def track_rhythm(
    x: NDArray[np.int8], ends: Sequence[int], lsb_mv: float = LSB_MV
) -> NDArray[np.int64]:
    """The features at some samples of a recording, as a stream has them.

    Args:
        x: int8 `[n]`, front end output at 128 Hz.
        ends: how many samples have come, `[k]`, in rising order, each at most n.
        lsb_mv: of `x`.

    Returns:
        int64 `[k, 2]`.
    """
    tracker, found, at = RhythmTracker(lsb_mv), [], 0
    for end in ends:
        found.append(tracker.push(x[at:end]))
        at = end
    return np.array(found, np.int64).reshape(len(found), len(FEATURES))


def _leave_out_ectopic(intervals: Sequence[int]) -> list[int]:
    """Intervals that are neither early nor directly after an early one."""
    part, whole = EARLY
    least, median = part, _median(intervals)
    early = [whole * interval < least * median for interval in intervals]
    return [
        interval
        for interval, skipped, after in zip(intervals, early, [False, *early], strict=False)
        if not skipped and not after
    ]


def _irregularity(intervals: Sequence[int], lag: int) -> int:
    """Median difference of intervals `lag` apart, by their mean, in steps."""
    differences = [abs(a - b) for a, b in zip(intervals, intervals[lag:], strict=False)]
    if len(differences) < FEWEST_DIFFERENCES:
        return UNKNOWN
    steps = STEPS[FEATURES[0]]
    return min(BINS - 1, _median(differences) * steps * len(intervals) // sum(intervals))


def _median(values: Sequence[int]) -> int:
    """The upper one of the two in the middle."""
    return sorted(values)[len(values) // 2]
