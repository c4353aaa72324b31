"""Recordings: parts and validation, what is simulated, what is kept."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from beatlens.errors import DataError
from beatlens.recipe import PartSplit, SourceSection
from beatlens.signals.databases import find_database
from beatlens.tasks.common.sources import PARTS_SEED, Source, assign_roles, stratified_parts
from beatlens.tasks.recordings.data import count_classes, prepare_recordings
from beatlens.tasks.recordings.labels import RecordingTrack
from beatlens.tasks.recordings.recipe import RecordingRecipe
from beatlens.tasks.registry import default_recipe

PARTS = 5
LETTERS = "NAO~"
CLASSES = default_recipe("recordings").classes


def recipe_of(data: dict, split: PartSplit | None = None) -> RecordingRecipe:
    """The built-in recipe with another data section."""
    found = default_recipe("recordings")
    source = SourceSection(database="cinc2017", split=split or PartSplit())
    section = found.data.model_copy(update={"sources": (source,), **data})
    return found.model_copy(update={"data": section})


SIMULATED = {"source": "simulated", "simulated_patients": 80, "simulated_seconds": 10}


def source_of(folder: Path, split: PartSplit) -> Source:
    return Source(SourceSection(database="cinc2017", split=split), folder)


@pytest.fixture(scope="module")
def uneven(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A database with as many of each class as nobody would choose, in no order; no samples."""
    folder = tmp_path_factory.mktemp("cinc2017")
    letters = np.repeat(list(LETTERS), [203, 61, 97, 12])
    letters = np.random.default_rng(0).permutation(letters)
    labels = {f"A{i:05d}": str(letter) for i, letter in enumerate(letters)}
    for record in labels:
        (folder / f"{record}.hea").write_text(f"{record} 1 300 9000\n")
    table = "".join(f"{record},{letter}\n" for record, letter in labels.items())
    (folder / "REFERENCE.csv").write_text(table)
    return folder, labels


def roles_of(folder: Path, split: PartSplit) -> dict[str, list[str]]:
    roles = assign_roles([source_of(folder, split)])
    return {role: [record for _, record in part] for role, part in roles.items()}


def names(tracks: list[RecordingTrack]) -> set[str]:
    return {track.record for track in tracks}


@pytest.mark.parametrize("count", [2, 5, 7])
def test_parts_have_the_same_share_of_every_class(count: int) -> None:
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(4), [203, 61, 97, 12]))
    parts = stratified_parts(labels, range(4), count, 3)
    for label in range(4):
        sizes = np.bincount(parts[labels == label], minlength=count)
        assert len(sizes) == count
        assert sizes.max() - sizes.min() <= 1
    assert (parts == stratified_parts(labels, range(4), count, 3)).all()
    assert (parts != stratified_parts(labels, range(4), count, 4)).any()


def test_every_recording_is_in_the_test_of_exactly_one_part(uneven: tuple) -> None:
    folder, labels = uneven
    tested = [
        set(roles_of(folder, PartSplit(parts=PARTS, test_part=part))["test"])
        for part in range(PARTS)
    ]
    assert sum(map(len, tested)) == len(labels)
    assert set.union(*tested) == set(labels)
    parts = stratified_parts(np.array(list(labels.values())), LETTERS, PARTS, PARTS_SEED)
    assert {r for r, part in zip(labels, parts, strict=True) if part == 2} == tested[2]


@pytest.mark.parametrize("part", [None, *range(PARTS)])
@pytest.mark.parametrize("validation", [0.05, 0.15, 0.5])
def test_roles_share_no_recording(uneven: tuple, part: int | None, validation: float) -> None:
    folder, labels = uneven
    split = PartSplit(parts=PARTS, test_part=part, validation=validation)
    roles = roles_of(folder, split)
    assert sum(map(len, roles.values())) == len(labels)
    assert set.union(*map(set, roles.values())) == set(labels)
    assert (len(roles["test"]) == 0) == (part is None)
    rest = len(roles["train"]) + len(roles["validation"])
    assert len(roles["validation"]) / rest == pytest.approx(validation, abs=0.02)
    for letter in LETTERS:
        assert any(labels[record] == letter for record in roles["validation"])
        assert any(labels[record] == letter for record in roles["train"])
    for part_ in roles.values():
        assert part_ == sorted(part_)


