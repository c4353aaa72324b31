"""MorphologySimilarity: what it says of usual and unusual beats, and that streams say the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beatlens.errors import SignalError
from beatlens.signals.databases import find_database
from beatlens.signals.morphology import (
    BEFORE,
    LENGTH,
    REMEMBERED,
    SEEN,
    SHIFT,
    STEPS,
    MorphologySimilarity,
    cut_qrs,
    morphology_similarity,
)
from beatlens.tasks.beats.labels import beat_track

from ..tasks.recipes import beat_recipe

WIDE = np.array([10, 30, 60, 80, 90, 100, 90, 80, 60, 20, -20, -50, -70, -60, -40, -20], np.int8)
NARROW = np.array([-10, 30, 90, 120, 90, 30, -20, -5], np.int8)


def signal(shapes: list[np.ndarray], shifts: list[int] | None = None) -> tuple[np.ndarray, ...]:
    """Shapes 100 samples apart, and where their peaks are said to be."""
    x = np.zeros(100 * len(shapes) + 100, np.int8)
    peaks = 100 * np.arange(1, len(shapes) + 1)
    for peak, shape in zip(peaks, shapes, strict=True):
        x[peak - 4 : peak - 4 + len(shape)] = shape
    return x, peaks if shifts is None else peaks + np.array(shifts)


def test_an_unusual_beat_is_unlike_and_the_next_is_as_usual() -> None:
    x, peaks = signal([NARROW] * 20 + [WIDE] + [NARROW] * 3)
    found = morphology_similarity(x, peaks)
    assert (found[:20] == STEPS).all()
    assert found[20] == 0
    assert (found[21:] == STEPS * 15 // 16).all()


def test_a_heart_whose_usual_beat_is_wide_is_no_exception() -> None:
    x, peaks = signal([WIDE] * 20 + [NARROW])
    assert (morphology_similarity(x, peaks)[:20] == STEPS).all()
    assert morphology_similarity(x, peaks)[20] == 0


def test_of_two_kinds_in_turns_each_is_like_half() -> None:
    x, peaks = signal([NARROW, WIDE] * 20)
    assert (morphology_similarity(x, peaks)[16:] == STEPS // 2).all()


def test_only_the_last_beats_count() -> None:
    x, peaks = signal([NARROW] * 20 + [WIDE] * (REMEMBERED + 1))
    found = morphology_similarity(x, peaks)[20:]
    assert found.tolist() == [STEPS * n // REMEMBERED for n in range(REMEMBERED + 1)]


def test_size_and_level_do_not_matter_and_polarity_does() -> None:
    small = (NARROW // 3).astype(np.int8)
    x, peaks = signal([NARROW, small, -NARROW])
    assert morphology_similarity(x, peaks).tolist() == [STEPS, STEPS, 0]
    raised = np.clip(x.astype(int) // 2 + 50, -127, 127).astype(np.int8)
    assert morphology_similarity(raised, peaks).tolist() == [STEPS, STEPS, 0]


@pytest.mark.parametrize(("shift", "like"), [(0, True), (2, True), (-2, True), (4, False)])
def test_peaks_may_be_a_little_off(shift: int, like: bool) -> None:
    x, peaks = signal([NARROW, NARROW], [0, shift])
    assert morphology_similarity(x, peaks)[1] == (STEPS if like else 0)


def test_a_flat_signal_is_like_nothing() -> None:
    assert morphology_similarity(np.zeros(1000, np.int8), np.array([100, 300, 500])).tolist() == [
        STEPS,
        0,
        0,
    ]
    assert morphology_similarity(np.zeros(0, np.int8), np.zeros(0, np.int64)).tolist() == []


@given(st.integers(0, 2**32 - 1), st.sampled_from([2, 20, 127]))
def test_it_is_pearsons_correlation(seed: int, scale: int) -> None:
    rng = np.random.default_rng(seed)
    common = rng.normal(0, 1, SEEN + 40)
    mix = rng.uniform(0.5, 1, 2)[:, None]
    both = scale / 3 * (mix * common + (1 - mix) * rng.normal(0, 1, (2, SEEN + 40)))
    x = np.clip(both, -128, 127).astype(np.int8).ravel()
    peaks = np.array([30, 30 + SEEN + 40])

    def qrs(peak: int) -> np.ndarray:
        return x[peak - BEFORE : peak - BEFORE + LENGTH].astype(float)

    with np.errstate(invalid="ignore", divide="ignore"):
        found = [
            np.corrcoef(qrs(peaks[1]), qrs(peaks[0] + shift))[0, 1]
            for shift in range(-SHIFT, SHIFT + 1)
        ]
    best = np.nanmax([-1, *found])
    if abs(best - 0.9) > 1e-9:  # where floats can tell
        assert morphology_similarity(x, peaks)[1] == (STEPS if best > 0.9 else 0)


@given(st.integers(0, 2**32 - 1), st.integers(1, 40))
def test_streams_say_the_same(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    shapes = [(NARROW, WIDE)[i] for i in rng.integers(0, 2, count)]
    x, peaks = signal(shapes, rng.integers(-3, 4, count).tolist())
    x = np.clip(x + rng.normal(0, 12, len(x)), -128, 127).astype(np.int8)
    beats = MorphologySimilarity()
    assert [beats.push(one) for one in cut_qrs(x, peaks)] == morphology_similarity(
        x, peaks
    ).tolist()


def test_what_is_beyond_the_ends_is_zero() -> None:
    x = np.arange(1, 41, dtype=np.int8)
    first, last = cut_qrs(x, np.array([0, 39]))
    assert first.tolist() == [0] * (BEFORE + SHIFT) + list(range(1, 19))
    assert last.tolist() == list(range(30, 41)) + [0] * 17


def test_other_samples_are_refused() -> None:
    for wrong in (np.zeros(SEEN), np.zeros(SEEN - 1, np.int8)):
        with pytest.raises(SignalError, match=r"expected int8 \[28\]"):
            MorphologySimilarity().push(wrong)


@pytest.mark.parametrize("record", ["119", "109", "116"])
def test_real_ventricular_beats_are_unlike_the_usual_one(mitdb_dir: Path, record: str) -> None:
    mitdb = find_database("mitdb", mitdb_dir.parent)
    classes = beat_recipe().task.classes
    codes = tuple(one.beats for one in classes.values())
    track = beat_track(mitdb.read(record), mitdb.annotations(record), "MLII", codes)
    found = morphology_similarity(track.x, track.peaks)
    normal, ventricular = (found[track.labels == list(classes).index(c)] for c in "nv")
    assert len(ventricular) > 20
    assert np.median(normal) > 20 > np.median(ventricular)
