"""Crops of patients without labels: as many as asked for, placed by decisions, not told."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from beatlens.tasks.beat_sampling import BeatSampler
from beatlens.tasks.beats import CLASSES, UNKNOWN, BeatTrack
from beatlens.tasks.unlabelled_crops import MixedCrops, placed_by


def track_with(labels: list[int], level: int) -> BeatTrack:
    """Beats 100 samples apart on a level line."""
    n = 100 * (len(labels) + 2)
    peaks = np.arange(1, len(labels) + 1) * 100
    x, contexts = np.full(n, level, np.int8), np.zeros((len(labels), 8), np.int64)
    return BeatTrack("a", "b", x, np.ones(n, bool), peaks, np.array(labels), contexts, 128, n)


LABELLED = BeatSampler([track_with([0, 1] * 60, 10)], 1, {})


def mixed(share: float) -> MixedCrops:
    return MixedCrops(LABELLED, BeatSampler([track_with([2] * 60, -10)], 2, {}), share)


@pytest.mark.parametrize("share", [0.0, 0.25, 0.4, 0.6, 1.0])
def test_the_share_is_kept_evenly_and_its_labels_are_not_told(share: float) -> None:
    windows, peaks, labels, contexts = mixed(share).batch(0, 100)
    other = windows.mean(axis=1) < 0
    assert other.sum() == round(100 * share)
    assert np.abs(np.cumsum(other) - share * np.arange(1, 101)).max() <= 1
    assert (labels[other] == UNKNOWN).all()
    assert (labels[~other][peaks[~other] >= 0] != UNKNOWN).all()
    assert ((peaks >= 0).sum(axis=1) > 5).all()
    assert contexts.shape == (100, 32, 8)


def test_a_crop_depends_on_its_number_only() -> None:
    for mine, theirs in zip(mixed(0.4).batch(40, 8), mixed(0.4).batch(0, 48), strict=True):
        np.testing.assert_array_equal(mine, theirs[40:])
    np.testing.assert_array_equal(mixed(0).batch(3, 5)[2], LABELLED.batch(3, 5)[2])


def test_crops_are_placed_where_the_teacher_decided() -> None:
    track = replace(track_with([0] * 400, 0), labels=np.full(400, UNKNOWN))
    decided = np.zeros(400, np.int64)
    decided[200] = CLASSES.index("s")
    sampler = BeatSampler(placed_by([track], [decided]), 0, {"s": 1.0})
    assert (sampler.batch(0, 20)[2] == CLASSES.index("s")).any(axis=1).all()
    assert (track.labels == UNKNOWN).all()
