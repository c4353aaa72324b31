"""Samples in, findings out: one lead, pushed in pieces of any size.

The findings do not depend on how the samples were cut into pushes, bit for bit: the front end and
the network are unpadded, each column of evidence is computed once, and decisions are made on whole
numbers. But for recordings, memory does not grow with the length of the signal.

    stream = bundle.stream(rate_hz=250, counts_per_mv=400)
    for finding in stream.push(samples):
        print(finding.time_s, finding.predicted, finding.explain()[:2])
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import isfinite, nan
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beatlens.errors import RecipeError, SignalError
from beatlens.runtime.chain import PIECE, Chain
from beatlens.runtime.contents import Contents
from beatlens.runtime.engines import Engine, EngineKind, StreamEngine, make_engine
from beatlens.runtime.finding import Finding
from beatlens.runtime.kind import Kind
from beatlens.runtime.kinds import find_kind
from beatlens.runtime.quality import Limits
from beatlens.signals.frontend import (
    MODEL_RATE_HZ,
    UNITS_PER_MV,
    FrontEnd,
    quantize_millivolts,
)

Piece = tuple[NDArray[Any], NDArray[np.bool_] | None]
"""Samples `[n]`, and which of them are missing, if any."""


class Stream:
    """Findings on one lead of one sensor, for a bundle of any kind.

    Args:
        bundle: what to run.
        rate_hz: the sensor's rate, one of `signals.frontend.RATES_HZ`.
        counts_per_mv: its gain, for a stream of integer counts (`push`). None makes a stream of
            samples in millivolt (`push_millivolts`). A stream takes one of them only, so that
            units cannot be mixed up.
        rails: lowest and highest sample the sensor can give, in the unit that is pushed; without
            them only the limits of 16 bit (of +-163.8 mV) are known as saturation.
        hop_s: of a model of windows, seconds from one decision to the next, a whole number of
            columns and at most a window; the bundle's own if None. Other kinds take None only.
        engine: what computes: an engine of the bundle, the name of one (see `bundle.engine`), or
            "c": the C that devices run, compiled for this machine by its C compiler. The findings
            are the same, bit for bit; "c" is the fast one. None takes `bundle.engine()`.
        limits: how much of a span may be bad before it is not assessable; the kind's if None.

    Raises:
        SignalError: rate, gain or rails are not supported.
        RecipeError: the hop is not a whole number of columns, or longer than a window, or the
            bundle is of another kind.
        ModelError: no interpreter (for "c": no C compiler, or no C for this kind) is installed, or
            it does not accept the bundle.

    When findings come:

    - of a window that ends at t, once `latency_s` more seconds were pushed;
    - of a beat, when the next one is found, and the evidence around it is there. The first are
      decided after eight seconds, which the detector learns from;
    - of a recording, by `flush`. It may be 68 minutes long (at a stride of 8 samples); its columns
      are kept, 26 bytes each with four classes.
    """

    def __init__(
        self,
        bundle: Contents,
        rate_hz: int,
        counts_per_mv: float | None = None,
        *,
        rails: tuple[float, float] | None = None,
        hop_s: float | None = None,
        engine: Engine | StreamEngine | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.bundle, self._kind = bundle, find_kind(bundle.kind_name)
        self._millivolts = counts_per_mv is None
        self._frontend = frontend = _front_end(rate_hz, counts_per_mv, rails, bundle.lsb_mv)
        self._flushed = False
        hop, allowed = _hop_columns(bundle, self._kind, hop_s), limits or self._kind.limits
        self._chain: Chain
        if engine == "c":
            self._chain = self._kind.make_host_chain(bundle, frontend, hop, allowed)
        else:
            runs = choose_engine(bundle, engine)
            self._chain = self._kind.make_chain(bundle, frontend, hop, allowed, runs)

    @property
    def latency_s(self) -> float | None:
        """Seconds of signal needed after a span before its finding; None where that varies."""
        return self._kind.latency_s(self.bundle, self._frontend)

    @property
    def seconds(self) -> float:
        """Seconds since the first sample, lost ones included."""
        return self._chain.received / self._frontend.rate_hz

    def push(
        self, counts: NDArray[np.integer[Any]], missing: NDArray[np.bool_] | None = None
    ) -> list[Finding]:
        """Take integer counts `[n]`, any n, and return the findings that became ready.

        Args:
            counts: of one lead; the masked ones of a masked array are missing.
            missing: bool `[n]`, true for samples that are not there, whatever `counts` holds: they
                are gaps, see `gap`. `Recording.missing` is given here.

        Raises SignalError, and leaves the stream as it was, if the samples are not 16-bit integer
        counts of one lead, if this is a stream of millivolts, or if the stream has ended.
        """
        self._check_open()
        if self._millivolts:
            raise SignalError(
                "this stream takes millivolts (push_millivolts); for integer counts give "
                "counts_per_mv when the stream is made"
            )
        samples, gone = _parted(counts, missing)
        return self._take(self._frontend.check(samples), gone)

    def push_millivolts(
        self, millivolts: NDArray[np.floating[Any]], missing: NDArray[np.bool_] | None = None
    ) -> list[Finding]:
        """Take floating point samples in millivolt `[n]`, any n; else as `push`.

        Raises SignalError, and leaves the stream as it was, if a sample is NaN, infinite or beyond
        +-163.8 mV, if the samples are not floating point numbers, if this is a stream of counts,
        or if the stream has ended. A NaN is no gap: name missing samples by `missing` or `gap`.
        """
        self._check_open()
        if not self._millivolts:
            raise SignalError(
                "this stream takes integer counts (push); for millivolts make it without "
                "counts_per_mv"
            )
        samples, gone = _parted(millivolts, missing)
        if not np.issubdtype(samples.dtype, np.floating):
            raise SignalError(
                f"samples are {samples.dtype}, expected floating point millivolts; integer counts "
                "go to push, in a stream made with counts_per_mv"
            )
        return self._take(self._frontend.check(quantize_millivolts(samples)), gone)

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
        return self._chain.gap(int(samples))

    def flush(self) -> list[Finding]:
        """End the stream and return the last findings.

        The signal after the last whole span, if any, gets a finding that is not assessable. Raises
        SignalError if the stream has ended already.
        """
        self._check_open()
        self._flushed = True
        return self._chain.end()

    def _take(self, counts: NDArray[np.int64], missing: NDArray[np.bool_] | None) -> list[Finding]:
        """Checked counts, and which of them are missing."""
        if missing is None:
            return self._chain.push(counts)
        found: list[Finding] = []
        edges = np.flatnonzero(np.diff(missing)) + 1
        for part, gone in zip(np.split(counts, edges), np.split(missing, edges), strict=True):
            if len(part):
                found += self._chain.gap(len(part)) if gone[0] else self._chain.push(part)
        return found

    def _check_open(self) -> None:
        if self._flushed:
            raise SignalError("the stream has ended (flush was called); make a new one")


def explain(
    bundle: Contents,
    recording: NDArray[Any] | Iterator[Piece],
    rate_hz: int,
    counts_per_mv: float | None = None,
    *,
    missing: NDArray[np.bool_] | None = None,
    **options: Any,
) -> Iterator[Finding]:
    """Findings on a whole recording, one after the other.

    Args:
        bundle, rate_hz, counts_per_mv: as for `Stream`.
        recording: samples `[n]`, counts, or millivolts if `counts_per_mv` is None; a memory map
            will do. The masked ones of a masked array are missing. Or an iterator of consecutive
            pieces of any size: samples `[n]` and where they are missing, bool `[n]` or None.
        missing: of samples, bool `[n]`, true for those that are not there: gaps.
        options: `rails`, `hop_s`, `engine`, `limits` of `Stream`.

    Raises:
        SignalError: the samples are empty, or not one lead; or as `Stream.push` does.
        RecipeError, ModelError: as `Stream` does, before the first finding is asked for.
    """
    stream = Stream(bundle, rate_hz, counts_per_mv, **options)
    if isinstance(recording, Iterator):
        if missing is not None:
            raise SignalError("missing was given beside pieces, which have it of their own")
        return _explain(stream, recording)
    return _explain(stream, _check_pieces(recording, missing))


def _check_pieces(samples: NDArray[Any], missing: NDArray[np.bool_] | None) -> Iterator[Piece]:
    """A recording in pieces; `SignalError` now where it is not one."""
    array = _array(samples)
    if array.ndim != 1 or not len(array):
        raise SignalError(f"recording has shape {array.shape}, expected one lead [n], n >= 1")
    masked = _checked_mask(missing, samples, array)
    return _cut(array, masked)


def _cut(samples: NDArray[Any], missing: NDArray[np.bool_] | None) -> Iterator[Piece]:
    for start in range(0, len(samples), PIECE):
        part = slice(start, start + PIECE)
        yield samples[part], None if missing is None else missing[part]


def _explain(stream: Stream, pieces: Iterable[Piece]) -> Iterator[Finding]:
    """All findings of a stream on a recording in pieces."""
    push = stream.push_millivolts if stream._millivolts else stream.push
    for samples, missing in pieces:
        yield from push(samples, missing)
    yield from stream.flush()


def choose_engine(bundle: Contents, engine: Engine | EngineKind | None) -> Engine:
    """The engine itself, or the one of a name."""
    if engine is None or isinstance(engine, str):
        return make_engine(bundle, engine or "auto")
    return engine


def _array(samples: Any) -> NDArray[Any]:
    try:
        return np.asarray(samples)
    except ValueError as error:
        raise SignalError(f"samples are no array of one lead [n] ({error})") from error


def _parted(
    samples: Any, missing: NDArray[np.bool_] | None
) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Samples, 0 where they are missing, and where that is; None: nowhere."""
    array = _array(samples)
    gone = _checked_mask(missing, samples, array)
    if gone is None or not gone.any():
        return array, None
    filled = array.copy()
    filled[gone] = 0
    return filled, gone


