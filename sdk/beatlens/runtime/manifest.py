"""What `bundle.json` says: labels, front end, geometry, scales, thresholds, what was measured.

    {"format": 2, "name": "dense-12k",
     "classes": [{"name": "pvc", "title": "premature ventricular beat",
                  "threshold": 0.5, "sum_threshold": 0}, ...],
     "front_end": {"model_rate_hz": 128, "lsb_mv": 0.025},
     "geometry": {"stride": 8, "receptive_field": 508},
     "span_columns": 160, "hop_columns": 16,
     "tensors": {"input": {"scale": 0.02500000037252903, "zero_point": 0},
                 "evidence": {...}, "logits": {...}},
     "beats": {...},
     "packed_bytes": 24500, "golden_cases": 4, "decision_sha256": "5e9c...",
     "measured": {...}, "versions": {"beatlens": "0.1.0", ...}}

`threshold` is a probability; `sum_threshold` is the same decision in integers, and the one that
counts: a class is found when the int32 sum of its evidence over a span's columns reaches it. It is
stored, not recomputed, so that every device decides alike.

`beats` is there only for models that decide on beats: the rule in `beatlens.runtime.beat_rule`, and
`recording` only for those that decide on whole recordings: that in
`beatlens.runtime.recording_rule`. The thresholds, which are for spans, mean nothing to either.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from beatlens.errors import ModelError
from beatlens.geometry import Geometry
from beatlens.integer.graph import Quantization
from beatlens.runtime.beat_rule import BeatRule
from beatlens.runtime.fields import Fields, parse
from beatlens.runtime.folder import LARGEST_FILE, MANIFEST
from beatlens.runtime.recording_rule import RecordingRule
from beatlens.signals.frontend import LSB_MV, MODEL_RATE_HZ

FORMAT = 2
TENSORS = ("input", "evidence", "logits")
MAX_CLASSES, MAX_CASES = 64, 64
LONGEST_INPUT = 1 << 20
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
_CLASS = r"[a-z][a-z0-9_]{0,31}"
_TITLE = r"[^\x00-\x1f\x7f]{1,100}"


@dataclass(frozen=True, kw_only=True, eq=False)
class Manifest:
    """The content of `bundle.json`.

    Attributes:
        name: the model's name.
        titles: long name of each class by its short name, in the order of the outputs.
        thresholds: probability, by class, from which on a class counts as found.
        sum_thresholds: the same as a sum of int8 evidence over the span's columns, by class.
        geometry: stride and receptive field in samples at the model's rate.
        span_columns: columns one decision is the mean of.
        hop_columns: columns from one decision of a stream to the next, unless asked otherwise.
        tensors: scale and zero point of "input", "evidence" and "logits".
        packed_bytes: size of `weights.blpk`, the network's parameters in the packed format.
        golden_cases: number of golden vectors.
        decision_sha256: the digest of all that decides, or None in a bundle made before there was
            one; see `runtime.bundle_checks`.
        measured: figures with the data they were measured on; free-form.
        versions: of the software that made the bundle.
        beats: how beats are decided, for a model that decides on them.
        recording: how a whole recording is decided, for a model that decides on those. A model
            with neither decides on spans; none has both.
    """

    name: str
    titles: Mapping[str, str]
    thresholds: Mapping[str, float]
    sum_thresholds: Mapping[str, int]
    geometry: Geometry
    span_columns: int
    hop_columns: int
    tensors: Mapping[str, Quantization]
    packed_bytes: int
    golden_cases: int
    measured: Mapping[str, Any]
    versions: Mapping[str, str]
    beats: BeatRule | None = None
    recording: RecordingRule | None = None
    decision_sha256: str | None = None

    @property
    def decides_on(self) -> str:
        """What the model decides on, in words."""
        if self.recording is not None:
            return "whole recordings"
        return f"spans of {self.span_s:g} s" if self.beats is None else "beats"

    @property
    def kind_name(self) -> str:
        """The kind of span the model decides on."""
        if self.recording is not None:
            return "recordings"
        return "windows" if self.beats is None else "beats"

    def check_decides(self, kind: str, classes: tuple[str, ...]) -> None:
        """Raise `ModelError` unless the model decides on such spans for these classes."""
        if kind != self.kind_name or classes != self.classes:
            raise ModelError(
                f"bundle {self.name!r} decides on {self.kind_name} for {', '.join(self.classes)}, "
                f"expected {kind} for {', '.join(classes)}"
            )

    @property
    def stream_name(self) -> str:
        """The method of a bundle that makes the stream for it."""
        if self.recording is not None:
            return "recording_stream"
        return "stream" if self.beats is None else "beat_stream"

    @property
    def classes(self) -> tuple[str, ...]:
        """Short names of the classes, in the order of the outputs."""
        return tuple(self.titles)

    @property
    def span_samples(self) -> int:
        """Samples at the model's rate that one decision covers, context excluded."""
        return self.span_columns * self.geometry.stride

    @property
    def input_length(self) -> int:
        """Samples of the network's input: one span and its context."""
        return self.geometry.input_length(self.span_columns)

    @property
    def span_s(self) -> float:
        """Seconds one decision covers."""
        return self.span_samples / MODEL_RATE_HZ

    @cached_property
    def levels(self) -> Mapping[str, float]:
        """The logit of each class's threshold."""
        return {name: logit(value) for name, value in self.thresholds.items()}

    def document(self) -> bytes:
        """The manifest as the bytes of `bundle.json`."""
        classes = [
            {
                "name": name,
                "title": self.titles[name],
                "threshold": self.thresholds[name],
                "sum_threshold": self.sum_thresholds[name],
            }
            for name in self.classes
        ]
        values = {
            "format": FORMAT,
            "name": self.name,
            "classes": classes,
            "front_end": {"model_rate_hz": MODEL_RATE_HZ, "lsb_mv": LSB_MV},
            "geometry": {
                "stride": self.geometry.stride,
                "receptive_field": self.geometry.receptive_field,
            },
            "span_columns": self.span_columns,
            "hop_columns": self.hop_columns,
            "tensors": {
                role: {"scale": q.scale, "zero_point": q.zero_point}
                for role, q in self.tensors.items()
            },
            **({} if self.beats is None else {"beats": self.beats.document()}),
            **({} if self.recording is None else {"recording": self.recording.document()}),
            "packed_bytes": self.packed_bytes,
            "golden_cases": self.golden_cases,
            **({} if self.decision_sha256 is None else {"decision_sha256": self.decision_sha256}),
            "measured": self.measured,
            "versions": self.versions,
        }
        try:
            text = json.dumps(values, indent=1, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise ModelError(
                f"{MANIFEST}: cannot be written ({error}); `measured` and `versions` may hold "
                "finite numbers, text, lists and dicts with text keys"
            ) from error
        return f"{text}\n".encode()


def sum_threshold(threshold: float, evidence: Quantization, columns: int) -> int:
    """The smallest evidence sum over `columns` columns whose probability reaches `threshold`.

    One more than the largest possible sum where no evidence suffices.

    >>> sum_threshold(0.5, Quantization(0.5, -3), 160)
    -480
    """
    exact = columns * (logit(threshold) / evidence.scale + evidence.zero_point)
    return math.ceil(min(max(exact, -128 * columns), 127 * columns + 1))


def logit(probability: float) -> float:
    """Log odds of a probability strictly between 0 and 1."""
    return math.log(probability / (1.0 - probability))


def read_manifest(data: bytes) -> dict[str, Any]:
    """Read `bundle.json` into the arguments of `Manifest`.

    Raises ModelError naming the field if anything is missing, unknown, out of range, or does not
    fit this version's front end.
    """
    top = Fields(MANIFEST, parse(MANIFEST, data))
    top.integer("format", FORMAT, FORMAT)
    front_end = top.section("front_end")
    front_end.integer("model_rate_hz", MODEL_RATE_HZ, MODEL_RATE_HZ)
    front_end.number("lsb_mv", LSB_MV, LSB_MV)
    front_end.finish()
    geometry = _geometry(top.section("geometry"))
    span = top.integer("span_columns", 1, LONGEST_INPUT // geometry.stride)
    if geometry.input_length(span) > LONGEST_INPUT:
        top.refuse("span_columns", f"an input of at most {LONGEST_INPUT} samples")
    tensors = _tensors(top.section("tensors"))
    classes = top.sections("classes", MAX_CLASSES)
    titles: dict[str, str] = {}
    thresholds: dict[str, float] = {}
    sums: dict[str, int] = {}
    for entry in classes:
        name = entry.text("name", _CLASS, "lower-case letters, digits and _ (at most 32)")
        if name in titles:
            entry.refuse("name", "a name that no other class has")
        titles[name] = entry.text("title", _TITLE, "1 to 100 printable characters")
        thresholds[name] = entry.number("threshold", 1e-6, 1 - 1e-6)
        wanted = sum_threshold(thresholds[name], tensors["evidence"], span)
        # One more or less: logarithms of different machines may differ in their last bit.
        sums[name] = entry.integer("sum_threshold", wanted - 1, wanted + 1)
        entry.finish()
    beats = None
    if "beats" in top.names():
        scale = tensors["evidence"].scale
        beats = BeatRule.read(top.section("beats"), tuple(titles), span, scale)
    recording = None
    if "recording" in top.names():
        if beats is not None:
            top.refuse("recording", "none beside `beats`: a model decides on one of them")
        scale = tensors["evidence"].scale
        recording = RecordingRule.read(top.section("recording"), len(titles), scale)
    digest = None
    if "decision_sha256" in top.names():
        digest = top.text("decision_sha256", "[0-9a-f]{64}", "64 hexadecimal digits")
    versions = top.section("versions")
    result = {
        "name": top.text("name", _NAME, "letters, digits and . _ - (at most 64)"),
        "titles": titles,
        "thresholds": thresholds,
        "sum_thresholds": sums,
        "geometry": geometry,
        "span_columns": span,
        "hop_columns": top.integer("hop_columns", 1, span),
        "tensors": tensors,
        "packed_bytes": top.integer("packed_bytes", 1, LARGEST_FILE),
        "golden_cases": top.integer("golden_cases", 1, MAX_CASES),
        "measured": top.free("measured"),
        "versions": {
            key: versions.text(key, _TITLE, "1 to 100 printable characters")
            for key in versions.names()
        },
        "beats": beats,
        "recording": recording,
        "decision_sha256": digest,
    }
    top.finish()
    return result


def _geometry(fields: Fields) -> Geometry:
    stride = fields.integer("stride", 1, 4096)
    field = fields.integer("receptive_field", stride, LONGEST_INPUT)
    fields.finish()
    return Geometry(stride, field)


def _tensors(fields: Fields) -> dict[str, Quantization]:
    tensors = {}
    for role in TENSORS:
        entry = fields.section(role)
        scale = entry.number("scale", 1e-30, 1e30)
        if float(np.float32(scale)) != scale:
            entry.refuse("scale", f"a float32 value such as {float(np.float32(scale))!r}")
        tensors[role] = Quantization(scale, entry.integer("zero_point", -128, 127))
        entry.finish()
    fields.finish()
    wanted = Quantization(float(np.float32(LSB_MV)), 0)
    if tensors["input"] != wanted:
        raise ModelError(
            f"{MANIFEST}: tensors.input is {tensors['input']}, expected {wanted}: the front end "
            f"gives int8 samples of {LSB_MV} mV"
        )
    return tensors
