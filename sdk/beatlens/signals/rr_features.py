"""Features of the RR intervals around a beat, in integers.

Six ratios of RR intervals, each in one of `BINS` steps. They are what the device looks up, so they
are whole numbers, the same everywhere; de Chazal et al. (2004, section III) and most after them use
such ratios as real numbers.

| feature | of | step |
|---|---|---|
| `prematurity` | interval before the beat, by the mean of the last 8 | 1/16 |
| `compensatory_pause` | interval after it, by the mean of the last 8 | 1/16 |
| `rr_over_mean` | interval before it, by the mean of the last 32 | 1/16 |
| `rr_difference` | interval before it, by the one before that | 1/16 |
| `rr_before_over_after` | interval before it, by the one after it | 1/16 |
| `rr_variability` | median of the last 16 changes of intervals, by the mean of the last 8 | 1/64 |

The last intervals are those before the one in question. Means, not medians: a heart whose early
beats are the rule has pauses, which a median does not see. Needs numpy only.

>>> regular = np.arange(0, 2000, 100)
>>> rr_features(regular)[10].tolist()
[16, 16, 16, 16, 16, 0]
>>> early = regular.copy()
>>> early[10] -= 30
>>> rr_features(early)[10].tolist()
[11, 20, 11, 11, 8, 0]
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from beatlens.errors import SignalError

FEATURES = (
    "prematurity",
    "compensatory_pause",
    "rr_over_mean",
    "rr_difference",
    "rr_before_over_after",
    "rr_variability",
)
BINS = 32
RATIO_STEPS, CHANGE_STEPS = 16, 64
STEPS = dict(zip(FEATURES, (*5 * (RATIO_STEPS,), CHANGE_STEPS), strict=True))
"""Steps of a ratio of 1, by name."""
USUAL, LONGER, CHANGES = 8, 32, 16
"""Intervals whose mean counts, those of longer ago, and changes whose median counts."""
LONGEST = (1 << 16) - 1
"""Samples; a longer interval counts as this one, over eight minutes."""


class RRFeatures:
    """The same for a stream: a beat's features are certain when the next beat is there.

    >>> features = RRFeatures()
    >>> [features.push(peak) for peak in (0, 100, 170)]
    [None, (16, 16, 16, 16, 16, 0), (16, 11, 16, 16, 22, 0)]
    >>> features.end()
    (11, 16, 11, 11, 16, 0)
    """

    def __init__(self) -> None:
        self._intervals: deque[int] = deque(maxlen=LONGER)
        self._changes: deque[int] = deque(maxlen=CHANGES)
        self._last: int | None = None
        self._before: int | None = None

    def push(self, peak: int) -> tuple[int, ...] | None:
        """Take an R peak; returns the features of the one before it, if there was one.

        Raises:
            SignalError: the peak is not after the last one.
        """
        if self._last is None:
            self._last = peak
            return None
        after = min(peak - self._last, LONGEST)
        if after < 1:
            raise SignalError(f"R peak at {peak}, expected one after the last at {self._last}")
        found = self._compute_features(after)
        self._remember()
        self._last, self._before = peak, after
        return found

    def end(self) -> tuple[int, ...] | None:
        """End the stream: the features of the last beat. What is pushed next begins a new one."""
        found = None if self._last is None else self._compute_features(None)
        self.__init__()  # type: ignore[misc]
        return found

    def _compute_features(self, after: int | None) -> tuple[int, ...]:
        """Of the last beat; a ratio with an interval that is not there counts as 1."""
        before = self._before
        usual = list(self._intervals)[-USUAL:] or [before or after or 1]
        longer = self._intervals or usual
        return (
            _steps(before, usual, RATIO_STEPS),
            _steps(after, usual, RATIO_STEPS),
            _steps(before, longer, RATIO_STEPS),
            _steps(before, usual[-1:], RATIO_STEPS),
            _steps(before, [after] if after else usual[:0], RATIO_STEPS),
            _steps(_median(self._changes or [0]), usual, CHANGE_STEPS),
        )

    def _remember(self) -> None:
        """The interval before the last beat becomes one of those that were before."""
        if self._before is None:
            return
        if self._intervals:
            self._changes.append(abs(self._before - self._intervals[-1]))
        self._intervals.append(self._before)


def rr_features(peaks: NDArray[np.integer]) -> NDArray[np.int64]:
    """The features of every beat of a recording.

    Args:
        peaks: R peaks `[b]` in samples, in time order.

    Returns:
        int64 `[b, 6]`, one column per entry of `FEATURES`, values 0 to `BINS - 1`.

    Raises:
        SignalError: peaks are not in time order.
    """
    features = RRFeatures()
    found = [features.push(int(peak)) for peak in peaks][1:]
    if len(peaks):
        found.append(features.end())
    return np.array(found, np.int64).reshape(len(peaks), len(FEATURES))


def _steps(part: int | None, whole: Collection[int], steps: int) -> int:
    """A ratio to the mean of intervals, in steps; 1 where an interval is not there."""
    if part is None or not whole:
        return steps
    return min(BINS - 1, part * steps * len(whole) // sum(whole))


def _median(values: Sequence[int] | deque[int]) -> int:
    """The upper one of the two in the middle."""
    return sorted(values)[len(values) // 2]
