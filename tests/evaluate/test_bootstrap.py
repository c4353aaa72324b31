"""Statistics on weighted strips against plain ones on repeated strips; intervals against theory."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics

from beatlens.errors import DataError, SignalError
from beatlens.evaluate import bootstrap as boot
from beatlens.evaluate.bootstrap import interval, paired_difference, replicates

WEIGHTS = hnp.arrays(np.int64, (3, 15), elements=st.integers(0, 3))


def repeated(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return np.repeat(values, weight, axis=0)


@settings(deadline=None)  # the machine may be busy
@given(
    weights=WEIGHTS,
    truth=hnp.arrays(np.bool_, 15),
    scores=hnp.arrays(np.int8, 15, elements=st.integers(-4, 4)),
)
def test_average_precision_is_scikit_learns_of_the_repeated_strips(
    weights: np.ndarray, truth: np.ndarray, scores: np.ndarray
) -> None:
    found = boot.average_precision_statistic(truth, scores)(weights.astype(float))
    for value, weight in zip(found, weights, strict=True):
        if repeated(truth, weight).any():
            expected = metrics.average_precision_score(
                repeated(truth, weight), repeated(scores, weight)
            )
            assert value == pytest.approx(expected)
        else:
            assert np.isnan(value)


@settings(deadline=None)  # the machine may be busy
@given(weights=WEIGHTS, truth=hnp.arrays(np.bool_, 15), says=hnp.arrays(np.bool_, 15))
def test_f1_is_scikit_learns_of_the_repeated_strips(
    weights: np.ndarray, truth: np.ndarray, says: np.ndarray
) -> None:
    found = boot.f1_statistic(truth, says)(weights.astype(float))
    for value, weight in zip(found, weights, strict=True):
        if repeated(truth | says, weight).any():
            assert value == pytest.approx(
                metrics.f1_score(repeated(truth, weight), repeated(says, weight))
            )
        else:
            assert np.isnan(value)


@settings(deadline=None)  # the machine may be busy
@given(
    weights=WEIGHTS,
    scores=hnp.arrays(np.float64, (15, 2), elements=st.sampled_from([np.nan, -1.0, 0.5, 2.0, 7.0])),
    share=st.sampled_from([0.0, 0.05, 0.5, 0.9, 1.0]),
)
def test_mean_and_quantile_are_numpys_of_the_repeated_strips(
    weights: np.ndarray, scores: np.ndarray, share: float
) -> None:
    for values in (scores, scores[:, 0]):
        means = boot.mean_statistic(values)(weights.astype(float))
        quantiles = boot.quantile_statistic(values, share)(weights.astype(float))
        for mean, quantile, weight in zip(means, quantiles, weights, strict=True):
            drawn = repeated(values, weight)
            drawn = drawn[np.isfinite(drawn)]
            expected = [drawn.mean(), np.quantile(drawn, share)] if len(drawn) else [np.nan] * 2
            np.testing.assert_allclose([mean, quantile], expected)


def test_unknown_labels_count_nowhere() -> None:
    rng = np.random.default_rng(2)
    truth, scores, known = rng.random(60) < 0.4, rng.normal(size=60), rng.random(60) < 0.7
    ones = np.ones((1, 60))
    expected = metrics.average_precision_score(truth[known], scores[known])
    for labels, mask in ((truth, known), (np.where(known, truth, np.nan), None)):
        found = boot.average_precision_statistic(labels, scores, mask)(ones)
        assert found[0] == pytest.approx(expected)
        f1 = boot.f1_statistic(labels, scores > 0, mask)(ones)[0]
        assert f1 == pytest.approx(metrics.f1_score(truth[known], scores[known] > 0))


def test_macro_f1_is_the_mean_over_classes_that_occur() -> None:
    rng = np.random.default_rng(3)
    truth, says = rng.random((60, 3)) < 0.3, rng.random((60, 3)) < 0.4
    truth[:, 1] = False
    found = boot.macro_f1_statistic(truth, says.astype(float))(np.ones((1, 60)))[0]
    expected = metrics.f1_score(truth[:, [0, 2]], says[:, [0, 2]], average="macro")
    assert found == pytest.approx(expected)
    nothing = boot.macro_f1_statistic(truth & False, says.astype(float))(np.ones((4, 60)))
    assert np.isnan(nothing).all()


def test_macro_average_precision_leaves_out_classes_that_never_occur() -> None:
    rng = np.random.default_rng(3)
    truth, scores = rng.random((50, 3)) < 0.4, rng.normal(size=(50, 3))
    truth[:, 1] = False
    found = boot.macro_average_precision_statistic(truth, scores)(np.ones((1, 50)))[0]
    expected = metrics.average_precision_score(truth[:, [0, 2]], scores[:, [0, 2]], average="macro")
    assert found == pytest.approx(expected)
    nothing = boot.macro_average_precision_statistic(truth & False, scores)(np.ones((4, 50)))
    assert np.isnan(nothing).all()


def test_whole_records_are_drawn() -> None:
    groups = np.array(["b", "a", "a", "c", "b", "a"])
    seen: list[np.ndarray] = []

    def spy(weights: np.ndarray) -> np.ndarray:
        seen.append(weights)
        return weights.sum(axis=1)

    replicates(spy, groups, n=200, seed=1)
    weights = np.concatenate(seen)
    assert weights.shape == (200, 6)
    for name in "abc":
        own = weights[:, groups == name]
        assert (own == own[:, :1]).all()
    first = [int(np.flatnonzero(groups == name)[0]) for name in "abc"]
    assert (weights[:, first].sum(axis=1) == 3).all()
    assert weights[:, first].mean() == pytest.approx(1)
    assert weights.max() == 3


def test_the_interval_of_a_mean_has_the_width_that_theory_gives() -> None:
    rng = np.random.default_rng(4)
    records, strips = 60, 20
    level = rng.normal(size=(records, 1))  # strips of a record are alike
    scores = (level + 0.1 * rng.normal(size=(records, strips))).ravel()
    groups = np.repeat(np.arange(records), strips)
    found = interval(boot.mean_statistic(scores), groups, n=4000)
    error = scores.reshape(records, strips).mean(axis=1).std() / np.sqrt(records)
    assert found.estimate == pytest.approx(scores.mean())
    assert found.hi - found.lo == pytest.approx(2 * 1.96 * error, rel=0.06)
    by_strip = interval(boot.mean_statistic(scores), np.arange(len(scores)), n=500)
    assert by_strip.hi - by_strip.lo < (found.hi - found.lo) / 3  # what ignoring records would say
    narrower = interval(boot.mean_statistic(scores), groups, n=4000, level=0.5)
    assert found.lo < narrower.lo < narrower.hi < found.hi


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)
    groups = np.repeat(np.arange(40), 5)
    covered = 0
    for _ in range(200):
        scores = (rng.normal(size=(40, 1)) + rng.normal(size=(40, 5))).ravel()
        found = interval(boot.mean_statistic(scores), groups, n=200)
        covered += found.lo <= 0 <= found.hi
    assert 0.88 <= covered / 200 <= 0.98


def test_a_paired_difference_forgets_what_both_share() -> None:
    rng = np.random.default_rng(6)
    groups = np.repeat(np.arange(30), 10)
    hard = np.repeat(rng.normal(size=30), 10)
    first, second = (boot.mean_statistic(hard + shift) for shift in (0.1, 0.0))
    found = paired_difference(first, second, groups)
    assert found.lo == pytest.approx(0.1)
    assert found.hi == pytest.approx(0.1)
    apart = interval(first, groups)
    assert apart.hi - apart.lo > 0.3


def test_any_function_of_indices_agrees_with_the_weighted_form() -> None:
    rng = np.random.default_rng(7)
    truth, scores = rng.random(80) < 0.3, rng.normal(size=80)
    groups = rng.integers(0, 12, 80)
    plain = boot.from_indices(
        lambda index: metrics.average_precision_score(truth[index], scores[index])
    )
    fast = boot.average_precision_statistic(truth, scores)
    np.testing.assert_allclose(
        replicates(plain, groups, n=70, seed=3), replicates(fast, groups, n=70, seed=3)
    )
    assert interval(fast, groups, seed=3) == interval(fast, groups, seed=3)
    assert interval(fast, groups, seed=3) != interval(fast, groups, seed=4)


def test_replicates_without_the_class_are_left_out_and_counted() -> None:
    groups = np.repeat(np.arange(10), 4)
    scores = np.full(40, np.nan)
    scores[:12] = np.linspace(0, 1, 12)  # three records of ten have the class
    found = interval(boot.mean_statistic(scores), groups, n=2000)
    assert found.undefined / 2000 == pytest.approx(0.7**10, abs=0.01)
    assert found.replicates == 2000
    assert 0 <= found.lo < found.estimate < found.hi <= 1


def test_a_class_in_a_single_record_has_no_interval() -> None:
    groups = np.repeat(np.arange(10), 4)
    scores = np.full(40, np.nan)
    scores[:4] = 0.7
    found = interval(boot.mean_statistic(scores), groups)
    assert np.isnan([found.lo, found.hi]).all()
    assert found.estimate == pytest.approx(0.7)
    assert found.undefined > 250
    nothing = np.full(40, np.nan)
    for statistic in (boot.mean_statistic(nothing), boot.quantile_statistic(nothing, 0.05)):
        assert np.isnan(interval(statistic, groups).estimate)
    unknown = boot.average_precision_statistic(nothing, np.zeros(40))
    assert interval(unknown, groups).undefined == 1000


def test_a_benchmarks_worth_of_strips_takes_seconds() -> None:
    rng = np.random.default_rng(8)
    truth, scores = rng.random((4000, 4)) < 0.2, rng.normal(size=(4000, 4))
    groups = np.arange(4000) // 90
    begin = time.process_time()
    interval(boot.macro_average_precision_statistic(truth, scores), groups, n=1000)
    assert time.process_time() - begin < 10


def test_bad_input_is_refused() -> None:
    statistic = boot.mean_statistic(np.arange(4.0))
    with pytest.raises(DataError, match="1 group to draw from, expected at least 2"):
        interval(statistic, ["a"] * 4)
    with pytest.raises(SignalError, match="level 95"):
        interval(statistic, list("abcd"), level=95)
    with pytest.raises(SignalError, match="n is 0"):
        interval(statistic, list("abcd"), n=0)
    made = [
        statistic,
        boot.quantile_statistic(np.arange(4.0), 0.5),
        boot.average_precision_statistic([0, 1, 0, 1], np.arange(4.0)),
        boot.macro_average_precision_statistic([[0], [1], [0], [1]], np.arange(4.0)[:, None]),
        boot.f1_statistic([0, 1, 0, 1], [0, 1, 1, 1]),
    ]
    for each in made:
        assert np.isfinite(interval(each, list("abcd")).estimate)
        with pytest.raises(SignalError, match="groups of 5 strips, but the statistic is of 4"):
            interval(each, list("abcde"))
    with pytest.raises(SignalError, match="a label is 3"):
        boot.average_precision_statistic([0, 3], [0.1, 0.2])
