"""What rhythms are made of and what they are: roles of beats, limits, kinds, events.

`beatlens.tasks.beats.rhythms` finds them. Needs the standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Any

from beatlens.errors import RecipeError
from beatlens.signals.frontend import MODEL_RATE_HZ

MINUTE = "minute"
TACHYCARDIA, BRADYCARDIA, PAUSE = "tachycardia", "bradycardia", "pause"
KINDS = (
    MINUTE,
    TACHYCARDIA,
    BRADYCARDIA,
    PAUSE,
    "ventricular_couplet",
    "ventricular_tachycardia",
    "idioventricular_rhythm",
    "ventricular_bigeminy",
    "ventricular_trigeminy",
    "supraventricular_couplet",
    "supraventricular_tachycardia",
    "supraventricular_run",
    "supraventricular_bigeminy",
    "supraventricular_trigeminy",
)
"""Kinds of rhythm; their numbers are those of `bl_rhythm_kind`."""
WINDOW = 8
"""RR intervals of a window, and the fewest of an episode of tachycardia or bradycardia."""
LONGEST_RR = 8 * MODEL_RATE_HZ
"""Samples: a longer interval says nothing of the rate (`beatlens.signals.heart_rate`)."""
RUN = 3
"""The fewest beats of a run."""
SAMPLES_A_MINUTE = 60 * MODEL_RATE_HZ
LARGEST_COUNT = 1 << 18
LARGEST_RATE = (1 << 16) - 1


class Role(IntEnum):
    """What a beat is for a rhythm; the numbers are those of `bl_beat_role`."""

    N = 0
    """Normal."""
    S = 1
    """Supraventricular."""
    V = 2
    """Ventricular."""
    OTHER = 3
    """Fusion, paced, or of a class that is none of these."""
    NONE = 4
    """Without a decision."""


MAX_CYCLES = 255
COUPLETS = {Role.S: "supraventricular_couplet", Role.V: "ventricular_couplet"}
RUNS = {
    Role.S: ("supraventricular_run", "supraventricular_tachycardia"),
    Role.V: ("idioventricular_rhythm", "ventricular_tachycardia"),
}
"""Names of a run: up to the limit of its rate, and above it."""
_SIZES = {"pause": (1, (1 << 16) - 1), "cycles": (2, MAX_CYCLES)}


@dataclass(frozen=True)
class RhythmSettings:
    """Limits of the rhythms; rates in whole beats a minute.

    Attributes:
        bradycardia_below, bradycardia_until: a window's rate at which bradycardia begins, and up to
            which it lasts.
        tachycardia_above, tachycardia_until: a window's rate at which tachycardia begins, and down
            to which it lasts.
        run_above: rate of a run above which it is a tachycardia.
        pause: samples at 128 Hz; a longer RR interval is a pause.
        cycles: the fewest ectopic beats of bigeminy and trigeminy, at least 2.

    Raises:
        RecipeError: a setting is no whole number in range, or a rhythm would end where it begins.

    >>> RhythmSettings(pause=3 * 128).pause
    384
    """

    bradycardia_below: int = 50
    bradycardia_until: int = 55
    tachycardia_above: int = 100
    tachycardia_until: int = 95
    run_above: int = 100
    pause: int = 2 * MODEL_RATE_HZ
    cycles: int = 3

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            least, largest = _SIZES.get(each.name, (1, 300))
            if type(value) is not int or not least <= value <= largest:
                raise RecipeError(
                    f"{each.name} is {value!r}, expected a whole number from {least} to {largest}"
                )
        if not (
            self.bradycardia_below <= self.bradycardia_until
            < self.tachycardia_until <= self.tachycardia_above
        ):  # fmt: skip
            raise RecipeError(
                f"limits of the rate are {self.bradycardia_below}, {self.bradycardia_until}, "
                f"{self.tachycardia_until} and {self.tachycardia_above}, expected bradycardia "
                "below <= until < tachycardia until <= above"
            )


DEFAULT_SETTINGS = RhythmSettings()


@dataclass(frozen=True)
class RhythmEvent:
    """A rhythm and the beats that it is made of.

    Attributes:
        kind: one of `KINDS`.
        start, end: samples at 128 Hz since the stream's first: R peaks of its first and last beat;
            of a minute, where the minute begins and ends.
        first, last: numbers of these beats, counted from 0 over all beats of the stream, beats
            without a decision included.
        rate: beats a minute; of a minute 0 where no interval ends in it.
        least, most: of a minute, the least and the most rate of a window; 0: there is none.
        beats: of a minute, its beats that are N, S, V and other.
    """

    kind: str
    start: int
    end: int
    first: int
    last: int
    rate: int
    least: int = 0
    most: int = 0
    beats: tuple[int, ...] = ()

    @property
    def start_s(self) -> float:
        """Start in seconds since the stream's first sample."""
        return self.start / MODEL_RATE_HZ

    @property
    def end_s(self) -> float:
        """End in seconds since the stream's first sample."""
        return self.end / MODEL_RATE_HZ

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return (self.end - self.start) / MODEL_RATE_HZ

    @property
    def count(self) -> int:
        """Beats from the first to the last one."""
        return self.last - self.first + 1

    def as_dict(self) -> dict[str, Any]:
        """The event as plain data for JSON; beats by role of a minute only."""
        found: dict[str, Any] = {
            "rhythm": self.kind,
            "start_s": self.start_s,
            "end_s": self.end_s,
            "first_beat": self.first,
            "last_beat": self.last,
            "rate": self.rate,
        }
        if self.kind == MINUTE:
            found |= {"least_rate": self.least, "most_rate": self.most}
            found |= dict(zip(("n", "s", "v", "other"), self.beats, strict=True))
        return found


def round_rate(intervals: int, span: int) -> int:
    """Beats a minute of so many RR intervals in `span` samples, rounded, at most 65,535.

    >>> round_rate(8, 1024), round_rate(1, 77), round_rate(2, 153)
    (60, 100, 100)
    """
    while intervals > LARGEST_COUNT:  # 32 bits are enough then
        intervals, span = intervals >> 1, span >> 1
    if span == 0:
        return LARGEST_RATE
    return min((SAMPLES_A_MINUTE * intervals + (span >> 1)) // span, LARGEST_RATE)
