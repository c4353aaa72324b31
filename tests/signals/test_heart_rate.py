"""Heart rate by its stated rule, with values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from beatlens.errors import SignalError
from beatlens.signals.heart_rate import (
    LONGEST_RR_S,
    heart_rate,
    longest_interval,
    rr_intervals,
    windowed_rates,
)


def peaks_of(*parts: tuple[int, float]) -> np.ndarray:
    """R peaks from 0 s: for each part its number of intervals and their length."""
    return np.concatenate([[0.0], np.cumsum(np.concatenate([[s] * n for n, s in parts]))])


def test_least_and_most_are_of_eight_intervals() -> None:
    rate = heart_rate(peaks_of((8, 1.5), (8, 1.0), (8, 0.5)))
    assert rate.least == pytest.approx(40.0)
    assert rate.most == pytest.approx(120.0)
    assert rate.mean == pytest.approx(60.0 * 24 / (12 + 8 + 4))
    assert rate.least_at_s == pytest.approx(6.0)
    assert rate.most_at_s == pytest.approx(22.0)
    assert rate.intervals == 24


def test_one_early_beat_with_its_pause_is_not_the_fastest() -> None:
    rate = heart_rate(peaks_of((10, 1.0), (1, 0.5), (1, 1.5), (10, 1.0)))
    assert rate.most == pytest.approx(60.0 * 8 / 7.5)
    assert rate.least == pytest.approx(60.0 * 8 / 8.5)
    assert rate.mean == pytest.approx(60.0)


def test_seven_intervals_have_a_mean_and_no_extremes() -> None:
    rate = heart_rate(peaks_of((7, 0.75)))
    assert rate.mean == pytest.approx(80.0)
    assert (rate.least, rate.most, rate.least_at_s, rate.most_at_s) == (None,) * 4


@pytest.mark.parametrize("count", [0, 1])
def test_without_an_interval_there_is_no_rate(count: int) -> None:
    rate = heart_rate(np.zeros(count))
    assert (rate.mean, rate.least, rate.most, rate.intervals) == (None, None, None, 0)
    assert longest_interval(np.zeros(count)) is None


def test_a_break_is_in_no_window_and_is_no_pause() -> None:
    peaks = np.concatenate([np.arange(9) * 1.0, 14.0 + np.arange(9) * 0.5])
    rate = heart_rate(peaks, [(8.5, 13.5)])
    assert (rate.least, rate.most) == (pytest.approx(60.0), pytest.approx(120.0))
    assert rate.mean == pytest.approx(60.0 * 16 / 12)
    assert longest_interval(peaks, [(8.5, 13.5)]) == (0.0, 1.0)
    assert longest_interval(peaks) == (8.0, 6.0)
    assert heart_rate(peaks).least == pytest.approx(60.0 * 8 / (7 + 6))


@pytest.mark.parametrize(
    ("gap", "touched"),
    [
        ((1.0, 1.5), [1]),
        ((0.5, 1.5), [0, 1]),
        ((2.0, 3.0), [2]),
        ((1.2, 1.8), [1]),
        ((9.0, 10.0), []),
    ],
)
def test_which_intervals_a_break_touches(gap: tuple[float, float], touched: list[int]) -> None:
    intervals = rr_intervals(np.arange(6.0), [gap])
    assert np.flatnonzero(np.isnan(intervals)).tolist() == touched


def test_longer_than_the_longest_interval_is_a_break() -> None:
    intervals = rr_intervals(np.array([0.0, LONGEST_RR_S, 2 * LONGEST_RR_S + 0.1]))
    assert np.isnan(intervals).tolist() == [False, True]


def test_windows_start_at_each_peak() -> None:
    middles, rates = windowed_rates(np.arange(11) * 1.0)
    assert middles.tolist() == [4.0, 5.0, 6.0]
    assert rates.tolist() == [60.0, 60.0, 60.0]


@pytest.mark.parametrize("bad", [[0.0, 1.0, 1.0], [1.0, 0.0], [0.0, np.nan], [[0.0, 1.0]]])
def test_peaks_out_of_order_are_refused(bad: list) -> None:
    with pytest.raises(SignalError, match="R peak"):
        rr_intervals(np.array(bad))
