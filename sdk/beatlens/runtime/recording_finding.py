"""What is said of a whole recording: its rhythm, and what speaks for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beatlens.errors import RecipeError
from beatlens.runtime.beat_finding import Contribution, evidence_contributions
from beatlens.signals.rr_features import FEATURES


@dataclass(frozen=True, eq=False, kw_only=True)
class RecordingFinding:
    """A recording, decided, or the reasons why not.

    Attributes:
        start_s, end_s: the recording, in seconds since its first sample.
        assessable: whether there is a decision. If not, all that follows `warnings` is None
            or empty.
        quality_notes: why not; and of an assessable recording, what to know of its quality.
        quality: share of the samples that were there, not flat and not saturated, 0..1.
        shares: of the recording, 0..1: `missing`, `flat`, `saturated`, `clipped` (beyond the
            network's input) and `noisy`.
        warnings: about the decision: `noisy`, or nothing.
        class_name: what it is.
        probabilities: calibrated, by class, without the rule's offsets.
        evidence: float32 `[C, T]` in logit units, read-only, one column per stride; 0 where the
            signal is missing.
        there: bool `[T]`, false for columns that are missing. The others are what the mean is of.
        beat_times_s: R peaks `[b]`, in seconds since the first sample.
        features: RR features of the beats as ratios `[b, 6]`, see `beatlens.signals.rr_features`.
        beat_rhythm: float64 `[b, 6, C]`: what each feature of each beat adds to the mean over the
            beats, logit units; their sum over beats is what rhythm adds to the decision.
        offsets: float64 `[C]`, the rule's, logit units.
        classes: names of the C classes.

    Mean evidence, the sum of `beat_rhythm` and the offset are a class's score; the largest wins.
    """

    start_s: float
    end_s: float
    assessable: bool
    quality_notes: tuple[str, ...]
    quality: float
    shares: Mapping[str, float]
    warnings: tuple[str, ...] = ()
    class_name: str | None = None
    probabilities: Mapping[str, float] | None = None
    evidence: NDArray[np.float32] | None = None
    there: NDArray[np.bool_] | None = None
    beat_times_s: NDArray[np.float64] | None = None
    features: NDArray[np.float64] | None = None
    beat_rhythm: NDArray[np.float64] | None = None
    offsets: NDArray[np.float64] | None = None
    classes: tuple[str, ...] = ()

    @property
    def rhythm(self) -> NDArray[np.float64]:
        """What each feature adds, `[6, C]` in logit units: the sum of `beat_rhythm` over beats."""
        if self.beat_rhythm is None:
            return np.zeros((len(FEATURES), len(self.classes)))
        return np.asarray(self.beat_rhythm.sum(axis=0))

    def scores(self) -> NDArray[np.float64]:
        """Scores `[C]` in logit units; of a recording that is not assessable, empty."""
        if self.evidence is None or self.there is None or self.offsets is None:
            return np.zeros(0)
        means = self.evidence.sum(axis=1, dtype=np.float64) / self.there.sum()
        return np.asarray(means + self.rhythm.sum(axis=0) + self.offsets)

    def explain(self, against: str | None = None) -> tuple[Contribution, ...]:
        """What speaks for the class decided on rather than another, largest part first.

        Args:
            against: the other class; None is the one that came second.

        Returns:
            RR features, and segments of consecutive columns whose evidence has one sign. Their
            contributions, with the difference of the offsets, sum to the difference of the scores.
            Empty for a recording that is not assessable.

        Raises:
            RecipeError: there is no such class.
        """
        if self.evidence is None or self.there is None or self.class_name is None:
            return ()
        mine = self.classes.index(self.class_name)
        other = self._second(mine) if against is None else self._number(against)
        evidence = self.evidence[[mine, other]].astype(np.float64)
        columns = evidence[0] - evidence[1]
        column_s = (self.end_s - self.start_s) / len(columns)
        parts = evidence_contributions(columns / self.there.sum(), self.start_s, column_s)
        if self.features is not None and len(self.features):
            ratios, rhythm = self.features.mean(axis=0), self.rhythm
            parts += [
                Contribution(name, None, None, float(ratios[i]),
                           float(rhythm[i, mine] - rhythm[i, other]))
                for i, name in enumerate(FEATURES)
            ]  # fmt: skip
        return tuple(sorted(parts, key=lambda part: -part.contribution))

    def as_dict(self, contributions: int = 5) -> dict[str, Any]:
        """The finding as plain data for JSON, with the largest `contributions` to the class."""
        return {
            "start_s": self.start_s,
            "end_s": self.end_s,
            "assessable": self.assessable,
            "quality_notes": list(self.quality_notes),
            "quality": self.quality,
            "shares": dict(self.shares),
            "warnings": list(self.warnings),
            "class": self.class_name,
            "probabilities": None if self.probabilities is None else dict(self.probabilities),
            "beats": 0 if self.beat_times_s is None else len(self.beat_times_s),
            "contributions": [vars(part) for part in self.explain()[: max(contributions, 0)]],
        }

    def _second(self, mine: int) -> int:
        scores = self.scores()
        scores[mine] = -np.inf
        return int(scores.argmax())

    def _number(self, name: str) -> int:
        if name not in self.classes:
            raise RecipeError(f"class is {name!r}, expected one of {', '.join(self.classes)}")
        return self.classes.index(name)
