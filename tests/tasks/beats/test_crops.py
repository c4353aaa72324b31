"""Recordings whose beats nobody labelled: read, and trained on by last members and students."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from beatlens.errors import RecipeError
from beatlens.nets.teacher import Teacher
from beatlens.pipeline.compress import compress
from beatlens.pipeline.train import train_teacher
from beatlens.tasks.beats.crops import label_unlabelled, member_crops
from beatlens.tasks.beats.data import PreparedBeats, prepare_beats, read_unlabelled
from beatlens.tasks.beats.labels import ABSENT, UNKNOWN
from beatlens.tasks.beats.recipe import BeatRecipe

from ...pipeline.tiny import NETWORK, TINY_BEATS, document_of

OTHERS = {"databases": ["cinc2017"], "student_share": 0.5}
RECIPE = BeatRecipe.parse({**TINY_BEATS, "unlabelled": OTHERS})
CLASSES = RECIPE.classes
Run = tuple[PreparedBeats, Teacher]


def of_two_members(**unlabelled: object) -> BeatRecipe:
    return BeatRecipe.parse({
        **TINY_BEATS,
        "teacher": {**NETWORK, "members": 2},
        "unlabelled": {**OTHERS, **unlabelled},
    })  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Prepared recordings, labelled and not; and a teacher trained on the labelled ones."""
    folder = tmp_path_factory.mktemp("beats")
    prepared = prepare_beats(RECIPE, folder)
    return prepared, train_teacher(RECIPE, prepared, folder)


def test_students_are_trained_on_recordings_that_only_the_teacher_labels(
    run: Run, tmp_path: Path
) -> None:
    prepared, teacher = run
    alone, others = BeatRecipe.parse(TINY_BEATS), prepared.unlabelled
    assert prepare_beats(alone, tmp_path).unlabelled == []
    known = {track.record for track in (*prepared.train, *prepared.validation, *prepared.test)}
    assert others
    assert not known & {track.record for track in others}
    assert all(set(track.labels.tolist()) in ({UNKNOWN}, {ABSENT}) for track in others)
    fibrillating = [track for track in others if (track.labels == ABSENT).all()]
    assert 0 < len(fibrillating) < len(others)
    student, _ = compress(alone, prepared, teacher, tmp_path / "alone")
    other, quantized = compress(RECIPE, prepared, teacher, tmp_path)
    assert (other.head.weight != student.head.weight).any()
    none = replace(prepared, unlabelled=[])
    with pytest.raises(RecipeError, match=r"unlabelled\.databases names cinc2017, but no record"):
        compress(RECIPE, none, teacher, tmp_path / "new")
    again = compress(RECIPE, none, teacher, tmp_path)  # what is there is loaded
    assert again[1].logit_scale == quantized.logit_scale


def test_the_last_members_are_trained_on_what_the_first_ones_predict(
    run: Run, tmp_path: Path
) -> None:
    prepared, first = run
    recipe = of_two_members(members=1, fibrillation_share=0.3, other_share=0.3)
    teacher = train_teacher(recipe, prepared, tmp_path)
    members = [
        Teacher.load(tmp_path / "members" / str(i) / "teacher.pt", features=7) for i in range(2)
    ]
    # The first one is as if there were no unlabelled recordings, the second is not.
    np.testing.assert_array_equal(members[0].table_values, first.table_values)
    without = train_teacher(
        BeatRecipe.parse(TINY_BEATS).model_copy(update={"seed": recipe.of_member(1).seed}),
        prepared, tmp_path / "without",
    )  # fmt: skip
    assert not np.array_equal(members[1].table_values, without.table_values)
    means = np.mean([each.table_values for each in members], axis=0)
    np.testing.assert_allclose(teacher.table_values, means, atol=1e-6)
    # What is there is not trained again, nor are recordings needed for it.
    (tmp_path / "teacher.pt").unlink()
    again = train_teacher(recipe, replace(prepared, unlabelled=[]), tmp_path)
    assert np.array_equal(again.table_values, teacher.table_values)
    labelled = label_unlabelled(recipe, prepared.unlabelled, first)
    crops = member_crops(recipe.of_member(1), prepared, labelled)
    labels = crops.batch(0, 200)[2]
    fibrillating = (labels == ABSENT).any(axis=1)
    assert fibrillating.mean() == pytest.approx(0.3, abs=0.08)
    assert not ((labels >= 0).any(axis=1) & fibrillating).any()
    assert set(labels[~fibrillating].ravel().tolist()) <= {UNKNOWN, *range(len(CLASSES))}


