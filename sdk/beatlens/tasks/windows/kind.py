"""Windows, as the device side knows them."""

from __future__ import annotations

from typing import Any

from beatlens.c_source.plan import Plan
from beatlens.integer.graph import Quantization
from beatlens.runtime.c_task import ChainParts, TflmParts
from beatlens.runtime.chain import Chain
from beatlens.runtime.contents import Contents
from beatlens.runtime.engines import Engine
from beatlens.runtime.fields import Fields
from beatlens.runtime.kind import Kind
from beatlens.runtime.manifest import Manifest
from beatlens.runtime.quality import Limits
from beatlens.signals.frontend import MODEL_RATE_HZ, FrontEnd
from beatlens.tasks.windows.c_task import write_parts
from beatlens.tasks.windows.chain import WindowChain
from beatlens.tasks.windows.host import HostWindowChain
from beatlens.tasks.windows.rule import WindowRule, read_rule, window_rule, write_rule
from beatlens.tasks.windows.tflm_task import write_tflm_parts


class Windows:
    """One decision every so many seconds, on each class by itself; see `Kind`."""

    name = "windows"
    training = "beatlens.tasks.windows.training:TRAINING"
    limits = Limits()
    hops = True
    has_c = True
    has_tflm = True
    unit = "span"

    def read_rule(
        self, fields: Fields, classes: tuple[str, ...], columns: int, evidence: Quantization
    ) -> WindowRule:
        """See `Kind`."""
        return read_rule(fields, classes, columns, evidence)

    def write_rule(self, rule: Any, classes: tuple[str, ...]) -> dict[str, Any]:
        """See `Kind`."""
        return write_rule(rule)

    def describe(self, bundle: Manifest) -> str:
        """See `Kind`."""
        return f"spans of {bundle.span_s:g} s"

    def latency_s(self, bundle: Contents, frontend: FrontEnd) -> float:
        """See `Kind`."""
        return (frontend.stream().latency + bundle.geometry.right) / MODEL_RATE_HZ

    def make_chain(
        self, bundle: Contents, frontend: FrontEnd, hop: int, limits: Limits, engine: Engine
    ) -> Chain:
        """See `Kind`."""
        window_rule(bundle)
        return WindowChain(bundle, frontend, hop, limits, engine)

    def make_host_chain(
        self, bundle: Contents, frontend: FrontEnd, hop: int, limits: Limits
    ) -> Chain:
        """See `Kind`."""
        window_rule(bundle)
        return HostWindowChain(bundle, frontend, hop, limits)

    def write_c(
        self, bundle: Contents, frontend: FrontEnd, name: str, limits: Limits, plan: Plan
    ) -> ChainParts:
        """See `Kind`."""
        return write_parts(bundle, frontend, name, limits, plan)

    def write_tflm(
        self, bundle: Contents, frontend: FrontEnd, name: str, limits: Limits
    ) -> TflmParts:
        """See `Kind`."""
        return write_tflm_parts(bundle, frontend, name, limits)


WINDOWS: Kind = Windows()
