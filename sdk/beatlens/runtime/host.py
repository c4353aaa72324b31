"""The firmware's C on this machine: a stream whose findings come out of what devices run.

One bundle and one sensor are written as C, as for a device, compiled together with the sources of
`firmware_export/` and loaded (see `host_build`). `beatlens.Stream(..., engine="c")` makes these.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beatlens.c_source.model import model_source
from beatlens.c_source.plan import Plan, plan
from beatlens.c_source.sensor import sensor_source
from beatlens.errors import ModelError, SignalError
from beatlens.integer.tflite_read import read_tflite
from beatlens.runtime.c_task import task_source
from beatlens.runtime.chain import PIECE
from beatlens.runtime.contents import Contents
from beatlens.runtime.engines import dequantize
from beatlens.runtime.finding import Finding, Limits, Tally, all_lost, decided, rest, undecided
from beatlens.runtime.host_build import build_library
from beatlens.signals.frontend import DELAY, MODEL_RATE_HZ, FrontEnd

SOURCES = (
    "src/beatlens.c",
    "src/bl_frontend.c",
    "src/bl_net.c",
    "ports/host/bl_kernels_host.c",
    "ports/host/bl_host.c",
)
CHUNKS = (2048, 1024, 512, 256, 128)
"""Samples worked on at once, the largest that fits: a device has less memory, a host less to do."""
MAX_SAMPLES = 1 << 32
"""At 128 Hz: the C counts them in 32 bits."""
LONGEST_GAP = 1 << 30
KEPT_LIBRARIES = 64
SPAN, GAP = 0, 1  # bl_host_kind
BAD, PADDED = 1, 2  # bl_host_flag
FIELDS = ("kind", "start", "assessable", "decisions", "warnings", *Tally._fields)
"""Of bl_host_finding, in its order."""


class _Batch(ctypes.Structure):
    """bl_host_batch."""

    _fields_ = (
        ("findings", ctypes.c_void_p),
        ("sums", ctypes.c_void_p),
        ("evidence", ctypes.c_void_p),
        ("flags", ctypes.c_void_p),
        ("room", ctypes.c_uint32),
        ("count", ctypes.c_uint32),
    )


class HostChain:
    """A `runtime.chain.Chain` that runs the firmware's C.

    Args:
        bundle: of a streaming network with one lead.
        frontend: of the sensor.
        hop: columns from one decision to the next.
        limits: how much of a span may be bad.

    Raises:
        ModelError: no C compiler, or the C engine cannot run the bundle; the message says why.
        SignalError: the rails are no 16 bit counts.
    """

    def __init__(self, bundle: Contents, frontend: FrontEnd, hop: int, limits: Limits) -> None:
        self._bundle, self._frontend = bundle, frontend
        self._hop = hop
        sensor = (frontend.rate_hz, frontend.counts_per_mv, frontend.rails)
        self._c = _library(bundle, sensor, hop, limits)
        self.received = 0
        size = self._c.bl_host_bytes()
        # Words of 8 bytes, as aligned as a pointer has to be.
        self._memory = np.zeros(-(-size // 8), np.uint64)
        check_code(self._c.bl_host_begin(self._memory.ctypes.data, self._memory.nbytes))
        room, span, classes = self._most_findings(), bundle.span_columns, len(bundle.classes)
        self._heads = np.empty((room, len(FIELDS)), np.uint32)
        self._sums = np.empty((room, classes), np.int32)
        self._evidence = np.empty((room, span, classes), np.int8)
        self._flags = np.empty((room, span), np.uint8)
        arrays = (self._heads, self._sums, self._evidence, self._flags)
        self._batch = _Batch(*(array.ctypes.data for array in arrays), room, 0)

    def push(self, counts: NDArray[np.int64]) -> list[Finding]:
        """See `Chain.push`. Raises SignalError for a stream of more than a year."""
        check_length(self.received, len(counts), self._frontend.rate_hz)
        findings = []
        for start in range(0, len(counts), PIECE):
            piece = np.ascontiguousarray(counts[start : start + PIECE], np.int16)
            self.received += len(piece)
            findings += self._call(self._c.bl_host_push, piece.ctypes.data, len(piece))
        return findings

    def gap(self, samples: int) -> list[Finding]:
        """See `Chain.gap`. Raises SignalError for a stream of more than a year."""
        check_length(self.received, samples, self._frontend.rate_hz)
        findings = []
        for start in range(0, samples, LONGEST_GAP):
            lost = min(samples - start, LONGEST_GAP)
            self.received += lost
            findings += self._call(self._c.bl_host_gap, lost)
        return findings

    def end(self) -> list[Finding]:
        """See `Chain.end`."""
        return self._call(self._c.bl_host_end)

    def _most_findings(self) -> int:
        """That one call can give: of its own columns, those still inside, and a gap's two ends."""
        bundle, rate = self._bundle, self._frontend.rate_hz
        samples = (PIECE + 2 * self._frontend.half) * MODEL_RATE_HZ // rate + DELAY
        columns = (samples + bundle.geometry.right + max(CHUNKS)) // bundle.geometry.stride
        return (columns + 2 * bundle.span_columns) // self._hop + 8

    def _call(self, function: Any, *arguments: int) -> list[Finding]:
        check_code(function(self._memory.ctypes.data, *arguments, ctypes.byref(self._batch)))
        return list(self._findings(self._batch.count))

    def _findings(self, count: int) -> Iterator[Finding]:
        heads = self._heads[:count].tolist()
        sums = self._sums[:count].tolist()
        columns = iter(self._columns(count))
        for head, totals in zip(heads, sums, strict=True):
            kind, start, assessable, decisions, warnings, *counted = head
            tally = Tally(*counted)
            if kind == GAP:
                yield all_lost(self._bundle, start, start + tally.columns)
            elif kind != SPAN:
                seconds = self.received / self._frontend.rate_hz
                yield rest(self._bundle, start, tally, seconds)
            elif not assessable:
                yield undecided(self._bundle, start, tally)
            else:
                evidence, usable, padded = next(columns)
                yield decided(
                    self._bundle,
                    start,
                    tally,
                    warnings=warnings,
                    sums=totals,
                    decisions=[bool(decisions >> c & 1) for c in range(len(totals))],
                    evidence=evidence.copy(),
                    usable=usable.copy(),
                    padded=padded.copy(),
                )

    def _columns(self, count: int) -> Iterator[tuple[NDArray[Any], ...]]:
        """Evidence float32 `[C, T]`, usable and padded bool `[T]` of each assessable finding."""
        chosen = np.flatnonzero(self._heads[:count, FIELDS.index("assessable")])
        int8 = self._evidence[chosen].transpose(0, 2, 1)
        evidence = dequantize(int8, self._bundle.tensors["evidence"])
        flags = self._flags[chosen]
        return zip(evidence, flags & BAD == 0, flags & PADDED != 0, strict=True)


