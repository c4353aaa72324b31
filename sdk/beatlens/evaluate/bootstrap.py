"""Cluster bootstrap by record: intervals that know that strips of one person are alike.

Whole records are drawn with replacement, as many as there are (Davison and Hinkley 1997, sec.
3.8), and the statistic is taken again on the strips of the drawn records. Drawing a record twice is
giving its strips the weight 2, so a statistic here is a function of weights, and takes many
replicates at once: `weights [R, S] -> values [R]`. Those below cover the figures of this package;
`from_indices` makes one of any function.

A replicate can lack what the statistic needs (no record with the class drawn): its value is NaN, it
is left out and counted. Where more than a quarter are, a single record carries the statistic (two
records in many are missed by 14 % of the replicates, one by 37 %): a spread between records cannot
be seen, and the interval is NaN rather than too narrow.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from beatlens.errors import DataError, SignalError
from beatlens.evaluate.prediction import Bools, Floats, checked

Statistic = Callable[[Floats], Floats]
"""`weights [R, S]`, whole numbers from 0, a row per replicate, to `values [R]`, NaN: undefined."""

MAX_UNDEFINED = 0.25
CHUNK = 64  # replicates at once; 64 x 4000 weights stay within a core's cache


@dataclass(frozen=True)
class Interval:
    """A percentile interval.

    Attributes:
        lo: lower end, NaN where too many replicates are undefined.
        hi: upper end, likewise.
        estimate: the statistic on the data itself.
        replicates: number of replicates drawn.
        undefined: how many of them were left out because the statistic is not defined on them.
    """

    lo: float
    hi: float
    estimate: float
    replicates: int
    undefined: int


def interval(
    statistic: Statistic, groups: ArrayLike, n: int = 1000, seed: int = 0, level: float = 0.95
) -> Interval:
    """Percentile interval of a statistic, drawing whole groups.

    The same groups, `n` and `seed` draw the same replicates, whatever the statistic.

    Args:
        statistic: made by a function of this module.
        groups: `[S]`, the record (or patient) of every strip.
        n: number of replicates.
        seed: of the draws.
        level: share of the replicates between the ends.

    Raises:
        DataError: fewer than two groups.
        SignalError: `n` below 1 or `level` outside (0, 1).

    >>> scores = np.array([0.1, 0.2, 0.8, 0.9])
    >>> found = interval(mean_statistic(scores), ["a", "a", "b", "b"])
    >>> round(found.lo, 2), round(found.estimate, 2), round(found.hi, 2)
    (0.15, 0.5, 0.85)
    """
    if n < 1 or not 0 < level < 1:
        raise SignalError(f"n is {n} and level {level}, expected n >= 1 and 0 < level < 1")
    values = replicates(statistic, groups, n, seed)
    estimate = float(statistic(np.ones((1, len(np.asarray(groups)))))[0])
    undefined = int(np.isnan(values).sum())
    lo = hi = float("nan")
    if undefined <= MAX_UNDEFINED * n:
        tails = [50 * (1 - level), 50 * (1 + level)]
        lo, hi = (float(end) for end in np.nanpercentile(values, tails))
    return Interval(lo, hi, estimate, n, undefined)


def paired_difference(
    first: Statistic,
    second: Statistic,
    groups: ArrayLike,
    n: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Interval of `first - second`, both taken on the same drawn records; as `interval`.

    Two networks measured on the same strips share what makes records easy or hard; this is the
    interval to judge a difference by, not whether two separate intervals overlap.
    """
    return interval(lambda weights: first(weights) - second(weights), groups, n, seed, level)


def replicates(statistic: Statistic, groups: ArrayLike, n: int = 1000, seed: int = 0) -> Floats:
    """The statistic's value in each of `n` replicates, `[n]`, NaN where undefined."""
    names, group = np.unique(np.asarray(groups), return_inverse=True)
    if len(names) < 2:
        raise DataError(
            f"{len(names)} group to draw from, expected at least 2 records; an interval by record "
            "cannot be had from fewer"
        )
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=n)
    chunks = (drawn[start : start + CHUNK] for start in range(0, n, CHUNK))
    return np.concatenate([statistic(chunk.astype(np.float64)[:, group]) for chunk in chunks])


def mean_statistic(scores: ArrayLike) -> Statistic:
    """Mean of the scores `[S]` that are not NaN, such as one class's localisation or fidelity.

    Scores `[S, C]` are pooled: the mean over all pairs that are not NaN.
    """
    values = np.asarray(scores, np.float64)
    values = values[:, None] if values.ndim == 1 else values
    total, count = np.nansum(values, axis=1), np.isfinite(values).sum(axis=1)

    def statistic(weights: Floats) -> Floats:
        _check_strips(weights, len(values))
        return _ratio(weights @ total, weights @ count)

    return statistic


def ratio_statistic(part: ArrayLike, whole: ArrayLike) -> Statistic:
    """Sum of `part [S]` over sum of `whole [S]`: a gross rate of what was counted in each."""
    parts, wholes = np.asarray(part, np.float64), np.asarray(whole, np.float64)

    def statistic(weights: Floats) -> Floats:
        _check_strips(weights, len(parts))
        return _ratio(weights @ parts, weights @ wholes)

    return statistic


