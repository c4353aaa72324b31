"""R peaks from the front end's samples, in integers: what the device computes, bit for bit.

Steepness in, peaks out (after Pan and Tompkins 1985, and Hamilton and Tompkins 1986; the constants
are ours, chosen on DS1):

1. the signal smoothed, `y[n] = x[n - 1] + x[n] + x[n + 1]`, and its curvature over 31 ms,
   `|2 y[n] - y[n - 4] - y[n + 4]|`, summed over 0.16 s: most at 13 to 16 Hz, nothing at 32 and at
   43 Hz, where there are muscles and hardly a QRS complex,
2. maxima of that within 0.1 s on both sides are candidates; each is where the curvature is largest
   within 47 ms of the maximum, which is nearer to the R peak than the maximum of the sum,
3. a candidate is a beat if its sum is above a threshold between the medians of the last eight beats
   and of the last eight other candidates, and if it is no T wave: flatter than the beat before it
   by two limits, a strict one within 0.36 s of that beat and a looser one within 0.28 s,
4. if a beat is overdue, the largest candidate since the last beat is taken, T waves left out, if
   its sum is above a lower threshold. This threshold takes the median of other candidates as at
   most 12/32 of the beats': otherwise beats that were missed once would raise it above all beats.

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

from dataclasses import dataclass, field

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from beatlens.errors import SignalError

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
FLOOR = 150
"""Smaller sums are no candidates: noise of one least significant bit stays below."""
LEARNING_S = 8
REMEMBERED = 8
"""Beats, other candidates and intervals whose medians count, and candidates kept for later."""
REFRACTORY = 26
"""Samples after a beat without another: 0.2 s."""
T_WAVE = 46
"""Samples after a beat in which its T wave may come: 0.36 s."""
FLAT_T = 13
"""32nds of the beat's sum that a T wave stays below."""
EARLY_T = 36
"""Samples after a beat, 0.28 s, within which a candidate is more often a T wave than a beat."""
EARLY_FLAT_T = 21
"""32nds of the beat's sum that a T wave stays below within `EARLY_T`."""
HIGH, LOW = 11, 4
"""32nds of the way from the noise's median to the beats': thresholds at first sight and later."""
NOISE_CAP = 12
"""32nds of the beats' median that the noise's median counts as at most, where a beat is overdue."""
MOST = 2
"""A beat counts as at most this many times the beats' median."""
SILENCE = 4 * 128
"""Samples without a beat after which what is remembered is halved, and again each half of it: the
signal fell."""
RECENT = 8 * 128
"""Samples after which a candidate is not looked at again: a beat is found this late at most."""
CONSTANTS = (
    SMOOTHED, REACH, BESIDE, NEIGHBOURS, NEAR, FLOOR, T_WAVE, FLAT_T, EARLY_T, EARLY_FLAT_T, HIGH,
    LOW, NOISE_CAP, MOST,
)  # fmt: skip
"""Version of the peaks, which kept tracks are of."""
DETECTOR = 2
"""Number of these decisions in figures. Detector 1 had no `EARLY_T` and no `NOISE_CAP`, and its
search for overdue beats looked at refused T waves too."""
RATE_HZ = 128
_SIDE = REACH + SMOOTHED
_MARGIN = _SIDE + BESIDE + NEIGHBOURS


def detect_qrs(x: NDArray[np.int8]) -> NDArray[np.int64]:
    """R peaks in a whole recording.

    Args:
        x: int8 `[n]`, front end output at 128 Hz.

    Returns:
        int64 `[peaks]`, their samples, in time order.

    Raises:
        SignalError: `x` is not int8 `[n]`.
    """
    detector = QrsDetector()
    return np.array(detector.push(x) + detector.flush(), dtype=np.int64)


class QrsDetector:
    """The same for a stream, pushed in pieces of any size: the same peaks."""

    def __init__(self) -> None:
        self._x = np.zeros(0, np.int64)
        self._first = 0
        self._checked = 0
        self._decisions = _Decisions()

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
        self.__init__()  # type: ignore[misc]
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
        candidates = first & last & (middle > FLOOR)
        for at in range(start, stop):
            here = at - self._first
            peak = self._first + _peak(curved, here) if candidates[here] else None
            found += self._decisions.see(at, int(sums[here]), peak)
        self._checked = stop
        gone = max(0, stop - _MARGIN - self._first)
        self._x, self._first = self._x[gone:], self._first + gone
        return found

    def _curved(self) -> NDArray[np.int64]:
        """Curvature `[n]` of what is kept; near a side that is not an end it is not to be used."""
        x, n = self._x, len(self._x)
        curved = np.zeros(n, np.int64)
        if n > 2 * _SIDE:
            y = np.convolve(x, np.ones(2 * SMOOTHED + 1, np.int64), "valid")
            bend = 2 * y[REACH:-REACH] - y[: -2 * REACH] - y[2 * REACH :]
            curved[_SIDE : n - _SIDE] = np.abs(bend)
        return curved


