"""What a stream says of a beat: its kind, and what speaks for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beatlens.errors import RecipeError
from beatlens.runtime.beat_rule import excluded_if_clipped


@dataclass(frozen=True)
class Contribution:
    """A part of what makes one class likelier than another.

    Attributes:
        what: `evidence`, of a segment of signal, or the name of a feature.
        start_s, end_s: the segment, in seconds from the R peak, of a whole recording from its
            start; None for a feature.
        ratio: the feature's ratio or share (see `beatlens.signals.beat_features`), of a whole
            recording the mean one; None for evidence.
        contribution: to the difference of the two classes' logits.
    """

    what: str
    start_s: float | None
    end_s: float | None
    ratio: float | None
    contribution: float


@dataclass(frozen=True, eq=False, kw_only=True)
class BeatFinding:
    """A beat, decided, or the reasons why not.

    Attributes:
        time_s: its R peak, in seconds since the stream's first sample, at the sensor.
        start_s, end_s: the span its evidence is from.
        assessable: whether there is a decision. If not, all that follows `quality` is None.
        quality_notes: why not; and of an assessable beat, what to know of its span's quality.
        quality: share of the span's samples that were there, not flat and not saturated, 0..1.
        warnings: about the decision: names of `beatlens.runtime.warning_bits`; mostly none.
        class_name: the class decided on, that of the largest score with offsets; of a beat with the
            warning `clipped` the largest but that of S.
        probabilities: calibrated, by class, made without the offsets. The class decided on is often
            not the likeliest one: offsets were chosen so that rare classes are found. How far the
            probabilities hold is measured in docs/beats.md.
        evidence: float32 `[C, T]` in logit units, read-only, columns of the span.
        worth: float64 `[8, C]`: what each feature adds, logit units.
        offsets: float64 `[C]`, the rule's, logit units.
        features: the eight features as ratios, by name.
        classes: names of the C classes.

    Mean evidence plus the sum of `worth` plus the offset is a class's score.
    """

    time_s: float
    start_s: float
    end_s: float
    assessable: bool
    quality_notes: tuple[str, ...]
    quality: float
    warnings: tuple[str, ...] = ()
    class_name: str | None = None
    probabilities: Mapping[str, float] | None = None
    evidence: NDArray[np.float32] | None = None
    worth: NDArray[np.float64] | None = None
    offsets: NDArray[np.float64] | None = None
    features: Mapping[str, float] | None = None
    classes: tuple[str, ...] = ()

    def explain(self, against: str | None = None) -> tuple[Contribution, ...]:
        """What speaks for the class decided on rather than another, largest part first.

        Args:
            against: the other class; None is the one that came second, S left out of a beat with
                the warning `clipped`.

        Returns:
            Features, and segments of consecutive columns whose evidence has one sign. Their
            contributions, with the difference of the offsets, sum to the difference of the scores.
            Empty for a beat that is not assessable.

        Raises:
            RecipeError: there is no such class.
        """
        if self.evidence is None or self.worth is None or self.class_name is None:
            return ()
        mine = self.classes.index(self.class_name)
        other = self._second(mine) if against is None else self._number(against)
        columns = np.subtract(self.evidence[mine], self.evidence[other], dtype=np.float64)
        column_s = (self.end_s - self.start_s) / len(columns)
        parts = evidence_contributions(columns / len(columns), self.start_s - self.time_s, column_s)
        for i, (name, ratio) in enumerate((self.features or {}).items()):
            gain = float(self.worth[i, mine] - self.worth[i, other])
            parts.append(Contribution(name, None, None, ratio, gain))
        return tuple(sorted(parts, key=lambda part: -part.contribution))

    def scores(self) -> NDArray[np.float64]:
        """Scores `[C]` in logit units; of a beat that is not assessable, empty."""
        if self.evidence is None or self.worth is None or self.offsets is None:
            return np.zeros(0)
        means = self.evidence.mean(axis=1, dtype=np.float64)
        return np.asarray(means + self.worth.sum(axis=0) + self.offsets)

    def as_dict(self, contributions: int = 3) -> dict[str, Any]:
        """The finding as plain data for JSON, with the largest `contributions` to the class.

        `class` is decided with the rule's offsets, `probabilities` are calibrated and made without
        them: `class` is often not the key of the largest of them.
        """
        return {
            "time_s": self.time_s,
            "assessable": self.assessable,
            "quality_notes": list(self.quality_notes),
            "quality": self.quality,
            "warnings": list(self.warnings),
            "class": self.class_name,
            "probabilities": None if self.probabilities is None else dict(self.probabilities),
            "contributions": [vars(part) for part in self.explain()[: max(contributions, 0)]],
        }

    def _second(self, mine: int) -> int:
        scores = self.scores()
        scores[mine] = -np.inf
        if "clipped" in self.warnings:
            scores[list(excluded_if_clipped(self.classes))] = -np.inf
        return int(scores.argmax())

    def _number(self, name: str) -> int:
        if name not in self.classes:
            raise RecipeError(f"class is {name!r}, expected one of {', '.join(self.classes)}")
        return self.classes.index(name)


def evidence_contributions(
    columns: NDArray[np.float64], start_s: float, column_s: float
) -> list[Contribution]:
    """Segments of consecutive columns whose contributions have one sign.

    Args:
        columns: what each column contributes, `[T]`.
        start_s: when the first one begins.
        column_s: length of one.

    >>> parts = evidence_contributions(np.array([1.0, 2.0, -4.0]), 0, 2)
    >>> [(part.start_s, part.contribution) for part in parts]
    [(0, 3.0), (4, -4.0)]
    """
    edges = [0, *(np.flatnonzero(np.diff(columns > 0)) + 1).tolist(), len(columns)]
    return [
        Contribution(
            "evidence",
            start_s + first * column_s,
            start_s + stop * column_s,
            None,
            float(columns[first:stop].sum()),
        )
        for first, stop in pairwise(edges)
    ]
