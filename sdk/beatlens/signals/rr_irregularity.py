"""Irregularity of the RR intervals of the last minute, in integers: high in atrial fibrillation.

In atrial fibrillation an interval between beats is like none of those before it, and no beat is an
early one of an atrial focus. Where early beats are frequent intervals differ as much, but they come
again: every second, third or fourth one is alike. So each interval is held against the nearest of
the four before it; the median of the last 64 such distances, by the mean of the last 32 intervals
in steps of 1/256, is one more feature of a beat, `rr_irregularity`. (`rr_variability` of
`beatlens.signals.rr_features` holds each of 16 against the one before it, which bigeminy raises as
fibrillation does.)

That intervals change more in fibrillation is long known (Moody & Mark 1983; Lian et al. 2011 count
how many different ones there are). The nearest of four is ours: of what was tried on patients out
of fold it costs those with many early beats least (docs/limits.md). Needs numpy only.

>>> bigeminy = np.cumsum(40 * [60, 140])
>>> fibrillation = np.cumsum(np.random.default_rng(0).integers(60, 140, 80))
>>> int(rr_irregularity(bigeminy)[-1]), int(rr_irregularity(fibrillation)[-1])
(0, 16)
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from beatlens.errors import SignalError
from beatlens.signals.rr_features import BINS, LONGER, LONGEST

NEAREST_OF = 4
"""Intervals before one that it is held against."""
DISTANCES, FEWEST = 64, 16
"""Distances whose median counts, and the fewest that give one."""
STEPS = 256
"""Steps of the mean interval."""


class RRIrregularity:
    """The same for a stream, beat by beat.

    >>> beats = RRIrregularity()
    >>> [beats.push(peak) for peak in range(0, 300, 100)]
    [0, 0, 0]
    """

    def __init__(self) -> None:
        self._intervals: deque[int] = deque(maxlen=LONGER)
        self._distances: deque[int] = deque(maxlen=DISTANCES)
        self._last: int | None = None

    def push(self, peak: int) -> int:
        """Take an R peak; returns the irregularity of the RR intervals up to it, 0 to `BINS - 1`.

        Raises:
            SignalError: the peak is not after the last one.
        """
        last, self._last = self._last, peak
        if last is None:
            return 0
        interval = min(peak - last, LONGEST)
        if interval < 1:
            raise SignalError(f"R peak at {peak}, expected one after the last at {last}")
        if self._intervals:
            nearest = list(self._intervals)[-NEAREST_OF:]
            self._distances.append(min(abs(interval - other) for other in nearest))
        found = self._found()
        self._intervals.append(interval)
        return found

    def _found(self) -> int:
        """By the mean of the intervals before the newest."""
        count = len(self._distances)
        if count < FEWEST:
            return 0
        median = sorted(self._distances)[count // 2]
        return min(BINS - 1, median * STEPS * len(self._intervals) // sum(self._intervals))


def rr_irregularity(peaks: NDArray[np.integer]) -> NDArray[np.int64]:
    """Irregularity of the RR intervals up to every beat of a recording.

    Args:
        peaks: R peaks `[b]` in samples at 128 Hz, in time order.

    Returns:
        int64 `[b]`, 0 to `BINS - 1`.

    Raises:
        SignalError: peaks are not in time order.
    """
    beats = RRIrregularity()
    return np.array([beats.push(int(peak)) for peak in peaks], np.int64)
