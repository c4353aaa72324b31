"""What lies between the counts of a lead and the findings on its beats.

Front end, then two things side by side: the network's evidence, and R peaks with their features. A
beat's evidence is taken as soon as it is there; it is decided when the next R peak is. Memory does
not grow with the recording: the detector finds no beat later than after `KEPT_S` seconds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from beatlens.runtime.columns import Columns
from beatlens.runtime.contents import Contents
from beatlens.runtime.engines import Engine
from beatlens.runtime.finding import Finding
from beatlens.runtime.quality import Limits
from beatlens.runtime.segment import Segment
from beatlens.runtime.segment_chain import SegmentChain
from beatlens.runtime.warning_bits import CLIPPED
from beatlens.signals.beat_features import BeatFeatures, BeatRow
from beatlens.signals.frontend import MODEL_RATE_HZ, FrontEnd
from beatlens.signals.patient_beats import PatientBeats
from beatlens.signals.qrs import QrsDetector
from beatlens.tasks.beats.finding import beat_finding, beat_without_decision
from beatlens.tasks.beats.rule import BeatRule, beat_rule
from beatlens.tasks.beats.sharing import ClusterMargins

KEPT_S = 10
"""Seconds of evidence that are kept: the detector looks at 8 s before it first decides, and finds
an overdue beat 8 s late at most (`beatlens.signals.qrs_decisions.RECENT`)."""

HIDING = 32
"""Flat or saturated samples between two R peaks that may hide a beat: more (BL_BEATS_HIDING)."""


@dataclass(frozen=True)
class _Taken:
    """An R peak, and the columns of its span, the first being number `start` of the segment.

    `rr` samples are between it and the R peak before it; 0: it is not known what beats were there.
    """

    peak: int
    rr: int
    start: int
    columns: Columns


class Patient:
    """What a stream knows of its patient; it outlives gaps in the signal."""

    def __init__(self, rule: BeatRule) -> None:
        self.beats = PatientBeats()
        self.margins = None if rule.sharing is None else ClusterMargins(rule.sharing)


class BeatChain(SegmentChain):
    """The chain in Python, with an engine that runs the network; see `Chain`.

    Args:
        bundle: what is run, with a rule for beats.
        frontend: of the sensor.
        limits: how much of a beat's span may be bad.
        engine: of the bundle.

    Raises:
        ModelError: the bundle does not decide on beats.
    """

    def __init__(
        self, bundle: Contents, frontend: FrontEnd, limits: Limits, engine: Engine
    ) -> None:
        rule = beat_rule(bundle)
        patient = Patient(rule)

        def begin(first: int) -> _BeatSegment:
            return _BeatSegment(bundle, rule, frontend, limits, engine, first, patient)

        super().__init__(bundle, frontend, begin)


class _BeatSegment:
    """Beats of an uninterrupted segment of signal that begins at the stream's column `first`."""

    def __init__(
        self,
        bundle: Contents,
        rule: BeatRule,
        frontend: FrontEnd,
        limits: Limits,
        engine: Engine,
        first: int,
        patient: Patient,
    ) -> None:
        self._bundle, self._rule, self._limits, self._first = bundle, rule, limits, first
        hop = bundle.hop_columns
        self._columns_of = Segment(
            frontend,
            engine,
            bundle.geometry,
            first=first,
            hop=hop,
            span=hop,
            on_samples=self._find_peaks,
        )
        self._detector, self._known = QrsDetector(frontend.lsb_mv), BeatFeatures(patient.beats)
        self._margins = patient.margins
        self._peaks: deque[int] = deque()  # whose evidence is not taken yet
        self._taken: deque[_Taken] = deque()  # that are not decided yet
        self._features: deque[BeatRow] = deque()  # of those and of the next peaks
        self._kept = Columns.in_gap(0, len(bundle.classes))
        self._kept_from = 0
        self._bad_gone = 0  # flat or saturated samples of columns no longer kept
        self._last: tuple[int, int] | None = None  # R peak, and bad samples up to its column
        self._most = KEPT_S * MODEL_RATE_HZ // bundle.geometry.stride

    def push(self, counts: NDArray[np.int64]) -> Iterable[Finding]:
        """Take checked sensor counts; yield the beats that became ready."""
        for columns in self._columns_of.push(counts):
            self._add(columns)
        yield from self._ready()

    def close(self, until: int | None) -> Iterable[Finding]:
        """End the segment, at the stream's column `until` if given; yield the rest of its beats."""
        for columns in self._columns_of.close(None if until is None else until - self._first):
            self._add(columns)
        self._follow(self._detector.flush())
        found = self._known.end()
        if found is not None:
            self._features.append(found)
        self._take(ended=True)
        yield from self._ready()

    def _find_peaks(self, x: NDArray[np.int8]) -> None:
        """Look for R peaks in the front end's samples."""
        self._known.add_samples(x)
        self._follow(self._detector.push(x))

    def _follow(self, peaks: Iterable[int]) -> None:
        for peak in peaks:
            found = self._known.push(peak)
            if found is not None:
                self._features.append(found)
            self._peaks.append(peak)

    def _add(self, columns: Columns) -> None:
        """Append columns, and take the spans they complete."""
        self._kept += columns
        self._take()
        gone = max(0, len(self._kept) - self._most)
        self._bad_gone += int(self._kept.bad[:gone].sum())
        self._kept, self._kept_from = self._kept[gone:], self._kept_from + gone

    def _take(self, *, ended: bool = False) -> None:
        """Take the columns of peaks whose spans are there; at the end, moved in if need be."""
        rule, stride = self._rule, self._bundle.geometry.stride
        length, total = rule.before + rule.after, self._kept_from + len(self._kept)
        while self._peaks:
            peak = self._peaks[0]
            start = max(0, peak // stride - rule.before)
            if start + length > total and not ended:
                return
            start = max(0, min(start, total - length))
            at = start - self._kept_from
            rr = self._interval(peak)
            self._taken.append(_Taken(peak, rr, start, self._kept[at : at + length]))
            self._peaks.popleft()

    def _interval(self, peak: int) -> int:
        """Samples since the last R peak, 0 where a beat may be hidden; `peak` is the last then."""
        upto = max(0, peak // self._bundle.geometry.stride + 1 - self._kept_from)
        bad = self._bad_gone + int(self._kept.bad[:upto].sum())
        last, self._last = self._last, (peak, bad)
        return peak - last[0] if last is not None and bad - last[1] <= HIDING else 0

    def _ready(self) -> Iterable[Finding]:
        while self._taken and self._features:
            yield self._decide(self._taken.popleft(), self._features.popleft())

    def _decide(self, beat: _Taken, row: BeatRow) -> Finding:
        bundle, rule, stride = self._bundle, self._rule, self._bundle.geometry.stride
        peak, start = self._first * stride + beat.peak, self._first + beat.start
        whole = len(beat.columns) == rule.before + rule.after
        tally = (beat.columns if whole else beat.columns[:0]).tally(stride)
        if not whole or not self._limits.allow(tally, stride):
            self._share(None, row)
            return beat_without_decision(bundle, peak, beat.rr, start, tally)
        sums = beat.columns.evidence.sum(axis=0, dtype=np.int64)[None]
        values = np.array([row.values])
        shared = self._share(rule.scores(sums, values)[0], row)
        scores = rule.scores(sums, values, shared)
        clipped = self._limits.clips(tally, stride)
        found = rule.decide(scores, rule.never_if_clipped if clipped else ())
        warnings = self._limits.noise(tally, stride) | int(rule.warnings(scores, found)[0])
        warnings |= CLIPPED if clipped else 0
        return beat_finding(
            bundle,
            rule,
            peak,
            beat.rr,
            start,
            tally,
            beat.columns.evidence,
            row.values,
            shared,
            int(found[0]),
            warnings,
        )

    def _share(self, scores: NDArray[np.int64] | None, row: BeatRow) -> int:
        """What a beat's cluster adds to its score of the shared class; see `ClusterMargins`."""
        sharing = self._rule.sharing
        if sharing is None or self._margins is None:
            return 0
        margin = None if scores is None else sharing.margin(scores + self._rule.warning.odds)
        return self._margins.push(margin, row.cluster, row.begins)
