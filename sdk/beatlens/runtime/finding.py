"""What a stream says of a span of signal: the decision and its evidence, or why there is none."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from beatlens.errors import RecipeError
from beatlens.runtime.engines import dequantize
from beatlens.runtime.manifest import Manifest
from beatlens.runtime.warning_bits import NOISY, name_warnings
from beatlens.signals.frontend import MODEL_RATE_HZ


@dataclass(frozen=True)
class Limits:
    """How much of a span may be bad before no decision is given, or one with a warning.

    Attributes:
        unusable: share of the span's samples that may be flat (a lead is off) or saturated (the
            sensor at its rails); more make the span not assessable.
        clipped: share that may be beyond the +-3.175 mV of the network's input. Tall R peaks clip
            for a few samples and stay readable, so a little of it only leaves a note. Of beats
            more may be, see `BEAT_LIMITS`.
        clipped_warning: of beats only, share of clipped samples above which a beat's decision gets
            the warning `clipped` and is never S (`beatlens.runtime.beat_rule.NEVER_CLIPPED`).
        noisy: share that may bend as QRS complexes do (see `beatlens.signals.frontend`); a decision
            on a span with more gets the warning `noisy`.

    Lost samples have no limit: a span that touches a gap is never assessable. Raises RecipeError
    for a share outside 0..1.
    """

    unusable: float = 0.10
    clipped: float = 0.05
    noisy: float = 0.50
    clipped_warning: float = 0.05

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 <= value <= 1:
                raise RecipeError(f"limit {field.name} is {value}, expected a share from 0 to 1")

    def allow(self, tally: Tally, stride: int) -> bool:
        """Whether a span of columns of `stride` samples is assessable."""
        total = tally.columns * stride
        return (
            tally.lost == 0
            and tally.bad <= self.unusable * total
            and tally.clipped <= self.clipped * total
        )

    def noise(self, tally: Tally, stride: int) -> int:
        """`NOISY` for a span that is too noisy, else 0."""
        return NOISY if tally.noisy > self.noisy * tally.columns * stride else 0

    def clips(self, tally: Tally, stride: int) -> bool:
        """Whether a beat's span of columns of `stride` samples gets the warning `clipped`."""
        return tally.clipped > self.clipped_warning * tally.columns * stride


BEAT_LIMITS = Limits(clipped=0.15)
"""The default for beats. Large ventricular beats are clipped for more than 5 % of a span of 1.06 s,
and what is left of them is enough: 991 of 994 beats that the limit of 5 % refused were decided
rightly. To change another limit for beats, use `dataclasses.replace(BEAT_LIMITS, unusable=0.2)`."""


@dataclass(frozen=True)
class EvidenceSegment:
    """Consecutive columns that speak for a class more than its threshold asks for.

    Attributes:
        start_s, end_s: when, in seconds since the stream's first sample.
        class_name: for which class.
        evidence: mean evidence of the segment's columns, in logit units.
        contribution: what the segment adds to the class's logit above the threshold's. The
            contributions of all columns of a span, those below included, sum to exactly that.
    """

    start_s: float
    end_s: float
    class_name: str
    evidence: float
    contribution: float


