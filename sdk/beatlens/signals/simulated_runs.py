"""Simulated patients with runs of ventricular beats, and with what looks alike and is none.

Runs of 3 to 60 beats, 60 to 180 a minute, begin prematurely or late, by fusion, in sinus rhythm of
varying rate or in fibrillation; besides them single ventricular beats, couplets and bigeminy.
During a run the sinus node goes on, its P waves dissociated, or is reset by each beat. Look-alikes
are runs of supraventricular beats, some of them aberrant, fast sinus rhythm, and bundle branch
block: constant, in spells, or where the rate is high.

Every beat is annotated: `N`, `L`, `R`, `A`, `a` (aberrant), `V`, `F`. The shapes are those of
`simulated_beats` and `simulated_ventricular`, noise and wander those of `simulated_noise`. Compared
by eye with the 109 runs of MIT-BIH's training records, svdb and qtdb.

>>> patient = simulate_runs(3, duration_s=120, kind="fast runs")
>>> int((patient.annotations.beats.symbol == "V").sum()) > 20
True
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from beatlens.errors import RecipeError
from beatlens.signals.annotation_types import Annotations
from beatlens.signals.recording import Recording
from beatlens.signals.simulated_beats import (
    Floats,
    Shapes,
    Waves,
    draw_shapes,
    render,
    running_mean,
    together,
    waves,
)
from beatlens.signals.simulated_heart import largest_near
from beatlens.signals.simulated_noise import disturbance, draw_noise, fibrillatory_waves
from beatlens.signals.simulated_rhythm import Pacing, draw_pacing
from beatlens.signals.simulated_ventricular import draw_ventricular, fuse, height_mv, scaled

Conduction = Literal["narrow", "constant", "spells", "fast"]

COUNTS_PER_MV = 200
RAILS = (-2048, 2047)
LEAD = "ECG"
_LEAD_IN_S = 3.0
_EDGE_S = 0.1
_SHORTEST_RR_S = 0.33


@dataclass(frozen=True)
class Kind:
    """What happens to a patient.

    Attributes
    ----------
    events: how often each is drawn: `single`, `couplet`, `short` (runs of 3 to 9), `long` (10 to
        60), `bigeminy`, `atrial` (one), `svt` (a run of supraventricular beats).
    rate: of runs, beats a minute, lowest and highest.
    conduction: of bundle branches: `narrow`, or blocked: `constant`, in `spells`, or where the rate
        is `fast`.
    shapes: how many ventricular shapes the patient has; a run of 10 beats or more has one.
    fibrillates: whether the atria do.
    gap_s: mean time between events.
    """

    events: dict[str, float]
    rate: tuple[float, float] = (60, 180)
    conduction: Conduction = "narrow"
    shapes: int = 1
    fibrillates: bool = False
    gap_s: float = 9.0


KINDS: dict[str, Kind] = {
    "fast runs": Kind({"long": 1, "short": 1, "single": 2}, (110, 180)),
    "slow runs": Kind({"long": 1, "short": 1, "single": 1}, (60, 110)),
    "several shapes": Kind({"single": 3, "couplet": 2, "short": 2, "long": 0.5}, shapes=3),
    "supraventricular runs": Kind({"svt": 2, "atrial": 2, "single": 0.5}),
    "block and runs": Kind({"long": 1, "short": 1, "single": 2}, conduction="constant"),
    "block by rate": Kind({"svt": 1, "atrial": 1}, conduction="fast", gap_s=15),
    "fibrillation and runs": Kind(
        {"long": 1, "short": 1, "single": 3}, (100, 180), fibrillates=True
    ),
    "bigeminy": Kind({"bigeminy": 2, "couplet": 1, "short": 1, "long": 0.5}, shapes=2),
    "block in spells": Kind({"single": 1, "atrial": 1}, conduction="spells", gap_s=12),
    "all": Kind(
        {"single": 2, "couplet": 1, "short": 1, "long": 1, "svt": 1, "atrial": 2}, shapes=2
    ),
}
"""Kinds of patients by name."""
LENGTHS = {"single": (1, 1), "couplet": (2, 2), "short": (3, 9), "long": (10, 60)}
"""Shortest and longest, in beats, of events of ventricular beats."""


@dataclass(frozen=True)
class SimulatedRuns:
    """A simulated recording, its annotations, and the heart's signal before disturbances, mV."""

    recording: Recording
    annotations: Annotations
    clean_mv: Floats


