"""The firmware's C on this machine, for beats: findings come out of what devices run."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from functools import lru_cache

from beatlens.runtime.chain import PIECE
from beatlens.runtime.columns import Tally
from beatlens.runtime.contents import Contents
from beatlens.runtime.finding import Finding
from beatlens.runtime.host import (
    KEPT_LIBRARIES,
    SHARED_SOURCES,
    SPAN_FIELDS,
    HostChain,
    Sensor,
    describe_sensor,
    load_library,
)
from beatlens.runtime.quality import Limits
from beatlens.signals.beat_features import FEATURES
from beatlens.signals.frontend import MODEL_RATE_HZ, FrontEnd
from beatlens.signals.qrs_decisions import REFRACTORY
from beatlens.tasks.beats.c_task import beat_task_source
from beatlens.tasks.beats.finding import beat_finding, beat_without_decision
from beatlens.tasks.beats.rule import beat_rule

SOURCES = (
    *SHARED_SOURCES,
    "src/bl_beats.c",
    "src/bl_features.c",
    "src/bl_patient.c",
    "src/bl_qrs.c",
    "src/bl_qrs_shapes.c",
    "ports/host/bl_host_beats.c",
)
FIELDS = (*SPAN_FIELDS, "peak", "rr", "class_number", "shared", *FEATURES)
"""Of bl_host_beat, in its order."""
INSIDE = 4096
"""Samples at 128 Hz whose beats may come with later ones: those of the detector's first eight
seconds, and more."""


class HostBeatChain(HostChain):
    """The chain of beats.

    Args:
        bundle: of a streaming network with one lead that decides on beats.
        frontend: of the sensor.
        limits: how much of a beat's span may be bad.

    Raises:
        ModelError: no C compiler, or the C engine cannot run the bundle, with the reason.
        SignalError: the rails are not 16 bit counts.
    """

    def __init__(self, bundle: Contents, frontend: FrontEnd, limits: Limits) -> None:
        rule = beat_rule(bundle)
        self._bundle, self._rule = bundle, rule
        library = _library(bundle, describe_sensor(frontend), limits)
        room = (PIECE * MODEL_RATE_HZ // frontend.rate_hz + INSIDE) // REFRACTORY + 8
        columns = rule.before + rule.after
        super().__init__(library, frontend.rate_hz, FIELDS, room, columns, len(bundle.classes))

    def _findings(self, count: int) -> Iterator[Finding]:
        for row, evidence in zip(self._heads[:count].tolist(), self._evidence, strict=False):
            start, assessable, warnings, *counted = row[: len(SPAN_FIELDS)]
            peak, rr, class_number, shared, *features = row[len(SPAN_FIELDS) :]
            tally = Tally(*counted)
            if not assessable:
                yield beat_without_decision(self._bundle, peak, rr, start, tally)
                continue
            yield beat_finding(
                self._bundle,
                self._rule,
                peak,
                rr,
                start,
                tally,
                evidence.copy(),
                tuple(features),
                shared - (shared >> 31 << 32),  # the C has it signed
                class_number,
                warnings,
            )


@lru_cache(maxsize=KEPT_LIBRARIES)
def _library(bundle: Contents, sensor: Sensor, limits: Limits) -> ctypes.CDLL:
    """The library of a bundle and a sensor; a bundle is the object, not what it holds."""
    return load_library(
        bundle, sensor, SOURCES, lambda plan: beat_task_source(bundle, "task", limits, plan)
    )