@dataclass(frozen=True, eq=False, kw_only=True)
class Finding:
    """A decision over a span and the evidence it is made of, or the reasons why there is none.

    Attributes:
        start_s, end_s: the span, in seconds since the stream's first sample, at the sensor.
        assessable: whether there is a decision. If not, all that follows `quality` is None.
        quality_notes: why not; and of an assessable span, what to know of its quality: segments
            that were flat, saturated, clipped, or that lie where the signal starts or ends, so that
            part of the network's context was made up by holding the edge value.
        quality: share of the span's samples that were there, not flat and not saturated, 0..1.
        warnings: about the decision: `noisy`, or nothing.
        probabilities: sigmoid of the logit, by class.
        decisions: whether the class was found, by class; decided on the integer sum of evidence.
        logits: mean of the evidence over the span, by class.
        evidence: float32 `[C, T]` in logit units, read-only; one column per stride.
        usable: bool `[T]`, false for columns with a flat, saturated or clipped sample.
        padded: bool `[T]`, true for columns whose context reaches beyond the signal.
        levels: the logit of each class's threshold.
    """

    start_s: float
    end_s: float
    assessable: bool
    quality_notes: tuple[str, ...]
    quality: float
    warnings: tuple[str, ...] = ()
    probabilities: Mapping[str, float] | None = None
    decisions: Mapping[str, bool] | None = None
    logits: Mapping[str, float] | None = None
    evidence: NDArray[np.float32] | None = None
    usable: NDArray[np.bool_] | None = None
    padded: NDArray[np.bool_] | None = None
    levels: Mapping[str, float] | None = None

    @cached_property
    def segments(self) -> tuple[EvidenceSegment, ...]:
        """All segments of evidence above the threshold, largest contribution first.

        Empty where the span is not assessable.
        """
        if self.evidence is None or self.levels is None:
            return ()
        found: list[EvidenceSegment] = []
        for values, (name, level) in zip(self.evidence, self.levels.items(), strict=True):
            found += self._segments_of(name, values.astype(np.float64), level)
        return tuple(sorted(found, key=lambda segment: (-segment.contribution, segment.start_s)))

    def top_segments(self, class_name: str, n: int = 3) -> tuple[EvidenceSegment, ...]:
        """The `n` segments that speak most for one class.

        Raises RecipeError if there is no such class in an assessable span.
        """
        if self.levels is not None and class_name not in self.levels:
            raise RecipeError(f"class is {class_name!r}, expected one of {', '.join(self.levels)}")
        return tuple(s for s in self.segments if s.class_name == class_name)[: max(n, 0)]

    def as_dict(self, segments: int = 3) -> dict[str, Any]:
        """The finding as plain data for JSON, with the top `segments` of each class for its map."""
        return {
            "start_s": self.start_s,
            "end_s": self.end_s,
            "assessable": self.assessable,
            "quality_notes": list(self.quality_notes),
            "quality": self.quality,
            "warnings": list(self.warnings),
            "probabilities": None if self.probabilities is None else dict(self.probabilities),
            "decisions": None if self.decisions is None else dict(self.decisions),
            "segments": [
                asdict(segment)
                for name in self.levels or ()
                for segment in self.top_segments(name, segments)
            ],
        }

    def _segments_of(
        self, name: str, values: NDArray[np.float64], level: float
    ) -> list[EvidenceSegment]:
        column_s = (self.end_s - self.start_s) / len(values)
        edges = np.flatnonzero(np.diff(values > level, prepend=False, append=False))
        return [
            EvidenceSegment(
                start_s=self.start_s + first * column_s,
                end_s=self.start_s + stop * column_s,
                class_name=name,
                evidence=float(values[first:stop].mean()),
                contribution=float((values[first:stop] - level).sum() / len(values)),
            )
            for first, stop in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
        ]


@dataclass(frozen=True)
class Columns:
    """Consecutive columns of a stream with what is known of their samples.

    `evidence` int8 `[T, C]`; `lost` and `padded` bool `[T]`; `flat`, `saturated`, `clipped`, `bad`
    (flat or saturated) and `noisy` int32 `[T]`, numbers of samples.
    """

    evidence: NDArray[np.int8]
    lost: NDArray[np.bool_]
    padded: NDArray[np.bool_]
    flat: NDArray[np.int32]
    saturated: NDArray[np.int32]
    clipped: NDArray[np.int32]
    bad: NDArray[np.int32]
    noisy: NDArray[np.int32]

    @classmethod
    def in_gap(cls, count: int, classes: int) -> Columns:
        """Columns of which no sample came."""
        none = np.zeros(count, np.int32)
        lost, padded = np.ones(count, bool), np.zeros(count, bool)
        evidence = np.zeros((count, classes), np.int8)
        return cls(evidence, lost, padded, none, none, none, none, none)

    def __len__(self) -> int:
        return len(self.lost)

    def __getitem__(self, part: slice) -> Columns:
        return Columns(*(getattr(self, field.name)[part] for field in fields(self)))

    def __add__(self, later: Columns) -> Columns:
        return Columns(
            *(
                np.concatenate([getattr(self, field.name), getattr(later, field.name)])
                for field in fields(self)
            )
        )

    def tally(self, stride: int) -> Tally:
        """What is counted over all of them, `stride` samples each."""
        padded = int(self.padded.sum())
        return Tally(
            columns=len(self),
            lost=int(self.lost.sum()) * stride,
            flat=int(self.flat.sum()),
            saturated=int(self.saturated.sum()),
            clipped=int(self.clipped.sum()),
            bad=int(self.bad.sum()),
            noisy=int(self.noisy.sum()),
            padded=padded,
            starts_padded=padded > 0 and bool(self.padded[0]),
            ends_padded=padded > 0 and bool(self.padded[-1]),
        )


class Tally(NamedTuple):
    """What is counted over consecutive columns.

    `columns` and `padded` are columns; `lost`, `flat`, `saturated`, `clipped`, `bad` (flat or
    saturated) and `noisy` samples at 128 Hz. The first, or the last, column may be a padded one.
    """

    columns: int
    lost: int
    flat: int
    saturated: int
    clipped: int
    bad: int
    noisy: int
    padded: int
    starts_padded: bool
    ends_padded: bool


def assess(manifest: Manifest, limits: Limits, start: int, columns: Columns) -> Finding:
    """The finding on the span of `columns` whose first one is number `start` of the stream."""
    tally = columns.tally(manifest.geometry.stride)
    if not limits.allow(tally, manifest.geometry.stride):
        return undecided(manifest, start, tally)
    sums = columns.evidence.sum(axis=0, dtype=np.int32).tolist()
    return decided(
        manifest,
        start,
        tally,
        warnings=limits.noise(tally, manifest.geometry.stride),
        sums=sums,
        decisions=[
            value >= manifest.sum_thresholds[name]
            for name, value in zip(manifest.classes, sums, strict=True)
        ],
        evidence=dequantize(columns.evidence.T, manifest.tensors["evidence"]),
        usable=(columns.bad + columns.clipped) == 0,
        padded=columns.padded,
    )


