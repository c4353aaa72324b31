"""One `Finding` for every kind of span: the decision, the sum it is made of, and its warnings.

    score[class] = mean evidence over the columns that are present
                 + sum of the features' contributions + constant        (all in logits)

Each class of a window is decided by itself: it is found where its score is 0 or more, and its
constant is minus the logit of its threshold. Of a beat or a recording the class of the largest
score is the one predicted, and the constants are the rule's offsets. Decisions are made in whole
numbers, on every device alike; the score is the same sum in floating point.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beatlens.errors import RecipeError

EVIDENCE, OFFSET = "evidence", "offset"
"""What a contribution may be of, beside a feature."""


@dataclass(frozen=True)
class Contribution:
    """A part of a score, or of the difference of two scores.

    Attributes:
        what: `evidence`, of a segment of signal; the name of a feature of beats
            (`beatlens.signals.beat_features`); or `offset`, of the rule.
        logits: how much it adds.
        start_s, end_s: of evidence, the segment, in seconds since the stream's first sample.
        ratio: of a feature, its ratio or share; of a recording, the mean over its beats.
    """

    what: str
    logits: float
    start_s: float | None = None
    end_s: float | None = None
    ratio: float | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Finding:
    """A decision on a span of signal and what it is made of, or the reasons why there is none.

    Attributes:
        start_s, end_s: the span, in seconds since the stream's first sample, at the sensor.
        peak_s: of a beat, its R peak; else None.
        rr_s: of a beat, the RR interval before it; None where it is not known: it is the first one
            after a gap, or a beat may be hidden between (more than 0.25 s are flat or saturated).
        assessable: whether there is a decision. If not, nothing is predicted and the fields of the
            sum are None or empty.
        quality_notes: why there is no decision; and of an assessable span, what to know of its
            quality: segments that are flat, saturated or clipped, or that lie where the signal
            starts or ends, so that part of the network's context is made up by holding the edge.
        quality: share of the span's samples that are there, not flat and not saturated, 0..1.
        warnings: about the decision: names of `beatlens.runtime.warning_bits`; mostly none.
        classes: names of the model's C classes.
        predicted: the classes decided on: of a window any number, of a beat or a recording one.
        probabilities: by class. Of beats and recordings calibrated, and made without the rule's
            offsets: the class predicted is often not the likeliest one.
        evidence: float32 `[C, T]` in logits, read-only, one column per stride; 0 where the signal
            is missing.
        present: bool `[T]`, the columns that the mean is of.
        usable: of a window, bool `[T]`: columns without a flat, saturated or clipped sample.
        padded: of a window, bool `[T]`: columns whose context reaches beyond the signal.
        features: ratio or share of each of F features, by name; of a recording the mean over its
            beats.
        feature_contributions: float64 `[F, C]`, logits.
        constants: float64 `[C]`, logits.
        independent: whether each class is decided by itself.
        excluded: classes that were left out of the decision, as a clipped beat is never S.
        shares: of a recording, `missing`, `flat`, `saturated`, `clipped` and `noisy` samples, 0..1.
        beat_times_s: of a recording, its R peaks `[b]`, in seconds since the first sample.

    A class's score is the mean of its evidence over the present columns, plus the contributions of
    the features, plus its constant; `explain` splits it into parts that sum to it.

    >>> finding = Finding(
    ...     start_s=0.0, end_s=2.0, assessable=True, quality_notes=(), quality=1.0,
    ...     classes=("pvc",), predicted=("pvc",), evidence=np.array([[3.0, 1.0]], np.float32),
    ...     present=np.ones(2, bool), feature_contributions=np.zeros((0, 1)),
    ...     constants=np.array([-0.5]), independent=True)
    >>> finding.scores().tolist()
    [1.5]
    """

    start_s: float
    end_s: float
    assessable: bool
    quality_notes: tuple[str, ...]
    quality: float
    peak_s: float | None = None
    rr_s: float | None = None
    warnings: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    predicted: tuple[str, ...] = ()
    probabilities: Mapping[str, float] | None = None
    evidence: NDArray[np.float32] | None = None
    present: NDArray[np.bool_] | None = None
    usable: NDArray[np.bool_] | None = None
    padded: NDArray[np.bool_] | None = None
    features: Mapping[str, float] = field(default_factory=dict)
    feature_contributions: NDArray[np.float64] | None = None
    constants: NDArray[np.float64] | None = None
    independent: bool = False
    excluded: tuple[str, ...] = ()
    shares: Mapping[str, float] = field(default_factory=dict)
    beat_times_s: NDArray[np.float64] | None = None

    @property
    def time_s(self) -> float:
        """When it is: the R peak of a beat, else the start of the span."""
        return self.start_s if self.peak_s is None else self.peak_s

    @property
    def class_name(self) -> str | None:
        """The class predicted of a beat or a recording; None of a window, or without a decision."""
        return None if self.independent or not self.predicted else self.predicted[0]

    @property
    def likeliest(self) -> str | None:
        """The class of the largest probability; None of a window, or without a decision.

        It is not always the one predicted: a rule may have stated costs, by which a rare class is
        predicted where missing it would cost more.
        """
        if self.independent or not self.probabilities:
            return None
        return max(self.probabilities, key=lambda name: (self.probabilities or {})[name])

    def scores(self) -> NDArray[np.float64]:
        """Scores `[C]` in logits; empty for a span that is not assessable."""
        parts = self._parts()
        if parts is None:
            return np.zeros(0)
        evidence, present, features, constants = parts
        means = evidence.sum(axis=1, dtype=np.float64) / present.sum()
        return np.asarray(means + features.sum(axis=0) + constants)

    def second(self) -> str:
        """The class of the second largest score that the decision was open to.

        Raises RecipeError for a span without a decision, or of classes decided by themselves.
        """
        if not self.predicted or self.independent:
            raise RecipeError("there is no second class: the span has no decision for one class")
        scores = self.scores()
        out = {*self.predicted, *self.excluded}
        scores[[name in out for name in self.classes]] = -np.inf
        return self.classes[int(scores.argmax())]

    def explain(
        self, class_name: str | None = None, against: str | None = None
    ) -> tuple[Contribution, ...]:
        """What a score is the sum of, the largest contribution first.

        Args:
            class_name: the class; None is the one predicted, of a window that of the largest score.
            against: of a beat or a recording, the other class; None is the one that came second.

        Returns:
            Segments of consecutive columns whose evidence has one sign, and features. Of a window
            evidence is counted from the threshold on, so contributions sum to the score. Of a beat
            or a recording the rule's `offset` is one of them, and they sum to the difference of
            the two scores. Empty for a span that is not assessable.

        Raises:
            RecipeError: there is no such class, or `against` is given for a window.
        """
        parts = self._parts()
        if parts is None:
            return ()
        evidence, present, features, constants = parts
        if self.independent:
            if against is not None:
                raise RecipeError(
                    f"against is {against!r}, expected none: each class is decided by itself"
                )
            chosen = int(self.scores().argmax()) if class_name is None else self._number(class_name)
            columns = evidence[chosen].astype(np.float64) + constants[chosen] * present
            gains, offset = features[:, chosen], None
        else:
            chosen = self._number(self.predicted[0] if class_name is None else class_name)
            other = self._number(self.second() if against is None else against)
            columns = np.subtract(evidence[chosen], evidence[other], dtype=np.float64)
            gains = features[:, chosen] - features[:, other]
            offset = float(constants[chosen] - constants[other])
        column_s = (self.end_s - self.start_s) / len(columns)
        found = split_evidence(columns / present.sum(), self.start_s, column_s)
        found += [
            Contribution(name, float(gain), ratio=ratio)
            for (name, ratio), gain in zip(self.features.items(), gains, strict=True)
        ]
        if offset is not None:
            found.append(Contribution(OFFSET, offset))
        return tuple(sorted(found, key=lambda part: -part.logits))

    def as_dict(self, contributions: int = 3) -> dict[str, Any]:
        """The finding as plain data for JSON; with the likeliest class where another is predicted.

        `contributions` are the largest ones to each class of a window, and of a beat or a
        recording to its class rather than the second one, `against`.
        """
        most, against = max(contributions, 0), None
        parts: list[tuple[str, Contribution]] = []
        if self.assessable and self.independent:
            for name in self.classes:
                found = [part for part in self.explain(name) if part.logits > 0]
                parts += [(name, part) for part in found[:most]]
        elif self.assessable:
            against = self.second()
            parts = [(self.predicted[0], part) for part in self.explain()[:most]]
        return {
            "start_s": self.start_s,
            "end_s": self.end_s,
            **({} if self.peak_s is None else {"peak_s": self.peak_s, "rr_s": self.rr_s}),
            "assessable": self.assessable,
            "quality": self.quality,
            "quality_notes": list(self.quality_notes),
            **({"shares": dict(self.shares)} if self.shares else {}),
            "warnings": list(self.warnings),
            "predicted": list(self.predicted),
            "probabilities": None if self.probabilities is None else dict(self.probabilities),
            **({} if self.likeliest in (None, self.class_name) else {"likeliest": self.likeliest}),
            **({} if self.beat_times_s is None else {"beats": len(self.beat_times_s)}),
            **({} if against is None else {"against": against}),
            "contributions": [
                {"class": name}
                | {key: value for key, value in asdict(part).items() if value is not None}
                for name, part in parts
            ],
        }

    def _parts(
        self,
    ) -> (
        tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.float64], NDArray[np.float64]]
        | None
    ):
        """Evidence, present columns, feature contributions and constants of a decision."""
        if self.evidence is None or self.present is None or self.constants is None:
            return None
        features = self.feature_contributions
        if features is None:
            features = np.zeros((0, len(self.constants)))
        return self.evidence, self.present, features, self.constants

    def _number(self, name: str) -> int:
        if name not in self.classes:
            raise RecipeError(f"class is {name!r}, expected one of {', '.join(self.classes)}")
        return self.classes.index(name)


def split_evidence(
    columns: NDArray[np.float64], start_s: float, column_s: float
) -> list[Contribution]:
    """Contributions of segments of consecutive columns of one sign.

    Args:
        columns: what each column contributes, `[T]`, logits.
        start_s: when the first one begins.
        column_s: length of one.

    >>> parts = split_evidence(np.array([1.0, 2.0, -4.0]), 0, 2)
    >>> [(part.start_s, part.logits) for part in parts]
    [(0, 3.0), (4, -4.0)]
    """
    edges = [0, *(np.flatnonzero(np.diff(columns > 0)) + 1).tolist(), len(columns)]
    return [
        Contribution(
            EVIDENCE,
            float(columns[first:stop].sum()),
            start_s + first * column_s,
            start_s + stop * column_s,
        )
        for first, stop in pairwise(edges)
    ]