def simulate_runs(
    seed: int,
    duration_s: float = 300.0,
    kind: str = "all",
    rate_hz: int = 250,
    *,
    noise: float = 1.0,
    name: str = "",
    database: str = "simulated",
) -> SimulatedRuns:
    """Simulate one recording of one patient.

    Args:
        seed: who; 0 or more. The same seed is the same patient, whatever the noise.
        duration_s: length, from 10 s on.
        kind: of `KINDS`.
        rate_hz: samples per second, 100 to 2000.
        noise: factor on all of the patient's disturbances.
        name, database: of the recording; `runs00007` for seed 7 without a name.

    Raises:
        RecipeError: a value is out of range or not known.
    """
    if kind not in KINDS:
        raise RecipeError(f"kind is {kind!r}, expected one of {', '.join(KINDS)}")
    if seed < 0 or not duration_s >= 10 or not 100 <= rate_hz <= 2000:
        raise RecipeError(
            f"seed {seed}, duration_s {duration_s:g}, rate_hz {rate_hz}; expected 0 or more, at "
            "least 10 s, 100 to 2000 Hz"
        )
    name = name or f"runs{seed:05d}"
    traits, beats, outside = np.random.default_rng([seed, 22]).spawn(3)
    pacing = draw_pacing(traits)
    pacing = replace(pacing, rr=60 / traits.uniform(52, 100))
    disturbances = draw_noise(traits, pacing.breath_hz)
    shapes = _draw_patient(traits, KINDS[kind].shapes)
    plan = _Plan(beats, pacing, KINDS[kind], duration_s)
    plan.fill()
    samples = round(duration_s * rate_hz)
    clean = render(_waves(plan, shapes), samples, rate_hz)
    if plan.kind.fibrillates:
        clean += fibrillatory_waves(outside, samples, rate_hz)
    seen = clean + noise * disturbance(outside, disturbances, samples, rate_hz)
    counts = np.clip(np.rint(seen * COUNTS_PER_MV), *RAILS).astype(np.int32)[None]
    counts.flags.writeable = False
    recording = Recording(
        name=name,
        database=database,
        patient=f"{database}/{name}",
        rate_hz=rate_hz,
        lead_names=(LEAD,),
        counts=counts,
        counts_per_mv=(float(COUNTS_PER_MV),),
        rails=(RAILS,),
    )
    return SimulatedRuns(recording, _annotate(name, plan, shapes, clean, rate_hz), clean)


@dataclass
class _Beat:
    """A beat: when its QRS is largest (s), which QRS, its code, its P wave if any, its height."""

    time: float
    qrs: str
    symbol: str
    p: Literal["sinus", "early", ""]
    gain: float


