"""How well classes are predicted: average precision, F1, and the thresholds F1 needs.

Arrays are `[S, C]`: S strips, C classes decided independently. A label is 1, 0, or unknown, which
is NaN in a float array or False in `known`; a strip counts only for the classes known in it.

A class is predicted where its score is at least its threshold. Thresholds are chosen on validation
patients and handed over; nothing here chooses anything on what it scores.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from beatlens.errors import DataError, SignalError

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Prediction:
    """Figures per class `[C]`, NaN where not defined, and their means.

    Attributes:
        average_precision: area under the precision-recall steps; NaN for a class without positives.
        f1: at the given thresholds; NaN for a class that is neither present nor predicted.
        recall: share of the positives that are predicted (sensitivity); NaN without positives.
        precision: share of the predictions that are right (+P); NaN without predictions.
        specificity: share of the negatives that are not predicted; NaN without negatives.
        positives: strips that have the class.
        known: strips in which the class is known.
    """

    average_precision: Floats
    f1: Floats
    recall: Floats
    precision: Floats
    specificity: Floats
    positives: NDArray[np.int64]
    known: NDArray[np.int64]

    @property
    def macro_average_precision(self) -> float:
        """Mean of `average_precision` over the classes with positives; NaN if there are none."""
        return self._macro(self.average_precision)

    @property
    def macro_f1(self) -> float:
        """Mean of `f1` over the classes with positives; NaN if there are none."""
        return self._macro(self.f1)

    def _macro(self, figures: Floats) -> float:
        counted = figures[self.positives > 0]
        return float(counted.mean()) if len(counted) else float("nan")


def prediction(
    labels: ArrayLike, scores: ArrayLike, thresholds: ArrayLike, known: Bools | None = None
) -> Prediction:
    """All prediction figures of a network.

    Args:
        labels: `[S, C]` bool, 0/1, or float with NaN for unknown.
        scores: `[S, C]` logits or probabilities.
        thresholds: `[C]` in the units of the scores, from `best_f1_thresholds` on validation data.
        known: bool `[S, C]`, or None where NaN labels alone say what is unknown.

    Raises:
        SignalError: shapes that do not belong together, scores that are not finite, labels other
            than 0, 1 and NaN.

    >>> figures = prediction([[1], [0], [1]], [[2.0], [0.5], [0.1]], [0.4])
    >>> round(float(figures.average_precision[0]), 3), float(figures.f1[0])
    (0.833, 0.5)
    """
    truth, values, counted = checked(labels, scores, known)
    limits = np.asarray(thresholds, np.float64)
    if limits.shape != values.shape[1:]:
        raise SignalError(f"thresholds {limits.shape}, expected one per class: {values.shape[1:]}")
    says = values >= limits
    hits = _count(says & truth & counted)
    false_alarms = _count(says & ~truth & counted)
    misses = _count(~says & truth & counted)
    rejections = _count(~says & ~truth & counted)
    return Prediction(
        average_precision=average_precision(truth, values, counted),
        f1=_share(2 * hits, 2 * hits + false_alarms + misses),
        recall=_share(hits, hits + misses),
        precision=_share(hits, hits + false_alarms),
        specificity=_share(rejections, rejections + false_alarms),
        positives=hits + misses,
        known=_count(counted),
    )


def average_precision(labels: ArrayLike, scores: ArrayLike, known: Bools | None = None) -> Floats:
    """Average precision per class, `[C]`; NaN for a class without positives. As `prediction`."""
    from sklearn.metrics import average_precision_score  # here: its import takes a second

    truth, values, counted = checked(labels, scores, known)
    figures = np.full(values.shape[1], np.nan)
    for label in range(values.shape[1]):
        take = counted[:, label]
        if truth[take, label].any():
            figures[label] = average_precision_score(truth[take, label], values[take, label])
    return figures


def best_f1_thresholds(
    labels: ArrayLike,
    scores: ArrayLike,
    known: Bools | None = None,
    *,
    fallback: float | None = None,
) -> Floats:
    """Thresholds with the best F1 per class, from validation patients.

    The threshold lies half way between the lowest score that is to be predicted and the next lower
    one, so that a score moved by rounding (float to int8) seldom changes sides. Of several equally
    good ones the highest is taken: the fewest alarms.

    Args:
        labels, scores, known: of the *validation* patients, as in `prediction`.
        fallback: threshold of a class without a positive, for which none can be chosen.

    Returns:
        `[C]` in the units of the scores.

    Raises:
        DataError: a class has no positive and no `fallback` is given.
        SignalError: as `prediction`.

    >>> best_f1_thresholds([[1], [0], [1], [0]], [[4.0], [1.0], [3.0], [0.0]]).tolist()
    [2.0]
    """
    truth, values, counted = checked(labels, scores, known)
    limits = np.empty(values.shape[1])
    for label in range(values.shape[1]):
        take = counted[:, label]
        if truth[take, label].any():
            limits[label] = _best_f1_threshold(truth[take, label], values[take, label])
        elif fallback is None:
            raise DataError(
                f"class {label} has no positive in {int(take.sum())} validation strips, so no "
                "threshold can be chosen; add validation records that have it, or give a fallback"
            )
        else:
            limits[label] = fallback
    return limits


def thresholds_as_often(decided: ArrayLike, scores: ArrayLike) -> Floats:
    """Thresholds at which scores predict a class as often as another network did, without labels.

    As with `best_f1_thresholds` a threshold lies half way between two scores. Where equal scores
    make the same number impossible, the nearest number is taken; of two that are equally near, the
    smaller: fewer alarms.

    Args:
        decided: bool `[S, C]`, what the other network predicted in the same strips.
        scores: `[S, C]` logits or probabilities of the network that thresholds are set for.

    Returns:
        `[C]` in the units of the scores; NaN for a class that the other network never predicted.

    Raises:
        SignalError: the shapes differ, or a score is not finite.

    >>> thresholds_as_often([[True], [False], [False]], [[0.5], [3.0], [1.0]]).tolist()
    [2.0]
    """
    says, values = np.asarray(decided, bool), np.asarray(scores, np.float64)
    if says.ndim != 2 or says.shape != values.shape:
        raise SignalError(
            f"decisions {says.shape}, scores {values.shape}: expected one shape [S, C]"
        )
    if not np.isfinite(values).all():
        raise SignalError("a score is not finite; check the network's weights")
    limits = np.full(values.shape[1], np.nan)
    for label in np.flatnonzero(says.any(axis=0)):
        levels, counts = np.unique(values[:, label], return_counts=True)
        predicted = np.cumsum(counts[::-1])[::-1]
        off = np.abs(predicted - says[:, label].sum())
        limits[label] = _above_next_lower(levels, int(np.flatnonzero(off == off.min())[-1]))
    return limits


def checked(
    labels: ArrayLike, scores: ArrayLike, known: Bools | None = None
) -> tuple[Bools, Floats, Bools]:
    """Labels, scores and what is known as arrays `[S, C]`: bool (False where unknown), float, bool.

    Raises:
        SignalError: as `prediction`.
    """
    truth, values = np.asarray(labels, np.float64), np.asarray(scores, np.float64)
    counted = ~np.isnan(truth) if known is None else np.asarray(known) & ~np.isnan(truth)
    if truth.ndim != 2 or truth.shape != values.shape or counted.shape != values.shape:
        raise SignalError(
            f"labels {truth.shape}, scores {values.shape}, known {counted.shape}: expected one "
            "shape [S, C]"
        )
    odd = truth[counted & (truth != 0) & (truth != 1)]
    if len(odd):
        raise SignalError(f"a label is {odd[0]:g}, expected 0, 1 or NaN (unknown)")
    if not np.isfinite(values[counted]).all():
        raise SignalError("a score is not finite; check the network's weights")
    return (truth == 1) & counted, values, counted


def _best_f1_threshold(truth: Bools, values: Floats) -> float:
    limits = np.unique(values)
    predicted = len(values) - np.searchsorted(np.sort(values), limits)
    hits = truth.sum() - np.searchsorted(np.sort(values[truth]), limits)
    # From counts, not from precision and recall, so that equal F1 are equal in floating point too.
    f1 = 2 * hits / (predicted + truth.sum())
    return _above_next_lower(limits, int(np.flatnonzero(f1 == f1.max())[-1]))


def _above_next_lower(levels: Floats, lowest: int) -> float:
    """Half way between the lowest score to be predicted and the next lower one.

    Args:
        levels: the scores in ascending order, each once.
        lowest: index of the lowest one that is to be predicted.
    """
    chosen = float(levels[lowest])
    if lowest == 0:
        return chosen
    middle = (chosen + float(levels[lowest - 1])) / 2
    return middle if middle > levels[lowest - 1] else chosen


def _count(where: Bools) -> NDArray[np.int64]:
    return np.asarray(where.sum(axis=0, dtype=np.int64))


def _share(part: NDArray[np.int64], whole: NDArray[np.int64]) -> Floats:
    with np.errstate(invalid="ignore"):
        return np.asarray(part / whole)
