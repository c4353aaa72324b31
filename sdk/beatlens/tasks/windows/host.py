"""The firmware's C on this machine, for windows: findings come out of what devices run."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beatlens.runtime.chain import PIECE
from beatlens.runtime.columns import Tally
from beatlens.runtime.contents import Contents
from beatlens.runtime.engines import dequantize
from beatlens.runtime.finding import Finding
from beatlens.runtime.host import (
    CHUNKS,
    KEPT_LIBRARIES,
    SHARED_SOURCES,
    SPAN_FIELDS,
    HostChain,
    Sensor,
    describe_sensor,
    load_library,
)
from beatlens.runtime.quality import Limits
from beatlens.signals.frontend import DELAY, MODEL_RATE_HZ, FrontEnd
from beatlens.signals.rhythm_features import FEATURES
from beatlens.tasks.windows.c_task import window_task_source
from beatlens.tasks.windows.finding import all_lost, decided, rest, undecided
from beatlens.tasks.windows.rule import window_rule

SOURCES = (*SHARED_SOURCES, "src/beatlens.c", "ports/host/bl_host_windows.c")
RHYTHM = ("src/bl_window_rhythm.c", "src/bl_qrs.c", "src/bl_qrs_shapes.c")
"""Of bundles whose rule has tables."""
SPAN, GAP = 0, 1  # bl_host_kind
BAD, PADDED = 1, 2  # bl_host_flag


class HostWindowChain(HostChain):
    """The chain of windows.

    Args:
        bundle: of a streaming network with one lead.
        frontend: of the sensor.
        hop: columns from one decision to the next.
        limits: how much of a window may be bad.

    Raises:
        ModelError: no C compiler, or the C engine cannot run the bundle, with the reason.
        SignalError: the rails are not 16 bit counts.
    """

    def __init__(self, bundle: Contents, frontend: FrontEnd, hop: int, limits: Limits) -> None:
        self._bundle = bundle
        library = _library(bundle, describe_sensor(frontend), hop, limits)
        room = _count_findings(bundle, frontend, hop)
        fields = (*SPAN_FIELDS, "kind", "decisions", *FEATURES)
        super().__init__(
            library, frontend.rate_hz, fields, room, bundle.span_columns, len(bundle.classes)
        )

    def _findings(self, count: int) -> Iterator[Finding]:
        heads = self._heads[:count].tolist()
        sums = self._sums[:count].tolist()
        columns = iter(self._columns(count))
        for head, totals in zip(heads, sums, strict=True):
            start, assessable, warnings = head[:3]
            tally = Tally(*head[3 : len(SPAN_FIELDS)])
            kind, decisions, *features = head[len(SPAN_FIELDS) :]
            if kind == GAP:
                yield all_lost(self._bundle, start, start + tally.columns)
            elif kind != SPAN:
                seconds = self.received / self._rate_hz
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
                    features=features,
                    evidence=evidence.copy(),
                    usable=usable.copy(),
                    padded=padded.copy(),
                )

    def _columns(self, count: int) -> Iterator[tuple[NDArray[Any], ...]]:
        """Evidence float32 `[C, T]`, usable and padded bool `[T]` of each assessable finding."""
        chosen = np.flatnonzero(self._heads[:count, SPAN_FIELDS.index("assessable")])
        int8 = self._evidence[chosen].transpose(0, 2, 1)
        evidence = dequantize(int8, self._bundle.tensors["evidence"])
        flags = self._flags[chosen]
        return zip(evidence, flags & BAD == 0, flags & PADDED != 0, strict=True)


def _count_findings(bundle: Contents, frontend: FrontEnd, hop: int) -> int:
    """Findings that one call can give: of its own columns, those inside, and a gap's two ends."""
    half: int = frontend.half
    samples = (PIECE + 2 * half) * MODEL_RATE_HZ // frontend.rate_hz + DELAY
    columns = (samples + bundle.geometry.right + max(CHUNKS)) // bundle.geometry.stride
    return (columns + 2 * bundle.span_columns) // hop + 8


@lru_cache(maxsize=KEPT_LIBRARIES)
def _library(bundle: Contents, sensor: Sensor, hop: int, limits: Limits) -> ctypes.CDLL:
    """The library of a bundle and a sensor; a bundle is the object, not what it holds."""
    hopping = replace(bundle, hop_columns=hop)
    sources = SOURCES if window_rule(bundle).tables is None else (*SOURCES, *RHYTHM)
    return load_library(
        bundle, sensor, sources, lambda plan: window_task_source(hopping, "task", limits, plan)
    )
