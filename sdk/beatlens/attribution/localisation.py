"""Localisation: ROC-AUC and pointing game of maps against ground-truth masks.

Column `t` of a map covers samples `[stride * t, stride * (t + 1))` of the strip, `stride = N / T`;
its centre is sample `stride * t + stride // 2`. Scores are given per strip and class, NaN where
they are not defined, so that means and intervals can be taken over any strips and by record.

ROC-AUC is over samples, every sample having its column's value: the chance that a sample inside
the mask lies higher than one outside, equal values counting half. It does not change when a map is
min-max scaled (or passed through any increasing function), so no scaling is done; a constant map
has 0.5.

Pointing game (Zhang et al., IJCV 2018): 1 where the centre of the map's highest column lies in the
mask, else 0. Where several columns share the maximum (common in int8) it is the share of them that
hit, the mean over a random choice among them; it does not depend on the order of columns.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from beatlens.errors import SignalError


@dataclass(frozen=True)
class Localisation:
    """Localisation scores `[S, C]` of strips and classes, NaN where not defined.

    Defined where the class is present and its mask has samples inside and samples outside: in a
    strip of atrial fibrillation from end to end the mask has no outside.

    Attributes:
        auc: ROC-AUC over samples.
        pointing: pointing game, a hit share in 0 to 1.
        chance: what a random column would score in the pointing game (share of column centres
            inside the mask). It is high for long or frequent events; compare `pointing` with it.
            The chance level of `auc` is always 0.5.
        detected: bool `[S, C]`, present and predicted.
    """

    auc: NDArray[np.float64]
    pointing: NDArray[np.float64]
    chance: NDArray[np.float64]
    detected: NDArray[np.bool_]

    def where_detected(self) -> "Localisation":
        """The same scores, also NaN where the class is present but not predicted."""
        return Localisation(
            auc=np.where(self.detected, self.auc, np.nan),
            pointing=np.where(self.detected, self.pointing, np.nan),
            chance=np.where(self.detected, self.chance, np.nan),
            detected=self.detected,
        )

    def means(self) -> dict[str, NDArray[np.float64]]:
        """Per class `[C]`: mean `auc`, `pointing`, `chance`, and `strips`, how many were scored.

        A class without a scored strip has NaN means and 0 strips.
        """
        count = np.isfinite(self.auc).sum(axis=0)
        scores = {"auc": self.auc, "pointing": self.pointing, "chance": self.chance}
        with np.errstate(invalid="ignore"):
            means = {name: np.nansum(score, axis=0) / count for name, score in scores.items()}
        return {**means, "strips": count.astype(np.float64)}


def localisation(
    maps: NDArray[np.generic],
    masks: NDArray[np.bool_],
    present: NDArray[np.bool_],
    predicted: NDArray[np.bool_],
) -> Localisation:
    """Score every map of a class that is present against that class's mask.

    Args:
        maps: `[S, C, T]` signed evidence or any other attribution, float or int8; higher means
            more of the class. Only maps of classes that are present are read.
        masks: bool `[S, C, N]`, where each class is; N is a multiple of T.
        present: bool `[S, C]`, the strip has the class.
        predicted: bool `[S, C]`, the network predicts the class.

    Returns:
        Scores over all strips where the class is present; `.where_detected()` narrows them to those
        where it is predicted too.

    Raises:
        SignalError: shapes that do not belong together, or a map that is not finite.

    >>> mask = np.array([[[False, False, True, True, False, False]]])
    >>> yes = np.array([[True]])
    >>> scores = localisation(np.array([[[0.1, 0.9, 0.2]]]), mask, yes, yes)
    >>> float(scores.auc[0, 0]), float(scores.pointing[0, 0])
    (1.0, 1.0)
    """
    maps, masks = np.asarray(maps), np.asarray(masks)
    present, predicted = np.asarray(present), np.asarray(predicted)
    stride = _stride(maps, masks, present, predicted)

    auc, pointing, chance = (np.full(present.shape, np.nan) for _ in range(3))
    strip, label = np.nonzero(present)
    inside = _column_counts(masks[strip, label], stride)
    covered = inside.sum(axis=-1)
    scored = (covered > 0) & (covered < masks.shape[-1])
    strip, label, inside = strip[scored], label[scored], inside[scored]
    rows = maps[strip, label]
    if not np.isfinite(rows).all():
        bad = int(np.flatnonzero(~np.isfinite(rows).all(axis=-1))[0])
        raise SignalError(
            f"the map of strip {strip[bad]}, class {label[bad]} has values that are not finite; "
            "check the network's weights"
        )
    centres = masks[strip, label, stride // 2 :: stride]
    auc[strip, label] = column_auc(rows, inside, stride)
    pointing[strip, label] = peak_hits(rows, centres)
    chance[strip, label] = centres.mean(axis=-1)
    return Localisation(auc, pointing, chance, present & predicted)


def column_auc(
    maps: NDArray[np.generic], inside: NDArray[np.integer], stride: int
) -> NDArray[np.float64]:
    """Exact ROC-AUC over samples of maps that are constant within each column.

    Counts pairs (one sample inside, one outside) column by column instead of sample by sample: a
    column holds `inside` samples of the one kind and `stride - inside` of the other.

    Args:
        maps: `[M, T]`.
        inside: `[M, T]`, samples of each column that lie in the mask, 0 to `stride`.
        stride: samples per column.

    Returns:
        `[M]`; NaN where a mask is empty or full.
    """
    rows, columns = maps.shape
    if not rows:
        return np.empty(0)
    order = np.argsort(maps, axis=-1, kind="stable")
    values = np.take_along_axis(maps, order, axis=-1)
    positives = np.take_along_axis(inside, order, axis=-1).astype(np.float64)
    negatives = stride - positives

    # Columns of equal value form one group: its pairs count half, those below it count whole.
    first = np.ones((rows, columns), bool)
    first[:, 1:] = values[:, 1:] != values[:, :-1]
    start = np.flatnonzero(first)
    group_positives = np.add.reduceat(positives.ravel(), start)
    group_negatives = np.add.reduceat(negatives.ravel(), start)
    below = (np.cumsum(negatives, axis=-1) - negatives).ravel()[start]
    won = group_positives * (below + group_negatives / 2)
    row_start = np.searchsorted(start, np.arange(rows) * columns)
    pairs = positives.sum(axis=-1) * negatives.sum(axis=-1)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.add.reduceat(won, row_start) / pairs)


def peak_hits(maps: NDArray[np.generic], centres: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Pointing game on rows: share of the columns at the map's maximum whose centre is masked.

    Args:
        maps: `[M, T]`.
        centres: bool `[M, T]`, whether each column's centre sample lies in the mask.

    Returns:
        `[M]` in 0 to 1; 0 or 1 where one column alone is highest.
    """
    peak = maps == maps.max(axis=-1, keepdims=True)
    return np.asarray((peak & centres).sum(axis=-1) / peak.sum(axis=-1))


