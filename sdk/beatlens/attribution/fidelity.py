"""Fidelity: agreement of a compressed network's maps with those of the uncompressed network.

A pair is the maps `[T]` of the reference and of the compressed network for one strip and one class,
over the same span. Pairs are scored for the classes that the *reference* predicts.

- `cosine`, -1..1: of the raw signed maps. A constant offset raises it; kept for comparison.
- `pearson`, -1..1: cosine of the maps less their means.
- `spearman`, -1..1: Pearson of the ranks, equal values sharing their average rank.
- `top_iou`, 0..1: intersection over union of the two sets of the highest 20 % of columns.
- `same_peak`, 0..1: share of the compressed map's peak columns within one of a reference peak.

Ties, common in int8, do not depend on the order of columns: columns with the value at the edge of
the top set belong to it by equal fractions, so that the memberships add up to the set's size, and
`top_iou` is the sum of the smaller memberships over the sum of the larger ones. A map with its
maximum in several columns has several peaks.

Constant maps: a constant compressed map explains nothing and scores **0 in every measure**, the raw
cosine included; it is never left out. With a constant reference map there is nothing to agree with:
the scores are NaN. Both are counted. Constant means that the values differ by no more
than rounding: at most 1e-6 of the largest magnitude.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from beatlens.errors import SignalError

TOP_SHARE = 0.2
PEAK_REACH = 1
ROUNDING = 1e-6

Floats = NDArray[np.float64]
Measure = Callable[[Floats, Floats], Floats]


@dataclass(frozen=True)
class Fidelity:
    """Agreement of every scored pair of maps.

    Attributes:
        scores: measure name to `[S, C]`, NaN where the reference does not predict the class or its
            map is constant.
        agreeing: bool `[S, C]`, both networks predict the class.
        differing: bool `[S, C]`, the reference predicts it, the compressed network does not.
        constant_compressed: number of pairs that count 0 because the compressed map is constant.
        constant_reference: number of pairs left undefined because the reference map is constant.
    """

    scores: dict[str, Floats]
    agreeing: NDArray[np.bool_]
    differing: NDArray[np.bool_]
    constant_compressed: int
    constant_reference: int

    def summary(self, where: NDArray[np.bool_] | None = None) -> dict[str, float]:
        """Mean `NAME` and 5th percentile `NAME_p5` of every measure, and the number of `pairs`.

        Args:
            where: bool, broadcast against `[S, C]`: the pairs to average, such as `agreeing` or
                `differing`, or a row of C for one class. None: all pairs.

        Returns:
            Figures by name; NaN for every measure where no pair is scored.
        """
        take = np.isfinite(self.scores["cosine"])
        if where is not None:
            take &= where
        figures: dict[str, float] = {}
        for name, score in self.scores.items():
            values = score[take]
            figures[name] = float(values.mean()) if len(values) else float("nan")
            figures[f"{name}_p5"] = float(np.percentile(values, 5)) if len(values) else float("nan")
        return {**figures, "pairs": float(take.sum())}


def fidelity(
    reference: NDArray[np.generic],
    compressed: NDArray[np.generic],
    reference_predicted: NDArray[np.bool_],
    compressed_predicted: NDArray[np.bool_] | None = None,
) -> Fidelity:
    """Score a compressed network's maps against the reference's, where the reference predicts.

    Args:
        reference: `[S, C, T]` maps of the uncompressed network, float or int8.
        compressed: `[S, C, T]` maps of the compressed one over the same spans; any positive scale.
        reference_predicted: bool `[S, C]`, the classes the reference predicts.
        compressed_predicted: bool `[S, C]`, to separate agreeing from differing predictions; None:
            every pair is agreeing.

    Raises:
        SignalError: shapes that do not belong together, or a scored map that is not finite.

    >>> a = np.array([[[0.0, 1.0, 5.0, 1.0, 0.0]]])
    >>> yes = np.array([[True]])
    >>> fidelity(a, 3 * a + 1, yes).summary()["pearson"]
    1.0
    """
    reference, compressed = np.asarray(reference), np.asarray(compressed)
    _check(reference, compressed, reference_predicted, compressed_predicted)
    strip, label = np.nonzero(reference_predicted)
    return _scored(reference, compressed, strip, strip, label, compressed_predicted)


def shuffled_floor(
    reference: NDArray[np.generic],
    compressed: NDArray[np.generic],
    reference_predicted: NDArray[np.bool_],
    compressed_predicted: NDArray[np.bool_] | None = None,
    *,
    seed: int = 0,
) -> Fidelity:
    """Compute the floor of `fidelity`: reference maps against *other* strips' compressed maps.

    Within each class the strips that the reference predicts are put in a random circle, and each is
    paired with the next one: no strip is paired with itself, and every map is used once. Maps of
    one class agree to some degree on any strip; only agreement above this floor counts.

    Args:
        reference, compressed, reference_predicted, compressed_predicted: as in `fidelity`.
            Agreeing and differing refer to the reference's strip.
        seed: of the random circles.

    Returns:
        As `fidelity`, at the reference's strip; NaN for a class with a single strip.
    """
    reference, compressed = np.asarray(reference), np.asarray(compressed)
    _check(reference, compressed, reference_predicted, compressed_predicted)
    rng = np.random.default_rng(seed)
    none = np.empty(0, np.int64)
    strips, partners, labels = [none], [none], [none]
    for label in range(reference_predicted.shape[1]):
        circle = rng.permutation(np.flatnonzero(reference_predicted[:, label]))
        if len(circle) > 1:
            strips.append(circle)
            partners.append(np.roll(circle, -1))
            labels.append(np.full(len(circle), label))
    strip, partner, of_class = (np.concatenate(parts) for parts in (strips, partners, labels))
    return _scored(reference, compressed, strip, partner, of_class, compressed_predicted)


def cosine(a: Floats, b: Floats) -> Floats:
    """Cosine of rows `[M, T]`, as `[M]`; NaN where a row is all zero."""
    products = np.einsum("mt,mt->m", a, b)
    squares = np.einsum("mt,mt->m", a, a) * np.einsum("mt,mt->m", b, b)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.clip(products / np.sqrt(squares), -1, 1))


def pearson(a: Floats, b: Floats) -> Floats:
    """Pearson correlation of rows `[M, T]`, as `[M]`; NaN where a row is constant."""
    return cosine(a - a.mean(axis=-1, keepdims=True), b - b.mean(axis=-1, keepdims=True))


def spearman(a: Floats, b: Floats) -> Floats:
    """Spearman rank correlation of rows `[M, T]`, as `[M]`; NaN where a row is constant."""
    return pearson(average_ranks(a), average_ranks(b))


def top_iou(a: Floats, b: Floats, share: float = TOP_SHARE) -> Floats:
    """Intersection over union of the `ceil(share * T)` highest columns of rows `[M, T]`, `[M]`."""
    inside_a, inside_b = _top_membership(a, share), _top_membership(b, share)
    shared = np.minimum(inside_a, inside_b).sum(axis=-1)
    return np.asarray(shared / np.maximum(inside_a, inside_b).sum(axis=-1))


def same_peak(a: Floats, b: Floats, reach: int = PEAK_REACH) -> Floats:
    """Share of `b`'s peak columns at most `reach` columns from one of `a`'s; rows `[M, T]`."""
    peaks = b == b.max(axis=-1, keepdims=True)
    hits = peaks & _widened(a == a.max(axis=-1, keepdims=True), reach)
    return np.asarray(hits.sum(axis=-1) / peaks.sum(axis=-1))


def average_ranks(rows: NDArray[np.generic]) -> Floats:
    """Ranks 1..T within each row of `[M, T]`, equal values sharing their average rank."""
    order = np.argsort(rows, axis=-1, kind="stable")
    values = np.take_along_axis(rows, order, axis=-1)
    first = np.ones(rows.shape, bool)
    first[:, 1:] = values[:, 1:] != values[:, :-1]
    start = np.flatnonzero(first)
    size = np.diff(start, append=rows.size)
    in_order = np.repeat(start % rows.shape[1] + (size + 1) / 2, size).reshape(rows.shape)
    ranks = np.empty(rows.shape)
    np.put_along_axis(ranks, order, in_order, axis=-1)
    return ranks


def is_constant(rows: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Whether a row of `[M, T]` differs from a constant by no more than rounding, as `[M]`."""
    values = rows.astype(np.float64)
    return np.asarray(np.ptp(values, axis=-1) <= ROUNDING * np.abs(values).max(axis=-1))


