"""A kind of span: what is decided on, and all on the device side that depends on it.

A bundle names its kind, `beatlens.runtime.kinds` finds it, and everything else asks it: the stream
for a chain, the firmware for C, the command line for words. Each kind is one object of a package
below `beatlens.tasks`, or of somebody else's package (an entry point, see `kinds`).
"""

from __future__ import annotations

from typing import Any, Protocol

from beatlens.c_source.plan import Plan
from beatlens.integer.graph import Quantization
from beatlens.runtime.c_task import ChainParts, TflmParts
from beatlens.runtime.chain import Chain
from beatlens.runtime.contents import Contents
from beatlens.runtime.engines import Engine
from beatlens.runtime.fields import Fields
from beatlens.runtime.manifest import Manifest
from beatlens.runtime.quality import Limits
from beatlens.signals.frontend import FrontEnd


class Kind(Protocol):
    """What the device side has to know of a kind of span; needs numpy only.

    Attributes:
        name: as in `bundle.json`: `windows`, `beats`, `recordings`, or another package's.
        training: MODULE:OBJECT of its training side, which needs torch; nothing here loads it.
        limits: how much of a span may be bad, unless a stream is given others.
        hops: whether decisions come every so many seconds, so that a stream takes `hop_s`.
        has_c: whether firmware and engine "c" can run it.
        has_tflm: whether a project for TensorFlow Lite Micro can.
        unit: what one finding is on, in one word: "span", "beat" or "recording".
    """

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def training(self) -> str: ...  # noqa: D102

    @property
    def limits(self) -> Limits: ...  # noqa: D102

    @property
    def hops(self) -> bool: ...  # noqa: D102

    @property
    def has_c(self) -> bool: ...  # noqa: D102

    @property
    def has_tflm(self) -> bool: ...  # noqa: D102

    @property
    def unit(self) -> str: ...  # noqa: D102

    def read_rule(
        self, fields: Fields, classes: tuple[str, ...], columns: int, evidence: Quantization
    ) -> Any:
        """The rule of the section `rule` of `bundle.json`.

        Args:
            fields: the section.
            classes: names, in the order of the network's outputs.
            columns: of evidence in the network's own window.
            evidence: scale and zero point of it.

        Raises:
            ModelError: a field is missing, unknown or out of range.
        """
        ...

    def write_rule(self, rule: Any, classes: tuple[str, ...]) -> dict[str, Any]:
        """What `read_rule` reads."""
        ...

    def describe(self, bundle: Manifest) -> str:
        """What a bundle decides on, in words: "spans of 10 s"."""
        ...

    def latency_s(self, bundle: Contents, frontend: FrontEnd) -> float | None:
        """Seconds of signal needed after a span before its finding; None where that varies."""
        ...

    def make_chain(
        self, bundle: Contents, frontend: FrontEnd, hop: int, limits: Limits, engine: Engine
    ) -> Chain:
        """The chain in Python around an engine; `hop` is in columns.

        Raises ModelError where the bundle's rule is not of this kind.
        """
        ...

    def make_host_chain(
        self, bundle: Contents, frontend: FrontEnd, hop: int, limits: Limits
    ) -> Chain:
        """The chain that runs the firmware's C on this machine.

        Raises ModelError where there is no C compiler, or no C for this kind or bundle.
        """
        ...

    def write_c(
        self, bundle: Contents, frontend: FrontEnd, name: str, limits: Limits, plan: Plan
    ) -> ChainParts:
        """What a firmware package for a sensor holds of the bundle.

        Args:
            bundle, frontend, limits: as for `make_chain`.
            name: a C identifier.
            plan: how the network runs.

        Raises:
            RecipeError: the name is not a C identifier.
            ModelError: there is no C for this kind, or the engine cannot run the bundle.
        """
        ...

    def write_tflm(
        self, bundle: Contents, frontend: FrontEnd, name: str, limits: Limits
    ) -> TflmParts:
        """What a project for TensorFlow Lite Micro holds of the bundle; as `write_c`."""
        ...
