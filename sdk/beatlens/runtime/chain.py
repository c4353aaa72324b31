"""What lies between the counts of a lead and its findings.

A `Stream` checks what it is given and hands counts to a chain. There are two, with the same
findings bit for bit: `EngineChain` here, Python around an engine, and
`beatlens.runtime.host.HostChain`, which runs the firmware's C.
"""

from __future__ import annotations

from math import gcd
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from beatlens.runtime.columns import Columns
from beatlens.runtime.contents import Contents
from beatlens.runtime.engines import Engine
from beatlens.runtime.finding import Finding
from beatlens.runtime.quality import Limits
from beatlens.runtime.segment import MAX_COLUMNS, Segment
from beatlens.runtime.window_finding import all_lost, assess, left_over
from beatlens.signals.frontend import FrontEnd

PIECE = 1 << 15
"""Counts worked on at once, so that a long push needs no more memory than a short one."""


Found = TypeVar("Found")


class Chain(Protocol[Found]):
    """Counts in, findings out: on spans, or on beats."""

    @property
    def received(self) -> int:
        """Counts so far, lost ones included."""
        ...

    def push(self, counts: NDArray[np.int64]) -> list[Found]:
        """Take checked 16 bit counts `[n]`, any n; return the findings that became ready."""
        ...

    def gap(self, samples: int) -> list[Found]:
        """Take a number of lost counts, at least 1; return the findings that became ready."""
        ...

    def end(self) -> list[Found]:
        """The last findings; nothing is called afterwards."""
        ...


class EngineChain:
    """The chain in Python, with an engine that runs the network.

    Args:
        bundle: what is run.
        frontend: of the sensor.
        hop: columns from one decision to the next.
        limits: how much of a span may be bad.
        engine: of the bundle.
    """

    def __init__(
        self, bundle: Contents, frontend: FrontEnd, hop: int, limits: Limits, engine: Engine
    ) -> None:
        self.received = 0
        self._bundle, self._frontend, self._engine = bundle, frontend, engine
        self._hop, self._limits = hop, limits
        # Column c begins at sensor sample c * _column_down / _column_up.
        self._column_up = frontend.up
        self._column_down = frontend.down * bundle.geometry.stride
        self._segment: Segment | None = None
        self._columns = Columns.in_gap(0, len(bundle.classes))  # from column _next on
        self._next = 0  # where the next span starts

    def push(self, counts: NDArray[np.int64]) -> list[Finding]:
        """See `Chain.push`."""
        findings = []
        for start in range(0, len(counts), PIECE):
            findings += self._take_piece(counts[start : start + PIECE])
        return findings

    def gap(self, samples: int) -> list[Finding]:
        """See `Chain.gap`."""
        # Only columns that are there as a whole are kept.
        findings = self._close(self._column())
        self.received += samples
        return findings

    def end(self) -> list[Finding]:
        """See `Chain.end`."""
        findings = self._close(None) if self._segment else self._add_gap(self._column())
        covered = self._next - self._hop + self._bundle.span_columns if self._next else 0
        if covered * self._column_down < self.received * self._column_up:
            rest = self._columns[covered - self._next :]
            seconds = self.received / self._frontend.rate_hz
            findings.append(left_over(self._bundle, covered, rest, seconds))
        return findings

    def _take_piece(self, counts: NDArray[np.int64]) -> list[Finding]:
        findings = []
        if self._segment is None:
            dropped = until_column(self.received, self._column_up, self._column_down, len(counts))
            counts = counts[dropped:]
            self.received += dropped
            if not len(counts):
                return []
            findings = self._add_gap(self._column())
            self._segment = Segment(
                self._frontend,
                self._engine,
                self._bundle.geometry,
                first=self._column(),
                hop=self._hop,
                span=self._bundle.span_columns,
            )
        self.received += len(counts)
        for columns in self._segment.push(counts):
            findings += self._add(columns)
        return findings

    def _column(self) -> int:
        """The column that the next sensor sample belongs to."""
        return self.received * self._column_up // self._column_down

    def _position(self) -> int:
        """The next column to be added."""
        return self._next + len(self._columns)

    def _close(self, until: int | None) -> list[Finding]:
        """End the present segment, at column `until` or after its last sample."""
        if self._segment is None:
            return []
        total = None if until is None else until - self._segment.first
        findings = []
        for columns in self._segment.close(total):
            findings += self._add(columns)
        self._segment = None
        return findings

    def _add(self, columns: Columns) -> list[Finding]:
        """Append columns and return the findings on the spans they complete."""
        self._columns += columns
        span, start, findings = self._bundle.span_columns, 0, []
        while start + span <= len(self._columns):
            part = self._columns[start : start + span]
            findings.append(assess(self._bundle, self._limits, self._next + start, part))
            start += self._hop
        self._columns = self._columns[start:]
        self._next += start
        return findings

    def _add_gap(self, until: int) -> list[Finding]:
        """Append lost columns up to column `until`."""
        span = self._bundle.span_columns
        findings = self._add_lost(min(until - self._position(), span))
        # All columns kept are lost ones now, if any are left to add: skip the spans between.
        hops = (until - span - self._next) // self._hop
        if until > self._position() and hops > 0:
            end = self._next + (hops - 1) * self._hop + span
            findings.append(all_lost(self._bundle, self._next, end))
            self._next += hops * self._hop
        return findings + self._add_lost(until - self._position())

    def _add_lost(self, count: int) -> list[Finding]:
        findings = []
        for start in range(0, count, MAX_COLUMNS):
            size = min(MAX_COLUMNS, count - start)
            findings += self._add(Columns.in_gap(size, len(self._bundle.classes)))
        return findings


def until_column(received: int, up: int, down: int, at_hand: int) -> int:
    """Counts to leave out, of those at hand, so that a column begins exactly at the next one.

    Where a stream resumes, all its columns so stay on one grid: column c begins at count
    `c * down / up`.

    >>> until_column(1, up=16, down=360, at_hand=100)
    44
    """
    step = down // gcd(down, up)
    return min(-received % step, at_hand)
