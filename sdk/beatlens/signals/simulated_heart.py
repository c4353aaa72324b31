"""One simulated patient's heart: what to draw, what to annotate and where the evidence lies."""

from typing import Literal

import numpy as np

from beatlens.signals.annotation_types import Annotations, Interval
from beatlens.signals.simulated_beats import Floats, Shapes, Waves, render, running_mean, together
from beatlens.signals.simulated_noise import fibrillatory_waves
from beatlens.signals.simulated_rhythm import Kind, Pacing, Schedule

Conduction = Literal["normal", "lbbb", "rbbb", "intermittent lbbb", "intermittent rbbb"]

EVIDENCE = ("pvc", "sve", "afib", "bbb")

_RHYTHM_LABELS: dict[Kind, str] = {"sinus": "(N", "afib": "(AFIB", "flutter": "(AFL"}
_SYMBOLS = {"narrow": "N", "lbbb": "L", "rbbb": "R", "pvc": "V"}
_FADE_S = 0.15
_EDGE_S = 0.05  # beats nearer to an end are drawn but not annotated: their peak may be outside
_SEARCH_S = 0.025  # how far P and T waves may move the largest deflection of a QRS complex


class Heart:
    """One patient's beats on the time axis, each with the name of its QRS complex."""

    def __init__(self, shapes: Shapes, pacing: Pacing, plan: Schedule, names: list[str]) -> None:
        self.shapes, self.pacing, self.plan = shapes, pacing, plan
        self.times = np.array(plan.times)
        self.kinds = np.array(plan.kinds)
        self.names = np.array(names)

    def signal(self, rng: np.random.Generator, samples: int, rate_hz: int) -> Floats:
        """Draw the undisturbed ECG: mV, float64 [samples]."""
        return render(self.waves(), samples, rate_hz) + self.atrial_waves(rng, samples, rate_hz)

    def waves(self) -> Waves:
        """All P, QRS and T waves."""
        shapes, times, names = self.shapes, self.times, self.names
        rr = running_mean(np.diff(times, prepend=times[0] - self.pacing.rr))
        # Breathing turns and shifts the heart: all waves grow and shrink a little with it.
        breath = np.sin(2 * np.pi * self.pacing.breath_hz * times + self.pacing.phases[0])
        gain = 1 + 0.04 * breath
        parts = []
        for name in np.unique(names):
            chosen = names == name
            parts.append(shapes.qrs[name].repeated(times[chosen], gain[chosen]))
            parts.append(shapes.t_waves(name, times[chosen], rr[chosen]))
            for kind, p in (("sinus", shapes.p), ("pac", shapes.early_p)):
                atrial = times[chosen & (self.kinds == kind)]
                parts.append(p.repeated(atrial + shapes.p_centre(name, kind == "pac")))
        blocked = np.array(self.plan.blocked_p)
        parts.append(shapes.p.repeated(blocked + shapes.p_centre("narrow", early=False)))
        return together(parts)

    def atrial_waves(self, rng: np.random.Generator, samples: int, rate_hz: int) -> Floats:
        """Fibrillation and flutter waves, mV [samples], fading in and out at their ends."""
        total = np.zeros(samples)
        for start, end, kind in self.plan.spells:
            first, last = _samples(start, end, samples, rate_hz)
            if kind != "sinus" and last > first:
                cycle = self.pacing.flutter_hz if kind == "flutter" else None
                time = np.arange(first, last) / rate_hz
                fade = np.clip(np.minimum(time - start, end - time) / _FADE_S, 0, 1)
                total[first:last] = fade * fibrillatory_waves(rng, last - first, rate_hz, cycle)
        return total

    def evidence(self, samples: int, rate_hz: int) -> dict[str, tuple[Interval, ...]]:
        """Evidence intervals of each class, those outside the recording left out."""
        found: dict[str, list[tuple[float, float, str]]] = {name: [] for name in EVIDENCE}
        for i, (time, kind, name) in enumerate(
            zip(self.times, self.kinds, self.names, strict=True)
        ):
            qrs = self.shapes.qrs[name]
            start, end = time + qrs.onset, time + qrs.offset
            if kind == "pvc":
                found["pvc"].append((start, end, "wide QRS"))
            elif name != "narrow":
                found["bbb"].append((start, end, "wide QRS"))
            if kind == "pac":
                p_start = start - self.shapes.early_pr_s
                before = self.times[i - 1] + self.shapes.qrs[self.names[i - 1]].offset
                found["sve"].append((before, p_start, "short RR"))
                found["sve"].append((p_start, end, "early P and QRS"))
        found["afib"] = [
            (start, end, "fibrillation" if kind == "afib" else "flutter")
            for start, end, kind in self.plan.spells
            if kind != "sinus"
        ]
        return {name: _clipped(spans, samples, rate_hz) for name, spans in found.items()}

    def annotations(self, name: str, clean: Floats, rate_hz: int) -> Annotations:
        """Annotate beats where the clean signal is largest, and rhythms where they begin."""
        samples = clean.size
        marks = [
            (round(max(start, 0) * rate_hz), "+", _RHYTHM_LABELS[kind])
            for start, end, kind in self.plan.spells
            if start * rate_hz < samples and end > 0
        ]
        inside = (self.times >= _EDGE_S) & (self.times <= samples / rate_hz - _EDGE_S)
        for time, kind, qrs in zip(
            self.times[inside], self.kinds[inside], self.names[inside], strict=True
        ):
            peak = largest_near(clean, time + self.shapes.qrs[qrs].peak, rate_hz)
            marks.append((peak, "A" if kind == "pac" else _SYMBOLS[qrs], ""))
        marks.sort(key=lambda mark: mark[0])
        return Annotations(
            name=name,
            length=samples,
            sample=np.array([sample for sample, _, _ in marks], dtype=np.int64),
            symbol=np.array([symbol for _, symbol, _ in marks], dtype="<U1"),
            subtype=np.zeros(len(marks), dtype=np.int64),
            aux=tuple(text for _, _, text in marks),
        )


