"""Beats, as the device side knows them."""

from __future__ import annotations

from typing import Any

from beatlens.c_source.plan import Plan
from beatlens.errors import ModelError
from beatlens.integer.graph import Quantization
from beatlens.runtime.c_task import ChainParts, TflmParts
from beatlens.runtime.chain import Chain
from beatlens.runtime.contents import Contents
from beatlens.runtime.engines import Engine
from beatlens.runtime.fields import Fields
from beatlens.runtime.kind import Kind
from beatlens.runtime.manifest import Manifest
from beatlens.runtime.quality import Limits
from beatlens.signals.frontend import FrontEnd
from beatlens.tasks.beats.c_task import write_parts
from beatlens.tasks.beats.chain import BeatChain
from beatlens.tasks.beats.host import HostBeatChain
from beatlens.tasks.beats.rule import BEAT_LIMITS, BeatRule, read_rule, write_rule


class Beats:
    """One decision at each R peak, for one of the classes; see `Kind`."""

    name = "beats"
    training = "beatlens.tasks.beats.training:TRAINING"
    limits = BEAT_LIMITS
    hops = False
    has_c = True
    has_tflm = False
    unit = "beat"

    def read_rule(
        self, fields: Fields, classes: tuple[str, ...], columns: int, evidence: Quantization
    ) -> BeatRule:
        """See `Kind`."""
        return read_rule(fields, classes, columns, evidence.scale)

    def write_rule(self, rule: Any, classes: tuple[str, ...]) -> dict[str, Any]:
        """See `Kind`."""
        return write_rule(rule, classes)

    def describe(self, bundle: Manifest) -> str:
        """See `Kind`."""
        return "beats"

    def latency_s(self, bundle: Contents, frontend: FrontEnd) -> None:
        """None: a beat is decided when the next one is found."""
        return None

    def make_chain(
        self, bundle: Contents, frontend: FrontEnd, hop: int, limits: Limits, engine: Engine
    ) -> Chain:
        """See `Kind`."""
        return BeatChain(bundle, frontend, limits, engine)

    def make_host_chain(
        self, bundle: Contents, frontend: FrontEnd, hop: int, limits: Limits
    ) -> Chain:
        """See `Kind`."""
        return HostBeatChain(bundle, frontend, limits)

    def write_c(
        self, bundle: Contents, frontend: FrontEnd, name: str, limits: Limits, plan: Plan
    ) -> ChainParts:
        """See `Kind`."""
        return write_parts(bundle, frontend, name, limits, plan)

    def write_tflm(
        self, bundle: Contents, frontend: FrontEnd, name: str, limits: Limits
    ) -> TflmParts:
        """TensorFlow Lite Micro does not run this kind: raises ModelError."""
        raise ModelError(
            f"bundle {bundle.name!r} decides on {self.describe(bundle)}, expected one of windows: "
            "there is no project for TensorFlow Lite Micro that decides on anything else"
        )


BEATS: Kind = Beats()
