"""R peaks from the front end's samples, in integers: what the device computes, bit for bit.

Steepness in, peaks out (after Pan and Tompkins 1985, and Hamilton and Tompkins 1986; the constants
are ours, chosen on DS1, svdb, qtdb and cpsc2021):

1. the signal smoothed, `y[n] = x[n - 1] + x[n] + x[n + 1]`, and its curvature over 31 ms,
   `|2 y[n] - y[n - 4] - y[n + 4]|`, summed over 0.16 s: most at 13 to 16 Hz, nothing at 32 and at
   43 Hz, where there are muscles and hardly a QRS complex,
2. maxima of that within 0.1 s on both sides are candidates; each is where the curvature is largest
   within 47 ms of the maximum, which is nearer to the R peak than the maximum of the sum,
3. `beatlens.signals.qrs_decisions` says which candidates are beats: by thresholds between the last
   beats and the last other candidates, by noise around a candidate, by the time at which a beat is
   expected, and by the shapes of the last beats.

The first eight seconds are looked at as a whole before the first decision. Needs numpy only.

>>> from beatlens.signals.simulate import simulate_patient
>>> from beatlens.signals.frontend import FrontEnd
>>> recording = simulate_patient(0, 20).recording
>>> frontend = FrontEnd(recording.rate_hz, recording.counts_per_mv[0], recording.rails[0])
>>> x = frontend.run(recording.counts[0].astype(np.int16)).x
>>> peaks = detect_qrs(x)
>>> pieces = QrsDetector()
>>> found = pieces.push(x[:700]) + pieces.push(x[700:]) + pieces.flush()
>>> found == peaks.tolist(), 10 < len(found) < 40
(True, True)
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from beatlens.errors import SignalError
from beatlens.signals import qrs_decisions, qrs_shapes
from beatlens.signals.frontend import LSB_MV, MODEL_RATE_HZ
from beatlens.signals.qrs_decisions import Candidate, Decisions

SMOOTHED = 1
"""Samples on both sides that are added to one."""
REACH = 4
"""Samples from a curvature's middle to its ends."""
BESIDE = 10
"""Samples of curvature that are summed on each side of the middle one. Sums fit in 16 bits."""
NEIGHBOURS = 13
"""Samples on both sides that a candidate is the largest of."""
NEAR = 6
"""Samples from a candidate's maximum within which its peak lies: candidates keep their order."""
FLOOR_MV = 3.75
"""Smaller sums are no candidates: noise of one step of 0.025 mV stays below. 150 steps of 0.025 mV,
75 of 0.05 mV."""
BACKGROUND = 26
"""Samples from a maximum back to the sum that is taken as what lies before the complex: 0.2 s."""
MAX_BACKGROUND = 12
"""32nds of its own sum that the one before a clear candidate is, at most."""
MAX_ROUGHNESS = 6
"""32nds of its sum that the second differences of x, added up over the same samples, are at most in
a clear candidate. They are largest at 64 Hz."""
LEARNING_S = qrs_decisions.REMEMBERED
"""Seconds that are looked at as a whole before the first decision."""
CONSTANTS = (
    SMOOTHED, REACH, BESIDE, NEIGHBOURS, NEAR, FLOOR_MV, BACKGROUND, MAX_BACKGROUND, MAX_ROUGHNESS,
    *qrs_decisions.CONSTANTS, *qrs_shapes.CONSTANTS,
)  # fmt: skip
"""Version of the peaks, which kept tracks are of."""
DETECTOR = 3
"""Number of these decisions in figures. Detector 1 had no `EARLY_T` and no `NOISE_CAP`, and its
search for overdue beats looked at refused T waves too. Detector 2 knew neither clear candidates nor
shapes, and did not look into gaps that a beat closes."""
_SIDE = REACH + SMOOTHED
_MARGIN = _SIDE + BESIDE + NEIGHBOURS
"""Samples behind one that are looked at."""
_BEFORE = _SIDE + BESIDE + BACKGROUND
"""The same before it."""


def detect_qrs(x: NDArray[np.int8], lsb_mv: float = LSB_MV) -> NDArray[np.int64]:
    """R peaks in a whole recording.

    Args:
        x: int8 `[n]`, front end output at 128 Hz.
        lsb_mv: millivolt of a step of x.

    Returns:
        int64 `[peaks]`, their samples, in time order.

    Raises:
        SignalError: `x` is not int8 `[n]`.
    """
    detector = QrsDetector(lsb_mv)
    return np.array(detector.push(x) + detector.flush(), dtype=np.int64)