def qrs_names(rng: np.random.Generator, plan: Schedule, conduction: Conduction) -> list[str]:
    """Choose the QRS complex of each beat."""
    if conduction == "normal":
        blocked = np.zeros(len(plan.kinds), dtype=np.bool_)
    elif conduction.startswith("intermittent"):
        spell = rng.integers(6, 24, size=len(plan.kinds) + 1)
        state = (np.arange(spell.size) + rng.integers(2)) % 2 == 1
        blocked = np.repeat(state, spell)[: len(plan.kinds)]
    else:
        blocked = np.ones(len(plan.kinds), dtype=np.bool_)
    branch = conduction.split()[-1]
    return [
        "pvc" if kind == "pvc" else branch if wide else "narrow"
        for kind, wide in zip(plan.kinds, blocked, strict=True)
    ]


def largest_near(clean: Floats, time: float, rate_hz: int) -> int:
    """Sample of the largest deflection near `time`."""
    reach = max(round(_SEARCH_S * rate_hz), 1)
    middle = round(time * rate_hz)
    first, last = max(middle - reach, 0), min(middle + reach + 1, clean.size)
    return first + int(np.abs(clean[first:last]).argmax())


def _samples(start_s: float, end_s: float, samples: int, rate_hz: int) -> tuple[int, int]:
    """First sample and the one after the last, cut to the recording."""
    limit = samples / rate_hz
    first, last = (round(min(max(edge, 0.0), limit) * rate_hz) for edge in (start_s, end_s))
    return first, last


def _clipped(
    spans: list[tuple[float, float, str]], samples: int, rate_hz: int
) -> tuple[Interval, ...]:
    """Intervals of (start s, end s, label), cut to the recording; those outside are left out."""
    clipped = [
        Interval(*_samples(start, end, samples, rate_hz), label) for start, end, label in spans
    ]
    return tuple(interval for interval in clipped if interval.length > 0)
