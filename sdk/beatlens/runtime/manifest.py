"""What `bundle.json` holds: labels, front end, geometry, scales, the rule, what was measured.

    {"format": 3, "name": "dense-12k", "kind": "windows",
     "classes": [{"name": "pvc", "title": "premature ventricular beat"}, ...],
     "front_end": {"model_rate_hz": 128, "lsb_mv": 0.05},
     "geometry": {"stride": 8, "receptive_field": 508},
     "span_columns": 160, "hop_columns": 16,
     "tensors": {"input": {"scale": 0.05000000074505806, "zero_point": 0},
                 "evidence": {...}, "logits": {...}},
     "rule": {...},
     "packed_bytes": 24500, "golden_cases": 4, "decision_sha256": "5e9c...",
     "measured": {...}, "versions": {"beatlens": "0.2.0", ...}}

`kind` is the kind of span that the model decides on, `rule` how; what a rule holds is its kind's
own (`beatlens.tasks.KIND.rule`). `manifest_file` reads and writes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from beatlens.errors import ModelError
from beatlens.geometry import Geometry
from beatlens.integer.graph import Quantization
from beatlens.signals.frontend import LSBS_MV, MODEL_RATE_HZ

TENSORS = ("input", "evidence", "logits")


@dataclass(frozen=True, kw_only=True, eq=False)
class Manifest:
    """The content of `bundle.json`.

    Attributes:
        name: the model's name.
        kind_name: name of the kind of span it decides on; see `beatlens.runtime.kinds`.
        titles: long name of each class by its short name, in the order of the outputs.
        rule: how it decides, an object of its kind.
        geometry: stride and receptive field in samples at the model's rate.
        span_columns: columns of the network's own window; of a model of windows, those that one
            decision is the mean of.
        hop_columns: columns from one decision of a stream to the next, unless asked otherwise; of
            other kinds, those that are computed at once.
        tensors: scale and zero point of "input", "evidence" and "logits".
        packed_bytes: size of `weights.blpk`, the network's parameters in the packed format.
        golden_cases: number of golden vectors.
        decision_sha256: the digest of all that decides, or None in a bundle made before there was
            one; see `runtime.bundle_checks`.
        measured: figures with the data they were measured on; free-form.
        versions: of the software that made the bundle.
    """

    name: str
    kind_name: str
    titles: Mapping[str, str]
    rule: Any
    geometry: Geometry
    span_columns: int
    hop_columns: int
    tensors: Mapping[str, Quantization]
    packed_bytes: int
    golden_cases: int
    measured: Mapping[str, Any]
    versions: Mapping[str, str]
    decision_sha256: str | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """Short names of the classes, in the order of the outputs."""
        return tuple(self.titles)

    @property
    def lsb_mv(self) -> float:
        """Step of the samples that the network takes, in millivolt; one of `LSBS_MV`."""
        scale = self.tensors["input"].scale
        return min(LSBS_MV, key=lambda lsb: abs(lsb - scale))

    def check_decides(self, kind: str, classes: tuple[str, ...]) -> None:
        """Raise `ModelError` unless the model is of this kind, for these classes in this order."""
        if kind != self.kind_name or classes != self.classes:
            raise ModelError(
                f"bundle {self.name!r} decides on {self.kind_name} for {', '.join(self.classes)}, "
                f"expected {kind} for {', '.join(classes)}"
            )

    @property
    def span_samples(self) -> int:
        """Samples at the model's rate that the network's window covers, context excluded."""
        return self.span_columns * self.geometry.stride

    @property
    def input_length(self) -> int:
        """Samples of the network's input: one window and its context."""
        return self.geometry.input_length(self.span_columns)

    @property
    def span_s(self) -> float:
        """Seconds that the network's window covers."""
        return self.span_samples / MODEL_RATE_HZ
