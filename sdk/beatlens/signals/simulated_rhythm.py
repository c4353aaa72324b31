"""When a simulated heart beats: sinus rhythm, premature beats, atrial fibrillation and flutter.

Sinus rhythm follows the two bands of heart rate variability, breathing and the 0.1 Hz of blood
pressure (McSharry 2003, see `simulated_beats`), and a slow drift. A ventricular premature beat
leaves the sinus node alone: the blocked sinus beat is missing and the pause is fully
compensatory, so that the two intervals around it make two sinus intervals. An atrial premature
beat resets the node: its pause is shorter. In atrial fibrillation intervals are independent of
each other; in flutter they are multiples of the flutter's cycle.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

Rhythm = Literal["sinus", "afib", "flutter", "paroxysmal"]
Kind = Literal["sinus", "pvc", "pac", "afib", "flutter"]

SHORTEST_RR_S = 0.36
_LEAD_IN_S = 3.0  # simulated before time 0 and after the end: waves that reach in from outside
_TYPICAL_SPELL_S = 30.0


@dataclass(frozen=True)
class Pacing:
    """How one patient's heart keeps time; times in s, frequencies in Hz.

    Attributes
    ----------
    rr: mean sinus interval.
    breath_hz: breathing frequency.
    breath_rr, pressure_rr, drift_rr, jitter_rr: what breathing, blood pressure, slow drift and
        chance add to an interval, as fractions of it.
    phases: of breathing, pressure and drift, radians.
    pvc_coupling: a ventricular premature beat's distance from the beat before, fraction of rr.
    pac_coupling, pac_pause: intervals before and after an atrial premature beat, fractions of rr.
    af_rr, af_spread: mean interval in fibrillation and its standard deviation as a fraction.
    flutter_hz: atrial flutter waves per second.
    """

    rr: float
    breath_hz: float
    breath_rr: float
    pressure_rr: float
    drift_rr: float
    jitter_rr: float
    phases: tuple[float, float, float]
    pvc_coupling: float
    pac_coupling: float
    pac_pause: float
    af_rr: float
    af_spread: float
    flutter_hz: float

    def sinus_interval(self, time: float, chance: float) -> float:
        """Interval after a beat at `time`; `chance` is a standard normal number."""
        breath, pressure, drift = self.phases
        turn = 2 * np.pi * time
        change = (
            self.breath_rr * np.sin(self.breath_hz * turn + breath)
            + self.pressure_rr * np.sin(0.1 * turn + pressure)
            + self.drift_rr * np.sin(0.012 * turn + drift)
            + self.jitter_rr * chance
        )
        return float(self.rr * (1 + change))


def draw_pacing(rng: np.random.Generator) -> Pacing:
    """Draw the pacing of one patient."""
    draw = rng.uniform
    low, middle, high = draw(0, 2 * np.pi, size=3)
    return Pacing(
        rr=60 / draw(56, 92),
        breath_hz=draw(0.19, 0.32),
        breath_rr=draw(0.010, 0.045),
        pressure_rr=draw(0.010, 0.035),
        drift_rr=draw(0.010, 0.040),
        jitter_rr=draw(0.004, 0.012),
        phases=(float(low), float(middle), float(high)),
        pvc_coupling=draw(0.52, 0.68),
        pac_coupling=draw(0.56, 0.74),
        pac_pause=draw(1.04, 1.18),
        af_rr=60 / draw(70, 115),
        af_spread=draw(0.20, 0.28),
        flutter_hz=draw(4.5, 5.3),
    )


@dataclass
class Schedule:
    """Beats of a recording in time order, some before its start and after its end.

    Attributes
    ----------
    times: of the R peaks, s. kinds: what each beat is.
    blocked_p: times of R peaks that sinus beats would have had, had the ventricles not been
        refractory: their P waves are there all the same.
    spells: (start, end, kind) of the rhythms `"sinus"`, `"afib"`, `"flutter"`, one after the other.
    """

    times: list[float] = field(default_factory=list)
    kinds: list[Kind] = field(default_factory=list)
    blocked_p: list[float] = field(default_factory=list)
    spells: list[tuple[float, float, Kind]] = field(default_factory=list)

    def add(self, time: float, kind: Kind) -> None:
        """Append a beat."""
        self.times.append(time)
        self.kinds.append(kind)


def schedule(
    rng: np.random.Generator,
    pacing: Pacing,
    duration_s: float,
    rhythm: Rhythm,
    pvc_per_minute: float,
    pac_per_minute: float,
) -> Schedule:
    """Draw all beats of a recording.

    `"paroxysmal"` alternates between sinus rhythm and fibrillation or (one spell in four)
    flutter. Premature atrial beats occur in sinus rhythm only, premature ventricular beats in
    every rhythm.
    """
    plan = _plan(rng, duration_s, rhythm)
    made = Schedule()
    time, spell_start = -_LEAD_IN_S + rng.uniform(0, 1), -np.inf
    kind = plan[0][1]
    made.add(time, kind)
    while time < duration_s + _LEAD_IN_S:
        due = _planned(plan, time)
        if due != kind:
            # The old rhythm ends between its last beat and the P wave of the next.
            change = time + (0.35 if due == "sinus" else 0.5 * SHORTEST_RR_S)
            made.spells.append((spell_start, change, kind))
            kind, spell_start = due, change
            sinus = kind == "sinus"
            time += max(pacing.rr, 0.75) if sinus else _atrial_interval(rng, pacing, kind)
            made.add(time, kind)
        elif kind == "sinus":
            time = _sinus_step(rng, pacing, made, time, pvc_per_minute, pac_per_minute)
        else:
            time = _atrial_step(rng, pacing, made, time, kind, pvc_per_minute)
    made.spells.append((spell_start, np.inf, kind))
    return made


def _sinus_step(
    rng: np.random.Generator,
    pacing: Pacing,
    made: Schedule,
    time: float,
    pvc_per_minute: float,
    pac_per_minute: float,
) -> float:
    """Add the next sinus beat, and premature ones before it; return its time."""
    rr = pacing.sinus_interval(time, rng.standard_normal())
    chance = rng.random() * 60 / rr
    if chance < pvc_per_minute:
        coupling = max(pacing.pvc_coupling * pacing.rr + rng.normal(0, 0.012), SHORTEST_RR_S + 0.04)
        made.add(time + coupling, "pvc")
        made.blocked_p.append(time + rr)
        if rng.random() < 0.06:  # a couplet: the second one reaches the sinus node and resets it
            made.add(time + 2 * coupling, "pvc")
            time += 2 * coupling + 1.1 * rr
        else:
            time += 2 * rr
    elif chance < pvc_per_minute + pac_per_minute:
        early = time + max((pacing.pac_coupling + rng.normal(0, 0.02)) * rr, 0.42)
        made.add(early, "pac")
        # The node is reset: the next beat comes a little more than one interval after.
        time = min(early + pacing.pac_pause * rr, time + 1.95 * rr)
    else:
        time += rr
    made.add(time, "sinus")
    return time


def _atrial_step(
    rng: np.random.Generator,
    pacing: Pacing,
    made: Schedule,
    time: float,
    kind: Kind,
    pvc_per_minute: float,
) -> float:
    """Add the next conducted beat of fibrillation or flutter; return its time."""
    rr = _atrial_interval(rng, pacing, kind)
    if rng.random() * 60 / rr < pvc_per_minute:
        early = time + max(0.62 * pacing.af_rr, SHORTEST_RR_S + 0.04) + rng.normal(0, 0.01)
        made.add(early, "pvc")
        # The premature beat runs up into the node, which conducts the next impulse late.
        time = early + 0.25 + rr
    else:
        time += rr
    made.add(time, kind)
    return time


def _atrial_interval(rng: np.random.Generator, pacing: Pacing, kind: Kind) -> float:
    if kind == "flutter":
        conducted = rng.choice([2, 3, 4], p=[0.15, 0.2, 0.65])
        return float(conducted / pacing.flutter_hz)
    room = pacing.af_rr - SHORTEST_RR_S
    shape = (room / (pacing.af_rr * pacing.af_spread)) ** 2  # of a gamma distribution
    return float(SHORTEST_RR_S + rng.gamma(shape, room / shape))


def _plan(rng: np.random.Generator, duration_s: float, rhythm: Rhythm) -> list[tuple[float, Kind]]:
    """Draw (start, kind) of each spell."""
    if rhythm != "paroxysmal":
        return [(-np.inf, rhythm)]
    count = max(2, round(duration_s / _TYPICAL_SPELL_S))
    cuts = (np.arange(count) + rng.uniform(-0.3, 0.3, size=count)) * duration_s / count
    cuts[0] = -np.inf
    atrial_first = rng.random() < 0.5
    return [
        (
            float(cut),
            ("flutter" if rng.random() < 0.25 else "afib")
            if (i % 2 == 0) == atrial_first
            else "sinus",
        )
        for i, cut in enumerate(cuts)
    ]


def _planned(plan: list[tuple[float, Kind]], time: float) -> Kind:
    return [kind for start, kind in plan if start <= time][-1]
