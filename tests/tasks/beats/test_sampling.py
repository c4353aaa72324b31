"""Crops of beats: reproducible, placed as asked, with the beats that are in them."""

from __future__ import annotations

import numpy as np
import pytest

from beatlens.errors import DataError
from beatlens.signals.frontend import LSB_MV
from beatlens.tasks.beats.labels import AFTER, BEFORE, UNKNOWN, BeatTrack
from beatlens.tasks.beats.sampling import CROP_CONTEXT, MAX_BEATS, BeatSampler
from beatlens.tasks.common.crops import Augmentation
from beatlens.tasks.common.runs import CROP_SPAN

CLASSES = ("n", "s", "v", "f")


def track_with(labels: list[int], record: str = "a", database: str = "mitdb") -> BeatTrack:
    """Beats 100 samples apart; each sample is its own number, modulo 100."""
    n = 100 * (len(labels) + 2)
    peaks = np.arange(1, len(labels) + 1) * 100
    x = (np.arange(n) % 100).astype(np.int8)
    features = np.tile(peaks[:, None] // 100, (1, 7)) % 32
    return BeatTrack(
        record, database, x, np.ones(n, bool), peaks, np.array(labels), features, 128, n
    )


def test_crops_are_reproducible_and_all_different() -> None:
    sampler = BeatSampler([track_with([0] * 100)], CLASSES, 3, {}, augmentation=Augmentation())
    again = BeatSampler([track_with([0] * 100)], CLASSES, 3, {}, augmentation=Augmentation())
    for one, other in zip(sampler.batch(5, 4), again.batch(5, 4), strict=True):
        assert (one == other).all()
    first, second = sampler.batch(0, 2)[0]
    assert (first != second).any()


def test_the_beats_of_a_crop_are_where_it_says() -> None:
    sampler = BeatSampler([track_with([0, 1, 2, 3] * 30)], CLASSES, 0, {})
    windows, peaks, labels, features = sampler.batch(0, 50)
    assert windows.shape == (50, CROP_SPAN + 2 * CROP_CONTEXT)
    assert peaks.shape == labels.shape == (50, MAX_BEATS)
    real = peaks >= 0
    assert real.sum(axis=1).min() >= 6
    assert peaks[real].min() >= BEFORE
    assert peaks[real].max() < CROP_SPAN - AFTER
    assert (labels[~real] == UNKNOWN).all()
    rows = np.nonzero(real)[0]
    at_peak = windows[rows, peaks[real] + CROP_CONTEXT] / LSB_MV
    assert np.abs(at_peak).max() < 1e-4  # a peak is where the samples' numbers begin again
    number = features[real][:, 0]
    assert ((number - 1) % 4 == labels[real]).all()


def test_crops_are_placed_on_the_class_asked_for() -> None:
    rare = [0] * 200
    rare[100] = CLASSES.index("v")
    sampler = BeatSampler([track_with(rare)], CLASSES, 0, {"v": 1.0})
    labels = sampler.batch(0, 30)[2]
    assert (labels == CLASSES.index("v")).any(axis=1).all()


def test_a_patient_with_many_beats_does_not_drown_one_with_few() -> None:
    many, few = track_with([1] * 400, "many"), track_with([1] * 4 + [0] * 100, "few")
    sampler = BeatSampler([many, few], CLASSES, 0, {"s": 1.0})
    labels = sampler.batch(0, 400)[2]
    from_few = (labels == 0).any(axis=1).mean()
    assert 0.04 < from_few < 0.16  # 2 to 20; by beats alone 1 to 100


def test_weights_of_databases_hold_for_both_ways_of_placing() -> None:
    one, other = track_with([1] * 100), track_with([2] * 100, "b", "svdb")
    sampler = BeatSampler([one, other], CLASSES, 0, {"s": 0.5}, {"mitdb": 1.0, "svdb": 0.0})
    labels = sampler.batch(0, 60)[2]
    assert set(labels[labels != UNKNOWN]) == {1}


def test_recordings_too_short_are_refused() -> None:
    with pytest.raises(DataError, match="no training recording is as long as one crop"):
        BeatSampler([track_with([0])], CLASSES, 0, {})
