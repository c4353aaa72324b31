"""The firmware's C on this machine, for beats: findings come out of what devices run.

`beatlens.BeatStream(..., engine="c")` makes these; as `beatlens.runtime.host` for spans.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beatlens.c_source.plan import plan
from beatlens.c_source.sensor import sensor_source
from beatlens.errors import ModelError
from beatlens.integer.tflite_read import read_tflite
from beatlens.runtime.beat_chain import beat_finding, beat_without_decision, rule_of
from beatlens.runtime.beat_finding import BeatFinding
from beatlens.runtime.c_beat_task import beat_task_source
from beatlens.runtime.c_task import TaskSource
from beatlens.runtime.chain import PIECE
from beatlens.runtime.contents import Contents
from beatlens.runtime.finding import Limits, Tally
from beatlens.runtime.host import (
    CHUNKS,
    KEPT_LIBRARIES,
    LONGEST_GAP,
    check_code,
    check_length,
    with_signatures,
)
from beatlens.runtime.host_build import build_library
from beatlens.signals.beat_features import FEATURES
from beatlens.signals.frontend import FrontEnd
from beatlens.signals.qrs import REFRACTORY

SOURCES = (
    "src/beatlens.c",
    "src/bl_beats.c",
    "src/bl_contexts.c",
    "src/bl_frontend.c",
    "src/bl_net.c",
    "src/bl_qrs.c",
    "ports/host/bl_kernels_host.c",
    "ports/host/bl_host_beats.c",
)
HEAD = ("peak", "start", "assessable", "class_number", "warnings", *FEATURES)
FIELDS = (*HEAD, *Tally._fields)
"""Of bl_host_beat, in its order."""


class _Batch(ctypes.Structure):
    """bl_host_beats."""

    _fields_ = (
        ("beats", ctypes.c_void_p),
        ("evidence", ctypes.c_void_p),
        ("room", ctypes.c_uint32),
        ("count", ctypes.c_uint32),
    )


class HostBeatChain:
    """A `runtime.chain.Chain` of beats that runs the firmware's C.

    Args:
        bundle: of a streaming network with one lead that decides on beats.
        frontend: of the sensor.
        limits: how much of a beat's span may be bad.

    Raises:
        ModelError: no C compiler, or the C engine cannot run the bundle; the message says why.
        SignalError: the rails are no 16 bit counts.
    """

    def __init__(self, bundle: Contents, frontend: FrontEnd, limits: Limits) -> None:
        rule = rule_of(bundle)
        self._bundle, self._rate_hz = bundle, frontend.rate_hz
        sensor = (frontend.rate_hz, frontend.counts_per_mv, frontend.rails)
        self._c = _library(bundle, sensor, limits)
        self.received = 0
        # Words of 8 bytes, as aligned as a pointer has to be.
        self._memory = np.zeros(-(-self._c.bl_host_bytes() // 8), np.uint64)
        check_code(self._c.bl_host_begin(self._memory.ctypes.data, self._memory.nbytes))
        # Of a piece, and of what was inside: those of the detector's first eight seconds.
        samples = PIECE * 128 // frontend.rate_hz + 4096
        room, columns = samples // REFRACTORY + 8, rule.before + rule.after
        self._heads = np.empty((room, len(FIELDS)), np.uint32)
        self._evidence = np.empty((room, columns, len(bundle.classes)), np.int8)
        self._batch = _Batch(self._heads.ctypes.data, self._evidence.ctypes.data, room, 0)

    def push(self, counts: NDArray[np.int64]) -> list[BeatFinding]:
        """See `Chain.push`. Raises SignalError for a stream of more than a year."""
        check_length(self.received, len(counts), self._rate_hz)
        found = []
        for start in range(0, len(counts), PIECE):
            piece = np.ascontiguousarray(counts[start : start + PIECE], np.int16)
            self.received += len(piece)
            found += self._call(self._c.bl_host_push, piece.ctypes.data, len(piece))
        return found

    def gap(self, samples: int) -> list[BeatFinding]:
        """See `Chain.gap`. Raises SignalError for a stream of more than a year."""
        check_length(self.received, samples, self._rate_hz)
        found = []
        for start in range(0, samples, LONGEST_GAP):
            lost = min(samples - start, LONGEST_GAP)
            self.received += lost
            found += self._call(self._c.bl_host_gap, lost)
        return found

    def end(self) -> list[BeatFinding]:
        """See `Chain.end`."""
        return self._call(self._c.bl_host_end)

    def _call(self, function: Any, *arguments: int) -> list[BeatFinding]:
        check_code(function(self._memory.ctypes.data, *arguments, ctypes.byref(self._batch)))
        return list(self._findings(self._batch.count))

    def _findings(self, count: int) -> Iterator[BeatFinding]:
        for row, evidence in zip(self._heads[:count].tolist(), self._evidence, strict=False):
            peak, start, assessable, class_number, warnings, *rest = row
            features, tally = tuple(rest[: len(FEATURES)]), Tally(*rest[len(FEATURES) :])
            if not assessable:
                yield beat_without_decision(self._bundle, peak, start, tally)
                continue
            yield beat_finding(
                self._bundle, peak, start, tally, evidence.copy(), features, class_number, warnings
            )


@lru_cache(maxsize=KEPT_LIBRARIES)
def _library(
    bundle: Contents, sensor: tuple[int, float, tuple[int, int]], limits: Limits
) -> ctypes.CDLL:
    """The library of a bundle and a sensor; a bundle is the object, not what it holds."""
    task = _task(bundle, limits)
    made: dict[str, str] = {}
    for name, part in (
        ("task", task.task),
        ("task_net", task.net),
        ("sensor", sensor_source(FrontEnd(*sensor), "sensor")),
    ):
        made |= {f"{name}.h": part.header, f"{name}.c": part.source}
    return with_signatures(build_library(made, SOURCES))


def _task(bundle: Contents, limits: Limits) -> TaskSource:
    """The task with the network in the largest chunks that fit."""
    graph = read_tflite(bundle.tflite)
    for chunk in CHUNKS:
        try:
            return beat_task_source(bundle, "task", limits, plan(graph, chunk))
        except ModelError:
            continue  # too large, or a network that is refused below as well
    return beat_task_source(bundle, "task", limits, plan(graph))