def check_length(received: int, more: int, rate_hz: int) -> None:
    """Raise `SignalError` for a stream that is longer than the C can count."""
    if (received + more) * MODEL_RATE_HZ // rate_hz >= MAX_SAMPLES:
        days = MAX_SAMPLES // (MODEL_RATE_HZ * 86400)
        raise SignalError(
            f"the stream would have {received + more} samples at {rate_hz} Hz, expected at most "
            f"{days} days of them with engine 'c', which counts in 32 bits; end it and make a new "
            "one"
        )


def check_code(code: int) -> None:
    """Raise `ModelError` for an answer that no input should give."""
    if code != 0:
        raise ModelError(
            f"engine 'c' answers {code} (bl_error of beatlens.h, bl_host.h), expected 0: this "
            "is a defect of beatlens; take another engine"
        )


@lru_cache(maxsize=KEPT_LIBRARIES)
def _library(
    bundle: Contents, sensor: tuple[int, float, tuple[int, int]], hop: int, limits: Limits
) -> ctypes.CDLL:
    """The library of a bundle and a sensor; a bundle is the object, not what it holds."""
    task = task_source(replace(bundle, hop_columns=hop), "task", limits)
    net = model_source(_plan(bundle), "task_net")
    made: dict[str, str] = {}
    for name, part in (
        ("task", task.task),
        ("task_net", net),
        ("sensor", sensor_source(FrontEnd(*sensor), "sensor")),
    ):
        made |= {f"{name}.h": part.header, f"{name}.c": part.source}
    return with_signatures(build_library(made, SOURCES))


def with_signatures(library: ctypes.CDLL) -> ctypes.CDLL:
    """A library whose `bl_host_` functions know their types."""
    pointer, number = ctypes.c_void_p, ctypes.c_uint32
    library.bl_host_bytes.restype = number
    for name, arguments in (
        ("begin", (pointer, number)),
        ("push", (pointer, pointer, number, pointer)),
        ("gap", (pointer, number, pointer)),
        ("end", (pointer, pointer)),
    ):
        function = getattr(library, f"bl_host_{name}")
        function.argtypes, function.restype = arguments, ctypes.c_int
    return library


def _plan(bundle: Contents) -> Plan:
    """The network in larger chunks than a device's, as far as they fit."""
    graph = read_tflite(bundle.tflite)
    for chunk in CHUNKS:
        try:
            return plan(graph, chunk)
        except ModelError:
            continue  # too large a state, or a network that is refused below as well
    return plan(graph)
