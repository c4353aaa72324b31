"""Recordings of the wearable task: folds and validation, what is simulated, what is kept."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from beatlens.errors import DataError
from beatlens.pipeline import wearable_data
from beatlens.signals.databases import find_database
from beatlens.tasks.recordings.data import (
    PARTS_SEED,
    Recordings,
    counted,
    prepare_recordings,
    read_recordings,
    stratified,
)
from beatlens.tasks.recordings.labels import CLASSES, SYMBOLS, RecordingTrack
from beatlens.tasks.recordings.recipe import FOLDS, RecordingRecipe, WearableDataSection

SIMULATED = WearableDataSection(
    source="simulated", simulated_recordings=80, simulated_seconds=10, test_fold=1
)
X = np.zeros(16, np.int8)


def blank(number: int, label: int) -> RecordingTrack:
    return RecordingTrack(
        f"r{number:04d}", "made", X, np.zeros(0, int), np.zeros((0, 6), int), label
    )


@pytest.fixture(scope="module")
def uneven() -> Recordings:
    """As many of each class as nobody would choose, in no order."""
    labels = np.repeat(np.arange(4), [203, 61, 97, 12])
    labels = np.random.default_rng(0).permutation(labels)
    return Recordings([blank(i, int(label)) for i, label in enumerate(labels)], False, "made up")


def names(tracks: list[RecordingTrack]) -> set[str]:
    return {track.record for track in tracks}


@pytest.mark.parametrize("count", [2, 5, 7])
def test_parts_have_the_same_share_of_every_class(uneven: Recordings, count: int) -> None:
    parts = stratified(uneven.tracks, count, 3)
    labels = np.array([track.label for track in uneven.tracks])
    for label in range(len(CLASSES)):
        sizes = np.bincount(parts[labels == label], minlength=count)
        assert len(sizes) == count
        assert sizes.max() - sizes.min() <= 1
    assert (parts == stratified(uneven.tracks, count, 3)).all()
    assert (parts != stratified(uneven.tracks, count, 4)).any()


def test_every_recording_is_in_the_test_of_exactly_one_fold(uneven: Recordings) -> None:
    tested = [names(uneven.split(fold, 0.15).test) for fold in range(FOLDS)]
    assert sum(map(len, tested)) == len(uneven.tracks)
    assert set.union(*tested) == names(uneven.tracks)
    assert (uneven.parts == stratified(uneven.tracks, FOLDS, PARTS_SEED)).all()


@pytest.mark.parametrize("fold", [None, *range(FOLDS)])
@pytest.mark.parametrize("validation", [0.05, 0.15, 0.5])
def test_roles_share_no_recording(uneven: Recordings, fold: int | None, validation: float) -> None:
    prepared = uneven.split(fold, validation)
    roles = [prepared.train, prepared.validation, prepared.test]
    assert sum(map(len, roles)) == len(uneven.tracks)
    assert set.union(*map(names, roles)) == names(uneven.tracks)
    assert (len(prepared.test) == 0) == (fold is None)
    rest = len(prepared.train) + len(prepared.validation)
    assert len(prepared.validation) / rest == pytest.approx(validation, abs=0.02)
    for label in range(len(CLASSES)):
        assert any(track.label == label for track in prepared.validation)
        assert any(track.label == label for track in prepared.train)
    told = f"{len(prepared.train)} trained on, {len(prepared.validation)} chosen on"
    assert told in prepared.description
    assert ("none tested on" in prepared.description) == (fold is None)


def test_the_order_of_recordings_is_kept(uneven: Recordings) -> None:
    prepared = uneven.split(2, 0.15)
    for role in (prepared.train, prepared.validation, prepared.test):
        assert [t.record for t in role] == sorted(t.record for t in role)
    assert counted(uneven.tracks) == "203 normal, 61 afib, 97 other, 12 noise"


def test_simulated_recordings_are_of_all_classes_and_said_to_be_made_up(tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    recipe = RecordingRecipe(data=SIMULATED)
    prepared = prepare_recordings(recipe, tmp_path, None, lambda *at: seen.append(at))
    assert prepared.simulated
    assert prepared.description.startswith("SIMULATED ECG")
    assert seen[0] == ("simulated", 0, 80)
    assert len(seen) == 80
    everyone = [*prepared.train, *prepared.validation, *prepared.test]
    labels = np.array([track.label for track in everyone])
    assert np.bincount(labels).tolist() == [20, 20, 20, 20]
    assert len(names(everyone)) == 80
    assert {len(track.x) for track in everyone} == {10 * 128}
    assert {track.label for track in prepared.test} == {0, 1, 2, 3}
    again = read_recordings(SIMULATED, tmp_path)
    assert names(again.split(1, 0.15).test) == names(prepared.test)
    sampler = prepared.sampler(recipe, 0)
    assert sampler.span == 30 * 128
    assert set(sampler.batch(0, 60)[2]) == {0, 1, 2, 3}


def test_real_ecg_that_is_not_there_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    section = SIMULATED.model_copy(update={"source": "real"})
    with pytest.raises(DataError, match="expected a folder that exists"):
        read_recordings(section, tmp_path, tmp_path / "nothing")
    section = SIMULATED.model_copy(update={"source": "auto"})
    monkeypatch.setattr(wearable_data, "simulates", lambda *given: True)
    assert read_recordings(section, tmp_path).simulated


def test_real_recordings_are_read_once_and_kept(data_dir: Path, tmp_path: Path) -> None:
    if not (data_dir / "cinc2017").is_dir():
        pytest.skip("no real ECG: cinc2017 is not beside this checkout")
    database = find_database("cinc2017", data_dir)
    records = [
        record
        for symbol in SYMBOLS
        for record in [r for r in sorted(database.records()) if database.label(r) == symbol][:3]
    ]
    data = tmp_path / "data"
    (data / "cinc2017").mkdir(parents=True)
    for record in records:
        for end in ("hea", "mat"):
            name = f"{record}.{end}"
            shutil.copyfile(data_dir / "cinc2017" / name, data / "cinc2017" / name)
    shutil.copyfile(data_dir / "cinc2017/REFERENCE.csv", data / "cinc2017/REFERENCE.csv")
    section, seen = WearableDataSection(source="real"), []
    recordings = read_recordings(section, tmp_path, data, lambda *at: seen.append(at[0]))
    assert not recordings.simulated
    assert "12 of cinc2017's 8528 recordings (3 normal, 3 afib, 3 other" in recordings.described
    assert [track.record for track in recordings.tracks] == sorted(records)
    for track in recordings.tracks:
        assert SYMBOLS[track.label] == database.label(track.record)
        assert len(track.peaks) == len(track.contexts)
    assert set(seen) == {"cinc2017"}
    again = read_recordings(section, tmp_path, data, lambda *at: pytest.fail("read again"))
    for mine, kept in zip(recordings.tracks, again.tracks, strict=True):
        assert (mine.record, mine.label) == (kept.record, kept.label)
        for name in ("x", "peaks", "contexts", "rhythm"):
            assert (getattr(mine, name) == getattr(kept, name)).all(), name
    (data / "cinc2017" / f"{records[0]}.hea").unlink()
    assert len(read_recordings(section, tmp_path, data).tracks) == 11