def test_simulated_recordings_are_of_all_classes_and_said_to_be_made_up(tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    recipe = recipe_of(SIMULATED, PartSplit(test_part=1))
    prepared = prepare_recordings(recipe, tmp_path, None, lambda *at: seen.append(at))
    assert prepared.simulated
    assert prepared.description.startswith("SIMULATED ECG")
    assert seen[0] == ("simulated", 0, 80)
    assert len(seen) == 80
    everyone = [*prepared.train, *prepared.validation, *prepared.test]
    labels = np.array([track.label for track in everyone])
    assert np.bincount(labels).tolist() == [20, 20, 20, 20]
    assert count_classes(everyone, CLASSES) == "20 normal, 20 afib, 20 other, 20 noise"
    assert len(names(everyone)) == 80
    assert {len(track.x) for track in everyone} == {10 * 128}
    assert {track.label for track in prepared.test} == {0, 1, 2, 3}
    again = prepare_recordings(recipe, tmp_path)
    assert names(again.test) == names(prepared.test)
    assert prepared.published == {}
    sampler = prepared.sampler(recipe, 0)
    assert sampler.span == 30 * 128
    assert set(sampler.batch(0, 60)[2]) == {0, 1, 2, 3}


def test_real_ecg_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    recipe = recipe_of({"source": "real"})
    with pytest.raises(DataError, match="expected a folder that exists"):
        prepare_recordings(recipe, tmp_path, tmp_path / "nothing")


def test_real_recordings_are_read_once_and_kept(data_dir: Path, tmp_path: Path) -> None:
    if not (data_dir / "cinc2017").is_dir():
        pytest.skip("no real ECG: cinc2017 is not beside this checkout")
    database = find_database("cinc2017", data_dir)
    records = [
        record
        for symbol in LETTERS
        for record in [r for r in sorted(database.records()) if database.label(r) == symbol][:3]
    ]
    data = tmp_path / "data"
    (data / "cinc2017").mkdir(parents=True)
    for record in records:
        for end in ("hea", "mat"):
            name = f"{record}.{end}"
            shutil.copyfile(data_dir / "cinc2017" / name, data / "cinc2017" / name)
    shutil.copyfile(data_dir / "cinc2017/REFERENCE.csv", data / "cinc2017/REFERENCE.csv")
    recipe, seen = recipe_of({"source": "real"}, PartSplit(parts=2)), []
    prepared = prepare_recordings(recipe, tmp_path, data, lambda *at: seen.append(at[0]))
    assert not prepared.simulated
    assert "of cinc2017" in prepared.description
    assert "(3 normal, 3 afib, 3 other, 3 noise in all)" in prepared.description
    tracks = [*prepared.train, *prepared.validation]
    assert names(tracks) == set(records)
    for track in tracks:
        assert LETTERS[track.label] == database.label(track.record)
        assert len(track.peaks) == len(track.features)
    assert set(seen) == {"recordings"}
    assert prepared.published == {"normal": 5076, "afib": 758, "other": 2415, "noise": 279}
    again = prepare_recordings(recipe, tmp_path, data, lambda *at: pytest.fail("read again"))
    for one, kept in zip(prepared.train, again.train, strict=True):
        assert (one.record, one.label) == (kept.record, kept.label)
        for name in ("x", "peaks", "features", "rr_shares"):
            assert (getattr(one, name) == getattr(kept, name)).all(), name
    (data / "cinc2017" / f"{records[0]}.hea").unlink()
    fewer = prepare_recordings(recipe, tmp_path, data)
    assert len(fewer.train) + len(fewer.validation) == 11
