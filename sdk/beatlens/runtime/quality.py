"""The quality of a span of signal: how much of it may be bad, and what is noted of it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from beatlens.errors import RecipeError
from beatlens.runtime.columns import Tally
from beatlens.runtime.warning_bits import NOISY
from beatlens.signals.frontend import MODEL_RATE_HZ


@dataclass(frozen=True)
class Limits:
    """How much of a span may be bad before no decision is given, or one with a warning.

    Attributes:
        unusable: share of the span's samples that may be flat (a lead is off) or saturated (the
            sensor at its rails); more make the span not assessable.
        clipped: share that may be beyond the network's input, +-6.35 mV (+-3.175 mV of bundles
            whose samples are steps of 0.025 mV). Tall R peaks clip for a few samples and stay
            readable, so a little of it only leaves a note. Of beats
            more may be, see `beatlens.tasks.beats.rule.BEAT_LIMITS`.
        clipped_warning: of beats only, share of clipped samples above which a beat's decision gets
            the warning `clipped` and is never S .
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


def describe_span(stride: int, start: int, tally: Tally) -> dict[str, Any]:
    """Start, end and quality of a span, as keywords of `Finding`.

    Args:
        stride: samples of a column.
        start: the span's first column, counted since the stream began.
        tally: counts over its columns.
    """
    start_s, total = start * stride / MODEL_RATE_HZ, tally.columns * stride
    return {
        "start_s": start_s,
        "end_s": start_s + total / MODEL_RATE_HZ,
        "quality_notes": tuple(list_notes(tally, stride)),
        "quality": 1.0 - (tally.lost + tally.bad) / total,
    }


def list_notes(tally: Tally, stride: int) -> list[str]:
    """Quality notes of a span of columns of `stride` samples."""
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
