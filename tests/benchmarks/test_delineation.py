"""Boundaries of waves: by construction, as people marked them, and on simulated ECG."""

from __future__ import annotations

import numpy as np
import pytest

from beatlens.errors import SignalError
from beatlens.signals.boundaries import Boundaries
from beatlens.signals.simulate import LEAD, simulate_patient
from beatlens.tasks.beats.labels import beat_track
from benchmarks.clinical.delineation import (
    GAP,
    NONE,
    REACH,
    delineate,
    marked_waves,
    neurokit_waves,
    qrs_bounds,
)

NO_WAVE = [NONE, NONE]


def triangle(width: int, height: int, length: int = 200, at: int = 100) -> np.ndarray:
    """A triangle of `2 * width - 1` samples around sample `at`."""
    x = height * (1 - np.abs(np.arange(length) - at) / width)
    return np.round(x.clip(min(0, height), max(0, height))).astype(np.int8)


@pytest.mark.parametrize("width", [4, 8, 14])
@pytest.mark.parametrize("height", [110, -110])
def test_qrs_is_as_wide_as_it_is_and_of_any_polarity(width: int, height: int) -> None:
    (begin, end), *_ = qrs_bounds(triangle(width, height), np.array([100]))
    # Steepness is averaged over three samples of a difference over two: two more on each side.
    assert 100 - width - 2 <= begin <= 100 - width + 2
    assert 100 + width - 2 <= end <= 100 + width + 3


@pytest.mark.parametrize("gap", [GAP, GAP + 1])
def test_a_gap_is_bridged_and_a_longer_one_is_not(gap: int) -> None:
    # A plateau of k equal samples between two ramps is k - 4 without steepness: a difference over
    # two samples and a mean of three reach in from both sides.
    rise = np.arange(0, 100, 20)
    plateau = np.full(gap + 4, 100)
    x = np.concatenate([np.zeros(50), rise, plateau, rise[::-1], np.zeros(50)]).astype(np.int8)
    end = qrs_bounds(x, np.array([52]))[0, 1]
    assert (end > 55 + len(plateau)) == (gap <= GAP)


def test_qrs_stays_within_reach_and_may_touch_the_recordings_ends() -> None:
    x = (100 * np.sin(np.arange(60))).astype(np.int8)
    bounds = qrs_bounds(x, np.array([0, 30, 59]))
    assert (np.abs(bounds - np.array([[0], [30], [59]])) <= REACH + 1).all()
    assert (bounds[:, 0] <= [0, 30, 59]).all()
    assert (bounds[:, 1] > [0, 30, 59]).all()


def test_waves_of_a_simulated_heart_are_in_order() -> None:
    patient = simulate_patient(3, 60)
    track = beat_track(patient.recording, patient.annotations, LEAD)
    waves = delineate(track.x, track.peaks)
    assert (waves.qrs[:, 0] <= track.peaks).all()
    assert (waves.qrs[:, 1] > track.peaks).all()
    for wave, before in ((waves.p, True), (waves.t, False)):
        there = wave[:, 0] != NONE
        assert there.mean() > 0.8
        middle = wave[there].mean(axis=1)
        assert ((middle < track.peaks[there]) == before).all()
    some = waves[np.array([2, 5])]
    assert some.qrs.tolist() == waves.qrs[[2, 5]].tolist()


def test_too_few_beats_have_no_p_and_t_and_wrong_peaks_are_refused() -> None:
    x = triangle(6, 100)
    found = delineate(x, np.array([100]))
    assert found.p.tolist() == found.t.tolist() == [NO_WAVE]
    assert found.qrs[0, 0] < 100 < found.qrs[0, 1]
    assert len(delineate(x, np.zeros(0, np.int64)).qrs) == 0
    with pytest.raises(SignalError, match=r"between 100 and 200, expected within .* 200 samples"):
        neurokit_waves(x, np.array([100, 200]), "dwt")


def test_marked_waves_go_to_their_beats() -> None:
    marked = Boundaries(
        p=np.array([[50, 60, 70], [240, 250, NONE]]),
        qrs=np.array([[80, 100, 120], [280, 300, 320], [480, 500, 520]]),
        t=np.array([[160, 180, 200], [560, 580, 600]]),
    )
    waves = marked_waves(marked, 128, np.array([101, 305, 400, 510]))
    assert waves.qrs.tolist() == [[80, 121], [280, 321], NO_WAVE, [480, 521]]
    assert waves.p.tolist() == [[50, 71], NO_WAVE, NO_WAVE, NO_WAVE]  # the second has no end
    assert waves.t.tolist() == [[160, 201], NO_WAVE, NO_WAVE, [560, 601]]
    halved = marked_waves(marked, 256, np.array([50]))
    assert halved.qrs.tolist() == [[40, 61]]
