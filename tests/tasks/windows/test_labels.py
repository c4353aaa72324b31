"""Labels and masks of spans, on made tracks with known beats and on the real databases."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import wfdb

from beatlens.compression.distill import DistillObjective, DistillWeights, TeacherCache
from beatlens.errors import DataError
from beatlens.signals.databases import mitdb as splits
from beatlens.signals.frontend import LSB_MV
from beatlens.tasks.common.tracks import to_millivolts
from beatlens.tasks.windows.labels import (
    BEAT_AFTER,
    BEAT_BEFORE,
    CONTEXT,
    MIN_EPISODE,
    SPAN,
    WindowSet,
    WindowTrack,
    cut_windows,
)
from beatlens.tasks.windows.objective import WindowObjective
from beatlens.tasks.windows.sampling import WindowSampler
from beatlens.training.crops import make_batches

from ...nets.networks import SMALL, lively
from ..tracks import CLASSES, load_tracks, make_track

PVC, SVE, AFIB, BBB = range(4)


def test_the_conventions_are_those_of_the_task() -> None:
    assert CLASSES == ("pvc", "sve", "afib", "bbb")
    assert SPAN == 1280
    assert (BEAT_BEFORE, BEAT_AFTER) == (32, 45)  # 0.25 s and 0.35 s at 128 Hz
    assert MIN_EPISODE == 128


@pytest.mark.parametrize(
    ("peak", "inside"), [(999, 0.0), (1000, 1.0), (1000 + SPAN - 1, 1.0), (1000 + SPAN, 0.0)]
)
def test_a_beat_belongs_to_the_span_of_its_r_peak(peak: int, inside: float) -> None:
    labels = make_track([(peak, "V")]).labels(1000)
    assert labels.dtype == np.float32
    assert labels.tolist() == [inside, 0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("symbol", "expected"),
    [
        *((s, PVC) for s in "VE"),
        *((s, SVE) for s in "AaJS"),
        *((s, BBB) for s in "LR"),
        *((s, None) for s in "NejnF/fQ?r"),
    ],
)
def test_symbols_of_the_classes(symbol: str, expected: int | None) -> None:
    labels = make_track([(2000, symbol)]).labels(1500)
    assert np.flatnonzero(labels).tolist() == ([] if expected is None else [expected])


def test_several_classes_at_once() -> None:
    track = make_track([(1500, "V"), (1700, "A"), (1900, "R")], afib=[(1400, 2000)])
    assert track.labels(1000).tolist() == [1, 1, 1, 1]
    assert track.labels(0).tolist() == [0, 0, 0, 0]  # 120 samples of rhythm are less than 1 s


@pytest.mark.parametrize(("overlap", "present"), [(0, 0.0), (127, 0.0), (128, 1.0), (129, 1.0)])
def test_a_rhythm_counts_from_one_second_on(overlap: int, present: float) -> None:
    start = 1000
    at_the_end = make_track(afib=[(start + SPAN - overlap, 3 * SPAN)])
    at_the_start = make_track(afib=[(0, start + overlap)])
    inside = make_track(afib=[(start + 300, start + 300 + overlap)])
    for track in (at_the_end, at_the_start, inside):
        assert track.labels(start)[AFIB] == present


def test_pieces_of_a_rhythm_add_up() -> None:
    assert make_track(afib=[(100, 164), (500, 564)]).labels(0)[AFIB] == 1
    assert make_track(afib=[(100, 164), (500, 563)]).labels(0)[AFIB] == 0
    # Pieces outside the span must not be subtracted or added.
    assert make_track(afib=[(0, 500), (1100, 1228)]).labels(1100)[AFIB] == 1
    assert make_track(afib=[(0, 500), (1100, 1227)]).labels(1100)[AFIB] == 0


def test_a_rhythm_longer_than_the_span_counts() -> None:
    assert make_track(afib=[(0, 3 * SPAN)]).labels(SPAN)[AFIB] == 1


def test_undecided_classes_are_nan() -> None:
    track = make_track([(100, "V"), (200, "L")], known=("pvc", "sve"))
    labels = track.labels(0)
    assert labels[:2].tolist() == [1, 0]
    assert np.isnan(labels[2:]).all()


@pytest.mark.parametrize(
    ("unknown", "touched"),
    [((500, 1000), False), ((500, 1001), True), ((2279, 2500), True), ((2280, 2500), False)],
)
def test_every_class_is_nan_where_a_span_touches_an_unknown_segment(unknown, touched) -> None:
    track = make_track([(1500, "V")], unknown=[unknown])
    assert track.overlaps_unknown(1000) is touched
    assert np.isnan(track.labels(1000)).tolist() == [touched] * 4


def test_a_part_of_a_span_has_the_labels_of_what_is_in_it() -> None:
    track = make_track([(1100, "V"), (1900, "A")], afib=[(1000, 1500)])
    assert track.labels(1000, 200).tolist() == [1, 0, 1, 0]
    assert track.labels(1200, 200).tolist() == [0, 0, 1, 0]
    assert track.labels(1100, 1).tolist() == [1, 0, 0, 0]
    assert track.labels(1101, 799).tolist() == [0, 0, 1, 0]
    assert track.labels(1800, 101).tolist() == [0, 1, 0, 0]


def test_a_beat_that_is_somewhere_in_a_recording_is_not_known_to_be_in_a_part_of_it() -> None:
    whole = replace(
        make_track(samples=SPAN), intervals=tuple(np.array([[0, SPAN]]) for _ in CLASSES)
    )
    assert whole.labels(0).tolist() == [1, 1, 1, 1]
    part = whole.labels(400, 400)
    assert np.isnan(part).tolist() == [True, True, False, False]
    assert part[2:].tolist() == [1, 1]
    none = replace(whole, intervals=tuple(np.zeros((0, 2), np.int64) for _ in CLASSES))
    assert none.labels(400, 400).tolist() == [0, 0, 0, 0]


def test_a_beats_mask_is_a_quarter_second_before_and_045_samples_after_r() -> None:
    track = make_track([(1500, "V")])
    masks = track.masks(1000)
    assert masks.shape == (4, SPAN)
    assert masks.dtype == bool
    assert np.flatnonzero(masks[PVC]).tolist() == list(range(500 - 32, 500 + 45))
    assert not masks[[SVE, AFIB, BBB]].any()


def test_masks_are_cut_at_the_span() -> None:
    track = make_track([(1000, "A"), (1000 + SPAN - 1, "A"), (1000 + SPAN + 40, "L")])
    masks = track.masks(1000)
    assert np.flatnonzero(masks[SVE]).tolist() == [*range(45), *range(SPAN - 33, SPAN)]
    assert not masks[BBB].any()  # begins 8 samples after the span


def test_masks_of_beats_that_touch_are_joined_and_rhythms_are_their_intervals() -> None:
    track = make_track([(500, "V"), (540, "V")], afib=[(100, 300), (900, 5000)])
    masks = track.masks(0)
    assert np.flatnonzero(masks[PVC]).tolist() == list(range(468, 585))
    assert np.flatnonzero(masks[AFIB]).tolist() == [*range(100, 300), *range(900, SPAN)]


def test_windows_hold_the_recordings_edges() -> None:
    track = make_track(samples=SPAN + 10)
    window = track.window(0)
    assert window.shape == (CONTEXT + SPAN + CONTEXT,)
    assert window.dtype == np.int8
    assert (window[:CONTEXT] == track.x[0]).all()
    np.testing.assert_array_equal(window[CONTEXT : CONTEXT + SPAN + 10], track.x)
    assert (window[CONTEXT + SPAN + 10 :] == track.x[-1]).all()


def test_to_millivolts() -> None:
    values = to_millivolts(np.array([-127, 0, 40], np.int8))
    assert values.dtype == np.float32
    np.testing.assert_allclose(values, [-6.35, 0, 2], rtol=1e-6)


def test_windows_are_consecutive_and_leave_out_unknown_segments() -> None:
    track = make_track(
        [(SPAN + 5, "V")], samples=4 * SPAN + 700, unknown=[(2 * SPAN - 1, 2 * SPAN)]
    )
    windows = cut_windows([track, make_track(samples=SPAN, record="short")])
    assert windows.starts.tolist() == [0, 2 * SPAN, 3 * SPAN, 0]
    assert windows.records.tolist() == ["made"] * 3 + ["short"]
    assert windows.windows.shape == (4, SPAN + 2 * CONTEXT)
    assert windows.masks.shape == (4, 4, SPAN)
    assert not np.isnan(windows.labels).any()
    for index, start in enumerate(windows.starts[:3]):
        np.testing.assert_array_equal(windows.windows[index], track.window(start))
        np.testing.assert_array_equal(windows.masks[index], track.masks(start))
    with pytest.raises(DataError, match="no recording"):
        cut_windows([make_track(samples=SPAN - 1)])


def test_no_loss_reads_a_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training on labels and distillation go through with masks out of reach."""

    def losses() -> list[float]:
        tracks = [make_track([(600, "V"), (2000, "A")], afib=[(2200, 3000)])]
        net = lively(SMALL["dense"])
        sampler = WindowSampler(tracks, CLASSES, 0, {"pvc": 0.5})
        task = WindowObjective(net)(*make_batches(sampler)(0, 4))
        cache = TeacherCache(lively(SMALL["residual"]), sampler, 8, span=SPAN, activations=True)
        distilled = DistillObjective(net, cache, DistillWeights())(*cache.batch(0, 4))
        return [task.item(), distilled.item()]

    before = losses()
    assert np.isfinite(before).all()

    def forbidden(_track: WindowTrack, _start: int) -> np.ndarray:
        raise AssertionError("a loss has read a mask")

    monkeypatch.setattr(WindowTrack, "masks", forbidden)
    assert losses() == before
    with pytest.raises(AssertionError, match="has read a mask"):
        cut_windows([make_track()])