@dataclass
class _Plan:
    """All beats of a recording, drawn one after the other. `node` is the sinus node's last beat."""

    rng: np.random.Generator
    pacing: Pacing
    kind: Kind
    duration_s: float
    beats: list[_Beat] = field(default_factory=list)
    blocked_p: list[float] = field(default_factory=list)
    node: float = -_LEAD_IN_S

    def __post_init__(self) -> None:
        draw, end = self.rng.uniform, self.duration_s + _LEAD_IN_S
        self._knots = np.arange(-_LEAD_IN_S, end + 60, 40)
        self._trend = draw(-0.40, 0.18, size=self._knots.size)  # of the logarithm of RR
        self._coupling = draw(0.45, 0.78)
        self._dissociated = draw() < 0.65
        self._irregular = draw(0.005, 0.05)
        self._branch = str(self.rng.choice(["lbbb", "rbbb"]))
        self._blocked = self.kind.conduction == "constant"
        self._spell = int(self.rng.integers(8, 30))
        names = list(self.kind.events)
        shares = np.array([self.kind.events[name] for name in names])
        self._events = names, shares / shares.sum()

    def fill(self) -> None:
        """Draw all beats."""
        end = self.duration_s + _LEAD_IN_S
        due = self.node + self.rng.uniform(2, 2 + self.kind.gap_s)
        while self.node < end:
            if self.node < due:
                self._sinus()
                continue
            self._event(str(self.rng.choice(self._events[0], p=self._events[1])))
            due = self.node + 2 + self.rng.exponential(self.kind.gap_s)

    def _event(self, name: str) -> None:
        whole = self.rng.integers
        match name:
            case "bigeminy":
                every = int(whole(1, 3))
                for _ in range(int(whole(4, 14))):
                    self._ventricular(1)
                    for _ in range(every):
                        self._sinus()
            case "atrial":
                self._atrial(1)
            case "svt":
                self._atrial(int(whole(3, 40)))
            case _:
                low, high = np.log(LENGTHS[name])
                self._ventricular(round(float(np.exp(self.rng.uniform(low, high)))))

    def _interval(self) -> float:
        """The interval of the sinus node, or of fibrillation, that follows."""
        if self.kind.fibrillates:
            pacing = self.pacing
            room = pacing.af_rr - 0.36
            shape = (room / (pacing.af_rr * pacing.af_spread)) ** 2
            return float(0.36 + self.rng.gamma(shape, room / shape))
        trend = np.exp(np.interp(self.node, self._knots, self._trend))
        interval = trend * self.pacing.sinus_interval(self.node, self.rng.standard_normal())
        return float(np.clip(interval, 0.42, 1.6))

    def _add(self, time: float, qrs: str, symbol: str, p: Literal["sinus", "early", ""]) -> None:
        self.beats.append(_Beat(time, qrs, symbol, p, 1 + 0.03 * self.rng.standard_normal()))

    def _sinus(self) -> None:
        interval = self._interval()
        self.node += interval
        self._conducted(interval)

    def _conducted(self, interval: float) -> None:
        """Add the beat of the node's last impulse, by the bundle branches as they are."""
        match self.kind.conduction:
            case "fast":  # once blocked, a branch conducts again at a somewhat lower rate only
                limit = self.pacing.rr * (0.86 if self._blocked else 0.80)
                self._blocked = interval < limit
            case "spells":
                self._spell -= 1
                if self._spell < 0:
                    self._blocked = not self._blocked
                    self._spell = int(self.rng.integers(6, 40))
        qrs = self._branch if self._blocked else "narrow"
        symbol = {"narrow": "N", "lbbb": "L", "rbbb": "R"}[qrs]
        self._add(self.node, qrs, symbol, "" if self.kind.fibrillates else "sinus")

    def _ventricular(self, count: int) -> None:
        """Add ventricular beats in a row, and the sinus beat that follows."""
        rng, interval = self.rng, self._interval()
        shape = rng.integers(self.kind.shapes, size=count)
        if count >= 10 or rng.random() < 0.6:
            shape[:] = shape[0]
        cycle = 60 / float(np.exp(rng.uniform(*np.log(self.kind.rate))))
        late = count > 2 and rng.random() < (0.6 if cycle > 0.6 else 0.15)
        last = self.beats[-1].time if self.beats else self.node
        times = np.full(count, cycle)
        if count == 2:
            times[1] = max(self._coupling * interval * rng.uniform(0.85, 1.1), 0.36)
        elif count > 2:
            irregular = self._irregular * (2.5 if count < 10 and rng.random() < 0.5 else 1.0)
            times *= 1 + irregular * rng.standard_normal(count)
            if rng.random() < 0.3:  # the focus warms up
                times[1:5] *= 1 + np.array([0.2, 0.12, 0.06, 0.03])[: count - 1]
        coupling = self._coupling * interval + rng.normal(0, 0.015)
        times[0] = interval * rng.uniform(0.9, 1.02) if late else max(coupling, 0.34)
        times = last + np.cumsum(np.maximum(times, _SHORTEST_RR_S))
        near = abs(times[0] - self.node - interval) < 0.07
        if late and not self._dissociated:
            self.blocked_p.append(self.node + interval)
        for number, time in enumerate(times):
            fused = number == 0 and late and near and rng.random() < 0.7
            name, symbol = f"v{shape[number]}", "F" if fused else "V"
            self._add(float(time), f"{name} fused" if fused else name, symbol, "")
        self._after(float(times[-1]), interval)

    def _after(self, last: float, interval: float) -> None:
        """Move the node to the first impulse that is conducted after a ventricular beat."""
        rng = self.rng
        if self.kind.fibrillates:
            self.node = last + 0.22 + interval
        elif self._dissociated or last < self.node + interval:
            free = last + max(0.42, 0.5 * interval)
            self.node += interval
            while self.node < free:
                self.blocked_p.append(self.node)
                self.node += interval * (1 + 0.02 * rng.standard_normal())
        else:
            self.node = last + interval * rng.uniform(1.0, 1.3)
        self._conducted(interval)

    def _atrial(self, count: int) -> None:
        """Add supraventricular beats in a row, and the sinus beat that follows."""
        rng, interval = self.rng, self._interval()
        wide = self._blocked or (count > 2 and rng.random() < 0.1)
        cycle = np.full(count, max(60 / rng.uniform(100, 190), _SHORTEST_RR_S))
        cycle *= 1 + rng.uniform(0.005, 0.05) * rng.standard_normal(count)
        cycle[0] = max(rng.uniform(0.55, 0.78) * interval, 0.38)
        qrs, symbol = (self._branch, "a") if wide else ("narrow", "A")
        for time in self.node + np.cumsum(np.maximum(cycle, _SHORTEST_RR_S)):
            self._add(float(time), qrs, symbol, "early")
        self.node = self.beats[-1].time + max(self.pacing.pac_pause * interval, 0.45)
        self._conducted(interval)


