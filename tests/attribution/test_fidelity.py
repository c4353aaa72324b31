"""Agreement measures against scipy and set arithmetic, their invariances, and the empty cases."""

import time

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from beatlens.attribution import fidelity as fid
from beatlens.attribution.fidelity import fidelity, shuffled_floor
from beatlens.errors import SignalError

MAP = hnp.arrays(np.int8, 20)


def random_maps(shape: tuple[int, ...], dtype: type, seed: int) -> np.ndarray:
    values = np.random.default_rng(seed).normal(0, 20, shape)
    return values.round().clip(-128, 127).astype(dtype) if dtype is np.int8 else values


def only(reference: np.ndarray, compressed: np.ndarray) -> dict[str, float]:
    """The scores of one pair."""
    pair = fidelity(reference[None, None], compressed[None, None], np.array([[True]]))
    return {name: float(score[0, 0]) for name, score in pair.scores.items()}


@pytest.mark.parametrize("dtype", [np.int8, np.float64])
def test_correlations_are_scipys(dtype: type) -> None:
    a, b = random_maps((60, 40), dtype, 1), random_maps((60, 40), dtype, 2)
    b[:, ::2] = a[:, ::2]
    scores = fidelity(a[:, None], b[:, None], np.ones((60, 1), bool)).scores
    for row in range(60):
        x, y = a[row].astype(float), b[row].astype(float)
        assert scores["spearman"][row, 0] == pytest.approx(stats.spearmanr(x, y).statistic)
        assert scores["pearson"][row, 0] == pytest.approx(stats.pearsonr(x, y).statistic)
        raw = x @ y / np.linalg.norm(x) / np.linalg.norm(y)
        assert scores["cosine"][row, 0] == pytest.approx(raw)


def test_ranks_are_scipys() -> None:
    rows = random_maps((50, 30), np.int8, 3) // 16
    np.testing.assert_array_equal(fid.average_ranks(rows), stats.rankdata(rows, axis=-1))


def test_top_iou_is_that_of_the_sets_and_same_peak_that_of_argmax_without_ties() -> None:
    a, b = random_maps((80, 31), np.float64, 4), random_maps((80, 31), np.float64, 5)
    b += a
    peaks = 0
    for row in range(80):
        top_a, top_b = (set(np.argsort(m[row])[-7:]) for m in (a, b))  # 7 = ceil(.2 * 31)
        scores = only(a[row], b[row])
        assert scores["top_iou"] == pytest.approx(len(top_a & top_b) / len(top_a | top_b))
        near = abs(int(a[row].argmax()) - int(b[row].argmax())) <= 1
        assert scores["same_peak"] == near
        peaks += near
    assert 5 < peaks < 75


def test_ties_at_the_edge_of_the_top_set_share_what_is_left() -> None:
    # The top 2 of 10: one column is above, three tie for the second place, a third each.
    a = np.array([9, 5, 5, 5, 0, 0, 0, 0, 0, 0.5])
    b = np.array([9, 5, 0, 0, 0, 0, 0, 0, 0, 0.5])
    # Smaller memberships 1 + 1/3, larger 1 + 1 + 1/3 + 1/3.
    assert only(a, b)["top_iou"] == pytest.approx((4 / 3) / (8 / 3))
    assert only(b, a)["top_iou"] == pytest.approx(1 / 2)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([0, 9, 0, 0, 0], [0, 0, 9, 0, 0], 1.0),
        ([0, 9, 0, 0, 0], [0, 0, 0, 9, 0], 0.0),
        ([0, 9, 0, 0, 0], [9, 0, 0, 0, 9], 0.5),
        ([9, 0, 0, 0, 9], [9, 0, 0, 0, 9], 1.0),
        ([9, 0, 0, 0, 0], [0, 0, 0, 0, 9], 0.0),  # the span does not wrap around
    ],
)
def test_same_peak(a: list[int], b: list[int], expected: float) -> None:
    assert only(np.array(a), np.array(b))["same_peak"] == expected


@settings(deadline=None)  # the machine may be busy
@given(row=MAP, scale=st.floats(0.01, 100), offset=st.floats(-100, 100))
def test_a_scaled_shifted_copy_agrees_fully(row: np.ndarray, scale: float, offset: float) -> None:
    assume(np.ptp(row.astype(int)) > 0)
    scores = only(row.astype(float), row * scale + offset)
    for name in ("pearson", "spearman", "top_iou", "same_peak"):
        assert scores[name] == pytest.approx(1), name
    assert only(row, row)["cosine"] == pytest.approx(1)


@settings(deadline=None)  # the machine may be busy
@given(a=MAP, b=MAP)
def test_what_depends_on_order_only_is_kept_by_increasing_functions(
    a: np.ndarray, b: np.ndarray
) -> None:
    assume(np.ptp(a.astype(int)) > 0 and np.ptp(b.astype(int)) > 0)
    plain, bent = only(a, b), only(a, np.exp(b / 40.0))
    for name in ("spearman", "top_iou", "same_peak"):
        assert bent[name] == pytest.approx(plain[name]), name


