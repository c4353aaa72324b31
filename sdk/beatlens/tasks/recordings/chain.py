"""What lies between the counts of a lead and the one finding on the whole recording.

Front end, then two things side by side: the network's evidence, and R peaks with their rhythm,
segment by segment where there are gaps. At the end their sums are decided on. Columns are kept for
the map; for the decision sums alone would do.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from beatlens.errors import SignalError
from beatlens.runtime.columns import Columns
from beatlens.runtime.contents import Contents
from beatlens.runtime.engines import Engine
from beatlens.runtime.finding import Finding
from beatlens.runtime.quality import Limits
from beatlens.runtime.segment import Segment
from beatlens.runtime.segment_chain import SegmentChain
from beatlens.signals.frontend import MODEL_RATE_HZ, FrontEnd
from beatlens.signals.qrs import QrsDetector
from beatlens.signals.rr_features import FEATURES, RRFeatures
from beatlens.tasks.recordings.finding import recording_finding
from beatlens.tasks.recordings.rule import MAX_COLUMNS, recording_rule


class RecordingChain(SegmentChain):
    """The chain in Python, with an engine that runs the network; see `Chain`.

    Args:
        bundle: what is run, with a rule for recordings.
        frontend: of the sensor.
        limits: how much of a recording may be unusable (lost samples included), and clipped.
        engine: of the bundle.

    Raises:
        ModelError: the bundle does not decide on recordings.
    """

    def __init__(
        self, bundle: Contents, frontend: FrontEnd, limits: Limits, engine: Engine
    ) -> None:
        self._bundle, self._rule, self._limits = bundle, recording_rule(bundle), limits
        self._frontend = frontend
        self._columns: list[Columns] = []
        self._next = 0  # column
        self._peaks: list[int] = []
        self._features: list[tuple[int, ...]] = []

        def begin(first: int) -> _RecordingSegment:
            self._add_lost(first)
            return _RecordingSegment(self, bundle, frontend, engine, first)

        super().__init__(bundle, frontend, begin)

    def push(self, counts: NDArray[np.int64]) -> list[Finding]:
        """See `Chain.push`; nothing is ready before the end."""
        self._check_length(len(counts))
        return super().push(counts)

    def gap(self, samples: int) -> list[Finding]:
        """See `Chain.gap`."""
        self._check_length(samples)
        return super().gap(samples)

    def end(self) -> list[Finding]:
        """The finding on the recording.

        Raises SignalError where there is less of it than one column of evidence.
        """
        super().end()
        self._add_lost(self.column)
        if not self._next:
            seconds = self.received / self._frontend.rate_hz
            raise SignalError(
                f"the recording has {seconds:g} s, expected at least one column of evidence, "
                f"{self._bundle.geometry.stride} samples at {MODEL_RATE_HZ} Hz"
            )
        columns = sum(self._columns, Columns.in_gap(0, len(self._bundle.classes)))
        return [self._decide(columns)]

    def add(self, columns: Columns) -> None:
        """Take the next columns."""
        self._columns.append(columns)
        self._next += len(columns)

    def add_beats(self, peaks: Iterable[int], features: Iterable[tuple[int, ...]]) -> None:
        """Take R peaks, samples at 128 Hz since the first one, and features of all so far."""
        self._peaks += peaks
        self._features += features

    def _add_lost(self, until: int) -> None:
        if until > self._next:
            self.add(Columns.in_gap(until - self._next, len(self._bundle.classes)))

    def _check_length(self, more: int) -> None:
        stride = self._bundle.geometry.stride
        # As the front end counts: a sample that is begun is one, and may complete a column.
        columns = self._frontend.output_length(self.received + more) // stride
        if columns > MAX_COLUMNS:
            minutes = MAX_COLUMNS * stride / MODEL_RATE_HZ / 60
            raise SignalError(
                f"the recording has {self.received + more} samples so far, "
                f"{columns} columns of evidence; expected at most {MAX_COLUMNS}, {minutes:.0f} "
                "minutes: end the stream and make a new one"
            )

    def _decide(self, columns: Columns) -> Finding:
        features = np.array(self._features, np.int64).reshape(-1, len(FEATURES))
        peaks = np.array(self._peaks, np.int64)
        return recording_finding(self._bundle, self._rule, self._limits, columns, peaks, features)


class _RecordingSegment:
    """Columns and beats of an uninterrupted segment that begins at the stream's column `first`."""

    def __init__(
        self,
        chain: RecordingChain,
        bundle: Contents,
        frontend: FrontEnd,
        engine: Engine,
        first: int,
    ) -> None:
        hop = bundle.hop_columns
        self._chain, self._first, self._stride = chain, first, bundle.geometry.stride
        self._columns_of = Segment(
            frontend,
            engine,
            bundle.geometry,
            first=first,
            hop=hop,
            span=hop,
            on_samples=self._find_peaks,
        )
        self._detector, self._rhythm = QrsDetector(frontend.lsb_mv), RRFeatures()

    def push(self, counts: NDArray[np.int64]) -> Iterable[Finding]:
        """Take checked sensor counts."""
        for columns in self._columns_of.push(counts):
            self._chain.add(columns)
        return ()

    def close(self, until: int | None) -> Iterable[Finding]:
        """End the segment, at the stream's column `until` if given."""
        for columns in self._columns_of.close(None if until is None else until - self._first):
            self._chain.add(columns)
        self._follow(self._detector.flush())
        last = self._rhythm.end()
        self._chain.add_beats((), () if last is None else (last,))
        return ()

    def _find_peaks(self, x: NDArray[np.int8]) -> None:
        """Look for R peaks in the front end's samples."""
        self._follow(self._detector.push(x))

    def _follow(self, peaks: list[int]) -> None:
        features = [self._rhythm.push(peak) for peak in peaks]
        start = self._first * self._stride
        self._chain.add_beats([start + p for p in peaks], [c for c in features if c is not None])
