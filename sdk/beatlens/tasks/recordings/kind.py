"""Recordings, as the device side knows them."""

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
from beatlens.tasks.recordings.chain import RecordingChain
from beatlens.tasks.recordings.rule import RecordingRule, read_rule, recording_rule, write_rule


class Recordings:
    """One decision on the whole of a recording, for one of the classes; see `Kind`."""

    name = "recordings"
    training = "beatlens.tasks.recordings.training:TRAINING"
    limits = Limits()
    hops = False
    has_c = False
    has_tflm = False
    unit = "recording"

    def read_rule(
        self, fields: Fields, classes: tuple[str, ...], columns: int, evidence: Quantization
    ) -> RecordingRule:
        """See `Kind`."""
        return read_rule(fields, len(classes), evidence.scale)

    def write_rule(self, rule: Any, classes: tuple[str, ...]) -> dict[str, Any]:
        """See `Kind`."""
        return write_rule(rule)

    def describe(self, bundle: Manifest) -> str:
        """See `Kind`."""
        return "whole recordings"

    def latency_s(self, bundle: Contents, frontend: FrontEnd) -> None:
        """None: the finding is there when the recording has ended."""
        return None

    def make_chain(
        self, bundle: Contents, frontend: FrontEnd, hop: int, limits: Limits, engine: Engine
    ) -> Chain:
        """See `Kind`."""
        return RecordingChain(bundle, frontend, limits, engine)

    def make_host_chain(
        self, bundle: Contents, frontend: FrontEnd, hop: int, limits: Limits
    ) -> Chain:
        """There is no C for recordings yet: raises ModelError."""
        recording_rule(bundle)
        raise ModelError(
            "engine is 'c', expected an interpreter: there is no C for whole recordings yet; leave "
            "the engine out"
        )

    def write_c(
        self, bundle: Contents, frontend: FrontEnd, name: str, limits: Limits, plan: Plan
    ) -> ChainParts:
        """There is no C for recordings yet: raises ModelError."""
        raise ModelError(
            f"bundle {bundle.name!r} decides on {self.describe(bundle)}: there is no C for them "
            "yet; a phone runs it by bundle.stream"
        )

    def write_tflm(
        self, bundle: Contents, frontend: FrontEnd, name: str, limits: Limits
    ) -> TflmParts:
        """TensorFlow Lite Micro does not run this kind: raises ModelError."""
        raise ModelError(
            f"bundle {bundle.name!r} decides on {self.describe(bundle)}, expected one of windows: "
            "there is no project for TensorFlow Lite Micro that decides on anything else"
        )


RECORDINGS: Kind = Recordings()
