"""ROC-AUC against scikit-learn sample by sample; the pointing game by hand."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import roc_auc_score

from beatlens.attribution.localisation import Localisation, column_auc, localisation
from beatlens.errors import SignalError

STRIDE = 4


def scored(row: list[float], mask: list[int]) -> Localisation:
    yes = np.array([[True]])
    return localisation(np.array([[row]]), np.array([[mask]], bool), yes, yes)


def many(
    strips: int, classes: int, columns: int, stride: int, dtype: type
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    maps = rng.normal(0, 30, (strips, classes, columns)).round().clip(-128, 127).astype(dtype)
    masks = np.zeros((strips, classes, columns * stride), bool)
    for row in masks.reshape(-1, columns * stride):
        start = rng.integers(0, columns * stride)
        row[start : start + rng.integers(0, columns * stride)] = True
    return maps, masks


@pytest.mark.parametrize("dtype", [np.int8, np.float32])
def test_auc_is_scikit_learns_on_the_scaled_upsampled_map(dtype: type) -> None:
    maps, masks = many(40, 3, 20, STRIDE, dtype)
    everywhere = np.ones((40, 3), bool)
    scores = localisation(maps, masks, everywhere, everywhere)
    compared = 0
    for strip, label in np.ndindex(40, 3):
        row, mask = maps[strip, label].astype(float), masks[strip, label]
        if mask.all() or not mask.any():
            assert np.isnan(scores.auc[strip, label])
            assert np.isnan(scores.pointing[strip, label])
            continue
        scaled = (row - row.min()) / (row.max() - row.min())
        expected = roc_auc_score(mask, np.repeat(scaled, STRIDE))
        assert scores.auc[strip, label] == pytest.approx(expected, abs=1e-12)
        compared += 1
    assert compared > 60


@settings(deadline=None)  # the machine may be busy
@given(
    row=hnp.arrays(np.int8, 12),
    inside=hnp.arrays(np.int64, 12, elements=st.integers(0, STRIDE)),
    shift=st.floats(-5, 5),
)
def test_auc_is_kept_by_increasing_and_turned_by_decreasing_functions(
    row: np.ndarray, inside: np.ndarray, shift: float
) -> None:
    maps, inside = row[None].astype(float), inside[None]
    auc = column_auc(maps, inside, STRIDE)
    np.testing.assert_allclose(column_auc(np.exp(maps / 30) + shift, inside, STRIDE), auc)
    np.testing.assert_allclose(column_auc(-maps, inside, STRIDE), 1 - auc)
    np.testing.assert_allclose(column_auc(maps, STRIDE - inside, STRIDE), 1 - auc)


def test_a_constant_map_is_chance_in_both_scores() -> None:
    scores = scored([7, 7, 7, 7], [1, 1, 0, 0, 0, 0, 0, 0])
    assert scores.auc[0, 0] == 0.5
    assert scores.pointing[0, 0] == scores.chance[0, 0] == 0.25


@pytest.mark.parametrize(
    ("row", "mask", "hit"),
    [
        ([0, 5, 1], [0, 0, 1, 1, 0, 0], 1.0),
        ([0, 5, 1], [1, 1, 0, 0, 1, 1], 0.0),
        # With 2 samples per column the centre of column 1 is sample 3.
        ([0, 5, 1], [0, 0, 0, 1, 0, 0], 1.0),
        ([0, 5, 1], [0, 0, 1, 0, 0, 0], 0.0),
        # Two columns share the maximum, one of them hits.
        ([5, 5, 1], [0, 0, 1, 1, 0, 0], 0.5),
        # A negative map still has a highest column.
        ([-9, -5, -8], [0, 0, 1, 1, 0, 0], 1.0),
    ],
)
def test_pointing_game(row: list[float], mask: list[int], hit: float) -> None:
    assert scored(row, mask).pointing[0, 0] == hit


@pytest.mark.parametrize("mask", [[1] * 6, [0] * 6])
def test_a_mask_that_is_everywhere_or_nowhere_is_not_scored(mask: list[int]) -> None:
    scores = scored([0, 5, 1], mask)
    assert np.isnan([scores.auc[0, 0], scores.pointing[0, 0], scores.chance[0, 0]]).all()
    assert scores.means()["strips"][0] == 0


def test_only_present_classes_are_scored_and_detected_ones_can_be_selected() -> None:
    maps = np.tile(np.array([1.0, 3.0, 2.0]), (3, 2, 1))
    maps[2, 1] = np.nan  # not present there, so never read
    masks = np.tile(np.array([0, 0, 1, 1, 0, 0], bool), (3, 2, 1))
    present = np.array([[1, 1], [1, 0], [0, 0]], bool)
    predicted = np.array([[1, 0], [0, 1], [1, 1]], bool)
    scores = localisation(maps, masks, present, predicted)
    np.testing.assert_array_equal(np.isfinite(scores.auc), present)
    np.testing.assert_array_equal(scores.detected, [[1, 0], [0, 0], [0, 0]])
    narrowed = scores.where_detected()
    for score in (narrowed.auc, narrowed.pointing, narrowed.chance):
        np.testing.assert_array_equal(np.isfinite(score), scores.detected)
    np.testing.assert_array_equal(scores.means()["strips"], [2, 1])
    np.testing.assert_array_equal(narrowed.means()["strips"], [1, 0])
    np.testing.assert_array_equal(narrowed.means()["auc"], [1, np.nan])
    np.testing.assert_allclose(scores.means()["chance"], [1 / 3, 1 / 3])


def test_nothing_present_gives_no_scores() -> None:
    maps, masks = many(5, 2, 10, STRIDE, np.float32)
    nowhere = np.zeros((5, 2), bool)
    assert np.isnan(localisation(maps, masks, nowhere, nowhere).auc).all()


def test_a_benchmarks_worth_of_strips_takes_seconds() -> None:
    maps, masks = many(4000, 4, 160, 8, np.int8)
    everywhere = np.ones((4000, 4), bool)
    begin = time.process_time()
    localisation(maps, masks, everywhere, everywhere)
    assert time.process_time() - begin < 10


def test_bad_input_is_refused() -> None:
    maps, masks = many(3, 2, 10, STRIDE, np.float32)
    yes = np.ones((3, 2), bool)
    with pytest.raises(SignalError, match="dtype int64, expected bool"):
        localisation(maps, masks, yes.astype(np.int64), yes)
    with pytest.raises(SignalError, match="whole number of samples per column"):
        localisation(maps, masks[..., :-1], yes, yes)
    with pytest.raises(SignalError, match=r"expected \(3, 2\)"):
        localisation(maps, masks, yes[:2], yes)
    with pytest.raises(SignalError, match=r"\[S, C, T\] and \[S, C, N\]"):
        localisation(maps[:2], masks, yes, yes)
    masks[1, 0] = np.arange(40) < 7
    maps[1, 0, 3] = np.nan
    with pytest.raises(SignalError, match="strip 1, class 0"):
        localisation(maps, masks, yes, yes)
