"""The chain of windows in Python: columns of evidence in, a finding every so many columns."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from beatlens.runtime.columns import Columns
from beatlens.runtime.contents import Contents
from beatlens.runtime.engines import Engine
from beatlens.runtime.finding import Finding
from beatlens.runtime.quality import Limits
from beatlens.runtime.segment import MAX_COLUMNS, Segment
from beatlens.runtime.segment_chain import SegmentChain
from beatlens.signals.frontend import FrontEnd
from beatlens.signals.rhythm_features import RhythmTracker
from beatlens.tasks.windows.finding import all_lost, assess, left_over
from beatlens.tasks.windows.rule import window_rule


class WindowChain(SegmentChain):
    """The chain with an engine that runs the network; see `beatlens.runtime.chain.Chain`.

    Args:
        bundle: what is run.
        frontend: of the sensor.
        hop: columns from one decision to the next.
        limits: how much of a window may be bad.
        engine: of the bundle.
    """

    def __init__(
        self, bundle: Contents, frontend: FrontEnd, hop: int, limits: Limits, engine: Engine
    ) -> None:
        self._bundle, self._frontend, self._engine = bundle, frontend, engine
        self._hop, self._limits = hop, limits
        self._columns = Columns.in_gap(0, len(bundle.classes))  # from column _next on
        self._next = 0  # where the next window starts
        self._rhythms: deque[tuple[int, tuple[int, ...]]] = deque()  # by a window's end, a column
        super().__init__(bundle, frontend, lambda first: _WindowSegment(self, first))

    def end(self) -> list[Finding]:
        """See `Chain.end`."""
        in_gap = self._segment is None
        findings = super().end()
        if in_gap:
            findings += self.add_gap(self.column)
        stride = self._bundle.geometry.stride
        covered = self._next - self._hop + self._bundle.span_columns if self._next else 0
        if covered * self._frontend.down * stride < self.received * self._frontend.up:
            rest = self._columns[covered - self._next :]
            seconds = self.received / self._frontend.rate_hz
            findings.append(left_over(self._bundle, covered, rest, seconds))
        return findings

    def open_segment(self, first: int) -> Segment:
        """The columns of a segment that begins at the stream's column `first`."""
        self._rhythms.clear()
        stride = self._bundle.geometry.stride
        rhythm = (
            None
            if window_rule(self._bundle).tables is None
            else _Rhythm(self, first, stride, self._frontend.lsb_mv)
        )
        return Segment(
            self._frontend,
            self._engine,
            self._bundle.geometry,
            first=first,
            hop=self._hop,
            span=self._bundle.span_columns,
            on_samples=rhythm,
        )

    def samples_to_end(self, column: int) -> int:
        """Samples from the start of a column of the stream to the next end of a window."""
        columns = (self._bundle.span_columns - column - 1) % self._hop + 1
        return columns * self._bundle.geometry.stride

    def note_rhythm(self, column: int, features: tuple[int, ...]) -> None:
        """Keep the features of the rhythm at the end of a window, at the stream's `column`."""
        self._rhythms.append((column, features))

    def _take_rhythm(self, end: int) -> tuple[int, ...] | None:
        """The features at a window's end; None where the rule has no tables, or signal is lost."""
        while self._rhythms and self._rhythms[0][0] < end:
            self._rhythms.popleft()
        found = self._rhythms and self._rhythms[0][0] == end
        return self._rhythms[0][1] if found else None

    def add(self, columns: Columns) -> list[Finding]:
        """Append columns and return the findings on the windows they complete."""
        self._columns += columns
        span, start, findings = self._bundle.span_columns, 0, []
        while start + span <= len(self._columns):
            part, first = self._columns[start : start + span], self._next + start
            rhythm = self._take_rhythm(first + span)
            findings.append(assess(self._bundle, self._limits, first, part, rhythm))
            start += self._hop
        self._columns = self._columns[start:]
        self._next += start
        return findings

    def add_gap(self, until: int) -> list[Finding]:
        """Append lost columns up to column `until`."""
        span = self._bundle.span_columns
        findings = self._add_lost(min(until - self._position(), span))
        # All columns kept are lost ones now, if any are left to add: skip the windows between.
        hops = (until - span - self._next) // self._hop
        if until > self._position() and hops > 0:
            end = self._next + (hops - 1) * self._hop + span
            findings.append(all_lost(self._bundle, self._next, end))
            self._next += hops * self._hop
        return findings + self._add_lost(until - self._position())

    def _position(self) -> int:
        """The next column to be added."""
        return self._next + len(self._columns)

    def _add_lost(self, count: int) -> list[Finding]:
        findings = []
        for start in range(0, count, MAX_COLUMNS):
            size = min(MAX_COLUMNS, count - start)
            findings += self.add(Columns.in_gap(size, len(self._bundle.classes)))
        return findings


class _WindowSegment:
    """Windows of an uninterrupted segment that begins at the stream's column `first`."""

    def __init__(self, chain: WindowChain, first: int) -> None:
        self._chain, self._first = chain, first
        self._before = chain.add_gap(first)
        self._columns_of = chain.open_segment(first)

    def push(self, counts: NDArray[np.int64]) -> Iterator[Finding]:
        """Take checked sensor counts; yield the findings that became ready."""
        yield from self._before
        self._before = []
        for columns in self._columns_of.push(counts):
            yield from self._chain.add(columns)

    def close(self, until: int | None) -> Iterator[Finding]:
        """End the segment, at the stream's column `until` if given; yield the rest."""
        for columns in self._columns_of.close(None if until is None else until - self._first):
            yield from self._chain.add(columns)


class _Rhythm:
    """Notes the rhythm at the end of every window of a segment that begins at column `first`."""

    def __init__(self, chain: WindowChain, first: int, stride: int, lsb_mv: float) -> None:
        self._chain, self._tracker = chain, RhythmTracker(lsb_mv)
        self._stride = stride
        self._end = first * self._stride  # of the stream's samples: the next end of a window
        self._at = self._end
        self._move_end()

    def _move_end(self) -> None:
        self._end += self._chain.samples_to_end(self._end // self._stride)

    def __call__(self, x: NDArray[np.int8]) -> None:
        """Take the front end's samples."""
        while len(x):
            part, x = x[: self._end - self._at], x[self._end - self._at :]
            features = self._tracker.push(part)
            self._at += len(part)
            if self._at == self._end:
                self._chain.note_rhythm(self._end // self._stride, features)
                self._move_end()