def _column_counts(masks: NDArray[np.bool_], stride: int) -> NDArray[np.int64]:
    """Masked samples per column: `[M, N]` to `[M, N / stride]`."""
    counts = np.zeros((masks.shape[0], masks.shape[1] // stride), np.int64)
    for offset in range(stride):  # much faster than a sum over a short last axis
        counts += masks[:, offset::stride]
    return counts


def _stride(
    maps: NDArray[np.generic],
    masks: NDArray[np.bool_],
    present: NDArray[np.bool_],
    predicted: NDArray[np.bool_],
) -> int:
    """Samples per column, after checking that the arrays belong together."""
    for name, array in (("masks", masks), ("present", present), ("predicted", predicted)):
        if array.dtype != np.bool_:
            raise SignalError(f"{name} have dtype {array.dtype}, expected bool")
    if maps.ndim != 3 or masks.ndim != 3 or maps.shape[:2] != masks.shape[:2]:
        raise SignalError(
            f"maps {maps.shape} and masks {masks.shape}, expected [S, C, T] and [S, C, N]"
        )
    if present.shape != maps.shape[:2] or predicted.shape != maps.shape[:2]:
        raise SignalError(
            f"present {present.shape} and predicted {predicted.shape}, expected {maps.shape[:2]} "
            "as the maps have"
        )
    columns, samples = maps.shape[2], masks.shape[2]
    if not columns or not samples or samples % columns:
        raise SignalError(
            f"{samples} samples in {columns} columns, expected a whole number of samples per "
            "column; give masks of the map's span only, without context"
        )
    return int(samples // columns)
