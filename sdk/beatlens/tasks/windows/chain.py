"""The chain of windows in Python: columns of evidence in, a finding every so many columns."""

from __future__ import annotations

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
from beatlens.tasks.windows.finding import all_lost, assess, left_over


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
        return Segment(
            self._frontend,
            self._engine,
            self._bundle.geometry,
            first=first,
            hop=self._hop,
            span=self._bundle.span_columns,
        )

    def add(self, columns: Columns) -> list[Finding]:
        """Append columns and return the findings on the windows they complete."""
        self._columns += columns
        span, start, findings = self._bundle.span_columns, 0, []
        while start + span <= len(self._columns):
            part = self._columns[start : start + span]
            findings.append(assess(self._bundle, self._limits, self._next + start, part))
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
