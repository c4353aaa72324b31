"""Findings of a recording kept compactly, so that a day needs little memory.

Kept are: the evidence of each column once, as int8 (four classes of a day: 5.5 MB); a few numbers
of each finding; and, of each class, the findings with most evidence as they are.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from heapq import nlargest

import numpy as np
from numpy.typing import NDArray

from beatlens.errors import ModelError
from beatlens.runtime.bundle import Bundle
from beatlens.runtime.finding import Finding
from beatlens.signals.frontend import MODEL_RATE_HZ

APART_S = 10.0
"""Of the findings of one class within as many seconds, the one with most evidence is kept."""
CANDIDATES = 100
"""Findings of each class that are kept, at least."""
UNDECIDED = -1


class EvidenceTrack:
    """Evidence of a whole lead, one int8 column per stride, and which columns a decision used.

    Args:
        bundle: of the model.
        seconds: length of the recording.
    """

    def __init__(self, bundle: Bundle, seconds: float) -> None:
        self.column_s = bundle.geometry.stride / MODEL_RATE_HZ
        tensor = bundle.tensors["evidence"]
        self._scale, self._zero = tensor.scale, tensor.zero_point
        columns = int(seconds / self.column_s) + 2
        self._values = np.zeros((columns, len(bundle.classes)), np.int8)
        self.used = np.zeros(columns, bool)

    def add(
        self, start_s: float, evidence: NDArray[np.float32], used: NDArray[np.bool_] | None = None
    ) -> None:
        """Keep the evidence `[C, T]`, logits, of columns from `start_s` on."""
        first = round(start_s / self.column_s)
        part = slice(first, min(first + evidence.shape[1], len(self.used)))
        length = part.stop - part.start
        steps = np.round(evidence.T[:length] / self._scale) + self._zero
        self._values[part] = steps.astype(np.int8)
        self.used[part] = True if used is None else used[:length]

    def between(self, start_s: float, end_s: float) -> tuple[float, NDArray[np.float64]]:
        """Evidence `[C, T]` in logits of columns that touch a span, NaN where none was used.

        Also returns when the first column begins.
        """
        first = max(0, int(start_s / self.column_s + 1e-9))
        stop = min(len(self.used), int(np.ceil(end_s / self.column_s - 1e-9)))
        steps = self._values[first:stop].astype(np.float64)
        steps[~self.used[first:stop]] = np.nan
        return first * self.column_s, self._scale * (steps.T - self._zero)

    @property
    def used_s(self) -> float:
        """Seconds of the recording that some decision used."""
        return float(self.used.sum()) * self.column_s


class TopFindings:
    """The findings of one class with most evidence, far enough from each other."""

    def __init__(self) -> None:
        self._of: dict[int, tuple[float, float, Finding]] = {}

    def offer(self, score: float, time_s: float, finding: Finding) -> None:
        """Keep the finding if it has more evidence than those near it."""
        bucket = int(time_s // APART_S)
        before = self._of.get(bucket)
        if before is None or score > before[0]:
            self._of[bucket] = (score, time_s, finding)
        if len(self._of) > 2 * CANDIDATES:
            best = nlargest(CANDIDATES, self._of.items(), key=lambda item: item[1][0])
            self._of = dict(best)

    def best(self, count: int, spread_s: float = APART_S) -> list[tuple[float, Finding]]:
        """At most `count` of them as (time, finding), most evidence first.

        They are `spread_s` apart; where there are too few such ones, others that are `APART_S`
        apart follow.
        """
        chosen: list[tuple[float, Finding]] = []
        ranked = sorted(self._of.values(), key=lambda kept: (-kept[0], kept[1]))
        for apart in (max(spread_s, APART_S), APART_S):
            for _, time_s, finding in ranked:
                if len(chosen) == count:
                    break
                if all(abs(time_s - other) >= apart for other, _ in chosen):
                    chosen.append((time_s, finding))
        return chosen


@dataclass
class Run:
    """Consecutive beats of one class, and the one of them with most evidence."""

    class_number: int
    beats: int
    start_s: float
    end_s: float
    score: float
    finding: Finding


class BeatsCollected:
    """What is kept of findings on beats.

    Attributes: `times_s` and `classes` (numbers, `UNDECIDED` for none) of each beat, `warned`
    (whether it has a warning), `joined` (whether it is known what beat is before it); `warnings`
    and `notes` count warnings and quality notes; `best[c]` and `longest[c]` (None without a run of
    two) are of class number c.
    """

    def __init__(self, bundle: Bundle, seconds: float) -> None:
        self.bundle, self.seconds = bundle, seconds
        self.track = EvidenceTrack(bundle, seconds)
        self._times, self._classes = array("d"), array("b")
        self._warned, self._joined = array("b"), array("b")
        self.warnings: Counter[str] = Counter()
        self.notes: Counter[str] = Counter()
        count = len(bundle.classes)
        self.best: list[TopFindings] = [TopFindings() for _ in range(count)]
        self.longest: list[Run | None] = [None] * count
        self._run: Run | None = None
        self._numbers = {name: number for number, name in enumerate(bundle.classes)}

    def take(self, finding: Finding) -> None:
        """Take the next finding."""
        number = UNDECIDED
        if finding.rr_s is None:
            self._run = None
        if finding.class_name is None or finding.evidence is None:
            self.notes.update(_list_notes(finding))
            self._run = None
        else:
            number = self._numbers[finding.class_name]
            self.track.add(finding.start_s, finding.evidence)
            self._rank(number, finding)
        self.warnings.update(finding.warnings)
        self._times.append(finding.time_s)
        self._classes.append(number)
        self._warned.append(bool(finding.warnings))
        self._joined.append(finding.rr_s is not None)

    def _rank(self, number: int, finding: Finding) -> None:
        scores = finding.scores()
        score = float(scores[number] - np.delete(scores, number).max())
        if number == 0:
            self._run = None
            return
        self.best[number].offer(score, finding.time_s, finding)
        run = self._run
        if run is None or run.class_number != number:
            self._run = Run(number, 1, finding.time_s, finding.time_s, score, finding)
            return
        run.beats, run.end_s = run.beats + 1, finding.time_s
        if score > run.score:
            run.score, run.finding = score, finding
        longest = self.longest[number]
        if longest is None or run.beats > longest.beats:
            self.longest[number] = run

    @property
    def times_s(self) -> NDArray[np.float64]:
        """R peaks `[b]`, seconds."""
        return np.array(self._times, dtype=np.float64)

    @property
    def classes(self) -> NDArray[np.int8]:
        """Numbers of their classes `[b]`."""
        return np.array(self._classes, dtype=np.int8)

    @property
    def warned(self) -> NDArray[np.bool_]:
        """Bool `[b]`: whether a beat has a warning."""
        return np.array(self._warned, dtype=bool)

    @property
    def joined(self) -> NDArray[np.bool_]:
        """Bool `[b]`: whether the RR interval before a beat is known."""
        return np.array(self._joined, dtype=bool)


class SpansCollected:
    """What is kept of findings on spans.

    Attributes: `starts_s`, `ends_s` `[n]` and `decisions` `[n, C]` (1 found, 0 not, `UNDECIDED`);
    `warnings` and `notes` count; `best[c]` are of class number c.
    """

    def __init__(self, bundle: Bundle, seconds: float) -> None:
        self.bundle, self.seconds = bundle, seconds
        self.track = EvidenceTrack(bundle, seconds)
        self._starts, self._ends, self._decisions = array("d"), array("d"), array("b")
        self.warnings: Counter[str] = Counter()
        self.notes: Counter[str] = Counter()
        self.best: list[TopFindings] = [TopFindings() for _ in bundle.classes]

    def take(self, finding: Finding) -> None:
        """Take the next finding."""
        self._starts.append(finding.start_s)
        self._ends.append(finding.end_s)
        self.warnings.update(finding.warnings)
        if finding.evidence is None:
            self.notes.update(_list_notes(finding))
            self._decisions.extend([UNDECIDED] * len(self.bundle.classes))
            return
        self.track.add(finding.start_s, finding.evidence)
        self._decisions.extend(name in finding.predicted for name in self.bundle.classes)
        scores = finding.scores()
        for name in finding.predicted:
            number = finding.classes.index(name)
            self.best[number].offer(float(scores[number]), finding.start_s, finding)

    @property
    def starts_s(self) -> NDArray[np.float64]:
        """Starts of spans `[n]`, seconds."""
        return np.array(self._starts, dtype=np.float64)

    @property
    def ends_s(self) -> NDArray[np.float64]:
        """Ends of spans `[n]`, seconds."""
        return np.array(self._ends, dtype=np.float64)

    @property
    def decisions(self) -> NDArray[np.int8]:
        """Decisions `[n, C]`."""
        return np.array(self._decisions, dtype=np.int8).reshape(-1, len(self.bundle.classes))


class RecordingCollected:
    """What is kept of the finding on a whole recording: the finding itself."""

    def __init__(self, bundle: Bundle, seconds: float) -> None:
        self.bundle, self.seconds = bundle, seconds
        self.track = EvidenceTrack(bundle, seconds)
        self.warnings: Counter[str] = Counter()
        self.notes: Counter[str] = Counter()
        self.finding: Finding | None = None

    def take(self, finding: Finding) -> None:
        """Take the one finding."""
        self.finding = finding
        self.warnings.update(finding.warnings)
        if finding.evidence is None:
            self.notes.update(_list_notes(finding))
        else:
            self.track.add(finding.start_s, finding.evidence, finding.present)


def _list_notes(finding: Finding) -> dict[str, int]:
    """Quality notes without their numbers, each once."""
    return {note.split(":")[0].split(" for ")[0]: 1 for note in finding.quality_notes}


Collected = BeatsCollected | SpansCollected | RecordingCollected


_COLLECTORS: dict[str, Callable[[Bundle, float], Collected]] = {
    "span": SpansCollected,
    "beat": BeatsCollected,
    "recording": RecordingCollected,
}


def collector(bundle: Bundle, seconds: float) -> Collected:
    """The collector for what the bundle decides on, of a recording of `seconds`.

    Raises:
        ModelError: the bundle is of another package's kind, whose findings are on something else.
    """
    unit = bundle.kind.unit
    if unit not in _COLLECTORS:
        raise ModelError(
            f"bundle {bundle.name!r} has findings on a {unit}, expected one of "
            f"{', '.join(_COLLECTORS)}: there is no summary or page of it; use bundle.explain"
        )
    return _COLLECTORS[unit](bundle, seconds)