def quantile_statistic(scores: ArrayLike, share: float) -> Statistic:
    """Quantile of the scores that are not NaN, between neighbours as `numpy.quantile` has it.

    Args:
        scores: `[S]`, or `[S, C]`, pooled.
        share: 0.05 for the 5th percentile.
    """
    values = np.asarray(scores, np.float64)
    values = values[:, None] if values.ndim == 1 else values
    strip, label = np.nonzero(np.isfinite(values))
    order = np.argsort(values[strip, label])
    strip, ordered = strip[order], values[strip, label][order]

    def statistic(weights: Floats) -> Floats:
        _check_strips(weights, len(values))
        if not len(ordered):
            return np.full(len(weights), np.nan)
        upto = np.cumsum(weights[:, strip], axis=1)
        place = share * (upto[:, -1] - 1)
        low = np.floor(place)
        last = len(ordered) - 1
        ends = [
            ordered[np.minimum((upto <= at[:, None]).sum(axis=1), last)]
            for at in (low, np.minimum(low + 1, upto[:, -1] - 1))
        ]
        found = ends[0] + (place - low) * (ends[1] - ends[0])
        return np.where(upto[:, -1] > 0, found, np.nan)

    return statistic


def average_precision_statistic(
    labels: ArrayLike, scores: ArrayLike, known: Bools | None = None
) -> Statistic:
    """Average precision of one class, labels and scores `[S]`, as scikit-learn defines it.

    Sorting is done once; a replicate costs one pass over the strips.
    """
    truth, values, counted = _checked_class(labels, scores, known)
    order = np.argsort(-values[:, 0], kind="stable")
    order = order[counted[order, 0]]
    positive = truth[order, 0].astype(np.float64)
    ordered = values[order, 0]
    last_of_tie = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True)[: len(ordered)])

    def statistic(weights: Floats) -> Floats:
        _check_strips(weights, len(values))
        if not len(ordered):
            return np.full(len(weights), np.nan)
        weight = weights[:, order]
        predicted = np.cumsum(weight, axis=1)[:, last_of_tie]
        hits = np.cumsum(weight * positive, axis=1)[:, last_of_tie]
        precision = hits / np.maximum(predicted, 1)
        return _ratio((np.diff(hits, axis=1, prepend=0) * precision).sum(axis=1), hits[:, -1])

    return statistic


def macro_average_precision_statistic(
    labels: ArrayLike, scores: ArrayLike, known: Bools | None = None
) -> Statistic:
    """Mean of the classes' average precisions; labels and scores `[S, C]`.

    Classes without a positive in the data are left out, as in `Prediction`; a replicate that lacks
    one of the others is undefined.
    """
    return _macro(average_precision_statistic, labels, scores, known)


def f1_statistic(labels: ArrayLike, predicted: ArrayLike, known: Bools | None = None) -> Statistic:
    """F1 of one class, labels and predictions `[S]`; undefined without positive and prediction."""
    truth, values, counted = _checked_class(labels, predicted, known)
    says, truth = (values[:, 0] > 0) & counted[:, 0], truth[:, 0]
    hits, either = (says & truth).astype(np.float64), says.astype(np.float64) + truth

    def statistic(weights: Floats) -> Floats:
        _check_strips(weights, len(values))
        return _ratio(2 * (weights @ hits), weights @ either)

    return statistic


def macro_f1_statistic(
    labels: ArrayLike, predicted: ArrayLike, known: Bools | None = None
) -> Statistic:
    """Mean of the classes' F1; labels and predictions `[S, C]`.

    Classes without a positive in the data are left out, as in `Prediction`; a replicate that lacks
    one of the others is undefined.
    """
    return _macro(f1_statistic, labels, predicted, known)


def _macro(
    single: Callable[..., Statistic], labels: ArrayLike, values: ArrayLike, known: Bools | None
) -> Statistic:
    """Mean over the classes of a statistic of one class; labels and values `[S, C]`."""
    truth, found, counted = checked(labels, values, known)
    classes = [
        single(truth[:, c], found[:, c], counted[:, c]) for c in np.flatnonzero(truth.any(axis=0))
    ]

    def statistic(weights: Floats) -> Floats:
        if not classes:
            return np.full(len(weights), np.nan)
        return np.asarray(np.mean([each(weights) for each in classes], axis=0))

    return statistic


def from_indices(function: Callable[[NDArray[np.int64]], float]) -> Statistic:
    """A statistic of any function of the drawn strips' indices `[R]`, repeats included.

    One call per replicate, so slower than the others; the function gives NaN where undefined.

    >>> scores = np.array([1.0, 2.0, 4.0])
    >>> middle = from_indices(lambda index: float(np.median(scores[index])))
    >>> interval(middle, [1, 2, 3]).estimate
    2.0
    """

    def statistic(weights: Floats) -> Floats:
        strips = np.arange(weights.shape[1])
        drawn = (np.repeat(strips, weight.astype(np.int64)) for weight in weights)
        return np.array([function(index) for index in drawn], np.float64)

    return statistic


def _ratio(part: Floats, whole: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(whole > 0, part / whole, np.nan)


def _checked_class(
    labels: ArrayLike, scores: ArrayLike, known: Bools | None
) -> tuple[Bools, Floats, Bools]:
    """`checked` for one class: arrays `[S]` in, `[S, 1]` out."""
    columns = [np.asarray(each)[..., None] for each in (labels, scores)]
    return checked(columns[0], columns[1], None if known is None else np.asarray(known)[..., None])


def _check_strips(weights: Floats, strips: int) -> None:
    if weights.shape[1] != strips:
        raise SignalError(
            f"groups of {weights.shape[1]} strips, but the statistic is of {strips}; give the "
            "record of every strip that the statistic was made from"
        )
