"""Training crops: reproducible, balanced as asked for, and augmented on the front end's grid."""

from __future__ import annotations

import numpy as np
import pytest

from beatlens.errors import DataError, RecipeError
from beatlens.signals.frontend import LSB_MV
from beatlens.tasks.common.crops import Augmentation
from beatlens.tasks.windows.labels import CONTEXT, SPAN
from beatlens.tasks.windows.sampling import (
    EXCERPT_GRID,
    WINDOW,
    Excerpts,
    WindowSampler,
)

from ..tracks import CLASSES, make_track

SHARES = {"pvc": 0.4, "afib": 0.2}


def busy_tracks() -> list:
    return [
        make_track([(n, "V") for n in range(300, 9000, 170)], samples=9000, record="v"),
        make_track(afib=[(2000, 4000)], samples=6000, record="f"),
        make_track(samples=7000, record="quiet"),
    ]


def sampler_of(seed: int = 5, **settings) -> WindowSampler:
    return WindowSampler(
        busy_tracks(), CLASSES, seed, SHARES, augmentation=Augmentation(), **settings
    )


def test_a_crop_depends_on_the_seed_and_its_number_only() -> None:
    one, other = sampler_of(), sampler_of()
    forwards = [one.crop(i) for i in range(12)]
    backwards = [other.crop(i) for i in reversed(range(12))][::-1]
    for (window, labels), (again, labels_again) in zip(forwards, backwards, strict=True):
        np.testing.assert_array_equal(window, again)
        np.testing.assert_array_equal(labels, labels_again)
    np.testing.assert_array_equal(one.crop(3)[0], forwards[3][0])

    windows = {window.tobytes() for window, _ in forwards}
    assert len(windows) == 12
    assert not windows & {sampler_of(seed=6).crop(i)[0].tobytes() for i in range(12)}


def test_a_batch_is_its_crops() -> None:
    sampler = sampler_of()
    windows, labels = sampler.batch(7, 5)
    assert windows.shape == (5, WINDOW)
    assert windows.dtype == np.float32
    assert labels.shape == (5, len(CLASSES))
    for row, index in enumerate(range(7, 12)):
        window, label = sampler.crop(index)
        np.testing.assert_array_equal(windows[row], window)
        np.testing.assert_array_equal(labels[row], label)


def shares_seen(sampler: WindowSampler, values: int, crops: int) -> np.ndarray:
    """Share of the crops that come from tracks of constant value 0, 1, 2, ..."""
    seen = [round(float(sampler.crop(i)[0][0]) / LSB_MV) for i in range(crops)]
    return np.bincount(seen, minlength=values) / crops


def test_shares_are_respected() -> None:
    tracks = [
        make_track(x=0, database="quiet"),
        make_track([(700, "V")], x=1, record="v"),
        make_track([(700, "A")], x=2, record="a"),
        make_track(afib=[(500, 2000)], x=3, record="f"),
    ]
    shares = {"pvc": 0.4, "sve": 0.2, "afib": 0.1, "bbb": 0.0}
    only_quiet = {"made": 0.0}
    seen = shares_seen(WindowSampler(tracks, CLASSES, 1, shares, only_quiet), 4, 3000)
    # Four standard deviations of 3000 draws are at most 0.037.
    np.testing.assert_allclose(seen, [0.3, 0.4, 0.2, 0.1], atol=0.037)


def test_the_share_of_a_class_nobody_has_goes_to_crops_placed_anywhere() -> None:
    tracks = [make_track(x=0, database="quiet"), make_track([(700, "V")], x=1)]
    sampler = WindowSampler(tracks, CLASSES, 1, {"sve": 0.6, "pvc": 0.3}, {"made": 0.0})
    np.testing.assert_allclose(shares_seen(sampler, 2, 1500), [0.7, 0.3], atol=0.048)


def test_weights_are_those_of_a_databases_recordings() -> None:
    tracks = [
        make_track(x=0, samples=SPAN, database="a"),
        make_track(x=1, samples=9 * SPAN, database="a"),
        make_track(x=2, database="b"),
        make_track(x=3, database="unnamed"),
    ]
    sampler = WindowSampler(tracks, CLASSES, 2, {}, {"a": 0.5, "b": 2.0})
    seen = shares_seen(sampler, 4, 3000)
    np.testing.assert_allclose(seen, np.array([0.5, 0.5, 2.0, 1.0]) / 4, atol=0.037)


def test_patients_are_equally_likely_whatever_they_recorded() -> None:
    many = [(n, "V") for n in range(200, 3 * SPAN - 200, 90)]
    tracks = [
        make_track([(700, "V")], x=0, record="once", patient="once"),
        make_track(many, x=1, record="long", patient="long"),
        # Three recordings of one patient count as that one patient.
        make_track(many, x=2, record="again-1", patient="again"),
        make_track(many, x=2, record="again-2", patient="again"),
        make_track(many, x=2, record="again-3", patient="again"),
    ]
    seen = shares_seen(WindowSampler(tracks, CLASSES, 3, {"pvc": 1.0}), 3, 3000)
    np.testing.assert_allclose(seen, [1 / 3] * 3, atol=0.035)


