"""RR features: what they say of known rhythms, and that streams say the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beatlens.errors import SignalError
from beatlens.signals.rr_features import BINS, FEATURES, RRFeatures, rr_features

EARLY, PAUSE, SLOW, CHANGE, BALANCE, IRREGULAR = range(len(FEATURES))


def peaks_of(intervals: list[int]) -> np.ndarray:
    return np.cumsum([0, *intervals])


def test_a_premature_beat_is_early_and_followed_by_a_pause() -> None:
    found = rr_features(peaks_of([100] * 20 + [60, 140] + [100] * 5))
    assert found[21, EARLY] == 60 * 16 // 100
    assert found[21, PAUSE] == 140 * 16 // 100
    assert found[21, CHANGE] == 60 * 16 // 100
    assert found[21, BALANCE] == 60 * 16 // 140
    assert found[22, EARLY] == 140 * 16 * 8 // 760
    assert found[22, CHANGE] == 31
    assert (found[:20, :IRREGULAR] == 16).all()


def test_a_run_of_fast_beats_stays_early_by_what_was_usual_longer_ago() -> None:
    found = rr_features(peaks_of([120] * 32 + [60] * 12))
    last = found[-2]
    assert last[EARLY] == 16  # the last eight intervals are as short
    assert last[SLOW] == 60 * 16 * 32 // (10 * 60 + 22 * 120)


def test_an_irregular_rhythm_is_told_from_a_regular_one() -> None:
    rng = np.random.default_rng(0)
    irregular = rr_features(peaks_of(rng.integers(60, 140, 100).tolist()))
    regular = rr_features(peaks_of(rng.integers(98, 103, 100).tolist()))
    assert irregular[50:, IRREGULAR].min() > 5 > regular[50:, IRREGULAR].max()


@given(st.lists(st.integers(1, 3000), max_size=120))
def test_every_value_is_a_step_and_the_future_beyond_one_beat_does_not_matter(
    intervals: list[int],
) -> None:
    peaks = peaks_of(intervals)
    found = rr_features(peaks)
    assert found.shape == (len(peaks), len(FEATURES))
    assert found.min() >= 0
    assert found.max() < BINS
    some = len(peaks) // 2
    assert (rr_features(peaks[: some + 1])[:some] == found[:some]).all()


def test_where_early_beats_are_the_rule_pauses_tell_that_they_are_early() -> None:
    found = rr_features(peaks_of([90, 90, 90, 240] * 12))
    early, late = found[30:44, EARLY][found[30:44, CHANGE] == 16], found[44, EARLY]
    assert early.max() < 14 < 16 < late


def test_no_beat_no_context() -> None:
    assert rr_features(np.zeros(0, np.int64)).shape == (0, len(FEATURES))
    assert RRFeatures().end() is None


def test_a_stream_that_ended_begins_anew() -> None:
    features = RRFeatures()
    for peak in (0, 50, 100):
        features.push(peak)
    features.end()
    assert features.push(10) is None
    assert features.push(110) == (16, 16, 16, 16, 16, 0)


def test_peaks_out_of_order_are_refused() -> None:
    with pytest.raises(SignalError, match="R peak at 90, expected one after the last at 100"):
        rr_features(np.array([0, 100, 90]))