def undecided(manifest: Manifest, start: int, tally: Tally) -> Finding:
    """The finding on a span that is not assessable."""
    return Finding(**described(manifest, start, tally), assessable=False)


def decided(
    manifest: Manifest,
    start: int,
    tally: Tally,
    *,
    warnings: int,
    sums: Sequence[int],
    decisions: Iterable[bool],
    evidence: NDArray[np.float32],
    usable: NDArray[np.bool_],
    padded: NDArray[np.bool_],
) -> Finding:
    """The finding on an assessable span, decided by whoever summed its evidence.

    Args:
        manifest: of the model.
        start: the span's first column, counted since the stream began.
        tally: what is wrong with its columns.
        warnings: bits, see `beatlens.runtime.warning_bits`.
        sums: of the int8 evidence over the span, by class.
        decisions: whether each class was found.
        evidence, usable, padded: as in `Finding`; evidence and padded become read-only.
    """
    scale, zero_point = manifest.tensors["evidence"].scale, manifest.tensors["evidence"].zero_point
    classes = manifest.classes
    logits = [scale * (value / tally.columns - zero_point) for value in sums]
    for array in (evidence, padded):
        array.flags.writeable = False
    return Finding(
        **described(manifest, start, tally),
        assessable=True,
        warnings=name_warnings(warnings),
        probabilities=dict(zip(classes, map(_sigmoid, logits), strict=True)),
        decisions=dict(zip(classes, decisions, strict=True)),
        logits=dict(zip(classes, logits, strict=True)),
        evidence=evidence,
        usable=usable,
        padded=padded,
        levels=dict(manifest.levels),
    )


def all_lost(manifest: Manifest, start: int, end: int) -> Finding:
    """The one finding on all spans inside a gap, columns `start` to `end` (exclusive)."""
    column_s = manifest.geometry.stride / MODEL_RATE_HZ
    return Finding(
        start_s=start * column_s,
        end_s=end * column_s,
        assessable=False,
        quality_notes=(f"gap: all of {(end - start) * column_s:g} s are missing",),
        quality=0.0,
    )


def left_over(manifest: Manifest, start: int, columns: Columns, end_s: float) -> Finding:
    """The finding on what a recording has after its last whole span, from column `start` on."""
    return rest(manifest, start, columns.tally(manifest.geometry.stride), end_s)


def rest(manifest: Manifest, start: int, tally: Tally, end_s: float) -> Finding:
    """As `left_over`, of columns that were counted before."""
    stride = manifest.geometry.stride
    start_s = start * stride / MODEL_RATE_HZ
    reason = (
        f"the recording ends: {end_s - start_s:.2f} s are left, "
        f"a decision needs {manifest.span_s:g} s"
    )
    good = (tally.columns * stride - tally.lost - tally.bad) / MODEL_RATE_HZ
    return Finding(
        start_s=start_s,
        end_s=end_s,
        assessable=False,
        quality_notes=(reason, *_quality_notes(tally, stride)),
        quality=min(good / (end_s - start_s), 1.0),
    )


def described(manifest: Manifest, start: int, tally: Tally) -> dict[str, Any]:
    """What is said of a span, the `tally.columns` columns from `start` on, decided or not.

    `start_s`, `end_s`, `quality_notes` and `quality`, as in `Finding`.
    """
    stride = manifest.geometry.stride
    start_s, total = start * stride / MODEL_RATE_HZ, tally.columns * stride
    return {
        "start_s": start_s,
        "end_s": start_s + total / MODEL_RATE_HZ,
        "quality_notes": tuple(_quality_notes(tally, stride)),
        "quality": 1.0 - (tally.lost + tally.bad) / total,
    }


def _quality_notes(tally: Tally, stride: int) -> list[str]:
    span = tally.columns * stride / MODEL_RATE_HZ

    def part(samples: int) -> str:
        return f"{samples / MODEL_RATE_HZ:.2f} s of {round(span, 2):g} s"

    found = []
    if tally.lost:
        found.append(f"gap: {part(tally.lost)} are missing")
    for name, samples in (
        ("flat", tally.flat), ("saturated", tally.saturated), ("clipped", tally.clipped),
    ):  # fmt: skip
        if samples:
            found.append(f"{name} for {part(samples)}")
    if tally.padded:
        ends = [
            name
            for name, edge in (("starts", tally.starts_padded), ("ends", tally.ends_padded))
            if edge
        ]
        where = " and ".join(ends) or "is interrupted"
        found.append(f"context held for {part(tally.padded * stride)} where the signal {where}")
    return found


def _sigmoid(value: float) -> float:
    if value >= 0:
        return 1.0 / (1.0 + math.exp(-value))
    return math.exp(value) / (1.0 + math.exp(value))