MEASURES: dict[str, Measure] = {
    "cosine": cosine,
    "pearson": pearson,
    "spearman": spearman,
    "top_iou": top_iou,
    "same_peak": same_peak,
}


def _scored(
    reference: NDArray[np.generic],
    compressed: NDArray[np.generic],
    strip: NDArray[np.int64],
    partner: NDArray[np.int64],
    label: NDArray[np.int64],
    compressed_predicted: NDArray[np.bool_] | None,
) -> Fidelity:
    """Score reference maps `[strip, label]` against compressed maps `[partner, label]`."""
    a = reference[strip, label].astype(np.float64)
    b = compressed[partner, label].astype(np.float64)
    for name, rows, rows_strip in (("reference", a, strip), ("compressed", b, partner)):
        if not np.isfinite(rows).all():
            bad = int(np.flatnonzero(~np.isfinite(rows).all(axis=-1))[0])
            raise SignalError(
                f"the {name} map of strip {rows_strip[bad]}, class {label[bad]} has values that "
                "are not finite; check the network's weights"
            )
    empty_reference, empty_compressed = is_constant(a), is_constant(b)
    scores: dict[str, Floats] = {}
    for name, measure in MEASURES.items():
        values = np.where(empty_compressed, 0.0, measure(a, b))
        scores[name] = np.full(reference.shape[:2], np.nan)
        scores[name][strip, label] = np.where(empty_reference, np.nan, values)

    paired = np.zeros(reference.shape[:2], bool)
    paired[strip, label] = True
    agrees = paired if compressed_predicted is None else compressed_predicted
    return Fidelity(
        scores=scores,
        agreeing=paired & agrees,
        differing=paired & ~agrees,
        constant_compressed=int((empty_compressed & ~empty_reference).sum()),
        constant_reference=int(empty_reference.sum()),
    )


