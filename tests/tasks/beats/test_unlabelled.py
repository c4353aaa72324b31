"""Crops of patients without labels: as many as asked for, with predicted labels or hidden ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from beatlens.tasks.beats.labels import ABSENT, UNKNOWN, BeatTrack
from beatlens.tasks.beats.sampling import BeatSampler
from beatlens.tasks.beats.unlabelled import HiddenLabels, MixedCrops, label_by_predictions

CLASSES = ("n", "s", "v", "f")


def track_with(labels: list[int], level: int) -> BeatTrack:
    """Beats 100 samples apart on a level line."""
    n = 100 * (len(labels) + 2)
    peaks = np.arange(1, len(labels) + 1) * 100
    x, features = np.full(n, level, np.int8), np.zeros((len(labels), 8), np.int64)
    return BeatTrack("a", "b", x, np.ones(n, bool), peaks, np.array(labels), features, 128, n)


LABELLED = BeatSampler([track_with([0, 1] * 60, 10)], CLASSES, 1, {})
OTHERS = BeatSampler([track_with([2] * 60, -10)], CLASSES, 2, {})
FIBRILLATING = BeatSampler([track_with([ABSENT] * 60, -20)], CLASSES, 3, {})


def mixed(share: float) -> MixedCrops:
    return MixedCrops(LABELLED, [(HiddenLabels(OTHERS), share)], 5)


@pytest.mark.parametrize("share", [0.0, 0.25, 0.4, 0.6, 1.0])
def test_the_share_is_kept_and_its_labels_are_hidden(share: float) -> None:
    windows, peaks, labels, features = mixed(share).batch(0, 400)
    other = windows.mean(axis=1) < 0
    assert other.mean() == pytest.approx(share, abs=0.05)
    assert share > 0.01 or not other.any()
    assert share < 0.99 or other.all()
    assert (labels[other] == UNKNOWN).all()
    assert (labels[~other][peaks[~other] >= 0] != UNKNOWN).all()
    assert ((peaks >= 0).sum(axis=1) > 5).all()
    assert features.shape == (400, 32, 8)


def test_several_sources_have_their_shares_and_labels() -> None:
    crops = MixedCrops(LABELLED, [(FIBRILLATING, 0.25), (OTHERS, 0.35)], 5)
    windows, peaks, labels, _ = crops.batch(0, 400)
    level, first = windows.mean(axis=1).round(2), labels[:, 0]
    fibrillating, others, rest = (first == ABSENT), (first == 2), (first == 0) | (first == 1)
    assert fibrillating.mean() == pytest.approx(0.25, abs=0.05)
    assert others.mean() == pytest.approx(0.35, abs=0.05)
    assert (fibrillating | others | rest).all()
    assert len(set(level[fibrillating])) == len(set(level[others])) == 1
    assert (peaks[fibrillating] >= 0).any(axis=1).all()


def test_a_crop_depends_on_its_number_only() -> None:
    for part, whole in zip(mixed(0.4).batch(40, 8), mixed(0.4).batch(0, 48), strict=True):
        np.testing.assert_array_equal(part, whole[40:])
    np.testing.assert_array_equal(mixed(0).batch(3, 5)[2], LABELLED.batch(3, 5)[2])


def test_which_source_a_crop_is_of_says_nothing_of_where_it_is_placed() -> None:
    labels = [0] * 400
    labels[200] = CLASSES.index("s")
    rare = BeatSampler([track_with(labels, 10)], CLASSES, 5, {"s": 0.4})
    for crops in (rare, MixedCrops(rare, [(HiddenLabels(OTHERS), 0.5)], 5)):
        windows, _, labels, _ = crops.batch(0, 800)
        of_rare = labels[windows.mean(axis=1) > 0]
        assert (of_rare == CLASSES.index("s")).any(axis=1).mean() == pytest.approx(0.4, abs=0.06)


def test_crops_are_placed_where_the_teacher_decided() -> None:
    track = replace(track_with([0] * 400, 0), labels=np.full(400, UNKNOWN))
    decided = np.zeros(400, np.int64)
    decided[200] = CLASSES.index("s")
    sampler = BeatSampler(label_by_predictions([track], [decided]), CLASSES, 0, {"s": 1.0})
    assert (sampler.batch(0, 20)[2] == CLASSES.index("s")).any(axis=1).all()
    assert (track.labels == UNKNOWN).all()
