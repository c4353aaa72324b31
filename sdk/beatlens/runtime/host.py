"""The firmware's C on this machine: findings come out of what devices run.

One bundle and one sensor are written as C, as for a device, compiled together with the sources of
`firmware_export/` and loaded (see `host_build`). `HostChain` is what the
chains of all kinds share; `bundle.stream(..., engine="c")` makes one.
"""

from __future__ import annotations

import ctypes
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beatlens.c_source.plan import Plan, lay_out
from beatlens.c_source.sensor import sensor_source
from beatlens.errors import ModelError, SignalError
from beatlens.integer.tflite_read import read_tflite
from beatlens.runtime.c_task import TaskSource
from beatlens.runtime.chain import PIECE
from beatlens.runtime.columns import Tally
from beatlens.runtime.contents import Contents
from beatlens.runtime.finding import Finding
from beatlens.runtime.host_build import build_library
from beatlens.signals.frontend import MODEL_RATE_HZ, FrontEnd

SHARED_SOURCES = (
    "src/bl_lead.c",
    "src/bl_frontend.c",
    "src/bl_net.c",
    "ports/host/bl_kernels_host.c",
    "ports/host/bl_host.c",
)
CHUNKS = (2048, 1024, 512, 256, 128)
"""Samples worked on at once, the largest that fits: a device has less memory, a host less to do."""
MAX_SAMPLES = 1 << 32
"""At 128 Hz: the C counts them in 32 bits."""
MAX_GAP = 1 << 30
KEPT_LIBRARIES = 64
SPAN_FIELDS = ("start", "assessable", "warnings", *Tally._fields)
"""Of bl_host_span, in its order; fields of a finding follow them."""
Sensor = tuple[int, float, tuple[int, int], float]


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


class HostChain(ABC):
    """A `runtime.chain.Chain` that runs the firmware's C; findings come in batches.

    Args:
        library: of `load_library`.
        rate_hz: of the sensor.
        fields: of a finding in C, those of `SPAN_FIELDS` first.
        room: findings that a batch has room for.
        columns: of a decision.
        classes: their number.
    """

    def __init__(
        self,
        library: ctypes.CDLL,
        rate_hz: int,
        fields: Sequence[str],
        room: int,
        columns: int,
        classes: int,
    ) -> None:
        self._c, self._rate_hz = library, rate_hz
        self.received = 0
        # Words of 8 bytes, as aligned as a pointer has to be.
        self._memory = np.zeros(-(-self._c.bl_host_bytes() // 8), np.uint64)
        check_code(self._c.bl_host_begin(self._memory.ctypes.data, self._memory.nbytes))
        self._heads = np.empty((room, len(fields)), np.uint32)
        self._sums = np.empty((room, classes), np.int32)
        self._evidence = np.empty((room, columns, classes), np.int8)
        self._flags = np.empty((room, columns), np.uint8)
        arrays = (self._heads, self._sums, self._evidence, self._flags)
        self._batch = _Batch(*(array.ctypes.data for array in arrays), room, 0)

    def push(self, counts: NDArray[np.int64]) -> list[Finding]:
        """See `Chain.push`. Raises SignalError for a stream of more than a year."""
        check_length(self.received, len(counts), self._rate_hz)
        found = []
        for start in range(0, len(counts), PIECE):
            piece = np.ascontiguousarray(counts[start : start + PIECE], np.int16)
            self.received += len(piece)
            found += self._call(self._c.bl_host_push, piece.ctypes.data, len(piece))
        return found

    def gap(self, samples: int) -> list[Finding]:
        """See `Chain.gap`. Raises SignalError for a stream of more than a year."""
        check_length(self.received, samples, self._rate_hz)
        found = []
        for start in range(0, samples, MAX_GAP):
            lost = min(samples - start, MAX_GAP)
            self.received += lost
            found += self._call(self._c.bl_host_gap, lost)
        return found

    def end(self) -> list[Finding]:
        """See `Chain.end`."""
        return self._call(self._c.bl_host_end)

    def _call(self, function: Any, *arguments: int) -> list[Finding]:
        check_code(function(self._memory.ctypes.data, *arguments, ctypes.byref(self._batch)))
        return list(self._findings(self._batch.count))

    @abstractmethod
    def _findings(self, count: int) -> Iterator[Finding]:
        """Findings out of the first `count` rows of the batch."""


def describe_sensor(frontend: FrontEnd) -> Sensor:
    """What a front end is made of, as a key."""
    return frontend.rate_hz, frontend.counts_per_mv, frontend.rails, frontend.lsb_mv


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
            f"engine 'c' answers {code} (bl_error.h), expected 0: this "
            "is a defect of beatlens; take another engine"
        )


def load_library(
    bundle: Contents,
    sensor: Sensor,
    sources: Sequence[str],
    write_task: Callable[[Plan], TaskSource],
) -> ctypes.CDLL:
    """The library of a task and a sensor, compiled now or before.

    Args:
        bundle: whose network it is.
        sensor: of `describe_sensor`.
        sources: files of `firmware_export/`.
        write_task: the task's C, with the network laid out as it is given.
    """
    task = _in_large_chunks(bundle, write_task)
    made: dict[str, str] = {}
    for name, part in (
        ("task", task.task),
        ("task_net", task.net),
        ("sensor", sensor_source(FrontEnd(*sensor), "sensor")),
    ):
        made |= {f"{name}.h": part.header, f"{name}.c": part.source}
    return _with_signatures(build_library(made, sources))


def _in_large_chunks(bundle: Contents, write_task: Callable[[Plan], TaskSource]) -> TaskSource:
    """The task with its network in larger chunks than a device's, as far as they fit."""
    graph = read_tflite(bundle.tflite)
    for chunk in CHUNKS:
        try:
            return write_task(lay_out(graph, chunk))
        except ModelError:
            continue  # too large, or a network that is refused below as well
    return write_task(lay_out(graph))


def _with_signatures(library: ctypes.CDLL) -> ctypes.CDLL:
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
