"""Features of the rhythm: what regular, ectopic and fibrillating hearts give, and streams of it."""

from __future__ import annotations

import numpy as np
import pytest

from beatlens.errors import SignalError
from beatlens.signals.frontend import FrontEnd
from beatlens.signals.qrs import detect_qrs
from beatlens.signals.rhythm_features import (
    FEWEST,
    INTERVALS,
    UNKNOWN,
    RhythmFeatures,
    RhythmTracker,
    rhythm_features,
    track_rhythm,
)

from ..runtime.cases import GAIN, RATE, ecg_counts


def of(*intervals: int) -> tuple[int, ...]:
    return rhythm_features(np.cumsum([1000, *intervals]))


def test_a_regular_rhythm_is_0_and_a_random_one_is_not() -> None:
    assert of(*20 * [100]) == (0, 0)
    random = np.random.default_rng(1).integers(60, 140, 40).tolist()
    assert of(*random) == (UNKNOWN, UNKNOWN)


def test_premature_beats_and_their_pauses_do_not_count() -> None:
    sinus, alternate = of(*10 * [100, 100, 100, 60, 140])
    assert sinus == 0
    assert alternate > 10


def test_every_second_beat_premature_is_regular_at_the_second_look() -> None:
    assert of(*20 * [60, 140])[1] == 0


def test_by_hand() -> None:
    # Median 100; 80 is early (below 87.5), and 118 comes after it. Kept: 100 102 104 100 102.
    # Differences 2 2 4 2, median 2; mean 508 / 5; 2 * 256 * 5 // 508 = 5.
    # Two apart: 20 16 4 16 2 ... of 100 102 80 118 104 100 102: 20 16 24 18 2, median 18.
    intervals = (100, 102, 80, 118, 104, 100, 102)
    assert of(*intervals) == (5, min(UNKNOWN, 18 * 256 * 7 // sum(intervals)))


@pytest.mark.parametrize("count", range(FEWEST))
def test_a_few_intervals_say_nothing(count: int) -> None:
    assert of(*count * [100]) == (UNKNOWN, UNKNOWN)
    assert rhythm_features(np.array([], np.int64)) == (UNKNOWN, UNKNOWN)


def test_only_the_last_intervals_count() -> None:
    wild = np.random.default_rng(2).integers(60, 140, 30).tolist()
    assert of(*wild, *INTERVALS * [100]) == (0, 0)


def test_a_long_pause_counts_as_eight_minutes() -> None:
    assert of(*20 * [100], 10**7, *20 * [100])[0] <= 1


def test_peaks_come_in_time_order() -> None:
    rhythm = RhythmFeatures()
    rhythm.push(10)
    with pytest.raises(SignalError, match="after the last at 10"):
        rhythm.push(10)


def test_a_stream_in_pieces_has_the_same_features_at_the_same_samples() -> None:
    x = FrontEnd(RATE, GAIN).run(ecg_counts(40)).x
    ends = list(range(1280, len(x) + 1, 128))
    whole = track_rhythm(x, ends)
    pieces, tracker, at = [], RhythmTracker(), 0
    for end in ends:
        for start in range(at, end, 37):
            found = tracker.push(x[start : min(start + 37, end)])
        pieces.append(found)
        at = end
    assert whole.tolist() == [list(found) for found in pieces]
    late = [peak for peak in detect_qrs(x).tolist() if peak < ends[-1] - 128]
    assert len(late) > 20
    assert (whole[-1] < UNKNOWN).any()
