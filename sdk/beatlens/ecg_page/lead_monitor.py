"""One pass over a lead beside the model: how good its signal is, second by second, and R peaks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from beatlens.runtime.quality import Limits
from beatlens.signals.frontend import MODEL_RATE_HZ, Conditioned, FrontEnd, FrontEndStream
from beatlens.signals.qrs import QrsDetector
from beatlens.signals.recording import Piece

FAULTS = ("missing", "flat", "saturated", "clipped", "noisy")
"""What is counted, see `beatlens.signals.frontend`."""
UNUSABLE = FAULTS[:3]


@dataclass(frozen=True, eq=False)
class SignalQuality:
    """How many samples of each second are missing, flat, saturated, clipped or noisy.

    Args:
        counts: uint8 `[5, seconds]`, a row for each of `FAULTS`, samples of 128.
    """

    counts: NDArray[np.uint8]

    def seconds(self, fault: str) -> float:
        """Seconds of the recording that have a fault; of noise, seconds that are mostly noisy.

        A QRS complex bends as noise does, so that single noisy samples mean nothing.
        """
        if fault == "noisy":
            noisy = self.counts[FAULTS.index(fault)] > Limits().noisy * MODEL_RATE_HZ
            return float(noisy.sum())
        return float(self.counts[FAULTS.index(fault)].sum(dtype=np.int64)) / MODEL_RATE_HZ

    @property
    def unusable(self) -> NDArray[np.bool_]:
        """Bool `[seconds]`: whether more than `Limits().unusable` of a second has no signal."""
        bad = self.counts[: len(UNUSABLE)].sum(axis=0, dtype=np.int64)
        return np.asarray(bad > Limits().unusable * MODEL_RATE_HZ)

    @property
    def breaks(self) -> list[tuple[float, float]]:
        """Times without usable signal, (start, end) in whole seconds, in time order.

        >>> counts = np.zeros((5, 6), np.uint8)
        >>> counts[0, 2:4] = 128
        >>> SignalQuality(counts).breaks
        [(2.0, 4.0)]
        """
        edges = np.flatnonzero(np.diff(self.unusable, prepend=False, append=False))
        return [(float(a), float(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


class LeadMonitor:
    """Conditions a lead as the device does and keeps its quality and R peaks, never the samples.

    Args:
        frontend: of the lead.
        seconds: length of the recording.
        find_peaks: whether R peaks are looked for; models of beats find their own.

    `peaks` holds the R peaks, in seconds, once `end` was called.
    """

    def __init__(self, frontend: FrontEnd, seconds: float, *, find_peaks: bool) -> None:
        self._frontend, self._find_peaks = frontend, find_peaks
        self._counts = np.zeros((len(FAULTS), int(seconds) + 1), np.uint8)
        self._last = max(1, int(np.ceil(seconds)))
        self._received = 0
        self._stream: FrontEndStream | None = None
        self._detector = QrsDetector(frontend.lsb_mv)
        self._start = self._done = 0
        self.peaks: list[float] = []

    def watch(self, pieces: Iterator[Piece]) -> Iterator[Piece]:
        """Pass pieces of the lead on, and take each on the way."""
        for counts, missing in pieces:
            self.take(counts, missing)
            yield counts, missing

    def take(self, counts: NDArray[np.integer], missing: NDArray[np.bool_] | None) -> None:
        """Take the next samples `[n]`, and which of them are missing; errors as `FrontEnd`."""
        if missing is None:
            self._push(counts)
            return
        edges = np.flatnonzero(np.diff(missing)) + 1
        for part, gone in zip(np.split(counts, edges), np.split(missing, edges), strict=True):
            if len(part) and gone[0]:
                self._gap(len(part))
            elif len(part):
                self._push(part)

    def end(self) -> SignalQuality:
        """End the recording; its quality."""
        self._close()
        return SignalQuality(self._counts[:, : self._last])

    def _push(self, counts: NDArray[np.integer]) -> None:
        if self._stream is None:
            self._stream = self._frontend.stream()
            self._start = self._done = self._at_model_rate()
        self._received += len(counts)
        self._keep(self._stream.push(counts))

    def _gap(self, samples: int) -> None:
        self._close()
        first = self._at_model_rate()
        self._received += samples
        self._count("missing", np.arange(first, self._at_model_rate()))

    def _close(self) -> None:
        """End a segment that is free of gaps."""
        if self._stream is None:
            return
        # A segment shorter than one sample at 128 Hz has nothing in it.
        if self._at_model_rate() > self._start:
            self._keep(self._stream.flush())
        if self._find_peaks:
            self._add_peaks(self._detector.flush())
        self._stream = None

    def _keep(self, out: Conditioned) -> None:
        for fault in FAULTS[1:]:
            self._count(fault, self._done + np.flatnonzero(getattr(out, fault)))
        self._done += len(out.x)
        if self._find_peaks:
            self._add_peaks(self._detector.push(out.x))

    def _add_peaks(self, found: list[int]) -> None:
        self.peaks += [(self._start + peak) / MODEL_RATE_HZ for peak in found]

    def _at_model_rate(self) -> int:
        return self._received * MODEL_RATE_HZ // self._frontend.rate_hz

    def _count(self, fault: str, samples: NDArray[np.integer]) -> None:
        row = self._counts[FAULTS.index(fault)]
        seconds = np.minimum(samples // MODEL_RATE_HZ, len(row) - 1)
        if len(seconds):
            first = int(seconds[0])
            more = np.bincount(seconds - first)
            row[first : first + len(more)] += more.astype(np.uint8)
