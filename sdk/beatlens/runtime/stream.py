"""Samples in, findings out: one lead, pushed in pieces of any size.

The findings do not depend on how the samples were cut into pushes, bit for bit: the front end and
the network are unpadded, each column of evidence is computed once, and a decision is the int32 sum
of a span's columns. Memory does not grow with the length of the recording.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import gcd, isfinite, nan
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beatlens.errors import RecipeError, SignalError
from beatlens.runtime.bundle import Bundle
from beatlens.runtime.engines import Engine
from beatlens.runtime.finding import Columns, Finding, Limits, all_lost, assess, left_over
from beatlens.runtime.stretch import MOST_COLUMNS, Stretch
from beatlens.signals.frontend import (
    MODEL_RATE_HZ,
    UNITS_PER_MV,
    FrontEnd,
    quantize_millivolts,
)

PIECE = 1 << 15
"""Samples worked on at once, so that a long push needs no more memory than a short one."""


class Stream:
    """One lead of one sensor.

    Args:
        bundle: what to run.
        rate_hz: the sensor's rate, one of `signals.frontend.RATES_HZ`.
        counts_per_mv: its gain, for a stream of integer counts (`push`). None makes a stream of
            samples in millivolt (`push_millivolts`). A stream takes one of them only, so that
            units cannot be mixed up.
        rails: lowest and highest sample the sensor can give, in the unit that is pushed; without
            them only the limits of 16 bit (of +-163.8 mV) are known as saturation.
        hop_s: seconds from one decision to the next, a whole number of columns and at most a
            span; the bundle's own if None.
        engine: what computes; `bundle.engine()` if None.
        limits: how much of a span may be bad before it is not assessable.

    Raises:
        SignalError: rate, gain or rails are not supported.
        RecipeError: the hop is not a whole number of columns, or longer than a span.
        ModelError: no interpreter is installed, or it does not accept the bundle.

    A finding on the span that ends at t is there once `latency_s` more seconds were pushed.
    """

    def __init__(
        self,
        bundle: Bundle,
        rate_hz: int,
        counts_per_mv: float | None = None,
        *,
        rails: tuple[float, float] | None = None,
        hop_s: float | None = None,
        engine: Engine | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.bundle = bundle
        self._millivolts = counts_per_mv is None
        self._frontend = _front_end(rate_hz, counts_per_mv, rails)
        self._hop = _hop_columns(bundle, hop_s)
        self._limits = limits or Limits()
        self._engine = engine or bundle.engine()
        # Column c begins at sensor sample c * _column_down / _column_up.
        self._column_up = self._frontend.up
        self._column_down = self._frontend.down * bundle.geometry.stride
        self._received = 0  # sensor samples, lost ones included
        self._stretch: Stretch | None = None
        self._columns = Columns.in_gap(0, len(bundle.classes))  # from column _next on
        self._next = 0  # where the next span starts
        self._flushed = False

    @property
    def latency_s(self) -> float:
        """Seconds of signal needed after a span before its finding can be given."""
        inside = self._frontend.stream().latency + self.bundle.geometry.right
        return inside / MODEL_RATE_HZ

    @property
    def seconds(self) -> float:
        """Seconds since the first sample, lost ones included."""
        return self._received / self._frontend.rate_hz

    def push(self, counts: NDArray[np.integer[Any]]) -> list[Finding]:
        """Take integer counts `[n]`, any n, and return the findings that became ready.

        Raises SignalError, and leaves the stream as it was, if the samples are not 16-bit integer
        counts of one lead, if this is a stream of millivolts, or if the stream has ended.
        """
        self._check_open()
        if self._millivolts:
            raise SignalError(
                "this stream takes millivolts (push_millivolts); for integer counts give "
                "counts_per_mv when the stream is made"
            )
        return self._take(self._frontend.check(_array(counts)))

    def push_millivolts(self, millivolts: NDArray[np.floating[Any]]) -> list[Finding]:
        """Take floating point samples in millivolt `[n]`, any n; else as `push`.

        Raises SignalError, and leaves the stream as it was, if a sample is NaN, infinite or beyond
        +-163.8 mV, if the samples are not floating point numbers, if this is a stream of counts,
        or if the stream has ended. Missing samples are told to `gap`.
        """
        self._check_open()
        if not self._millivolts:
            raise SignalError(
                "this stream takes integer counts (push); for millivolts make it without "
                "counts_per_mv"
            )
        samples = _array(millivolts)
        if not np.issubdtype(samples.dtype, np.floating):
            raise SignalError(
                f"samples are {samples.dtype}, expected floating point millivolts; integer counts "
                "go to push, in a stream made with counts_per_mv"
            )
        return self._take(self._frontend.check(quantize_millivolts(samples)))

    def gap(self, samples: int) -> list[Finding]:
        """Say that the sensor lost this many samples here; time goes on.

        Every span that touches the gap is not assessable. The front end starts afresh after it, at
        the first sample where a column begins (at most 1 s later; what lies before counts as
        lost). The middle of a long gap is one long finding. Returns what became ready; findings on
        the gap itself come with the samples after it. Raises SignalError if `samples` is not a
        whole number of 0 or more, or the stream has ended.
        """
        self._check_open()
        if isinstance(samples, bool) or not isinstance(samples, Integral) or samples < 0:
            raise SignalError(f"gap is {samples!r}, expected the number of samples lost, 0 or more")
        if samples == 0:
            return []
        # Only columns that are there as a whole are kept.
        findings = self._close(self._column())
        self._received += int(samples)
        return findings

    def flush(self) -> list[Finding]:
        """End the stream and return the last findings.

        The signal after the last whole span, if any, gets a finding that is not assessable. Raises
        SignalError if the stream has ended already.
        """
        self._check_open()
        self._flushed = True
        findings = self._close(None) if self._stretch else self._add_gap(self._column())
        covered = self._next - self._hop + self.bundle.span_columns if self._next else 0
        if covered * self._column_down < self._received * self._column_up:
            rest = self._columns[covered - self._next :]
            findings.append(left_over(self.bundle, covered, rest, self.seconds))
        return findings

    def _take(self, counts: NDArray[np.int64]) -> list[Finding]:
        findings = []
        for start in range(0, len(counts), PIECE):
            findings += self._take_piece(counts[start : start + PIECE])
        return findings

    def _take_piece(self, counts: NDArray[np.int64]) -> list[Finding]:
        findings = []
        if self._stretch is None:
            # Resume where a column begins exactly at a sample: all columns stay on one grid.
            step = self._column_down // gcd(self._column_down, self._column_up)
            dropped = min(-self._received % step, len(counts))
            counts = counts[dropped:]
            self._received += dropped
            if not len(counts):
                return []
            findings = self._add_gap(self._column())
            self._stretch = Stretch(
                self._frontend,
                self._engine,
                self.bundle.geometry,
                first=self._column(),
                hop=self._hop,
                span=self.bundle.span_columns,
            )
        self._received += len(counts)
        for columns in self._stretch.push(counts):
            findings += self._add(columns)
        return findings

    def _column(self) -> int:
        """The column that the next sensor sample belongs to."""
        return self._received * self._column_up // self._column_down

    def _position(self) -> int:
        """The next column to be added."""
        return self._next + len(self._columns)

    def _close(self, until: int | None) -> list[Finding]:
        """End the present stretch, at column `until` or after its last sample."""
        if self._stretch is None:
            return []
        total = None if until is None else until - self._stretch.first
        findings = []
        for columns in self._stretch.close(total):
            findings += self._add(columns)
        self._stretch = None
        return findings

    def _add(self, columns: Columns) -> list[Finding]:
        """Append columns and return the findings on the spans they complete."""
        self._columns += columns
        span, start, findings = self.bundle.span_columns, 0, []
        while start + span <= len(self._columns):
            part = self._columns[start : start + span]
            findings.append(assess(self.bundle, self._limits, self._next + start, part))
            start += self._hop
        self._columns = self._columns[start:]
        self._next += start
        return findings

    def _add_gap(self, until: int) -> list[Finding]:
        """Append lost columns up to column `until`."""
        findings = self._add_lost(min(until - self._position(), self.bundle.span_columns))
        # All columns kept are lost ones now, if any are left to add: skip the spans between.
        hops = (until - self.bundle.span_columns - self._next) // self._hop
        if until > self._position() and hops > 0:
            end = self._next + (hops - 1) * self._hop + self.bundle.span_columns
            findings.append(all_lost(self.bundle, self._next, end))
            self._next += hops * self._hop
        return findings + self._add_lost(until - self._position())

    def _add_lost(self, count: int) -> list[Finding]:
        findings = []
        for start in range(0, count, MOST_COLUMNS):
            size = min(MOST_COLUMNS, count - start)
            findings += self._add(Columns.in_gap(size, len(self.bundle.classes)))
        return findings

    def _check_open(self) -> None:
        if self._flushed:
            raise SignalError("the stream has ended (flush was called); make a new one")


def explain_recording(
    bundle: Bundle,
    samples: NDArray[Any],
    rate_hz: int,
    counts_per_mv: float | None = None,
    *,
    missing: NDArray[np.bool_] | None = None,
    **options: Any,
) -> Iterator[Finding]:
    """Findings on a whole recording, one after the other, in constant memory.

    Args:
        bundle, rate_hz, counts_per_mv: as for `Stream`.
        samples: `[n]`, counts, or millivolts if `counts_per_mv` is None; a memory map will do.
        missing: bool `[n]`, true for samples that are not there: gaps.
        options: `rails`, `hop_s`, `engine`, `limits` of `Stream`.

    Raises:
        SignalError: the recording is empty, or as `Stream.push` does.
        RecipeError, ModelError: as `Stream` does, before the first finding is asked for.
    """
    stream = Stream(bundle, rate_hz, counts_per_mv, **options)
    samples = _array(samples)
    if samples.ndim != 1 or not len(samples):
        raise SignalError(f"recording has shape {samples.shape}, expected one lead [n], n >= 1")
    missing = None if missing is None else np.asarray(missing)
    if missing is not None and (missing.shape != samples.shape or missing.dtype != np.bool_):
        raise SignalError(
            f"missing is {missing.dtype} {missing.shape}, expected bool {samples.shape}"
        )
    return _explain(stream, samples, missing)


def _explain(
    stream: Stream, samples: NDArray[Any], missing: NDArray[np.bool_] | None
) -> Iterator[Finding]:
    push = stream.push_millivolts if stream._millivolts else stream.push
    for start in range(0, len(samples), PIECE):
        piece = samples[start : start + PIECE]
        if missing is None:
            yield from push(piece)
            continue
        lost = missing[start : start + PIECE]
        edges = np.flatnonzero(np.diff(lost)) + 1
        for part, gone in zip(np.split(piece, edges), np.split(lost, edges), strict=True):
            yield from stream.gap(len(part)) if gone[0] else push(part)
    yield from stream.flush()


def _array(samples: Any) -> NDArray[Any]:
    try:
        return np.asarray(samples)
    except ValueError as error:
        raise SignalError(f"samples are no array of one lead [n] ({error})") from error


def _front_end(
    rate_hz: int, counts_per_mv: float | None, rails: tuple[float, float] | None
) -> FrontEnd:
    if isinstance(rate_hz, bool) or not isinstance(rate_hz, Real):
        raise SignalError(f"sampling rate is {rate_hz!r}, expected a number of Hz")
    gain = float(UNITS_PER_MV) if counts_per_mv is None else counts_per_mv
    if isinstance(gain, bool) or not isinstance(gain, Real):
        raise SignalError(f"counts_per_mv is {gain!r}, expected a number")
    unit = UNITS_PER_MV if counts_per_mv is None else 1
    if rails is None:
        return FrontEnd(rate_hz, float(gain))
    pair = tuple(rails) if isinstance(rails, tuple | list | np.ndarray) else ()
    if len(pair) != 2 or not all(isinstance(r, Real) and isfinite(r) for r in pair):
        raise SignalError(f"rails are {rails!r}, expected (lowest, highest) sample of the sensor")
    return FrontEnd(rate_hz, float(gain), (round(pair[0] * unit), round(pair[1] * unit)))


def _hop_columns(bundle: Bundle, hop_s: float | None) -> int:
    if hop_s is None:
        return bundle.hop_columns
    column_s = bundle.geometry.stride / MODEL_RATE_HZ
    columns = hop_s / column_s if isinstance(hop_s, Real) else nan
    if not (1 <= columns <= bundle.span_columns and columns == int(columns)):
        raise RecipeError(
            f"hop is {hop_s!r} s, expected a multiple of {column_s:g} s (one column) up to "
            f"{bundle.span_s:g} s (one span)"
        )
    return int(columns)
