"""What is known of a beat beside the evidence around it: its rhythm, and how usual it looks.

The six contexts of `beatlens.signals.rhythm` and those of `beatlens.signals.likeness` and
`beatlens.signals.erratic`, in integers, for a whole recording or a stream. Needs numpy only.

>>> x, peaks = np.zeros(1000, np.int8), np.arange(50, 1000, 100)
>>> beat_contexts(x, peaks)[9].tolist()
[16, 16, 16, 16, 16, 0, 0, 0]
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from beatlens.signals.erratic import STEPS as OF_MEAN
from beatlens.signals.erratic import ErraticRhythm, erratic_rhythm
from beatlens.signals.likeness import SEEN, Likeness, likeness, qrs_of
from beatlens.signals.likeness import STEPS as SHARES
from beatlens.signals.qrs import RECENT
from beatlens.signals.rhythm import STEPS as RATIOS
from beatlens.signals.rhythm import RhythmContexts, rhythm_contexts

STEPS = {**RATIOS, "alike": SHARES, "erratic": OF_MEAN}
"""Steps of a context of 1, by name."""
CONTEXTS = tuple(STEPS)
LEARNT = CONTEXTS[:-1]
"""Those whose worth is learnt; that of `erratic` is set (`beatlens.tasks.beats.beat_tables`)."""
KEPT = RECENT + 2 * SEEN
"""Samples that a stream keeps: the detector finds a beat that late, and looks as far beyond it."""


def beat_contexts(x: NDArray[np.int8], peaks: NDArray[np.integer]) -> NDArray[np.int64]:
    """The contexts of every beat of a recording.

    Args:
        x: int8 `[n]`, front end output at 128 Hz.
        peaks: R peaks `[b]` in samples, in time order.

    Returns:
        int64 `[b, 8]`, one column per entry of `CONTEXTS`, values 0 to 31.

    Raises:
        SignalError: peaks are not in time order.
    """
    return np.column_stack([rhythm_contexts(peaks), likeness(x, peaks), erratic_rhythm(peaks)])


class BeatContexts:
    """The same for a stream: a beat's contexts are certain when the next beat is there.

    Samples come first, then the R peaks that were found in them; at a peak the stream has seen
    `AFTER + SHIFT` samples beyond it, or has ended.
    """

    def __init__(self) -> None:
        self._rhythm, self._likeness = RhythmContexts(), Likeness()
        self._erratic = ErraticRhythm()
        self._x, self._first = np.zeros(0, np.int8), 0
        self._of_last = 0, 0

    def hear(self, x: NDArray[np.int8]) -> None:
        """Take samples int8 `[n]`."""
        self._x = np.concatenate([self._x, x])
        # Behind what is new all that a late beat may need is kept.
        gone = max(0, len(self._x) - len(x) - KEPT)
        self._x, self._first = self._x[gone:], self._first + gone

    def push(self, peak: int) -> tuple[int, ...] | None:
        """Take an R peak; returns the contexts of the one before it, if there was one.

        Raises:
            SignalError: the peak is not after the last one.
        """
        rhythm = self._rhythm.push(peak)
        found = None if rhythm is None else (*rhythm, *self._of_last)
        samples = qrs_of(self._x, np.array([peak - self._first]))[0]
        self._of_last = self._likeness.push(samples), self._erratic.push(peak)
        return found

    def end(self) -> tuple[int, ...] | None:
        """End the stream: the contexts of the last beat. What is pushed next begins a new one."""
        rhythm = self._rhythm.end()
        found = None if rhythm is None else (*rhythm, *self._of_last)
        self.__init__()  # type: ignore[misc]
        return found