class QrsDetector:
    """The same for a stream, pushed in pieces of any size: the same peaks.

    Args:
        lsb_mv: millivolt of a step of the samples.
    """

    def __init__(self, lsb_mv: float = LSB_MV) -> None:
        self._lsb_mv = lsb_mv
        self._floor = find_floor(lsb_mv)
        self._x = np.zeros(0, np.int64)
        self._first = 0
        self._checked = 0
        self._decisions = Decisions()

    def push(self, x: NDArray[np.int8]) -> list[int]:
        """Take samples int8 `[n]`; returns samples of R peaks that became certain.

        Raises:
            SignalError: `x` is not int8 `[n]`.
        """
        if x.dtype != np.int8 or x.ndim != 1:
            raise SignalError(f"x is {x.dtype} {list(x.shape)}, expected int8 [n] at 128 Hz")
        self._x = np.concatenate([self._x, x.astype(np.int64)])
        return self._advance(self._first + len(self._x) - _MARGIN, ended=False)

    def flush(self) -> list[int]:
        """End the stream; returns the peaks that are left. What is pushed next begins a new one."""
        found = self._advance(self._first + len(self._x), ended=True)
        found += self._decisions.end()
        self.__init__(self._lsb_mv)  # type: ignore[misc]
        return found

    def _advance(self, stop: int, ended: bool) -> list[int]:
        """Look at all samples before `stop`."""
        if stop <= self._checked:
            return []
        curved = self._curved()
        sums = np.convolve(np.pad(curved, BESIDE), np.ones(2 * BESIDE + 1, np.int64), "valid")
        found: list[int] = []
        start = self._checked
        padded = np.pad(sums, NEIGHBOURS, constant_values=-1)
        windows = sliding_window_view(padded, 2 * NEIGHBOURS + 1)
        middle = windows[:, NEIGHBOURS]
        first = middle > windows[:, :NEIGHBOURS].max(axis=1)
        last = middle >= windows[:, NEIGHBOURS + 1 :].max(axis=1)
        candidates = first & last & (middle > self._floor)
        learnt = min(stop, max(start, LEARNING_S * MODEL_RATE_HZ))
        for at in range(start, learnt):
            here = at - self._first
            candidate = self._candidate(curved, sums, here) if candidates[here] else None
            found += self._decisions.learn(at, int(sums[here]), candidate)
        for here in np.flatnonzero(candidates[: stop - self._first]).tolist():
            if self._first + here >= learnt:
                found += self._decisions.decide(self._candidate(curved, sums, here))
        self._checked = stop
        gone = max(0, stop - _BEFORE - self._first)
        self._x, self._first = self._x[gone:], self._first + gone
        return found

    def _candidate(
        self, curved: NDArray[np.int64], sums: NDArray[np.int64], here: int
    ) -> Candidate:
        """The candidate at a maximum of the sums."""
        value = int(sums[here])
        before = int(sums[here - BACKGROUND]) if here >= BACKGROUND else 0
        near = self._cut(here - BESIDE - 1, 2 * BESIDE + 3)
        rough = int(np.abs(2 * near[1:-1] - near[:-2] - near[2:]).sum())
        clear = 32 * before <= MAX_BACKGROUND * value and 32 * rough <= MAX_ROUGHNESS * value
        peak = _peak(curved, here)
        values = qrs_shapes.STRIDE * qrs_shapes.REACHED
        around = self._cut(peak - qrs_shapes.BEFORE - 1, values + 1)
        smooth = around[:-2] + around[1:-1] + around[2:]
        return Candidate(self._first + peak, value, clear, smooth[:: qrs_shapes.STRIDE])

    def _cut(self, first: int, length: int) -> NDArray[np.int64]:
        """Samples from a place of what is kept on, `[length]`; 0 where there are none."""
        cut = np.zeros(length, np.int64)
        start, stop = max(0, first), min(len(self._x), first + length)
        if stop > start:
            cut[start - first : stop - first] = self._x[start:stop]
        return cut

    def _curved(self) -> NDArray[np.int64]:
        """Curvature `[n]` of what is kept; near a side that is not an end it is not to be used."""
        x, n = self._x, len(self._x)
        curved = np.zeros(n, np.int64)
        if n > 2 * _SIDE:
            y = np.convolve(x, np.ones(2 * SMOOTHED + 1, np.int64), "valid")
            bend = 2 * y[REACH:-REACH] - y[: -2 * REACH] - y[2 * REACH :]
            curved[_SIDE : n - _SIDE] = np.abs(bend)
        return curved


def find_floor(lsb_mv: float) -> int:
    """Sum, in steps of `lsb_mv` millivolt, that a candidate is above.

    >>> find_floor(0.025), find_floor(0.05)
    (150, 75)
    """
    return round(FLOOR_MV / lsb_mv)


def _peak(curved: NDArray[np.int64], at: int) -> int:
    """Where the curvature is largest near a maximum of its sums; there, unless it is larger."""
    first = max(0, at - NEAR)
    around = curved[first : at + NEAR + 1]
    largest = int(around.argmax())
    return first + largest if around[largest] > curved[at] else at