@settings(deadline=None)  # the machine may be busy
@given(a=MAP, b=MAP, order=st.permutations(range(20)))
def test_only_same_peak_depends_on_where_columns_lie(
    a: np.ndarray, b: np.ndarray, order: list[int]
) -> None:
    assume(np.ptp(a.astype(int)) > 0 and np.ptp(b.astype(int)) > 0)
    plain, moved = only(a, b), only(a[order], b[order])
    for name in ("cosine", "pearson", "spearman", "top_iou"):
        assert moved[name] == pytest.approx(plain[name]), name
        assert only(b, a)[name] == pytest.approx(plain[name]), name
    assert all(-1 <= score <= 1 for score in plain.values())


@pytest.mark.parametrize("value", [0.0, 5.0, -3e4])
def test_a_constant_compressed_map_is_zero_agreement(value: float) -> None:
    reference = random_maps((3, 2, 20), np.float64, 6) + 50
    compressed = reference.copy()
    compressed[1, 0] = value
    compressed[2, 1] = value * (1 + 1e-8 * np.arange(20))  # constant but for rounding
    result = fidelity(reference, compressed, np.ones((3, 2), bool))
    for name, score in result.scores.items():
        assert score[1, 0] == score[2, 1] == 0, name
    assert result.constant_compressed == 2
    assert result.summary()["pairs"] == 6
    assert result.summary()["spearman"] == pytest.approx(4 / 6)


def test_a_constant_reference_map_has_nothing_to_agree_with() -> None:
    reference = random_maps((3, 1, 20), np.float64, 6)
    compressed = reference.copy()
    reference[0], compressed[:2] = 4.0, 4.0
    result = fidelity(reference, compressed, np.ones((3, 1), bool))
    assert all(np.isnan(score[0, 0]) for score in result.scores.values())
    assert (result.constant_reference, result.constant_compressed) == (1, 1)
    assert result.summary()["pairs"] == 2
    assert result.summary()["cosine"] == pytest.approx(0.5)


def test_pairs_are_the_references_predictions_and_split_by_agreement() -> None:
    reference, compressed = (random_maps((30, 4, 20), np.float64, seed) for seed in (7, 8))
    rng = np.random.default_rng(9)
    says, says_too = rng.random((2, 30, 4)) < 0.5
    reference[~says] = np.nan  # not predicted, so never read
    result = fidelity(reference, compressed, says, says_too)
    for score in result.scores.values():
        np.testing.assert_array_equal(np.isfinite(score), says)
    np.testing.assert_array_equal(result.agreeing, says & says_too)
    np.testing.assert_array_equal(result.differing, says & ~says_too)
    spearman = result.scores["spearman"]
    assert result.summary()["spearman"] == pytest.approx(np.nanmean(spearman))
    assert result.summary()["spearman_p5"] == pytest.approx(np.nanpercentile(spearman, 5))
    one = result.summary(result.differing & (np.arange(4) == 2))
    assert one["pairs"] == (says & ~says_too)[:, 2].sum()
    assert one["spearman"] == pytest.approx(spearman[:, 2][(says & ~says_too)[:, 2]].mean())
    assert np.isnan(result.summary(np.zeros(4, bool))["pearson"])


def test_the_floor_pairs_each_map_with_another_strips_of_its_class() -> None:
    strips, columns = 25, 60
    # Each strip and class has a peak of its own, so that a pair betrays its partner.
    reference = np.zeros((strips, 2, columns))
    for strip, label in np.ndindex(strips, 2):
        reference[strip, label, 2 * strip + label] = 1 + label
    says = np.ones((strips, 2), bool)
    says[:, 1] = np.arange(strips) < 1
    assert fidelity(reference, reference, says).summary()["same_peak"] == 1
    floor = shuffled_floor(reference, reference, says, seed=3)
    assert floor.summary()["same_peak"] == 0
    assert floor.summary()["pairs"] == strips  # the class with a single strip has no partner
    assert floor.summary()["pearson"] == pytest.approx(-1 / (columns - 1))


def test_the_floor_depends_on_the_seed_alone_and_lies_near_chance() -> None:
    reference = random_maps((300, 2, 40), np.float64, 10)
    says = np.random.default_rng(0).random((300, 2)) < 0.6
    first, again, other = (
        shuffled_floor(reference, reference, says, seed=seed) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first.scores["spearman"], again.scores["spearman"])
    assert first.summary()["spearman"] != other.summary()["spearman"]
    assert abs(first.summary()["spearman"]) < 0.05
    assert first.summary()["same_peak"] == pytest.approx(3 / 40, abs=0.05)
    nothing = shuffled_floor(reference, reference, np.zeros((300, 2), bool))
    assert nothing.summary()["pairs"] == 0


def test_a_benchmarks_worth_of_pairs_takes_seconds() -> None:
    reference, compressed = (random_maps((4000, 4, 160), np.int8, seed) for seed in (1, 2))
    begin = time.process_time()
    fidelity(reference, compressed, np.ones((4000, 4), bool))
    assert time.process_time() - begin < 10


def test_bad_input_is_refused() -> None:
    maps = random_maps((3, 2, 20), np.float64, 1)
    yes = np.ones((3, 2), bool)
    with pytest.raises(SignalError, match="same span"):
        fidelity(maps, maps[..., 1:], yes)
    with pytest.raises(SignalError, match="expected bool"):
        fidelity(maps, maps, yes.astype(int))
    with pytest.raises(SignalError, match=r"expected bool \(3, 2\)"):
        fidelity(maps, maps, yes, yes[:2])
    broken = maps.copy()
    broken[2, 1, 4] = np.inf
    with pytest.raises(SignalError, match="compressed map of strip 2, class 1"):
        fidelity(maps, broken, yes)
