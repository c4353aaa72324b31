"""Episodes out of decisions on windows: one decision a minute, with hysteresis, in integers.

Windows overlap and are decided every second or so; single ones flicker. So each minute of a stream
is decided by the share of its windows that found a class:

    an episode begins with a minute in which at least ENTER (3/4) of the windows found it,
    and lasts until a minute in which less than STAY (1/2) of them did

A window belongs to the minute that its middle lies in, counted since the stream began. Windows that
are not assessable do not count; a minute with less than `MIN_WINDOWS` others is not decided, and an
episode ends with it. The C is `bl_minutes.c`. Needs numpy only.

>>> from beatlens.runtime.finding import Finding
>>> minutes = Minutes("afib")
>>> def window(second, found):
...     return Finding(start_s=second, end_s=second + 10, assessable=True, quality_notes=(),
...                    quality=1.0, classes=("afib",), predicted=("afib",) if found else ())
>>> decided = [m for s in range(0, 180) for m in minutes.push(window(s, 40 <= s < 120))]
>>> [(m.start_s, m.found, m.windows, m.inside) for m in [*decided, *minutes.end()]]
[(0, 15, 55, False), (60, 60, 60, True), (120, 5, 60, False), (180, 0, 5, False)]
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from beatlens.runtime.finding import Finding

SECONDS = 60
ENTER, STAY = (3, 4), (1, 2)
"""Shares of a minute's windows."""
MIN_WINDOWS = 3


@dataclass(frozen=True)
class Minute:
    """A minute of a stream.

    Attributes:
        start_s: when it begins, in seconds since the stream's first sample.
        windows: assessable ones whose middle lies in it.
        found: those of them that found the class.
        known: whether they were enough to decide by.
        inside: whether it is part of an episode.
    """

    start_s: int
    windows: int
    found: int
    known: bool
    inside: bool


class Minutes:
    """Takes the findings of a stream in their order; gives each minute when a later one begins.

    Args:
        class_name: the class whose episodes are asked for.
        enter: share of the windows, as numerator and denominator, with which an episode begins.
        stay: share with which it goes on.
    """

    def __init__(
        self,
        class_name: str,
        enter: tuple[int, int] = ENTER,
        stay: tuple[int, int] = STAY,
    ) -> None:
        self._class, self._enter, self._stay = class_name, enter, stay
        self._minute = self._windows = self._found = 0
        self._inside = False

    def push(self, finding: Finding) -> list[Minute]:
        """Take a finding on a window; returns the minutes that ended before its middle."""
        middle = (finding.start_s + finding.end_s) / 2
        return self.add(middle, finding.assessable, self._class in finding.predicted)

    def add(self, middle_s: float, assessable: bool, found: bool) -> list[Minute]:
        """The same by the middle of a window, and by what was decided on it."""
        ended = []
        while middle_s >= (self._minute + 1) * SECONDS:
            ended.append(self._decide())
        if assessable:
            self._windows += 1
            self._found += found
        return ended

    def end(self) -> list[Minute]:
        """The last minute, if a window was in it; what is pushed next begins a new stream."""
        last = [self._decide()] if self._windows else []
        self.__init__(self._class, self._enter, self._stay)  # type: ignore[misc]
        return last

    def _decide(self) -> Minute:
        part, whole = self._stay if self._inside else self._enter
        known = self._windows >= MIN_WINDOWS
        self._inside = known and whole * self._found >= part * self._windows
        done = Minute(self._minute * SECONDS, self._windows, self._found, known, self._inside)
        self._minute += 1
        self._windows = self._found = 0
        return done


def list_episodes(minutes: Iterable[Minute]) -> list[tuple[int, int]]:
    """Start and end of each episode, in seconds; an episode ends with its last minute.

    >>> list_episodes(Minute(60 * i, 60, 0, True, i in (1, 2)) for i in range(5))
    [(60, 180)]
    """
    episodes: list[tuple[int, int]] = []
    for minute in minutes:
        if not minute.inside:
            continue
        start, end = minute.start_s, minute.start_s + SECONDS
        if episodes and episodes[-1][1] == start:
            start = episodes.pop()[0]
        episodes.append((start, end))
    return episodes
