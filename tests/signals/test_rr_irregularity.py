"""How erratic a rhythm is: what it says of hearts that are regular, irregular and fibrillating."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beatlens.errors import SignalError
from beatlens.signals.databases import find_database
from beatlens.signals.qrs import detect_qrs
from beatlens.signals.rr_features import BINS, rr_features
from beatlens.signals.rr_irregularity import (
    DISTANCES,
    FEWEST,
    STEPS,
    RRIrregularity,
    rr_irregularity,
)
from beatlens.tasks.windows.tracks import condition


def peaks_of(intervals: list[int]) -> np.ndarray:
    return np.cumsum([50, *intervals])


@pytest.mark.parametrize(
    "turns", [[100], [60, 140], [100, 60, 140], [100, 100, 60, 140], [100, 99, 101, 60, 140]]
)
def test_what_comes_again_is_not_erratic(turns: list[int]) -> None:
    assert rr_irregularity(peaks_of(turns * 30))[-1] <= STEPS // 100
    if len(turns) in (2, 3):
        assert rr_features(peaks_of(turns * 30))[-1, 5] > 20  # as `rr_variability` has it


def test_fibrillation_is_erratic_and_few_early_beats_are_not() -> None:
    rng = np.random.default_rng(0)
    assert rr_irregularity(peaks_of(rng.integers(60, 140, 200).tolist()))[-1] > 10
    sinus = rng.integers(98, 103, 200)
    sinus[::7] -= 35
    sinus[1::7] += 35
    assert rr_irregularity(peaks_of(sinus.tolist()))[-1] <= 3


def test_it_is_the_median_distance_from_the_nearest_of_four() -> None:
    intervals = np.random.default_rng(1).integers(40, 200, 150)
    found = rr_irregularity(peaks_of(intervals.tolist()))
    assert found[: FEWEST + 1].tolist() == [0] * (FEWEST + 1)
    for beat in (FEWEST + 1, 40, 90, 150):
        before = intervals[:beat]  # those up to the beat
        distances = [
            min(abs(int(before[i]) - int(other)) for other in before[max(0, i - 4) : i])
            for i in range(1, beat)
        ][-DISTANCES:]
        mean = before[:-1][-32:].mean()
        median = np.sort(distances)[len(distances) // 2]
        assert found[beat] == min(BINS - 1, int(median * STEPS / mean + 1e-9))


def test_nothing_is_said_of_few_beats() -> None:
    assert rr_irregularity(np.zeros(0, np.int64)).tolist() == []
    assert rr_irregularity(np.array([7])).tolist() == [0]


def test_peaks_out_of_order_are_refused() -> None:
    with pytest.raises(SignalError, match="R peak at 90, expected one after the last at 100"):
        rr_irregularity(np.array([0, 100, 90]))


@given(st.lists(st.integers(1, 100_000), max_size=120))
def test_streams_say_the_same(intervals: list[int]) -> None:
    peaks = peaks_of(intervals)
    beats = RRIrregularity()
    found = rr_irregularity(peaks)
    assert [beats.push(int(peak)) for peak in peaks] == found.tolist()
    assert ((found >= 0) & (found < BINS)).all()


def test_a_fibrillating_heart_and_one_with_many_early_beats(data_dir: Path) -> None:
    """203 fibrillates; 209 has a supraventricular beat in nine, 119 a ventricular one in five."""
    mitdb = find_database("mitdb", data_dir)

    def median(record: str) -> float:
        peaks = detect_qrs(condition(mitdb.read(record), "MLII").x)
        return float(np.median(rr_irregularity(peaks)))

    assert median("203") > 2 * max(median("209"), median("119"))