def test_a_crop_placed_on_a_beat_has_it_where_the_recording_allows() -> None:
    tracks = [make_track([(n, "V") for n in (40, 1900, 3 * SPAN - 40)])]
    sampler = WindowSampler(tracks, CLASSES, 0, {"pvc": 1.0})
    windows, labels = sampler.batch(0, 300)
    assert (labels[:, 0] == 1).all()
    assert len({window.tobytes() for window in windows}) > 80  # in many places


def test_a_crop_placed_on_a_rhythm_holds_a_piece_of_it() -> None:
    track = make_track(afib=[(5 * SPAN, 5 * SPAN + 400)], samples=10 * SPAN)
    labels = WindowSampler([track], CLASSES, 0, {"afib": 1.0}).batch(0, 300)[1]
    assert (labels[:, 2] == 1).mean() > 0.95


def test_undecided_classes_draw_no_crops_and_stay_nan() -> None:
    tracks = [
        make_track([(700, "V")], x=1, known=("sve",)),
        make_track(x=0, record="quiet"),
    ]
    sampler = WindowSampler(tracks, CLASSES, 0, {"pvc": 1.0}, {"made": 1.0})
    seen = shares_seen(sampler, 2, 400)
    np.testing.assert_allclose(seen, [0.5, 0.5], atol=0.1)
    labels = sampler.batch(0, 60)[1]
    assert set(map(tuple, np.isnan(labels))) == {(False,) * 4, (True, False, True, True)}


def test_crops_keep_clear_of_unknown_segments() -> None:
    track = make_track([(4 * SPAN, "V")], samples=9 * SPAN, unknown=[(4 * SPAN + 200, 6 * SPAN)])
    labels = WindowSampler([track], CLASSES, 0, {"pvc": 0.7}).batch(0, 200)[1]
    assert not np.isnan(labels).any()


def test_recordings_shorter_than_a_window_are_left_out_and_none_at_all_is_an_error() -> None:
    short = make_track([(100, "V")], samples=SPAN - 1, x=1)
    sampler = WindowSampler([short, make_track(samples=SPAN, x=0)], CLASSES, 0, {"pvc": 1.0})
    assert shares_seen(sampler, 2, 20).tolist() == [1.0, 0.0]
    with pytest.raises(DataError, match="as long as one window"):
        WindowSampler([short], CLASSES, 0, {"pvc": 1.0})


def test_without_augmentation_a_crop_is_the_recording() -> None:
    track = make_track(samples=SPAN)
    window, _ = WindowSampler([track], CLASSES, 0, {}).crop(0)
    np.testing.assert_array_equal(np.round(window / LSB_MV).astype(np.int8), track.window(0))


def test_context_is_part_of_the_window() -> None:
    assert WINDOW == SPAN + 2 * CONTEXT


def test_excerpts_are_parts_of_their_crop_with_the_labels_of_what_is_in_them() -> None:
    tracks = busy_tracks()
    plain = WindowSampler(tracks, CLASSES, 5, SHARES)
    sampler = WindowSampler(tracks, CLASSES, 5, SHARES, excerpts=Excerpts(4, (1.0, 3.0)))
    bounds, labels = sampler.excerpt_batch(0, 60)
    assert bounds.shape == (60, 4, 2)
    assert labels.shape == (60, 4, len(CLASSES))
    assert (bounds % EXCERPT_GRID == 0).all()
    lengths = np.diff(bounds, axis=2)
    assert lengths.min() >= 128
    assert lengths.max() <= 384
    assert bounds.min() >= 0
    assert bounds.max() <= SPAN
    whole = sampler.labelled_batch(0, 60)
    for one, other in zip(whole, plain.batch(0, 60), strict=True):
        np.testing.assert_array_equal(one, other)  # excerpts move no crop
    assert ((labels <= whole[1][:, None]) | np.isnan(labels)).all()
    pvc = labels[:, :, 0]
    assert 0 < pvc[whole[1][:, 0] == 1].mean() <= 1

    _, track, start = sampler._choose(7)
    for (first, last), label in zip(bounds[7], labels[7], strict=True):
        np.testing.assert_array_equal(label[:2], track.labels(start + first, last - first)[:2])
        assert np.isnan(label[2:]).all()


@pytest.mark.parametrize(
    ("count", "seconds"), [(0, (2.0, 5.0)), (3, (0.1, 5.0)), (3, (5.0, 2.0)), (3, (2.0, 11.0))]
)
def test_excerpts_that_fit_in_no_window_are_refused(count: int, seconds: tuple) -> None:
    with pytest.raises(RecipeError, match="excerpts of"):
        Excerpts(count, seconds)


def test_a_sampler_without_excerpts_draws_none() -> None:
    with pytest.raises(RecipeError, match="has none to draw"):
        sampler_of().excerpt_batch(0, 2)