def _peak(curved: NDArray[np.int64], at: int) -> int:
    """Where the curvature is largest near a maximum of its sums; there, unless it is larger."""
    first = max(0, at - NEAR)
    around = curved[first : at + NEAR + 1]
    largest = int(around.argmax())
    return first + largest if around[largest] > curved[at] else at


@dataclass
class _Decisions:
    """Which candidates are beats."""

    beats: list[int] = field(default_factory=list)
    noise: list[int] = field(default_factory=lambda: [0] * REMEMBERED)
    intervals: list[int] = field(default_factory=lambda: [RATE_HZ] * REMEMBERED)
    waiting: list[tuple[int, int]] = field(default_factory=list)
    largest: int = 0
    silent_from: int = 0
    """Sample of the last beat, or since when silence counts anew."""
    last: tuple[int, int] | None = None

    def see(self, at: int, value: int, peak: int | None) -> list[int]:
        """The sum at a sample, its peak if it is a candidate; returns beats that became certain."""
        if len(self.beats) == REMEMBERED:
            return [] if peak is None else self._decide(peak, value)
        self.largest = max(self.largest, value)
        if peak is not None:
            self.waiting.append((peak, value))
        if (at + 1) % RATE_HZ:
            return []
        self.beats.append(self.largest)
        self.largest = 0
        return self._begin() if len(self.beats) == REMEMBERED else []

    def end(self) -> list[int]:
        """The stream's end; a short one is decided by what there is."""
        if len(self.beats) == REMEMBERED:
            return []
        seen = self.beats or [self.largest]
        self.beats = [seen[i % len(seen)] for i in range(REMEMBERED)]
        return self._begin()

    def _begin(self) -> list[int]:
        """Decide on the candidates of the first seconds."""
        early, self.waiting = self.waiting, []
        return [beat for at, value in early for beat in self._decide(at, value)]

    def _decide(self, at: int, value: int) -> list[int]:
        found, flat = self._overdue(at), False
        if self.last is not None:
            since = at - self.last[0]
            if since < REFRACTORY:
                return found
            if at - self.silent_from > SILENCE:
                self.beats, self.noise = [
                    [v >> 1 for v in kept] for kept in (self.beats, self.noise)
                ]
                self.silent_from = at - SILENCE // 2
            flat = _is_flat(value, since, self.last[1])
        if value > self._threshold(HIGH) and not flat:
            self._accept(at, value, min(value, MOST * _median(self.beats)))
            return [*found, at]
        _push(self.noise, value)
        if not flat:
            self.waiting = [*self.waiting, (at, value)][-REMEMBERED:]
        return found

    def _overdue(self, now: int) -> list[int]:
        """Beats that were below the threshold at first sight."""
        found: list[int] = []
        while self.last is not None and 2 * (now - self.last[0]) > 3 * _median(self.intervals):
            first = max(self.last[0] + REFRACTORY + 1, now - RECENT)
            later = [one for one in self.waiting if one[0] >= first]
            best = max(later, key=lambda one: one[1], default=(0, 0))
            if best[1] <= self._threshold(LOW, NOISE_CAP):
                break
            self._accept(*best, best[1])
            found.append(best[0])
        return found

    def _accept(self, at: int, value: int, counts: int) -> None:
        if self.last is not None:
            _push(self.intervals, at - self.last[0])
        self.last, self.silent_from = (at, value), at
        _push(self.beats, counts)
        self.waiting = [one for one in self.waiting if one[0] > at]

    def _threshold(self, part: int, cap: int | None = None) -> int:
        """`part` 32nds of the way from noise to beats; noise at most `cap` 32nds of the beats."""
        noise, beat = _median(self.noise), _median(self.beats)
        if cap is not None:
            noise = min(noise, cap * beat >> 5)
        return noise + ((beat - noise) * part >> 5)


def _is_flat(value: int, since: int, beat: int) -> bool:
    """Whether a candidate's sum is a T wave's, `since` samples after a beat with the sum `beat`."""
    return (since < T_WAVE and 32 * value < FLAT_T * beat) or (
        since < EARLY_T and 32 * value < EARLY_FLAT_T * beat
    )


def _push(remembered: list[int], value: int) -> None:
    remembered.pop(0)
    remembered.append(value)


def _median(values: list[int]) -> int:
    """The upper one of the two in the middle."""
    return sorted(values)[len(values) // 2]
