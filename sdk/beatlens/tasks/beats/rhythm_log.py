"""Rhythms of a recording from its findings: all of them, and what they come down to.

Needs numpy and the standard library only.

>>> from beatlens import Bundle
>>> from beatlens.signals.simulate import simulate_patient
>>> bundle, patient = Bundle.load("beats"), simulate_patient(3, 60, pvc_per_minute=10).recording
>>> findings = bundle.explain(patient.counts[0], patient.rate_hz, patient.counts_per_mv[0])
>>> [event.kind for event in find_rhythms(findings, bundle)][-1]
'minute'
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from beatlens.runtime.contents import Contents
from beatlens.runtime.finding import Finding
from beatlens.signals.frontend import MODEL_RATE_HZ
from beatlens.tasks.beats.rhythm_kinds import (
    DEFAULT_SETTINGS,
    KINDS,
    LONGEST_RR,
    MINUTE,
    RhythmEvent,
    RhythmSettings,
    Role,
    round_rate,
)
from beatlens.tasks.beats.rhythms import RhythmWatch
from beatlens.tasks.beats.rule import BeatRule, beat_rule


@dataclass(frozen=True)
class RhythmCount:
    """How often one kind of rhythm was found.

    Attributes:
        count: how often.
        beats, seconds: of all of them.
        longest: the one of most seconds, the first of equals.
        fastest: the one of the highest rate.
    """

    count: int
    beats: int
    seconds: float
    longest: RhythmEvent
    fastest: RhythmEvent


@dataclass(frozen=True)
class RhythmSummary:
    """What the rhythms of a recording come down to.

    Attributes:
        beats: how many there are of each role.
        least_rate, most_rate: of the slowest and the fastest window; 0: no window is whole.
        mean_rate: of all RR intervals that count; 0: there is none.
        kinds: by kind, in the order of `KINDS`; only those that were found, and no minutes.
    """

    beats: Mapping[Role, int]
    least_rate: int
    mean_rate: int
    most_rate: int
    kinds: Mapping[str, RhythmCount]

    def burden(self, role: Role) -> float:
        """Share of the decided beats that are of a role, 0..1."""
        decided = sum(self.beats.values()) - self.beats[Role.NONE]
        return self.beats[role] / decided if decided else 0.0

    def as_dict(self) -> dict[str, Any]:
        """Figures by name for a table: rates, burden in percent, and of each kind found its number.

        Kinds that last have their longest too, in seconds.
        """
        found: dict[str, Any] = {
            "rate least": self.least_rate,
            "rate mean": self.mean_rate,
            "rate most": self.most_rate,
            "burden v %": round(100 * self.burden(Role.V), 3),
            "burden s %": round(100 * self.burden(Role.S), 3),
        }
        for kind, one in self.kinds.items():
            found[f"rhythm {kind}"] = one.count
            if "couplet" not in kind:
                found[f"rhythm {kind} longest_s"] = round(one.longest.seconds, 3)
        return found


class RhythmLog:
    """Takes findings on beats in time order and keeps the rhythms that they make.

    Args:
        bundle: that the findings are of, with a rule for beats.
        settings: limits.

    Raises:
        ModelError: the bundle does not decide on beats.

    `events` holds all rhythms so far, minutes included.
    """

    def __init__(self, bundle: Contents, settings: RhythmSettings = DEFAULT_SETTINGS) -> None:
        self._roles = dict(zip(bundle.classes, beat_rule(bundle).roles, strict=True))
        self._watch = RhythmWatch(settings)
        self.events: list[RhythmEvent] = []
        self._beats = dict.fromkeys(Role, 0)
        self._intervals = self._span = 0
        self._last = Role.NONE

    @classmethod
    def of(cls, bundle: Contents) -> RhythmLog | None:
        """One for a bundle that decides on beats; None for any other."""
        return cls(bundle) if isinstance(bundle.rule, BeatRule) else None

    def take(self, finding: Finding) -> list[RhythmEvent]:
        """Take the next finding; returns the rhythms that became certain."""
        role = Role.NONE if finding.class_name is None else self._roles[finding.class_name]
        rr = round((finding.rr_s or 0.0) * MODEL_RATE_HZ)
        if role != Role.NONE and self._last != Role.NONE and 0 < rr <= LONGEST_RR:
            self._intervals, self._span = self._intervals + 1, self._span + rr
        self._beats[role] += 1
        self._last = role
        return self._keep(self._watch.push(round(finding.time_s * MODEL_RATE_HZ), rr, role))

    def end(self) -> list[RhythmEvent]:
        """End the recording; returns the rhythms that are left."""
        return self._keep(self._watch.end())

    def summary(self) -> RhythmSummary:
        """What the rhythms so far come down to."""
        minutes = [event for event in self.events if event.kind == MINUTE]
        return RhythmSummary(
            beats=dict(self._beats),
            least_rate=min((event.least for event in minutes if event.least), default=0),
            mean_rate=round_rate(self._intervals, self._span) if self._intervals else 0,
            most_rate=max((event.most for event in minutes), default=0),
            kinds=_count_kinds(self.events),
        )

    def _keep(self, found: list[RhythmEvent]) -> list[RhythmEvent]:
        self.events += found
        return found


def find_rhythms(
    findings: Iterable[Finding], bundle: Contents, settings: RhythmSettings = DEFAULT_SETTINGS
) -> Iterator[RhythmEvent]:
    """Rhythms in the findings of a recording, each as soon as it is certain.

    Args:
        findings: on beats, in time order, as `bundle.explain` gives them.
        bundle: that they are of.
        settings: limits.

    Raises:
        ModelError: the bundle does not decide on beats.
    """
    log = RhythmLog(bundle, settings)
    return _find(findings, log)


def _find(findings: Iterable[Finding], log: RhythmLog) -> Iterator[RhythmEvent]:
    for finding in findings:
        yield from log.take(finding)
    yield from log.end()


def _count_kinds(events: Sequence[RhythmEvent]) -> dict[str, RhythmCount]:
    found = {}
    for kind in KINDS[1:]:
        mine = [event for event in events if event.kind == kind]
        if mine:
            found[kind] = RhythmCount(
                len(mine),
                sum(event.count for event in mine),
                sum(event.seconds for event in mine),
                max(mine, key=lambda event: event.end - event.start),
                max(mine, key=lambda event: event.rate),
            )
    return found
