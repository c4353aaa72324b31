"""Crops of whole recordings: reproducible, as long as asked, with the beats that are in them."""

from __future__ import annotations

import numpy as np
import pytest

from beatlens.errors import DataError, RecipeError
from beatlens.signals.frontend import LSB_MV
from beatlens.tasks.common.crops import Augmentation
from beatlens.tasks.recordings.labels import RecordingTrack, rr_shares
from beatlens.tasks.recordings.sampling import (
    CROP_CONTEXT,
    SPAN_GRID,
    CropDraw,
    RecordingSampler,
)

CLASSES = ("normal", "afib", "other", "noise")

PERIOD = 120


def ramp(seconds: int, label: int = 0) -> RecordingTrack:
    """Each sample is its own number modulo `PERIOD`, and 1; a beat every 60 samples, whose first
    two features are its number."""
    n = seconds * 128
    peaks = np.arange(30, n, 60)
    features = np.zeros((len(peaks), 6), np.int64)
    features[:, 1], features[:, 0] = np.divmod(np.arange(len(peaks)), 32)
    x = (1 + np.arange(n) % PERIOD).astype(np.int8)
    return RecordingTrack(f"r{seconds}", "made", x, peaks, features, label)


def make_draw(seconds: float = 30.0, shortest: float | None = None, **changes: object) -> CropDraw:
    return CropDraw(seconds, seconds if shortest is None else shortest, **changes)


def test_crops_depend_on_seed_and_index_only() -> None:
    draw = make_draw(10, 5, flips=0.5, augmentation=Augmentation())
    tracks = [ramp(40), ramp(20, 1), ramp(9, 2)]
    sampler, again = (
        RecordingSampler(tracks, CLASSES, 3, draw),
        RecordingSampler(tracks, CLASSES, 3, draw),
    )
    again.batch(0, 3)
    for one, other in zip(sampler.batch(5, 4), again.batch(5, 4), strict=True):
        assert (one == other).all()
        assert one.dtype == other.dtype
    for one, of_batch in zip(sampler.crop(7), sampler.batch(5, 4), strict=True):
        assert (one == of_batch[2]).all()
    windows = sampler.batch(0, 8)[0]
    assert len({window.tobytes() for window in windows}) == 8
    assert (RecordingSampler(tracks, CLASSES, 4, draw).batch(0, 8)[0] != windows).any()


def test_batches_are_as_they_say() -> None:
    sampler = RecordingSampler([ramp(40), ramp(20, 3)], CLASSES, 0, make_draw(30))
    windows, lengths, labels, rr = sampler.batch(0, 40)
    assert sampler.span == 30 * 128
    assert windows.shape == (40, 2 * CROP_CONTEXT + sampler.span)
    assert windows.dtype == rr.dtype == np.float32
    assert lengths.dtype == labels.dtype == np.int64
    assert set(lengths[labels == 0]) == {30 * 128}
    assert set(lengths[labels == 3]) == {20 * 128}


def test_a_crop_is_a_piece_of_its_recording_with_its_beats() -> None:
    track = ramp(40)
    sampler = RecordingSampler([track], CLASSES, 0, make_draw(10, 5))
    starts = set()
    for index in range(30):
        window, length, _, rr = sampler.crop(index)
        n = int(length)
        assert 5 * 128 <= n <= 10 * 128
        piece = np.round(window / np.float32(LSB_MV)).astype(int)
        inside = piece[CROP_CONTEXT : CROP_CONTEXT + n]
        assert (np.diff(inside) % PERIOD == 1).all()
        assert (piece[:CROP_CONTEXT] == inside[0]).all()
        assert (piece[CROP_CONTEXT + n :] == inside[-1]).all()
        # Which of the periods it begins in, its beats have to say.
        fits = [
            start
            for start in range(int(inside[0] - 1), len(track.x) - n + 1, PERIOD)
            if np.array_equal(rr, shares_in(track, start, n))
        ]
        assert len(fits) == 1
        starts.add(fits[0])
    assert len(starts) > 25
    assert max(starts) > 25 * 128


def shares_in(track: RecordingTrack, start: int, length: int) -> np.ndarray:
    numbers = [i for i, peak in enumerate(track.peaks) if start <= peak < start + length]
    return rr_shares(track.features[numbers])


