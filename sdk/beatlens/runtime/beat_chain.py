"""What lies between the counts of a lead and the findings on its beats.

Front end, then two things side by side: the network's evidence, and R peaks with their rhythm. A
beat is decided as soon as the evidence around it and the next R peak are there. Memory does not
grow with the recording: evidence is kept for `KEPT_S` seconds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from beatlens.errors import ModelError
from beatlens.runtime.beat_finding import STEPS, BeatFinding
from beatlens.runtime.beat_rule import BeatRule, beat_columns
from beatlens.runtime.bundle import Bundle
from beatlens.runtime.chain import PIECE, until_column
from beatlens.runtime.engines import Engine, dequantize
from beatlens.runtime.finding import Columns, Limits, described
from beatlens.runtime.stretch import Stretch
from beatlens.signals.frontend import MODEL_RATE_HZ, FrontEnd
from beatlens.signals.qrs import QrsDetector
from beatlens.signals.rhythm import RhythmContexts

KEPT_S = 16
"""Seconds of evidence that are kept: the detector looks at 8 s before it first decides, and may
find an overdue beat later."""

Certain = tuple[int, tuple[int, ...]]
"""An R peak with its rhythm context."""


class BeatChain:
    """The chain in Python, with an engine that runs the network; see `Chain`.

    Args:
        bundle: what is run, with a rule for beats.
        frontend: of the sensor.
        limits: how much of a beat's span may be bad.
        engine: of the bundle.

    Raises:
        ModelError: the bundle decides on spans.
    """

    def __init__(self, bundle: Bundle, frontend: FrontEnd, limits: Limits, engine: Engine) -> None:
        if bundle.beats is None:
            raise ModelError(
                f"bundle {bundle.name!r} decides on spans of {bundle.span_s:g} s, expected one "
                "that decides on beats: use bundle.stream"
            )
        self.received = 0
        self._bundle, self._rule = bundle, bundle.beats
        self._frontend, self._limits, self._engine = frontend, limits, engine
        self._up, self._down = frontend.up, frontend.down * bundle.geometry.stride
        self._stretch: _BeatStretch | None = None

    def push(self, counts: NDArray[np.int64]) -> list[BeatFinding]:
        """See `Chain.push`."""
        found = []
        for start in range(0, len(counts), PIECE):
            found += self._take_piece(counts[start : start + PIECE])
        return found

    def gap(self, samples: int) -> list[BeatFinding]:
        """See `Chain.gap`. Beats around a gap are decided on what there is on their side of it."""
        found = self.end()
        self.received += samples
        return found

    def end(self) -> list[BeatFinding]:
        """See `Chain.end`."""
        found = [] if self._stretch is None else list(self._stretch.close())
        self._stretch = None
        return found

    def _take_piece(self, counts: NDArray[np.int64]) -> list[BeatFinding]:
        if self._stretch is None:
            dropped = until_column(self.received, self._up, self._down, len(counts))
            counts = counts[dropped:]
            self.received += dropped
            if not len(counts):
                return []
            first = self.received * self._up // self._down
            self._stretch = _BeatStretch(
                self._bundle, self._rule, self._frontend, self._limits, self._engine, first
            )
        self.received += len(counts)
        return list(self._stretch.push(counts))


class _BeatStretch:
    """Beats of an uninterrupted stretch of signal that begins at the stream's column `first`."""

    def __init__(
        self,
        bundle: Bundle,
        rule: BeatRule,
        frontend: FrontEnd,
        limits: Limits,
        engine: Engine,
        first: int,
    ) -> None:
        self._bundle, self._rule, self._limits, self._first = bundle, rule, limits, first
        hop = bundle.hop_columns
        self._columns_of = Stretch(
            frontend, engine, bundle.geometry, first=first, hop=hop, span=hop, heard=self._hear
        )
        self._detector, self._contexts = QrsDetector(), RhythmContexts()
        self._peaks: deque[int] = deque()
        self._certain: deque[Certain] = deque()
        self._kept = Columns.in_gap(0, len(bundle.classes))
        self._kept_from = 0
        self._most = KEPT_S * MODEL_RATE_HZ // bundle.geometry.stride

    def push(self, counts: NDArray[np.int64]) -> Iterable[BeatFinding]:
        """Take checked sensor counts; yield the beats that became ready."""
        for columns in self._columns_of.push(counts):
            yield from self._add(columns)

    def close(self) -> Iterable[BeatFinding]:
        """End the stretch; yield the rest of its beats."""
        for columns in self._columns_of.close():
            yield from self._add(columns)
        self._follow(self._detector.flush())
        context = self._contexts.end()
        if context is not None:
            self._certain.append((self._peaks.popleft(), context))
        total = self._kept_from + len(self._kept)
        yield from (self._decide(beat, total) for beat in self._certain)

    def _hear(self, x: NDArray[np.int8]) -> None:
        """Look for R peaks in the front end's samples."""
        self._follow(self._detector.push(x))

    def _follow(self, peaks: Iterable[int]) -> None:
        for peak in peaks:
            context = self._contexts.push(peak)
            self._peaks.append(peak)
            if context is not None:
                self._certain.append((self._peaks.popleft(), context))

    def _add(self, columns: Columns) -> Iterable[BeatFinding]:
        """Append columns; yield the beats whose spans they complete."""
        self._kept += columns
        total = self._kept_from + len(self._kept)
        while self._certain and self._needed(self._certain[0][0]) <= total:
            yield self._decide(self._certain.popleft(), total)
        gone = max(0, len(self._kept) - self._most)
        self._kept, self._kept_from = self._kept[gone:], self._kept_from + gone

    def _needed(self, peak: int) -> int:
        """How many columns there have to be for the beat at `peak`."""
        rule = self._rule
        after = peak // self._bundle.geometry.stride + rule.after
        return max(after, rule.before + rule.after)

    def _decide(self, beat: Certain, total: int) -> BeatFinding:
        """The finding on a beat; `total` columns are there."""
        peak, context = beat
        rule, stride = self._rule, self._bundle.geometry.stride
        length = rule.before + rule.after
        time_s = self._first * stride / MODEL_RATE_HZ + peak / MODEL_RATE_HZ
        if total < length:
            return self._lost(time_s, f"{total} columns of evidence, a beat needs {length}")
        start = int(beat_columns(np.array([peak]), stride, rule.before, rule.after, total)[0])
        at = start - self._kept_from
        if at < 0:
            return self._lost(time_s, f"found more than {KEPT_S} s late")
        columns = self._kept[at : at + length]
        tally = columns.tally(stride)
        about = described(self._bundle, self._first + start, tally)
        if not self._limits.allow(tally, stride):
            return BeatFinding(time_s=time_s, assessable=False, **about)
        sums, contexts = columns.evidence.sum(axis=0, dtype=np.int64)[None], np.array([context])
        chances = rule.probabilities(sums, contexts)[0].tolist()
        step = rule.scale / length
        evidence = dequantize(columns.evidence.T, self._bundle.tensors["evidence"])
        evidence.flags.writeable = False
        classes = self._bundle.classes
        return BeatFinding(
            time_s=time_s,
            assessable=True,
            **about,
            class_name=classes[int(rule.decide(sums, contexts)[0])],
            probabilities=dict(zip(classes, chances, strict=True)),
            evidence=evidence,
            rhythm=step * rule.tables[np.arange(len(context)), context].astype(float),
            offsets=step * rule.offsets.astype(float),
            contexts={name: v / STEPS[name] for name, v in zip(STEPS, context, strict=True)},
            classes=classes,
        )

    def _lost(self, time_s: float, reason: str) -> BeatFinding:
        """The finding on a beat whose evidence is not there."""
        return BeatFinding(
            time_s=time_s, start_s=time_s, end_s=time_s, assessable=False, reasons=(reason,),
            quality=0.0,
        )  # fmt: skip
