"""Which candidates for R peaks are beats: the second half of `beatlens.signals.qrs`.

A candidate has a value, the steepness around it. It is *clear* if there is little steepness 0.2 s
before it (`MAX_BACKGROUND`) and few fast changes in it (`MAX_ROUGHNESS`), as in clean ECG: bursts
of muscle noise and of motion are steep all along. It is *like a beat* if its shape is one of the
last beats' (`beatlens.signals.qrs_shapes`).

Thresholds lie between the medians of the last eight beats and of the last eight other candidates:

- at once (`HIGH`) for a clear candidate, or one at the time at which a beat is expected; higher if
  it is early and not clear, and then much higher if it is not like a beat,
- overdue (`LOW`): 1.5 median intervals after the last beat the largest candidate since is taken,
  the noise counting as at most `NOISE_CAP` of the beats. A beat is overdue when the next candidate
  comes,
- closed (`CLOSED`, `DOUBLE`): when a beat comes late, a small one between it and the last beat is
  looked for again, which has to be clear or like a beat and apart from both.

A candidate too flat for a beat so soon after another is a T wave: never a beat.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from beatlens.signals.frontend import MODEL_RATE_HZ
from beatlens.signals.qrs_shapes import Shapes

REMEMBERED = 8
"""Beats, other candidates and intervals whose medians count, and candidates kept for later."""
REFRACTORY = 26
"""Samples after a beat without another: 0.2 s."""
T_WAVE = 46
"""Samples after a beat in which its T wave may come: 0.36 s."""
FLAT_T = 13
"""32nds of the beat's value that a T wave stays below."""
EARLY_T = 36
"""Samples after a beat, 0.28 s, within which a candidate is more often a T wave than a beat."""
EARLY_FLAT_T = 21
"""32nds of the beat's value that a T wave stays below within `EARLY_T`."""
HIGH, HIGH_SIMILAR, HIGH_OTHER = 11, 18, 32
"""32nds of the way from the noise's median to the beats': thresholds at first sight, for early
candidates that are not clear if they are like a beat, and if they are not."""
ON_TIME = 28
"""32nds of the median interval: a candidate that comes later is not early."""
LOW, NOISE_CAP = 4, 10
"""32nds of the way, and of the beats' median that the noise's counts as, where a beat is overdue:
noise has the values of beats that were missed."""
CLOSED, DOUBLE = 6, 7
"""32nds of the way, and of the beats' median alone: thresholds for a beat in a gap that another
beat closes."""
LONG_GAP, DOUBLE_GAP = 34, 54
"""32nds of the median interval: a gap in which the first of these is looked for, and the lower of
both."""
APART = 40
"""Samples between a beat that is looked for in such a gap and its ends: 0.31 s. Nearer there are T
waves, and P waves."""
WORTH_A_LOOK = 6
"""32nds of the beats' median: a candidate's shape is looked at if its value is above."""
MOST = 2
"""A beat counts as at most this many times the beats' median."""
SILENCE = 4 * MODEL_RATE_HZ
"""Samples without a beat after which what is remembered is halved, and again each half of it: the
signal fell."""
RECENT = 8 * MODEL_RATE_HZ
"""Samples after which a candidate is not looked at again: a beat is found this late at most."""

CONSTANTS = (
    REMEMBERED, REFRACTORY, T_WAVE, FLAT_T, EARLY_T, EARLY_FLAT_T, HIGH, HIGH_SIMILAR, HIGH_OTHER,
    ON_TIME, LOW, NOISE_CAP, CLOSED, DOUBLE, LONG_GAP, DOUBLE_GAP, APART, WORTH_A_LOOK, MOST,
    SILENCE, RECENT,
)  # fmt: skip


@dataclass(frozen=True)
class Candidate:
    """A maximum of steepness.

    Args:
        at: sample of its peak.
        value: the sum there, above 0.
        clear: whether there is little noise around it.
        shape: int64 `[qrs_shapes.REACHED]` around the peak; None where it is not kept.
    """

    at: int
    value: int
    clear: bool
    shape: NDArray[np.int64] | None


