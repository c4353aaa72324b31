"""The rhythm around a beat, in integers: how early it is, and how regular what was before it.

Four ratios of RR intervals, each in one of `BINS` steps. They are what the device looks up, so they
are whole numbers, the same everywhere; de Chazal et al. (2004, section III) and most after them
use such ratios as real numbers.

| context | of | step |
|---|---|---|
| `early` | interval before the beat, by the usual one | 1/16 |
| `pause` | interval after it, by the usual one | 1/16 |
| `slow` | interval before it, by the usual one of longer ago | 1/16 |
| `irregular` | usual change from interval to interval, by the usual interval | 1/64 |

The usual interval is the median of the last 8 before the interval in question, of longer ago of the
last 32; the usual change is the median of the last 16. Needs numpy only.

>>> regular = np.arange(0, 2000, 100)
>>> rhythm_contexts(regular)[10].tolist()
[16, 16, 16, 0]
>>> early = regular.copy()
>>> early[10] -= 30
>>> rhythm_contexts(early)[10].tolist()
[11, 20, 11, 0]
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from beatlens.errors import SignalError

CONTEXTS = ("early", "pause", "slow", "irregular")
BINS = 32
RATIO_STEPS, CHANGE_STEPS = 16, 64
USUAL, LONGER, CHANGES = 8, 32, 16
"""Intervals, intervals of longer ago, and changes whose medians count."""
LONGEST = (1 << 16) - 1
"""Samples; a longer interval counts as this one, over eight minutes."""


class RhythmContexts:
    """The same for a stream: a beat's context is certain when the next beat is there.

    >>> contexts = RhythmContexts()
    >>> [contexts.push(peak) for peak in (0, 100, 170)]
    [None, (16, 16, 16, 0), (16, 11, 16, 0)]
    >>> contexts.end()
    (11, 16, 11, 0)
    """

    def __init__(self) -> None:
        self._intervals: deque[int] = deque(maxlen=LONGER)
        self._changes: deque[int] = deque(maxlen=CHANGES)
        self._last: int | None = None
        self._before: int | None = None

    def push(self, peak: int) -> tuple[int, ...] | None:
        """Take an R peak; returns the context of the one before it, if there was one.

        Raises:
            SignalError: the peak is not after the last one.
        """
        if self._last is None:
            self._last = peak
            return None
        after = min(peak - self._last, LONGEST)
        if after < 1:
            raise SignalError(f"R peak at {peak}, expected one after the last at {self._last}")
        context = self._context(after)
        self._remember()
        self._last, self._before = peak, after
        return context

    def end(self) -> tuple[int, ...] | None:
        """End the stream: the context of the last beat. What is pushed next begins a new one."""
        context = None if self._last is None else self._context(None)
        self.__init__()  # type: ignore[misc]
        return context

    def _context(self, after: int | None) -> tuple[int, ...]:
        """Of the last beat; an interval that is not there counts as usual."""
        first = self._before or after or 1
        usual = _median(list(self._intervals)[-USUAL:] or [first])
        longer = _median(self._intervals or [first])
        change = _median(self._changes or [0])
        before = self._before or usual
        return (
            _steps(before, usual, RATIO_STEPS),
            _steps(after or usual, usual, RATIO_STEPS),
            _steps(self._before or longer, longer, RATIO_STEPS),
            _steps(change, usual, CHANGE_STEPS),
        )

    def _remember(self) -> None:
        """The interval before the last beat becomes one of those that were before."""
        if self._before is None:
            return
        if self._intervals:
            self._changes.append(abs(self._before - self._intervals[-1]))
        self._intervals.append(self._before)


def rhythm_contexts(peaks: NDArray[np.integer]) -> NDArray[np.int64]:
    """The context of every beat of a recording.

    Args:
        peaks: R peaks `[b]` in samples, in time order.

    Returns:
        int64 `[b, 4]`, one column per entry of `CONTEXTS`, values 0 to `BINS - 1`.

    Raises:
        SignalError: peaks are not in time order.
    """
    contexts = RhythmContexts()
    found = [contexts.push(int(peak)) for peak in peaks][1:]
    if len(peaks):
        found.append(contexts.end())
    return np.array(found, np.int64).reshape(len(peaks), len(CONTEXTS))


def _steps(part: int, whole: int, steps: int) -> int:
    return min(BINS - 1, part * steps // whole)


def _median(values: Sequence[int] | deque[int]) -> int:
    """The upper one of the two in the middle."""
    return sorted(values)[len(values) // 2]
