"""The samples of strips, read in one more pass over a lead, so that no day is held in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import ceil

import numpy as np
from numpy.typing import NDArray

from beatlens.signals.recording import Piece


@dataclass
class SignalPart:
    """Samples of one lead in a strip: counts `[n]` from `start_s` on, and which are missing."""

    start_s: float
    counts: list[NDArray[np.integer]] = field(default_factory=list)
    missing: list[NDArray[np.bool_]] = field(default_factory=list)

    def millivolts(self, counts_per_mv: float) -> NDArray[np.float64]:
        """Samples in mV `[n]`, NaN where missing."""
        if not self.counts:
            return np.zeros(0)
        values = np.concatenate(self.counts) / counts_per_mv
        values[np.concatenate(self.missing)] = np.nan
        return np.asarray(values, dtype=np.float64)


def read_parts(
    pieces: Iterable[Piece], rate_hz: float, windows: Sequence[tuple[float, float]]
) -> Iterator[SignalPart]:
    """The samples of each of `windows`, (start, end) seconds, in one more pass over a lead."""
    bounds = [(ceil(a * rate_hz - 1e-6), ceil(b * rate_hz - 1e-6)) for a, b in windows]
    parts = [SignalPart(first / rate_hz) for first, _ in bounds]
    last = max((stop for _, stop in bounds), default=0)
    done = 0
    for counts, missing in pieces:
        if done >= last:
            break
        for part, (first, stop) in zip(parts, bounds, strict=True):
            a, b = max(first, done), min(stop, done + len(counts))
            if a < b:
                cut = slice(a - done, b - done)
                part.counts.append(counts[cut].copy())
                gone = np.zeros(b - a, bool) if missing is None else missing[cut].copy()
                part.missing.append(gone)
        done += len(counts)
    yield from parts