@dataclass
class Decisions:
    """The state of a stream. Peaks come out in time order."""

    beats: list[int] = field(default_factory=list)
    noise: list[int] = field(default_factory=lambda: [0] * REMEMBERED)
    intervals: list[int] = field(default_factory=lambda: [MODEL_RATE_HZ] * REMEMBERED)
    early: list[Candidate] = field(default_factory=list)
    """Those of the first seconds, without their shapes."""
    waiting: list[tuple[int, int, bool]] = field(default_factory=list)
    """Sample, value, and whether it is clear or like a beat."""
    largest: int = 0
    silent_from: int = 0
    """Sample of the last beat, or since when silence counts anew."""
    last: tuple[int, int] | None = None
    """Sample and value of the last beat."""
    shapes: Shapes = field(default_factory=Shapes)

    def learn(self, at: int, value: int, candidate: Candidate | None) -> list[int]:
        """Take a sum of the first seconds, and its candidate if any; returns beats at their end."""
        self.largest = max(self.largest, value)
        if candidate is not None:
            self.early.append(Candidate(candidate.at, candidate.value, candidate.clear, shape=None))
        if (at + 1) % MODEL_RATE_HZ:
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
        early, self.early = self.early, []
        return [beat for candidate in early for beat in self.decide(candidate)]

    def decide(self, c: Candidate) -> list[int]:
        """Take the next candidate, after the first seconds; returns beats that became certain."""
        similar = c.clear or self._is_similar(c)
        found = self._fill(c.at, closed=self._is_beat(c, similar))
        flat = False
        if self.last is not None:
            since = c.at - self.last[0]
            if since < REFRACTORY:
                return found
            if c.at - self.silent_from > SILENCE:
                self.beats, self.noise = [
                    [v >> 1 for v in kept] for kept in (self.beats, self.noise)
                ]
                self.silent_from = c.at - SILENCE // 2
            flat = _is_flat(c.value, since, self.last[1])
        if self._is_beat(c, similar):
            self._accept(c.at, c.value, min(c.value, MOST * _median(self.beats)))
            if c.shape is not None:
                self.shapes.learn(c.shape)
            return [*found, c.at]
        _push(self.noise, c.value)
        if not flat:
            self.waiting = [*self.waiting, (c.at, c.value, similar)][-REMEMBERED:]
        return found

    def _is_similar(self, c: Candidate) -> bool:
        """Whether a candidate that is not clear is like a beat; yes where that is not known."""
        if c.shape is None:
            return True
        return 32 * c.value > WORTH_A_LOOK * _median(self.beats) and self.shapes.resembles(c.shape)

    def _is_beat(self, c: Candidate, similar: bool) -> bool:
        """Whether a candidate is a beat at first sight."""
        part = HIGH
        if self.last is not None:
            since = c.at - self.last[0]
            if since < REFRACTORY or _is_flat(c.value, since, self.last[1]):
                return False
            if not c.clear and 32 * since <= ON_TIME * _median(self.intervals):
                part = HIGH_SIMILAR if similar else HIGH_OTHER
        return c.value > self._threshold(_median(self.noise), part)

    def _fill(self, now: int, closed: bool) -> list[int]:
        """Beats between the last one and a candidate, which is one itself if the gap is closed."""
        found: list[int] = []
        while self.last is not None:
            gap, interval = now - self.last[0], _median(self.intervals)
            noise, beat = _median(self.noise), _median(self.beats)
            best = (0, 0)
            if 2 * gap > 3 * interval:
                best = self._largest(now, REFRACTORY + 1, REFRACTORY if closed else 0, False)
                if best[1] <= self._threshold(min(noise, NOISE_CAP * beat >> 5), LOW):
                    best = (0, 0)
            if not best[1] and closed and 32 * gap > LONG_GAP * interval:
                threshold = self._threshold(noise, CLOSED)
                if 32 * gap > DOUBLE_GAP * interval:
                    threshold = min(threshold, DOUBLE * beat >> 5)
                best = self._largest(now, APART, APART, True)
                if best[1] <= threshold:
                    best = (0, 0)
            if not best[1]:
                break
            self._accept(*best, best[1])
            found.append(best[0])
        return found

    def _largest(self, now: int, behind: int, before: int, similar: bool) -> tuple[int, int]:
        """The largest waiting candidate of a gap `(at, value)`, the first of equal ones; or 0, 0.

        Args:
            now: sample at which the gap ends.
            behind: samples from the last beat on that are left out.
            before: the same before `now`.
            similar: only what is clear or like a beat.
        """
        first = max(0 if self.last is None else self.last[0] + behind, now - RECENT)
        within = [
            (at, value)
            for at, value, alike in self.waiting
            if first <= at <= now - before and (alike or not similar)
        ]
        return max(within, key=lambda one: one[1], default=(0, 0))

    def _accept(self, at: int, value: int, counts: int) -> None:
        if self.last is not None:
            _push(self.intervals, at - self.last[0])
        self.last, self.silent_from = (at, value), at
        _push(self.beats, counts)
        self.waiting = [one for one in self.waiting if one[0] > at]

    def _threshold(self, noise: int, part: int) -> int:
        """`part` 32nds of the way from noise to beats."""
        return noise + ((_median(self.beats) - noise) * part >> 5)


def _is_flat(value: int, since: int, beat: int) -> bool:
    """Whether a candidate is a T wave, `since` samples after a beat with the value `beat`."""
    return (since < T_WAVE and 32 * value < FLAT_T * beat) or (
        since < EARLY_T and 32 * value < EARLY_FLAT_T * beat
    )


def _push(remembered: list[int], value: int) -> None:
    remembered.pop(0)
    remembered.append(value)


def _median(values: list[int]) -> int:
    """The upper one of the two in the middle."""
    return sorted(values)[len(values) // 2]
