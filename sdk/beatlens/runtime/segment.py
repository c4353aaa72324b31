"""An uninterrupted segment of signal: sensor samples in, columns of evidence out.

Each column is computed once. An engine is only ever asked for `hop * 2^n` columns, so that it has
few input lengths to keep ready; which ones makes no difference to the columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from beatlens.geometry import Geometry
from beatlens.runtime.columns import Columns
from beatlens.runtime.engines import Engine
from beatlens.signals.frontend import Conditioned, FrontEnd

MAX_COLUMNS = 1024
"""Columns computed at once: 64 s at a stride of 8; longer runs save nothing more."""


class Segment:
    """One segment, whose first sample lies at the start of the stream's column `first`.

    Columns are computed up to the end of a span as soon as its samples and their context are
    there; spans begin at every multiple of `hop` columns and are `span` columns long. `on_samples`
    gets the front end's samples, before the columns that need them.
    """

    def __init__(
        self,
        frontend: FrontEnd,
        engine: Engine,
        geometry: Geometry,
        *,
        first: int,
        hop: int,
        span: int,
        on_samples: Callable[[NDArray[np.int8]], None] | None = None,
    ) -> None:
        self._on_samples = on_samples
        self._stream = frontend.stream()
        self._engine, self._geometry = engine, geometry
        self.first, self._hop, self._span = first, hop, span
        self._done = 0  # columns computed
        self._samples = 0  # samples the front end gave
        # From the first sample that column `_done` sees, and from the first that it covers.
        self._x: NDArray[np.int8] = np.zeros(0, np.int8)
        self._flags: NDArray[np.bool_] = np.zeros((4, 0), bool)

    def push(self, counts: NDArray[np.int64]) -> Iterator[Columns]:
        """Take checked sensor counts; yield the columns that became ready."""
        self._append(self._stream.push(counts))
        field, stride = self._geometry.receptive_field, self._geometry.stride
        yield from self._compute((len(self._x) - field) // stride + 1)

    def close(self, columns: int | None = None) -> Iterator[Columns]:
        """End the segment, its last value held; yield the rest of its columns.

        `columns` is how many it has in all, as many as fit into its samples if None.
        """
        self._append(self._stream.flush())
        total = self._samples // self._geometry.stride if columns is None else columns
        if total > self._done:
            edge = np.full(self._geometry.right, self._x[-1])
            self._x = np.concatenate([self._x, edge])
            yield from self._compute(total - self._done, last=True)

    def _append(self, ready: Conditioned) -> None:
        x = ready.x
        if self._on_samples is not None:
            self._on_samples(x)
        if x.size and self._samples == 0:
            x = np.concatenate([np.full(self._geometry.left, x[0]), x])
        self._samples += len(ready.x)
        self._x = np.concatenate([self._x, x])
        flags = np.stack([ready.flat, ready.saturated, ready.clipped, ready.noisy])
        self._flags = np.concatenate([self._flags, flags], axis=1)

    def _compute(self, available: int, last: bool = False) -> Iterator[Columns]:
        while available > 0:
            hop = self._hop
            count = hop - (self.first + self._done - self._span) % hop
            if count == hop:
                while 2 * count <= min(available, MAX_COLUMNS):
                    count *= 2
            if count > available:
                if not last:
                    return
                count = available
            yield self._run(count)
            available -= count

    def _run(self, count: int) -> Columns:
        """Compute the next `count` columns; fewer than a hop are filled up to one with zeros."""
        geometry, stride = self._geometry, self._geometry.stride
        x = self._x[: geometry.input_length(count)]
        if count < self._hop:
            x = np.pad(x, (0, geometry.input_length(self._hop) - len(x)))
        evidence = self._engine.evidence(x)[:count]
        flags = self._flags[:, : count * stride].reshape(4, count, stride)
        flat, saturated, clipped, noisy = flags
        start = (self._done + np.arange(count)) * stride - geometry.left
        self._x = self._x[count * stride :]
        self._flags = self._flags[:, count * stride :]
        self._done += count
        return Columns(
            evidence=evidence,
            lost=np.zeros(count, bool),
            padded=(start < 0) | (start + geometry.receptive_field > self._samples),
            flat=flat.sum(axis=1, dtype=np.int32),
            saturated=saturated.sum(axis=1, dtype=np.int32),
            clipped=clipped.sum(axis=1, dtype=np.int32),
            bad=(flat | saturated).sum(axis=1, dtype=np.int32),
            noisy=noisy.sum(axis=1, dtype=np.int32),
        )
