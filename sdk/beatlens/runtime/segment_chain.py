"""A stream as uninterrupted segments of signal, one after the other: what gaps leave.

Where a stream resumes after a gap, the front end starts afresh at the first sample where a column
begins; all columns of a stream so lie on one grid.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from beatlens.runtime.chain import PIECE, until_column
from beatlens.runtime.contents import Contents
from beatlens.runtime.finding import Finding
from beatlens.signals.frontend import FrontEnd


class OpenSegment(Protocol):
    """An uninterrupted segment of signal that is being taken."""

    def push(self, counts: NDArray[np.int64]) -> Iterable[Finding]:
        """Take checked sensor counts; give what became ready."""
        ...

    def close(self, until: int | None) -> Iterable[Finding]:
        """End the segment, at the stream's column `until` if given; give the rest."""
        ...


class SegmentChain:
    """A chain (see `beatlens.runtime.chain.Chain`) whose findings come from single segments.

    Args:
        bundle: what is run.
        frontend: of the sensor.
        begin: makes the segment whose first sample lies at the start of a column of the stream.
    """

    def __init__(
        self, bundle: Contents, frontend: FrontEnd, begin: Callable[[int], OpenSegment]
    ) -> None:
        self.received = 0
        self._up, self._down = frontend.up, frontend.down * bundle.geometry.stride
        self._begin = begin
        self._segment: OpenSegment | None = None

    @property
    def column(self) -> int:
        """The column that the next sensor sample belongs to."""
        return self.received * self._up // self._down

    def push(self, counts: NDArray[np.int64]) -> list[Finding]:
        """See `Chain.push`."""
        found = []
        for start in range(0, len(counts), PIECE):
            found += self._take_piece(counts[start : start + PIECE])
        return found

    def gap(self, samples: int) -> list[Finding]:
        """See `Chain.gap`. What lies on both sides of it is decided on what there is there."""
        # Only columns that are there as a whole are kept.
        found = self._close(self.column)
        self.received += samples
        return found

    def end(self) -> list[Finding]:
        """See `Chain.end`."""
        return self._close(None)

    def _close(self, until: int | None) -> list[Finding]:
        """End the present segment, at column `until` or after its last sample."""
        found = [] if self._segment is None else list(self._segment.close(until))
        self._segment = None
        return found

    def _take_piece(self, counts: NDArray[np.int64]) -> list[Finding]:
        if self._segment is None:
            dropped = until_column(self.received, self._up, self._down, len(counts))
            counts = counts[dropped:]
            self.received += dropped
            if not len(counts):
                return []
            self._segment = self._begin(self.column)
        self.received += len(counts)
        return list(self._segment.push(counts))
