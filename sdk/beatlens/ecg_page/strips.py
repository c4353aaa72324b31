"""Which strips of a recording are drawn, and what is on each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

from beatlens.ecg_page.collect import (
    UNDECIDED,
    BeatsCollected,
    Collected,
    EvidenceTrack,
    RecordingCollected,
    SpansCollected,
)
from beatlens.ecg_page.reasons import (
    Reasons,
    explain_beat,
    explain_recording,
    explain_span,
)
from beatlens.ecg_page.words import clock, mark_letters, plural, warning
from beatlens.runtime.finding import Finding
from beatlens.tasks.windows.rule import window_rule

STRIP_S = 10
"""Seconds of a strip: 250 mm at 25 mm/s, as A4 landscape holds."""
TYPICAL_BEATS = 5
"""Beats that the strip of typical beats has, at least."""
MAX_PER_CLASS = 24


@dataclass(frozen=True)
class Mark:
    """An R peak: when, the letter of its class (empty: none known), and how it is drawn."""

    time_s: float
    letter: str = ""
    strong: bool = False
    focus: bool = False
    warned: bool = False


@dataclass(frozen=True)
class Strip:
    """A strip to draw.

    Attributes:
        start_s, end_s: when, seconds.
        class_name: whose evidence is shown; empty for none.
        heading: what it shows.
        verdict: the decision in words.
        evidence_for: what the bands are evidence for, in words.
        evidence: `[T]` in logits, NaN where no decision used a column.
        evidence_start_s, column_s: when the first column begins, and how long one is.
        marks: R peaks.
        reasons: of the finding that the strip is for.
        warnings: of that finding, in words.
    """

    start_s: float
    end_s: float
    class_name: str
    heading: str
    verdict: str
    evidence_for: str
    evidence: NDArray[np.float64]
    evidence_start_s: float
    column_s: float
    marks: tuple[Mark, ...]
    reasons: Reasons | None = None
    warnings: tuple[str, ...] = ()


def choose_strips(
    collected: Collected, peaks_s: NDArray[np.floating], per_class: int
) -> list[Strip]:
    """The strips with most evidence, at most `per_class` of each class.

    Of a model of beats: of each class but the first (normal), most frequent first, the longest run
    of three and more, then the beats with most evidence; and one strip of normal beats to compare
    with. Of a model of spans: of each class, the spans where the mean evidence is farthest above
    the threshold. Of a model of recordings: the parts with most evidence for the class decided on.
    """
    if isinstance(collected, BeatsCollected):
        return _choose_beat_strips(collected, per_class)
    if isinstance(collected, SpansCollected):
        return _choose_span_strips(collected, peaks_s, per_class)
    return _choose_recording_strips(collected, peaks_s, per_class)


def _choose_beat_strips(collected: BeatsCollected, per_class: int) -> list[Strip]:
    strips = []
    times, classes, warned = collected.times_s, collected.classes, collected.warned
    found = [int((classes == number).sum()) for number in range(len(collected.bundle.classes))]
    for number in sorted(range(1, len(found)), key=lambda number: -found[number]):
        chosen: list[tuple[float, Finding, str]] = []
        run = collected.longest[number]
        if run is not None and run.beats >= 3:
            shown = min(max(run.finding.time_s, run.start_s + 4.0), run.start_s + 8.0)
            focus = shown if run.end_s - run.start_s > 6 else (run.start_s + run.end_s) / 2
            chosen.append((focus, run.finding, f"longest run: {plural(run.beats, 'beat')}"))
        for time_s, finding in collected.best[number].best(per_class, _spread(collected.seconds)):
            apart = all(abs(time_s - other) >= STRIP_S / 2 for other, _, _ in chosen)
            if apart and len(chosen) < per_class:
                chosen.append((time_s, finding, ""))
        for centre, finding, note in chosen:
            start, end = _window(centre, collected.seconds)
            marks = _beat_marks(collected, times, classes, warned, start, end, finding.time_s)
            strips.append(_beat_strip(collected, finding, note, start, end, marks))
    typical = _typical_strip(collected, times, classes, warned)
    return strips if typical is None else [*strips, typical]


def _beat_strip(
    collected: BeatsCollected,
    finding: Finding,
    note: str,
    start: float,
    end: float,
    marks: tuple[Mark, ...],
) -> Strip:
    name, normal = str(finding.class_name), collected.bundle.classes[0]
    number = collected.bundle.classes.index(name)
    first, evidence = collected.track.between(start, end)
    chance = (finding.probabilities or {})[name]
    title = collected.bundle.titles[name]
    return Strip(
        start_s=start,
        end_s=end,
        class_name=name,
        heading=f"{_capital(title)} at {clock(finding.time_s, 2)}" + (f", {note}" if note else ""),
        verdict=f"Beat at {clock(finding.time_s, 2)}: {title} ({name.upper()}), "
        f"probability {100 * chance:.0f} %.",
        evidence_for=f"{name.upper()} rather than {normal.upper()}",
        evidence=evidence[number] - evidence[0],
        evidence_start_s=first,
        column_s=collected.track.column_s,
        marks=marks,
        reasons=explain_beat(finding, normal),
        warnings=tuple(map(warning, finding.warnings)),
    )


def _typical_strip(
    collected: BeatsCollected,
    times: NDArray[np.float64],
    classes: NDArray[np.int8],
    warned: NDArray[np.bool_],
) -> Strip | None:
    """The first strip in which every beat is of the first class, without a warning."""
    plain = (classes == 0) & ~warned
    second = np.floor(times).astype(np.int64)
    seconds = ceil(collected.seconds)
    beats = np.bincount(second, minlength=seconds + 1)
    others = np.bincount(second[~plain], minlength=seconds + 1)
    length = min(STRIP_S, seconds)

    def inside(counts: NDArray[np.integer]) -> NDArray[np.integer]:
        total = np.concatenate([[0], np.cumsum(counts)])
        return np.asarray(total[length:] - total[:-length])

    fits = np.flatnonzero((inside(others) == 0) & (inside(beats) >= TYPICAL_BEATS))
    fits = fits[fits + length <= max(seconds, length)]
    if not len(fits):
        return None
    start = float(fits[0])
    end = min(start + length, collected.seconds)
    name = collected.bundle.classes[0]
    title = collected.bundle.titles[name]
    return Strip(
        start_s=start,
        end_s=end,
        class_name="",
        heading=f"To compare with: {title}s, {clock(start)} to {clock(end)}",
        verdict=f"Each beat here was decided to be a {title}, without a warning.",
        evidence_for="",
        evidence=np.zeros(0),
        evidence_start_s=start,
        column_s=collected.track.column_s,
        marks=_beat_marks(collected, times, classes, warned, start, end, None),
    )


def _beat_marks(
    collected: BeatsCollected,
    times: NDArray[np.float64],
    classes: NDArray[np.int8],
    warned: NDArray[np.bool_],
    start: float,
    end: float,
    focus_s: float | None,
) -> tuple[Mark, ...]:
    first, stop = np.searchsorted(times, [start, end])
    names = mark_letters(collected.bundle.classes)
    return tuple(
        Mark(
            time_s=float(times[i]),
            letter="?" if classes[i] == UNDECIDED else names[classes[i]],
            strong=classes[i] > 0,
            focus=focus_s is not None and abs(times[i] - focus_s) < 1e-6,
            warned=bool(warned[i]),
        )
        for i in range(int(first), int(stop))
    )


def _choose_span_strips(
    collected: SpansCollected, peaks_s: NDArray[np.floating], per_class: int
) -> list[Strip]:
    bundle, strips = collected.bundle, []
    rule = window_rule(bundle)
    for number, name in enumerate(bundle.classes):
        for _, finding in collected.best[number].best(per_class, _spread(collected.seconds)):
            start, end = _span_window(finding, number, collected.seconds)
            first, evidence = collected.track.between(start, end)
            chance = (finding.probabilities or {})[name]
            title = bundle.titles[name]
            span = f"{clock(finding.start_s)} to {clock(finding.end_s)}"
            strips.append(
                Strip(
                    start_s=start,
                    end_s=end,
                    class_name=name,
                    heading=f"{_capital(title)}, {span}",
                    verdict=f"{span}: {title} ({name.upper()}) found, probability "
                    f"{100 * chance:.0f} % (threshold {100 * rule.thresholds[name]:.0f} %).",
                    evidence_for=f"{name.upper()} above its threshold",
                    evidence=evidence[number] - rule.levels[name],
                    evidence_start_s=first,
                    column_s=collected.track.column_s,
                    marks=_marks(peaks_s, start, end),
                    reasons=explain_span(finding, name, _between(peaks_s, start, end)),
                    warnings=tuple(map(warning, finding.warnings)),
                )
            )
    return strips


def _choose_recording_strips(
    collected: RecordingCollected, peaks_s: NDArray[np.floating], per_class: int
) -> list[Strip]:
    finding = collected.finding
    if finding is None or finding.class_name is None or finding.probabilities is None:
        return []
    reasons = explain_recording(finding)
    decided, other = map(finding.classes.index, (finding.class_name, finding.second()))
    track, title = collected.track, collected.bundle.titles[finding.class_name]
    strips = []
    for start in _most_evidence(track, decided, other, collected.seconds, per_class):
        end = min(start + STRIP_S, collected.seconds)
        first, evidence = track.between(start, end)
        strips.append(
            Strip(
                start_s=start,
                end_s=end,
                class_name=finding.class_name,
                heading=f"{clock(start)} to {clock(end)}",
                verdict="",
                evidence_for=reasons.question,
                evidence=evidence[decided] - evidence[other],
                evidence_start_s=first,
                column_s=track.column_s,
                marks=_marks(peaks_s, start, end),
            )
        )
    if strips:
        chance = finding.probabilities[finding.class_name]
        strips[0] = replace(
            strips[0],
            verdict=f"The recording as a whole: {title} ({finding.class_name.upper()}), "
            f"probability {100 * chance:.0f} %.",
            reasons=reasons,
            warnings=tuple(map(warning, finding.warnings)),
        )
    return strips


def _most_evidence(
    track: EvidenceTrack, decided: int, other: int, seconds: float, count: int
) -> list[float]:
    """Starts of the strips of a grid of `STRIP_S` with most evidence, in time order."""
    starts = np.arange(0, max(seconds - 1.0, 1.0), STRIP_S, dtype=float)
    sums = []
    for start in starts:
        evidence = track.between(start, min(start + STRIP_S, seconds))[1]
        difference = evidence[decided] - evidence[other]
        sums.append(float(np.nansum(np.maximum(difference, 0.0))))
    chosen = np.argsort(-np.array(sums), kind="stable")[:count]
    return [float(starts[i]) for i in sorted(chosen)]


def _span_window(finding: Finding, number: int, seconds: float) -> tuple[float, float]:
    """A span as a whole, or, where it is longer than a strip, the part with most evidence."""
    if finding.end_s - finding.start_s <= STRIP_S + 1e-9 or finding.evidence is None:
        return finding.start_s, finding.end_s
    columns = finding.evidence[number]
    column_s = (finding.end_s - finding.start_s) / len(columns)
    peak = finding.start_s + (int(columns.argmax()) + 0.5) * column_s
    return _window(peak, seconds)


def _window(centre_s: float, seconds: float) -> tuple[float, float]:
    """The strip around a time, from a whole second on where the recording does not end before."""
    start = max(0.0, min(float(floor(centre_s - STRIP_S / 2 + 0.5)), seconds - STRIP_S))
    return start, min(start + STRIP_S, seconds)


def _spread(seconds: float) -> float:
    """How far apart strips of one class are wanted, so that they are not all of one minute."""
    return min(seconds / 20, 600.0)


def _between(peaks_s: NDArray[np.floating], start: float, end: float) -> list[float]:
    first, stop = np.searchsorted(peaks_s, [start, end])
    return [float(peak) for peak in peaks_s[int(first) : int(stop)]]


def _marks(peaks_s: NDArray[np.floating], start: float, end: float) -> tuple[Mark, ...]:
    return tuple(Mark(peak) for peak in _between(peaks_s, start, end))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
