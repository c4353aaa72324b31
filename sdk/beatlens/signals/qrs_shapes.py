"""Shapes of the patient's last beats: whether a candidate for an R peak looks like one of them.

A shape is 16 smoothed samples, every other one of 250 ms around a peak. Up to three are remembered:
a beat that resembles one moves it by an eighth of the difference, another beat replaces the rarest.
Two shapes resemble each other if their correlation is above 0.79 for any of five shifts of up to
four samples. Templates are as old as automatic analysis (Pan and Tompkins 1985 leave them out;
arrhythmia monitors have them since the 1970s); here they only decide what is hard to tell by
steepness. All whole numbers, the same in C. Needs numpy only.

>>> shapes = Shapes()
>>> beat = np.zeros(REACHED, np.int64)
>>> beat[8:12] = 30, 90, 60, 20
>>> shapes.resembles(beat)
True
>>> shapes.learn(beat), shapes.learn(beat), shapes.resembles(np.roll(beat, 1))
(None, None, True)
>>> shapes.resembles(-beat)
False
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

LENGTH = 16
"""Values of a shape, every `STRIDE` samples."""
STRIDE = 2
SHIFTS = 5
"""Places, one value apart, at which a shape is looked for."""
REACHED = LENGTH + SHIFTS - 1
"""Values around a candidate that are looked at, the middle one of the longest shape being its
peak."""
BEFORE = STRIDE * (LENGTH // 2 + SHIFTS // 2)
"""Samples from the first of these values to the peak."""
REMEMBERED = 3
COUNTED = 16
"""What a beat adds to its shape's count; all counts lose 1/32 a beat."""
LEAST_SQUARE = (5, 8)
"""Correlation is above the square root of this: 0.79."""
SCALE = 3
"""Bits that a remembered shape has more than samples: eighths of them."""
CONSTANTS = (LENGTH, STRIDE, SHIFTS, REMEMBERED, COUNTED, LEAST_SQUARE, SCALE)
Values = NDArray[np.int64]


class Shapes:
    """Shapes of the last beats, and how often each came."""

    def __init__(self) -> None:
        self._shapes = np.zeros((REMEMBERED, LENGTH), np.int64)
        self._counts = [0] * REMEMBERED

    def resembles(self, seen: Values) -> bool:
        """Whether int64 `[REACHED]` looks like a shape that came twice; yes if none has."""
        known = [i for i in range(REMEMBERED) if self._counts[i] > COUNTED]
        return not known or any(self._find(seen, i) is not None for i in known)

    def learn(self, seen: Values) -> None:
        """Take int64 `[REACHED]` around a beat's peak."""
        for number in range(REMEMBERED):
            shift = self._find(seen, number) if self._counts[number] else None
            if shift is not None:
                moved = (seen[shift : shift + LENGTH] << SCALE) - self._shapes[number]
                self._shapes[number] += moved >> 3
                break
        else:
            number = self._counts.index(min(self._counts))
            middle = SHIFTS // 2
            self._shapes[number] = seen[middle : middle + LENGTH] << SCALE
            self._counts[number] = 0
        self._counts = [count - (count >> 5) for count in self._counts]
        self._counts[number] += COUNTED

    def _find(self, seen: Values, number: int) -> int | None:
        """The first shift at which the covariance is largest, if the shape is found there."""
        shape, windows = self._shapes[number] >> SCALE, sliding_window_view(seen, LENGTH)
        covariances = LENGTH * (windows @ shape) - windows.sum(axis=1) * shape.sum()
        best = int(covariances.argmax())
        least, of = LEAST_SQUARE
        variances = _variance(windows[best]) * _variance(shape)
        covariance = int(covariances[best])
        return best if covariance > 0 and of * covariance**2 > least * variances else None


def _variance(values: Values) -> int:
    """Of `[LENGTH]`, times `LENGTH` squared: below 2^26, as covariances are."""
    return LENGTH * int(values @ values) - int(values.sum()) ** 2