def test_labelled_crops_beside_unlabelled_ones_are_placed_as_the_recipe_says(run: Run) -> None:
    prepared, first = run
    with_s = {}
    for share in (0.0, 0.9):
        shares = {"s": share, "v": 0.0, "f": 0.0}
        recipe = of_two_members(
            members=1, fibrillation_share=0.5, other_share=0.0, labelled={"shares": shares}
        )
        others = label_unlabelled(recipe, prepared.unlabelled, first)
        labels = member_crops(recipe.of_member(1), prepared, others).batch(0, 300)[2]
        labelled = labels[(labels >= 0).any(axis=1)]
        with_s[share] = (labelled == CLASSES.index("s")).any(axis=1).mean()
    assert with_s[0.9] > 0.85
    assert with_s[0.0] < with_s[0.9] - 0.2
    with pytest.raises(RecipeError, match=r"unlabelled\.labelled.* add up to 1\.2"):
        of_two_members(members=1, labelled={"shares": {"s": 0.5, "v": 0.5, "f": 0.2}})


def test_recordings_that_cannot_be_used_are_refused(run: Run, tmp_path: Path) -> None:
    recipe = of_two_members(members=1)
    prepared, first = run
    with pytest.raises(RecipeError, match=r"no recordings of 7\.5 s or more were given"):
        train_teacher(recipe, replace(prepared, unlabelled=[]), tmp_path)
    calm = [track for track in prepared.unlabelled if (track.labels == UNKNOWN).all()]
    with pytest.raises(RecipeError, match=r"no recording of cinc2017 is labelled atrial fib"):
        label_unlabelled(recipe, calm, first)
    for section, message in (
        ({"members": 2}, r"unlabelled\.members is 2, expected less than the 2"),
        ({"members": 1, "databases": []}, "members is 1, but there are no databases"),
        ({"fibrillation_share": 0.7, "other_share": 0.7}, r"add up to 1\.4"),
    ):
        with pytest.raises(RecipeError, match=message):
            of_two_members(**section)


def unlabelled_of(database: str) -> BeatRecipe:
    return BeatRecipe.parse({**document_of("beats"), "unlabelled": {"databases": [database]}})


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
    recipe, nobody = unlabelled_of("ludb"), frozenset[str]()
    tracks = read_unlabelled(recipe, nobody, tmp_path / "run", tmp_path / "data")
    assert [(track.database, track.record, len(track.x)) for track in tracks] == [
        ("ludb", "1", 1280),
        ("ludb", "2", 1280),
    ]
    assert all(len(track.peaks) > 4 and (track.labels == UNKNOWN).all() for track in tracks)
    again = read_unlabelled(recipe, nobody, tmp_path / "run", tmp_path / "data")
    assert (again[1].x == tracks[1].x).all()


def test_a_recordings_label_says_that_it_fibrillates(data_dir: Path, tmp_path: Path) -> None:
    records = ["A00004", "A00008"]  # fibrillation, and another rhythm
    copied(data_dir, tmp_path / "data", "cinc2017", records, "REFERENCE.csv")
    recipe = unlabelled_of("cinc2017")
    tracks = read_unlabelled(recipe, frozenset(), tmp_path / "run", tmp_path / "data")
    assert [track.record for track in tracks] == records
    assert [set(track.labels.tolist()) for track in tracks] == [{ABSENT}, {UNKNOWN}]
