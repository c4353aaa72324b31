"""A recording in numbers: length, heart rate, counts, burden, quality, warnings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from beatlens.ecg_page.collect import (
    UNDECIDED,
    BeatsCollected,
    Collected,
    RecordingCollected,
    SpansCollected,
)
from beatlens.ecg_page.lead_monitor import FAULTS, SignalQuality
from beatlens.signals.heart_rate import HeartRate, heart_rate, longest_interval
from beatlens.tasks.beats.rhythm_log import RhythmSummary


@dataclass(frozen=True)
class ClassCount:
    """How often one class was found.

    Attributes:
        name, title: short and long name.
        count: beats of it, or spans that hold it.
        seconds: of spans only, how much of the recording such spans cover.
        couplets: of beats only, how often exactly two are in a row.
        runs: of beats, how often three or more are in a row; of spans, how many episodes.
        longest: beats of the longest run, or seconds of the longest episode.
        longest_at_s: when that begins; None where there is none.
        chance: of a whole recording, the probability of the class.
    """

    name: str
    title: str
    count: int
    seconds: float = 0.0
    couplets: int = 0
    runs: int = 0
    longest: float = 0
    longest_at_s: float | None = None
    chance: float | None = None


@dataclass(frozen=True)
class Summary:
    """What a recording comes down to.

    Attributes:
        seconds: length of the recording.
        unit: what is decided on: "beat", "span" or "recording".
        peaks_s: R peaks `[b]`, seconds.
        rate: heart rate.
        longest: the longest RR interval as (time of its first R peak, seconds), or None.
        classes: counts by class, in the model's order.
        decided, undecided: numbers of beats or spans with and without a decision.
        decided_s: seconds of the recording that decisions used.
        faults: seconds missing, flat, saturated, clipped and noisy.
        breaks: times without usable signal.
        warnings: decisions with each warning.
        notes: decisions not given, by the quality note.
        decision: of a whole recording, the class it was given.
        rhythms: of beats, what their rhythms come down to.
    """

    seconds: float
    unit: str
    peaks_s: NDArray[np.float64]
    rate: HeartRate
    longest: tuple[float, float] | None
    classes: tuple[ClassCount, ...]
    decided: int
    undecided: int
    decided_s: float
    faults: Mapping[str, float]
    breaks: tuple[tuple[float, float], ...]
    warnings: Mapping[str, int]
    notes: Mapping[str, int]
    decision: str | None = None
    rhythms: RhythmSummary | None = None


def summarise(
    collected: Collected,
    quality: SignalQuality,
    peaks_s: NDArray[np.floating],
    rhythms: RhythmSummary | None = None,
) -> Summary:
    """Sum up a recording.

    Args:
        collected: its findings.
        quality: of its signal.
        peaks_s: R peaks `[b]`, seconds, for models that do not decide on beats.
        rhythms: of its beats, if the model decides on beats.
    """
    unit, decision = "span", None
    if isinstance(collected, BeatsCollected):
        unit, peaks_s = "beat", collected.times_s
        numbers = collected.classes
        decided = int((numbers != UNDECIDED).sum())
        undecided = len(numbers) - decided
        classes = count_beats(collected)
    elif isinstance(collected, SpansCollected):
        classes = count_spans(collected)
        assessed = collected.decisions[:, 0] != UNDECIDED
        decided, undecided = int(assessed.sum()), int((~assessed).sum())
    else:
        unit, finding = "recording", collected.finding
        decision = None if finding is None else finding.class_name
        decided = int(decision is not None)
        undecided = 1 - decided
        chances = {} if finding is None else finding.probabilities or {}
        classes = tuple(
            ClassCount(name, title, int(name == decision), chance=chances.get(name))
            for name, title in collected.bundle.titles.items()
        )
    peaks = np.asarray(peaks_s, dtype=np.float64)
    breaks = quality.breaks
    return Summary(
        seconds=collected.seconds,
        unit=unit,
        peaks_s=peaks,
        rate=heart_rate(peaks, breaks),
        longest=longest_interval(peaks, breaks),
        classes=classes,
        decided=decided,
        undecided=undecided,
        decided_s=min(collected.track.used_s, collected.seconds),
        faults={fault: quality.seconds(fault) for fault in FAULTS},
        breaks=tuple(breaks),
        warnings=dict(collected.warnings),
        notes=dict(collected.notes),
        decision=decision,
        rhythms=rhythms,
    )


def count_beats(collected: BeatsCollected) -> tuple[ClassCount, ...]:
    """Counts of beats, couplets and runs by class.

    A run ends where its next beat is not known: at a beat without a decision, and at a gap.
    """
    segments = np.cumsum(~collected.joined).tolist()
    numbers = list(zip(collected.classes.tolist(), segments, strict=True))
    times = collected.times_s
    count = len(collected.bundle.classes)
    lengths: list[list[int]] = [[] for _ in range(count)]
    longest = [(0, 0.0)] * count
    at = 0
    for (number, _), group in groupby(numbers):
        beats = sum(1 for _ in group)
        if number != UNDECIDED:
            lengths[number].append(beats)
            if beats > longest[number][0]:
                longest[number] = beats, float(times[at])
        at += beats
    return tuple(
        ClassCount(
            name=name,
            title=title,
            count=sum(lengths[i]),
            couplets=lengths[i].count(2),
            runs=sum(1 for beats in lengths[i] if beats >= 3),
            longest=longest[i][0],
            longest_at_s=longest[i][1] if lengths[i] else None,
        )
        for i, (name, title) in enumerate(collected.bundle.titles.items())
    )


def count_spans(collected: SpansCollected) -> tuple[ClassCount, ...]:
    """Counts of spans and episodes by class; an episode is spans in a row that touch."""
    starts, ends, decisions = collected.starts_s, collected.ends_s, collected.decisions
    counts = []
    for i, (name, title) in enumerate(collected.bundle.titles.items()):
        episodes: list[list[float]] = []
        for at in np.flatnonzero(decisions[:, i] == 1):
            if episodes and starts[at] <= episodes[-1][1] + 1e-6:
                episodes[-1][1] = float(ends[at])
            else:
                episodes.append([float(starts[at]), float(ends[at])])
        long = max(episodes, key=lambda e: e[1] - e[0], default=None)
        counts.append(
            ClassCount(
                name=name,
                title=title,
                count=int((decisions[:, i] == 1).sum()),
                seconds=sum(b - a for a, b in episodes),
                runs=len(episodes),
                longest=0 if long is None else long[1] - long[0],
                longest_at_s=None if long is None else long[0],
            )
        )
    return tuple(counts)


def choose_peaks(collected: Collected, monitored: list[float]) -> NDArray[np.float64]:
    """R peaks `[b]` in seconds: the model's own where it has some, else the monitor's."""
    if isinstance(collected, BeatsCollected):
        return collected.times_s
    if isinstance(collected, RecordingCollected) and collected.finding is not None:
        own = collected.finding.beat_times_s
        if own is not None:
            return np.asarray(own)
    return np.array(monitored, dtype=np.float64)