def _checked_mask(missing: Any, samples: Any, array: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Where samples are missing, as given and as masked."""
    if missing is not None:
        missing = np.asarray(missing)
        if missing.shape != array.shape or missing.dtype != np.bool_:
            raise SignalError(
                f"missing is {missing.dtype} {missing.shape}, expected bool {array.shape}"
            )
    if isinstance(samples, np.ma.MaskedArray):
        masked = np.ma.getmaskarray(samples)
        return np.asarray(masked if missing is None else missing | masked)
    return None if missing is None else np.asarray(missing)


def _front_end(
    rate_hz: int,
    counts_per_mv: float | None,
    rails: tuple[float, float] | None,
    lsb_mv: float,
) -> FrontEnd:
    if isinstance(rate_hz, bool) or not isinstance(rate_hz, Real):
        raise SignalError(f"sampling rate is {rate_hz!r}, expected a number of Hz")
    gain = float(UNITS_PER_MV) if counts_per_mv is None else counts_per_mv
    if isinstance(gain, bool) or not isinstance(gain, Real):
        raise SignalError(f"counts_per_mv is {gain!r}, expected a number")
    unit = UNITS_PER_MV if counts_per_mv is None else 1
    if rails is None:
        return FrontEnd(rate_hz, float(gain), None, lsb_mv)
    pair = tuple(rails) if isinstance(rails, tuple | list | np.ndarray) else ()
    if len(pair) != 2 or not all(isinstance(r, Real) and isfinite(r) for r in pair):
        raise SignalError(f"rails are {rails!r}, expected (lowest, highest) sample of the sensor")
    limits = round(pair[0] * unit), round(pair[1] * unit)
    return FrontEnd(rate_hz, float(gain), limits, lsb_mv)


def _hop_columns(bundle: Contents, kind: Kind, hop_s: float | None) -> int:
    if hop_s is None:
        return bundle.hop_columns
    if not kind.hops:
        raise RecipeError(
            f"hop is {hop_s!r} s, expected none: bundle {bundle.name!r} decides on "
            f"{kind.describe(bundle)}, each once"
        )
    column_s = bundle.geometry.stride / MODEL_RATE_HZ
    columns = hop_s / column_s if isinstance(hop_s, Real) else nan
    if not (1 <= columns <= bundle.span_columns and columns == int(columns)):
        raise RecipeError(
            f"hop is {hop_s!r} s, expected a multiple of {column_s:g} s (one column) up to "
            f"{bundle.span_s:g} s (one span)"
        )
    return int(columns)
