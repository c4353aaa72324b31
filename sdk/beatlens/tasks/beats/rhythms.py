"""Rhythms as a Holter report has them, from decided beats, in integers: what a device computes.

Beats go in one by one, each with its R peak, the RR interval before it and its role; rhythms come
out, each with the beats that it is made of. Memory does not grow with the recording. The C is
`firmware_export/src/bl_rhythm.c`, the same bit for bit; docs/beats.md has the rules as a table.

- A beat is *joined* to the one before it where their RR interval is known and both have a decision.
  Nothing below reaches over a beat that is not joined to the one before it: no interval counts, and
  every run, pattern and episode ends there.
- A rate is `(7680 * intervals + span / 2) / span`, rounded down: whole beats a minute, of a span in
  samples at 128 Hz. Every limit of a rate is compared with such a rounded one.
- *Rate of a window*: that of the last 8 RR intervals, ectopic beats included (Holter practice). An
  interval of more than 8 s is none, and begins the window anew.
- *Tachycardia*, *bradycardia*: begins where the rate of a window is above 100 or below 50 (ACC,
  AHA and HRS 2018 on bradycardia: below 50), lasts while it is at least 95 or at most 55, and is
  reported if it has at least 8 intervals. Its ends are those of its first and last interval that is
  itself beyond the limit.
- *Pause*: an RR interval above 2.0 s.
- *Couplet*: exactly two beats of one role in a row. *Run*: three and more (ACC, AHA and HRS 2006).
  A ventricular run is *ventricular tachycardia* where its rate is above 100, else
  *idioventricular rhythm*; a supraventricular one *supraventricular tachycardia*, or a *run*.
- *Bigeminy*, *trigeminy*: at least 3 ectopic beats with exactly one, or two, normal beats between
  each and the next. Any other beat between them ends it.
- *Minute*: each minute of the recording that has a beat, with its rate (of the intervals that end
  in it), the least and the most rate of a window that ends in it, and its beats by role.

Needs numpy and the standard library only.

>>> watch = RhythmWatch()
>>> beats = [(100, 0, "N"), (200, 100, "N"), (260, 60, "V"), (320, 60, "V"), (380, 60, "V")]
>>> [event for peak, rr, role in beats for event in watch.push(peak, rr, Role[role])]
[]
>>> [(event.kind, event.first, event.last, event.rate) for event in watch.push(500, 120, Role.N)]
[('ventricular_tachycardia', 2, 4, 128)]
"""

from __future__ import annotations

from dataclasses import dataclass, field

from beatlens.errors import SignalError
from beatlens.tasks.beats.rhythm_kinds import (
    BRADYCARDIA,
    COUPLETS,
    DEFAULT_SETTINGS,
    KINDS,
    LONGEST_RR,
    MAX_CYCLES,
    MINUTE,
    PAUSE,
    RUN,
    RUNS,
    SAMPLES_A_MINUTE,
    TACHYCARDIA,
    WINDOW,
    RhythmEvent,
    RhythmSettings,
    Role,
    round_rate,
)


@dataclass
class _Place:
    """A beat: its R peak and its number."""

    peak: int = 0
    number: int = 0


@dataclass
class _Group:
    """Beats of one ectopic role in a row; of `Role.NONE`: there is none."""

    role: Role = Role.NONE
    start: _Place = field(default_factory=_Place)
    end: _Place = field(default_factory=_Place)


@dataclass
class _Pattern:
    """Beats of one ectopic role with `normal` normal beats between each and the next."""

    role: Role
    bigeminy: str
    trigeminy: str
    known: bool = False  # there is a last beat of the role, and only normal ones after it
    since: int = 0  # these normal ones, at most 3
    normal: int = 0  # 0: no pattern
    cycles: int = 0  # ectopic beats of it, at most MAX_CYCLES
    start: _Place = field(default_factory=_Place)
    last: _Place = field(default_factory=_Place)

    @property
    def kind(self) -> str:
        """What the pattern is called."""
        return self.bigeminy if self.normal == 1 else self.trigeminy


@dataclass
class _Episode:
    """Bradycardia or tachycardia that goes on."""

    kind: str = ""
    start: _Place = field(default_factory=_Place)
    end: _Place = field(default_factory=_Place)
    free: int = 0  # number of the first beat that the next one may begin with


