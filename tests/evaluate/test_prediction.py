"""Prediction figures against scikit-learn, and thresholds against trying all of them."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics

from beatlens.errors import DataError, SignalError
from beatlens.evaluate.prediction import (
    average_precision,
    best_f1_thresholds,
    prediction,
    thresholds_as_often,
)


def sample(strips: int = 200) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    labels = rng.random((strips, 3)) < [0.3, 0.1, 0.5]
    scores = (labels + rng.normal(size=(strips, 3))).round(1)
    return labels, scores, rng.random((strips, 3)) < 0.8


def test_figures_are_scikit_learns_on_what_is_known() -> None:
    labels, scores, known = sample()
    limits = np.array([0.5, 0.0, 1.0])
    figures = prediction(labels, scores, limits, known)
    with_nan = prediction(np.where(known, labels, np.nan), scores, limits)
    for label in range(3):
        truth, values = labels[known[:, label], label], scores[known[:, label], label]
        says = values >= limits[label]
        expected = {
            "average_precision": metrics.average_precision_score(truth, values),
            "f1": metrics.f1_score(truth, says),
            "recall": metrics.recall_score(truth, says),
            "precision": metrics.precision_score(truth, says),
            "specificity": metrics.recall_score(~truth, ~says),
            "positives": truth.sum(),
            "known": len(truth),
        }
        for name, value in expected.items():
            assert getattr(figures, name)[label] == pytest.approx(value), name
            assert getattr(with_nan, name)[label] == getattr(figures, name)[label], name
    assert figures.macro_average_precision == pytest.approx(figures.average_precision.mean())
    assert figures.macro_f1 == pytest.approx(figures.f1.mean())


@settings(deadline=None)  # the machine may be busy
@given(
    truth=hnp.arrays(np.bool_, 12),
    values=hnp.arrays(np.int8, 12, elements=st.integers(-9, 9)),
)
def test_no_threshold_is_better_than_the_one_chosen(truth: np.ndarray, values: np.ndarray) -> None:
    assume(truth.any())
    (limit,) = best_f1_thresholds(truth[:, None], values[:, None])
    best = max(metrics.f1_score(truth, values >= t) for t in values)
    assert metrics.f1_score(truth, values >= limit) == pytest.approx(best)
    higher = [t for t in values if (values >= t).sum() < (values >= limit).sum()]
    assert all(metrics.f1_score(truth, values >= t) < best - 1e-12 for t in higher)


def test_a_threshold_lies_between_scores_and_is_never_the_lower_one() -> None:
    assert best_f1_thresholds([[1], [0]], [[0.8], [0.2]]).tolist() == [0.5]
    low = 1.0
    high = np.nextafter(low, 2)
    assert best_f1_thresholds([[1], [0]], [[high], [low]]).tolist() == [high]
    assert best_f1_thresholds([[1], [1]], [[3.0], [2.0]]).tolist() == [2.0]


@settings(deadline=None)  # the machine may be busy
@given(
    decided=hnp.arrays(np.bool_, 12),
    values=hnp.arrays(np.int8, 12, elements=st.integers(-9, 9)),
)
def test_no_threshold_decides_more_nearly_as_often(decided: np.ndarray, values: np.ndarray) -> None:
    assume(decided.any())
    (limit,) = thresholds_as_often(decided[:, None], values[:, None])
    wanted, found = int(decided.sum()), int((values >= limit).sum())
    counts = [int((values >= t).sum()) for t in values]
    nearest = min(abs(count - wanted) for count in counts)
    assert abs(found - wanted) == nearest
    assert found == min(count for count in counts if abs(count - wanted) == nearest)


def test_a_class_never_decided_has_no_threshold_to_match() -> None:
    decided = np.array([[True, False], [False, False], [True, False]])
    limits = thresholds_as_often(decided, [[1.0, 5.0], [3.0, 5.0], [2.0, 5.0]])
    assert limits[0] == 1.5  # as often, though not in the same strips
    assert np.isnan(limits[1])
    with pytest.raises(SignalError, match=r"decisions \(3, 2\), scores \(3, 1\)"):
        thresholds_as_often(decided, [[1.0], [3.0], [2.0]])
    with pytest.raises(SignalError, match="not finite"):
        thresholds_as_often(decided, np.full((3, 2), np.nan))


def test_unknown_strips_do_not_move_a_threshold() -> None:
    labels, scores, known = sample()
    expected = [
        best_f1_thresholds(labels[take, c : c + 1], scores[take, c : c + 1])[0]
        for c, take in enumerate(known.T)
    ]
    np.testing.assert_array_equal(best_f1_thresholds(labels, scores, known), expected)


def test_a_class_without_positives_is_undefined_and_not_in_the_mean() -> None:
    labels, scores, known = sample()
    labels[:, 1] = False
    figures = prediction(labels, scores, [0.5, 9, 0.5])
    assert np.isnan([figures.average_precision[1], figures.f1[1], figures.recall[1]]).all()
    assert figures.specificity[1] == 1
    assert figures.macro_f1 == pytest.approx(figures.f1[[0, 2]].mean())
    assert prediction(labels, scores, [0.5, 0, 0.5]).f1[1] == 0
    assert np.isnan(average_precision(labels[:, 1:2], scores[:, 1:2])).all()
    with pytest.raises(DataError, match="class 1 has no positive in 200 validation strips"):
        best_f1_thresholds(labels, scores)
    assert best_f1_thresholds(labels, scores, known, fallback=7.5)[1] == 7.5


def test_bad_input_is_refused() -> None:
    labels, scores, known = sample(10)
    with pytest.raises(SignalError, match=r"one shape \[S, C\]"):
        prediction(labels[:9], scores, [0, 0, 0])
    with pytest.raises(SignalError, match=r"expected one per class: \(3,\)"):
        prediction(labels, scores, [0.5])
    with pytest.raises(SignalError, match="a label is 2"):
        average_precision(labels + 1, scores)
    scores[3, 1] = np.nan
    known[3, 1] = False
    assert np.isfinite(average_precision(labels, scores, known)).any()
    with pytest.raises(SignalError, match="score is not finite"):
        average_precision(labels, scores)
