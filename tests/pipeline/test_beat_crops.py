"""Recordings whose beats nobody labelled: read, heard by the last members and by students."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from beatlens.errors import RecipeError
from beatlens.nets.evidence import EvidenceNet
from beatlens.nets.lookup_tables import LookupTables
from beatlens.tasks.beats.crops import heard_by_members, member_crops
from beatlens.tasks.beats.data import PreparedBeats, prepare_beats, read_unlabelled
from beatlens.tasks.beats.labels import CLASSES, NOT_S, UNKNOWN
from beatlens.tasks.beats.recipe import BeatRecipe
from beatlens.tasks.beats.training import compress_beats, train_beat_teacher

from .tiny import NETWORK, TINY_BEATS

HEARD = {"databases": ["cinc2017"], "student_share": 0.5}
Run = tuple[PreparedBeats, EvidenceNet, LookupTables]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder, recipe = tmp_path_factory.mktemp("beats"), BeatRecipe.parse(TINY_BEATS)
    prepared = prepare_beats(recipe, folder)
    return prepared, *train_beat_teacher(recipe, prepared, folder)


def test_students_hear_patients_that_only_the_teacher_tells(run: Run, tmp_path: Path) -> None:
    prepared, teacher, tables = run
    recipe, alone = (BeatRecipe.parse({**TINY_BEATS, "unlabelled": heard}) for heard in (HEARD, {}))
    others = read_unlabelled(recipe, prepared, tmp_path)
    assert read_unlabelled(alone, prepared, tmp_path) == []
    known = {track.record for track in (*prepared.train, *prepared.validation, *prepared.test)}
    assert others
    assert not known & {track.record for track in others}
    assert all(set(track.labels.tolist()) in ({UNKNOWN}, {NOT_S}) for track in others)
    fibrillating = [track for track in others if (track.labels == NOT_S).all()]
    assert 0 < len(fibrillating) < len(others)
    pair = recipe, prepared, teacher, tables, tmp_path
    student, _ = compress_beats(alone, *pair[1:4], tmp_path / "alone")
    other, quantized = compress_beats(*pair, unlabelled=others)
    assert (other.head.weight != student.head.weight).any()
    with pytest.raises(RecipeError, match=r"unlabelled\.databases names cinc2017, but no record"):
        compress_beats(recipe, prepared, teacher, tables, tmp_path / "new")
    again = compress_beats(*pair)  # what is there is loaded
    assert again[1].logit_scale == quantized.logit_scale


def test_the_last_members_hear_what_the_first_ones_say(run: Run, tmp_path: Path) -> None:
    prepared, first, first_tables = run
    recipe = BeatRecipe.parse({
        **TINY_BEATS,
        "teacher": {**NETWORK, "members": 2},
        "unlabelled": {**HEARD, "members": 1, "fibrillation_share": 0.3, "other_share": 0.3},
    })  # fmt: skip
    others = read_unlabelled(recipe, prepared, tmp_path)
    _, tables = train_beat_teacher(recipe, prepared, tmp_path, unlabelled=others)
    folders = [tmp_path / "members" / str(i) for i in range(2)]
    members = [train_beat_teacher(recipe.of_member(i), prepared, folders[i])[1] for i in range(2)]
    # The first one is as if there were nothing else to hear, the second is not.
    np.testing.assert_array_equal(members[0].array(), first_tables.array())
    deaf = train_beat_teacher(recipe.of_member(1), prepared, tmp_path / "deaf")[1]
    assert not np.array_equal(members[1].array(), deaf.array())
    np.testing.assert_allclose(
        tables.array(), np.mean([each.array() for each in members], axis=0), atol=1e-6
    )
    # What is there is not trained again, nor are recordings needed for it.
    (tmp_path / "teacher.pt").unlink()
    again = train_beat_teacher(recipe, prepared, tmp_path)[1]
    assert np.array_equal(again.array(), tables.array())
    heard = heard_by_members(recipe, others, first, first_tables)
    crops = member_crops(recipe.of_member(1), prepared, heard)
    labels = crops.batch(0, 200)[2]
    fibrillating = (labels == NOT_S).any(axis=1)
    assert fibrillating.mean() == pytest.approx(0.3, abs=0.08)
    assert not ((labels >= 0).any(axis=1) & fibrillating).any()
    assert set(labels[~fibrillating].ravel().tolist()) <= {UNKNOWN, *range(len(CLASSES))}


def test_labelled_crops_of_those_who_hear_others_are_placed_as_the_recipe_says(
    run: Run, tmp_path: Path
) -> None:
    prepared, first, tables = run
    with_s = {}
    for share in (0.0, 0.9):
        recipe = BeatRecipe.parse({
            **TINY_BEATS,
            "teacher": {**NETWORK, "members": 2},
            "unlabelled": {
                **HEARD, "members": 1, "fibrillation_share": 0.5, "other_share": 0.0,
                "labelled": {"s": share, "v": 0.0, "f": 0.0},
            },
        })  # fmt: skip
        others = read_unlabelled(recipe, prepared, tmp_path)
        heard = heard_by_members(recipe, others, first, tables)
        labels = member_crops(recipe.of_member(1), prepared, heard).batch(0, 300)[2]
        labelled = labels[(labels >= 0).any(axis=1)]
        with_s[share] = (labelled == CLASSES.index("s")).any(axis=1).mean()
    assert with_s[0.9] > 0.85
    assert with_s[0.0] < with_s[0.9] - 0.2
    with pytest.raises(RecipeError, match=r"unlabelled\.labelled.* add up to 1\.2"):
        BeatRecipe.parse({"unlabelled": {"labelled": {"s": 0.5, "v": 0.5, "f": 0.2}}})


def test_what_cannot_be_heard_is_refused(run: Run, tmp_path: Path) -> None:
    recipe = BeatRecipe.parse({
        **TINY_BEATS,
        "teacher": {**NETWORK, "members": 2},
        "unlabelled": {**HEARD, "members": 1},
    })  # fmt: skip
    prepared, first, tables = run
    with pytest.raises(RecipeError, match=r"no recordings of 7\.5 s or more were given"):
        train_beat_teacher(recipe, prepared, tmp_path)
    others = read_unlabelled(recipe, prepared, tmp_path)
    calm = [track for track in others if (track.labels == UNKNOWN).all()]
    with pytest.raises(RecipeError, match=r"no recording of cinc2017 is labelled atrial fib"):
        heard_by_members(recipe, calm, first, tables)
    for section, message in (
        ({**HEARD, "members": 2}, r"unlabelled\.members is 2, expected less than the 2"),
        ({"members": 1}, "members is 1, but there are no databases"),
        ({**HEARD, "fibrillation_share": 0.7, "other_share": 0.7}, r"add up to 1\.4"),
    ):
        with pytest.raises(RecipeError, match=message):
            BeatRecipe.parse({
                **TINY_BEATS, "teacher": {**NETWORK, "members": 2}, "unlabelled": section,
            })  # fmt: skip


def copied(data_dir: Path, data: Path, name: str, records: list[str], table: str) -> None:
    """A database of some records."""
    if not (data_dir / name).is_dir():
        pytest.skip(f"no real ECG: {name} is not beside this checkout")
    (data / name).mkdir(parents=True)
    for record in records:
        for path in data_dir.glob(f"{name}/**/{record}.*"):
            shutil.copyfile(path, data / name / path.name)
    shutil.copyfile(data_dir / name / table, data / name / table)


def test_recordings_without_labels_are_read_and_kept(data_dir: Path, tmp_path: Path) -> None:
    copied(data_dir, tmp_path / "data", "ludb", ["1", "2"], "ludb.csv")
    recipe = BeatRecipe.parse({"unlabelled": {"databases": ["ludb"]}})
    prepared = PreparedBeats([], [], [], {}, False, "")
    tracks = read_unlabelled(recipe, prepared, tmp_path / "run", tmp_path / "data")
    assert [(track.database, track.record, len(track.x)) for track in tracks] == [
        ("ludb", "1", 1280),
        ("ludb", "2", 1280),
    ]
    assert all(len(track.peaks) > 4 and (track.labels == UNKNOWN).all() for track in tracks)
    again = read_unlabelled(recipe, prepared, tmp_path / "run", tmp_path / "data")
    assert (again[1].x == tracks[1].x).all()


def test_a_recordings_label_says_that_it_fibrillates(data_dir: Path, tmp_path: Path) -> None:
    records = ["A00004", "A00008"]  # fibrillation, and another rhythm
    copied(data_dir, tmp_path / "data", "cinc2017", records, "REFERENCE.csv")
    recipe = BeatRecipe.parse({"unlabelled": {"databases": ["cinc2017"]}})
    prepared = PreparedBeats([], [], [], {}, False, "")
    tracks = read_unlabelled(recipe, prepared, tmp_path / "run", tmp_path / "data")
    assert [track.record for track in tracks] == records
    assert [set(track.labels.tolist()) for track in tracks] == [{NOT_S}, {UNKNOWN}]