def _top_membership(rows: Floats, share: float) -> Floats:
    """How far each column belongs to the highest `ceil(share * T)`: 1, 0, or a fraction at ties."""
    columns = rows.shape[-1]
    size = int(np.ceil(share * columns))
    edge = np.partition(rows, columns - size, axis=-1)[:, columns - size, None]
    above, tied = rows > edge, rows == edge
    left = size - above.sum(axis=-1, keepdims=True)
    return np.asarray(above + tied * (left / tied.sum(axis=-1, keepdims=True)))


def _widened(peaks: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    """Peaks `[M, T]` and the `reach` columns on both sides of each."""
    near = peaks.copy()
    for step in range(1, reach + 1):
        near[:, step:] |= peaks[:, :-step]
        near[:, :-step] |= peaks[:, step:]
    return near


def _check(
    reference: NDArray[np.generic],
    compressed: NDArray[np.generic],
    reference_predicted: NDArray[np.bool_],
    compressed_predicted: NDArray[np.bool_] | None,
) -> None:
    if reference.ndim != 3 or reference.shape != compressed.shape or not reference.shape[2]:
        raise SignalError(
            f"maps have shapes {reference.shape} and {compressed.shape}, expected one shape "
            "[S, C, T]; give both networks the same span"
        )
    for predicted in (reference_predicted, compressed_predicted):
        if predicted is None:
            continue
        if predicted.dtype != np.bool_ or predicted.shape != reference.shape[:2]:
            raise SignalError(
                f"predictions are {predicted.dtype} {predicted.shape}, expected bool "
                f"{reference.shape[:2]}"
            )