@dataclass
class _Minute:
    """What is counted of a minute that goes on."""

    number: int = 0
    first: int = 0
    beats: list[int] = field(default_factory=lambda: [0] * len(Role))
    intervals: int = 0
    span: int = 0
    least: int = 0
    most: int = 0


class RhythmWatch:
    """Finds rhythms in a stream of beats; see the module for the rules.

    Args:
        settings: limits.

    A rhythm is reported when the beat comes that ends it; `going` has those that go on.
    """

    def __init__(self, settings: RhythmSettings = DEFAULT_SETTINGS) -> None:
        self.settings = settings
        self._begin()

    def _begin(self) -> None:
        self._number = -1  # of the last beat
        self._peak = -1
        self._decided = False  # the last beat
        self._intervals: list[int] = []  # of the window, at most WINDOW
        self._group = _Group()
        self._patterns = (
            _Pattern(Role.V, "ventricular_bigeminy", "ventricular_trigeminy"),
            _Pattern(Role.S, "supraventricular_bigeminy", "supraventricular_trigeminy"),
        )
        self._episode = _Episode()
        self._minute = _Minute()

    def push(self, peak: int, rr: int, role: Role) -> list[RhythmEvent]:
        """Take the next beat; returns the rhythms that became certain, in a fixed order.

        Args:
            peak: its R peak, in samples at 128 Hz.
            rr: samples since the R peak before it; 0 where it is not known what beats were between,
                as after a gap. It counts only if it is what the two R peaks are apart.
            role: of the beat.

        Raises:
            SignalError: the R peak is not after the one before it.
        """
        if peak <= self._peak:
            raise SignalError(
                f"R peak at sample {peak}, expected one after the last one's, {self._peak}"
            )
        found: list[RhythmEvent] = []
        here = _Place(peak, self._number + 1)
        joined = self._decided and role != Role.NONE and rr > 0 and rr == peak - self._peak
        if here.number == 0 or peak // SAMPLES_A_MINUTE != self._minute.number:
            if here.number:
                found.append(self._end_minute())
            self._minute = _Minute(peak // SAMPLES_A_MINUTE, here.number)
        self._minute.beats[role] += 1
        before = _Place(self._peak, self._number)
        self._peak, self._number, self._decided = peak, here.number, role != Role.NONE
        if not joined:
            found += self._end_all()
        else:
            if rr > self.settings.pause:
                found.append(self._event(PAUSE, before, here))
            found += self._take_interval(rr, here)
        if role != Role.NONE:
            found += self._take_group(here, role)
            for pattern in self._patterns:
                found += self._take_pattern(pattern, here, role)
        return found

    def end(self) -> list[RhythmEvent]:
        """End the stream: the rhythms that are left. A new stream may begin then."""
        found = self._end_all()
        if self._number >= 0:
            found.append(self._end_minute())
        self._begin()
        return found

    @property
    def going(self) -> tuple[str, ...]:
        """Kinds of the lasting rhythms that go on at the last beat and will be reported."""
        found = []
        group, episode = self._group, self._episode
        if group.role != Role.NONE and group.end.number - group.start.number + 1 >= RUN:
            found.append(self._run_kind())
        found += [each.kind for each in self._patterns if each.cycles >= self.settings.cycles]
        if episode.kind and episode.end.number - episode.start.number >= WINDOW:
            found.append(episode.kind)
        return tuple(sorted(found, key=KINDS.index))

    def _event(self, kind: str, start: _Place, end: _Place) -> RhythmEvent:
        rate = round_rate(end.number - start.number, end.peak - start.peak)
        return RhythmEvent(kind, start.peak, end.peak, start.number, end.number, rate)

    def _end_all(self) -> list[RhythmEvent]:
        """End whatever goes on, in front of a beat that is not joined."""
        found = self._end_group()
        for pattern in self._patterns:
            found += self._end_pattern(pattern)
            pattern.known = False
        found += self._end_episode()
        self._intervals = []
        return found

    # Rate

    def _take_interval(self, rr: int, here: _Place) -> list[RhythmEvent]:
        if rr > LONGEST_RR:
            self._intervals = []
            return self._end_episode()
        minute = self._minute
        minute.intervals, minute.span = minute.intervals + 1, minute.span + rr
        self._intervals = [*self._intervals, rr][-WINDOW:]
        episode = self._episode
        if episode.kind and self._is_beyond(rr, episode.kind):
            episode.end = here
        if len(self._intervals) < WINDOW:
            return []
        rate = round_rate(WINDOW, sum(self._intervals))
        minute.least = rate if minute.least == 0 else min(minute.least, rate)
        minute.most = max(minute.most, rate)
        settings = self.settings
        if episode.kind == TACHYCARDIA:
            return [] if rate >= settings.tachycardia_until else self._end_episode()
        if episode.kind == BRADYCARDIA:
            return [] if rate <= settings.bradycardia_until else self._end_episode()
        if rate > settings.tachycardia_above:
            self._begin_episode(TACHYCARDIA, here)
        elif rate < settings.bradycardia_below:
            self._begin_episode(BRADYCARDIA, here)
        return []

    def _is_beyond(self, rr: int, kind: str) -> bool:
        """Whether one interval alone is beyond the limit of an episode."""
        rate = round_rate(1, rr)
        if kind == TACHYCARDIA:
            return rate > self.settings.tachycardia_above
        return rate < self.settings.bradycardia_below

    def _begin_episode(self, kind: str, here: _Place) -> None:
        """Begin with the first interval of the window that is beyond the limit and free."""
        episode, number, peak = self._episode, here.number, here.peak
        for rr in reversed(self._intervals):
            if number <= episode.free:
                break
            if self._is_beyond(rr, kind):
                if not episode.kind:
                    episode.kind, episode.end = kind, _Place(peak, number)
                episode.start = _Place(peak - rr, number - 1)
            peak, number = peak - rr, number - 1

    def _end_episode(self) -> list[RhythmEvent]:
        kind, start, end = self._episode.kind, self._episode.start, self._episode.end
        if not kind:
            return []
        self._episode = _Episode(free=end.number)
        return [self._event(kind, start, end)] if end.number - start.number >= WINDOW else []

    # Ectopic beats in a row

    def _take_group(self, here: _Place, role: Role) -> list[RhythmEvent]:
        """A group that this beat does not go on with has ended; see `_end_all` where not joined."""
        group = self._group
        if group.role == role:
            group.end = here
            return []
        found = self._end_group()
        if role in (Role.S, Role.V):
            self._group = _Group(role, here, here)
        return found

    def _run_kind(self) -> str:
        """What a run is called by its rate."""
        group = self._group
        rate = round_rate(group.end.number - group.start.number, group.end.peak - group.start.peak)
        return RUNS[group.role][rate > self.settings.run_above]

    def _end_group(self) -> list[RhythmEvent]:
        group, found = self._group, []
        count = group.end.number - group.start.number + 1
        if group.role != Role.NONE and count > 1:
            kind = self._run_kind() if count >= RUN else COUPLETS[group.role]
            found.append(self._event(kind, group.start, group.end))
        self._group = _Group()
        return found

    # Ectopic beats in turn with normal ones

    def _take_pattern(self, pattern: _Pattern, here: _Place, role: Role) -> list[RhythmEvent]:
        found: list[RhythmEvent] = []
        if role == pattern.role:
            turns = pattern.since if pattern.known and pattern.since in (1, 2) else 0
            if turns != pattern.normal or turns == 0:
                found = self._end_pattern(pattern)
                if turns:
                    pattern.normal, pattern.cycles, pattern.start = turns, 1, pattern.last
            if turns:
                pattern.cycles = min(pattern.cycles + 1, MAX_CYCLES)
            pattern.known, pattern.since, pattern.last = True, 0, here
        elif role == Role.N:
            pattern.since = min(pattern.since + 1, 3)
            if pattern.normal and pattern.since > pattern.normal:
                found = self._end_pattern(pattern)
        else:
            found = self._end_pattern(pattern)
            pattern.known = False
        return found

    def _end_pattern(self, pattern: _Pattern) -> list[RhythmEvent]:
        """End it, if there is one; its last beat may begin another."""
        found = []
        if pattern.cycles >= self.settings.cycles:
            found.append(self._event(pattern.kind, pattern.start, pattern.last))
        pattern.normal = pattern.cycles = 0
        return found

    # Minutes

    def _end_minute(self) -> RhythmEvent:
        minute = self._minute
        start = minute.number * SAMPLES_A_MINUTE
        return RhythmEvent(
            MINUTE, start, start + SAMPLES_A_MINUTE, minute.first, self._number,
            round_rate(minute.intervals, minute.span) if minute.intervals else 0,
            minute.least, minute.most, tuple(minute.beats[: Role.NONE]),
        )  # fmt: skip