def test_permuted_masks_change_no_loss() -> None:
    windows = cut_windows([make_track([(600, "V"), (1500, "A")], samples=4 * SPAN)])
    objective = WindowObjective(lively(SMALL["dense"]))

    def loss() -> float:
        samples = torch.from_numpy(to_millivolts(windows.windows))
        return objective(samples, torch.from_numpy(windows.labels)).item()

    before = loss()
    windows.masks[:] = windows.masks[::-1, ::-1]
    assert loss() == before
    windows.labels[:] = 1 - windows.labels  # the loss does look at something
    assert loss() != before


@pytest.fixture(scope="module")
def ds2(mitdb_dir: Path) -> list[WindowTrack]:
    return load_tracks("mitdb", splits.DS2, mitdb_dir.parent)


@pytest.fixture(scope="module")
def ds2_windows(ds2: list[WindowTrack]) -> WindowSet:
    return cut_windows(ds2)


def recounted(folder: Path, record: str, codes: str) -> set[int]:
    """Numbers of the 10 s windows that hold a beat of `codes`: wfdb alone, a plain loop."""
    found = wfdb.rdann(str(folder / record), "atr")
    windows = set()
    for sample, symbol in zip(found.sample, found.symbol, strict=True):
        if symbol in codes:
            # Nearest 128 Hz sample of a 360 Hz one: 128 / 360 = 16 / 45, so there are no ties.
            windows.add(round(int(sample) * 16 / 45) // SPAN)
    return windows


def rhythm_recounted(folder: Path, record: str) -> set[int]:
    """Numbers of the windows with at least 1 s of atrial fibrillation or flutter."""
    found = wfdb.rdann(str(folder / record), "atr")
    length = wfdb.rdheader(str(folder / record)).sig_len
    marks = [
        (int(s), a.rstrip("\0"))
        for s, y, a in zip(found.sample, found.symbol, found.aux_note, strict=True)
        if y == "+"
    ]
    ends = [s for s, _ in marks[1:]] + [length]
    covered = np.zeros(length * 16 // 45 + 2, bool)
    for (start, label), end in zip(marks, ends, strict=True):
        if label in ("(AFIB", "(AFL"):
            covered[round(start * 16 / 45) : round(end * 16 / 45)] = True
    return {k for k in range(len(covered) // SPAN) if covered[k * SPAN :][:SPAN].sum() >= 128}


def test_windows_per_class_over_ds2_are_those_the_annotations_give(
    ds2_windows: WindowSet, mitdb_dir: Path
) -> None:
    windows = ds2_windows
    assert len(windows) == 22 * 180  # every record is 30 min 5.6 s long
    assert not np.isnan(windows.labels).any()
    expected = np.full_like(windows.labels, -1)
    for column, codes in ((PVC, "VE"), (SVE, "AaJS"), (BBB, "LR")):
        for record in splits.DS2:
            rows = np.flatnonzero(windows.records == record)
            hits = recounted(mitdb_dir, record, codes)
            expected[rows, column] = [int(s) // SPAN in hits for s in windows.starts[rows]]
    for record in splits.DS2:
        rows = np.flatnonzero(windows.records == record)
        hits = rhythm_recounted(mitdb_dir, record)
        expected[rows, AFIB] = [int(s) // SPAN in hits for s in windows.starts[rows]]
    np.testing.assert_array_equal(windows.labels, expected)


def test_ds2_holds_the_published_number_of_ectopic_beats(ds2: list[WindowTrack]) -> None:
    # de Chazal et al. 2004, table II: DS2 has 3221 VEB (V, E) and 1837 SVEB (A, a, J, S).
    assert sum(len(track.intervals[PVC]) for track in ds2) == 3221
    assert sum(len(track.intervals[SVE]) for track in ds2) == 1837


def test_number_of_windows_per_class_over_ds2(ds2_windows: WindowSet) -> None:
    assert ds2_windows.labels.sum(axis=0).astype(int).tolist() == DS2_WINDOWS


DS2_WINDOWS = [1117, 397, 656, 798]
"""Windows of DS2 with each class; the test above holds every single one against the annotations."""


def test_masks_of_ds2_lie_on_the_beats(ds2: list[WindowTrack]) -> None:
    windows = cut_windows(ds2[:3])
    for row in range(len(windows)):
        track = next(t for t in ds2 if t.record == windows.records[row])
        for column in (PVC, SVE, BBB):
            inside = windows.masks[row, column]
            if windows.labels[row, column] == 1:
                assert inside.sum() >= 33
            peaks = track.intervals[column][:, 0] + BEAT_BEFORE - windows.starts[row]
            peaks = peaks[(peaks >= 0) & (peaks < SPAN)]
            assert inside[peaks].all()


def test_ventricular_flutter_of_record_207_is_not_used(mitdb_dir: Path) -> None:
    (track,) = load_tracks("mitdb", ["207"], mitdb_dir.parent)
    found = wfdb.rdann(str(mitdb_dir / "207"), "atr")
    opened = [s for s, y in zip(found.sample, found.symbol, strict=True) if y == "["]
    closed = [s for s, y in zip(found.sample, found.symbol, strict=True) if y == "]"]
    assert len(opened) == 6
    expected = [
        [round(a * 16 / 45), round(b * 16 / 45)] for a, b in zip(opened, closed, strict=True)
    ]
    np.testing.assert_array_equal(track.unknown, expected)
    # MIT-BIH's directory: 2 min 24 s of ventricular flutter in record 207.
    assert np.diff(track.unknown).sum() / 128 == pytest.approx(144, abs=2)

    touched = {
        k for k in range(180) if any(a < (k + 1) * SPAN and b > k * SPAN for a, b in expected)
    }
    assert len(touched) > 14
    windows = cut_windows([track])
    assert {int(s) // SPAN for s in windows.starts} == set(range(180)) - touched
    for k in touched:
        assert np.isnan(track.labels(k * SPAN)).all()
    sampler = WindowSampler([track], CLASSES, 0, {"pvc": 0.5})
    for index in range(300):
        assert not np.isnan(sampler.crop(index)[1]).any()


def test_svdb_does_not_decide_rhythm_or_conduction(data_dir: Path) -> None:
    if not (data_dir / "svdb").is_dir():
        pytest.skip("no real ECG: svdb is not beside this checkout")
    tracks = load_tracks("svdb", ["800", "820"], data_dir)
    labels = cut_windows(tracks).labels
    assert np.isnan(labels[:, [AFIB, BBB]]).all()
    assert not np.isnan(labels[:, [PVC, SVE]]).any()
    assert labels[:, SVE].sum() > 0


def test_windows_are_on_the_grid_of_the_front_end(ds2: list[WindowTrack]) -> None:
    windows = cut_windows(ds2[:1]).windows
    assert windows.dtype == np.int8
    np.testing.assert_array_equal(np.round(to_millivolts(windows) / LSB_MV), windows)