def test_a_short_recording_is_taken_whole() -> None:
    track = ramp(9)
    window, length, _, rr = RecordingSampler([track], CLASSES, 0, make_draw(30, 20)).crop(0)
    assert length == 9 * 128
    inside = window[CROP_CONTEXT : CROP_CONTEXT + 9 * 128] / np.float32(LSB_MV)
    assert (np.round(inside) == track.x).all()
    assert (window[CROP_CONTEXT + 9 * 128 :] == window[CROP_CONTEXT + 9 * 128 - 1]).all()
    assert (rr == track.rr_shares).all()


def test_the_end_of_a_recording_is_reached() -> None:
    track = ramp(11)
    sampler = RecordingSampler([track], CLASSES, 0, make_draw(10, 10))
    lasts = {int(np.round(sampler.crop(i)[0][-1] / LSB_MV)) for i in range(600)}
    last = int(track.x[-1])
    assert last in lasts
    assert int(track.x[10 * 128 - 1]) in lasts


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_as_many_crops_are_upside_down_as_asked(share: float) -> None:
    sampler = RecordingSampler([ramp(12)], CLASSES, 0, make_draw(10, 10, flips=share))
    other = RecordingSampler([ramp(12)], CLASSES, 0, make_draw(10, 10))
    turned = []
    for index in range(300):
        window, upright = sampler.crop(index)[0], other.crop(index)[0]
        turned.append((window < 0).all())
        assert (window == (-upright if turned[-1] else upright)).all()
    assert np.mean(turned) == pytest.approx(share, abs=0.08)


def test_classes_are_drawn_as_their_weights_say() -> None:
    tracks = [ramp(10), ramp(10), ramp(10, 1), ramp(10, 2)]
    weights = {"afib": 3.0, "other": 0.0}
    labels = RecordingSampler(tracks, CLASSES, 0, make_draw(5, weights=weights)).batch(0, 1000)[2]
    found = np.bincount(labels, minlength=len(CLASSES)) / 1000
    assert found == pytest.approx([2 / 5, 3 / 5, 0, 0], abs=0.05)
    evenly = RecordingSampler(tracks, CLASSES, 0, make_draw(5)).batch(0, 1000)[2]
    assert np.bincount(evenly, minlength=4) / 1000 == pytest.approx([0.5, 0.25, 0.25, 0], abs=0.05)


def test_augmentation_changes_a_crop_and_nothing_that_is_known_of_it() -> None:
    made = Augmentation(gain=(0.5, 0.5), wander_mv=0.0, noise_mv=0.0)
    sampler = RecordingSampler([ramp(12)], CLASSES, 0, make_draw(10, 5, augmentation=made))
    other = RecordingSampler([ramp(12)], CLASSES, 0, make_draw(10, 5))
    for changed, kept in zip(sampler.batch(0, 5)[1:], other.batch(0, 5)[1:], strict=True):
        assert (changed == kept).all()
    halved = sampler.batch(0, 5)[0] - other.batch(0, 5)[0] / 2
    assert np.abs(halved).max() <= 0.5 * LSB_MV + 1e-6


@pytest.mark.parametrize("seconds", [5.0, 5.03, 10.1, 60.7])
def test_spans_are_whole_columns(seconds: float) -> None:
    draw = make_draw(seconds)
    assert draw.span % SPAN_GRID == 0
    assert abs(draw.span / 128 - seconds) <= SPAN_GRID / 2 / 128
    sampler = RecordingSampler([ramp(70)], CLASSES, 0, draw)
    lengths = sampler.batch(0, 20)[1]
    assert lengths.max() <= draw.span


@pytest.mark.parametrize(
    ("seconds", "shortest", "flips"), [(10, 0.5, 0), (5, 6, 0), (10, 5, 1.1), (10, 5, -0.1)]
)
def test_draws_that_cannot_be_are_refused(seconds: float, shortest: float, flips: float) -> None:
    with pytest.raises(RecipeError, match=f"crops of {shortest:g} to {seconds:g} s, a share of"):
        CropDraw(seconds, shortest, flips)


def test_where_nothing_can_be_drawn_it_is_said() -> None:
    with pytest.raises(DataError, match="there is no training recording"):
        RecordingSampler([], CLASSES, 0, make_draw())
    with pytest.raises(DataError, match=r"class weights are \{'normal': 0\.0\}, and no training"):
        RecordingSampler([ramp(10)], CLASSES, 0, make_draw(weights={"normal": 0.0}))