def _draw_patient(rng: np.random.Generator, count: int) -> Shapes:
    """Draw a patient's shapes, the lead's direction among them: a fifth of the leads is inverted.

    Ventricular shapes are `v0`, `v1` and so on, each with a fusion such as `v0 fused`.
    """
    shapes = draw_shapes(rng)
    gain = float(np.exp(rng.uniform(np.log(0.45), np.log(1.4)))) * rng.choice([1, -1], p=[0.8, 0.2])
    qrs = {name: scaled(each, gain) for name, each in shapes.qrs.items()}
    t = {name: scaled(each, gain) for name, each in shapes.t.items()}
    if rng.random() < 0.25:
        t["narrow"] = scaled(t["narrow"], float(rng.uniform(-0.8, 0.3)))
    height = height_mv(qrs["narrow"])
    for name in ("lbbb", "rbbb"):
        if rng.random() < 0.5:  # as in leads where a block looks otherwise than in lead II
            qrs[name], t[name] = draw_ventricular(rng, height, (0.7, 1.7), (0.12, 0.15))
    for number in range(count):
        qrs[f"v{number}"], t[f"v{number}"] = wide = draw_ventricular(rng, height)
        share = float(rng.uniform(0.3, 0.7))
        qrs[f"v{number} fused"] = fuse(qrs["narrow"], wide[0], share)
        middle = (1 - share) * t["narrow"].height[0] + share * wide[1].height[0]
        widths = (float((t["narrow"][i] + wide[1][i])[0]) / 2 for i in (2, 3))
        t[f"v{number} fused"] = waves((middle, 0.0, *widths))
    p, early = scaled(shapes.p, gain), scaled(shapes.early_p, gain)
    return replace(shapes, p=p, early_p=early, qrs=qrs, t=t)


def _waves(plan: _Plan, shapes: Shapes) -> Waves:
    """All P, QRS and T waves of a recording."""
    beats, pacing = plan.beats, plan.pacing
    times = np.array([beat.time for beat in beats])
    names = np.array([beat.qrs for beat in beats])
    ps = np.array([beat.p for beat in beats])
    following = np.diff(times, append=times[-1] + pacing.rr)
    # QT follows the mean of many beats, but no T wave ends long after the next QRS began.
    recent = running_mean(np.diff(times, prepend=times[0] - pacing.rr))
    recent = np.minimum(recent, following + 0.15)
    breath = np.sin(2 * np.pi * pacing.breath_hz * times + pacing.phases[0])
    gains = (1 + 0.04 * breath) * np.array([beat.gain for beat in beats])
    parts = []
    for name in np.unique(names):
        chosen = names == name
        at = times[chosen]
        parts.append(shapes.qrs[name].repeated(at, gains[chosen]))
        t = shapes.t_waves(name, at, recent[chosen])
        parts.append(t._replace(height=t.height * gains[chosen]))
        for kind, p in (("sinus", shapes.p), ("early", shapes.early_p)):
            atrial = times[chosen & (ps == kind)]
            parts.append(p.repeated(atrial + shapes.p_centre(name, kind == "early")))
    blocked = np.array(plan.blocked_p) + shapes.p_centre("narrow", early=False)
    parts.append(shapes.p.repeated(blocked))
    return together(parts)


def _annotate(name: str, plan: _Plan, shapes: Shapes, clean: Floats, rate_hz: int) -> Annotations:
    """Annotate beats where the clean signal is largest, and the rhythm below them."""
    samples = clean.size
    peaks = {qrs: shape.peak for qrs, shape in shapes.qrs.items()}
    inside = [b for b in plan.beats if _EDGE_S <= b.time <= samples / rate_hz - _EDGE_S]
    marks = [(largest_near(clean, b.time + peaks[b.qrs], rate_hz), b.symbol, "") for b in inside]
    marks.insert(0, (0, "+", "(AFIB" if plan.kind.fibrillates else "(N"))
    marks.sort(key=lambda mark: mark[0])
    return Annotations(
        name=name,
        length=samples,
        sample=np.array([sample for sample, _, _ in marks], dtype=np.int64),
        symbol=np.array([symbol for _, symbol, _ in marks], dtype="<U1"),
        subtype=np.zeros(len(marks), dtype=np.int64),
        aux=tuple(text for _, _, text in marks),
    )
