"""A student's thresholds follow its teacher's decisions, not the labels of a few patients."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from beatlens.signals.rhythm_features import track_rhythm
from beatlens.tasks.windows.data import PreparedWindows
from beatlens.tasks.windows.evaluation import choose_limits
from beatlens.tasks.windows.labels import SPAN, WindowSet, cut_windows
from beatlens.tasks.windows.metrics import Reference, Run, student_thresholds, usable_thresholds
from beatlens.tasks.windows.recipe import WindowRecipe
from beatlens.tasks.windows.rhythm import add_up, build_tables

from ..recipes import window_recipe
from .test_labels import make_track

RECIPE = window_recipe()
CLASSES = RECIPE.classes
RECORDS = np.repeat(["a", "b", "c", "d"], 50)
TEACHER_LIMITS = np.array([1.0, 0.0, 0.0, 50.0])


def make_run(seed: int, noise: float) -> Run:
    """Evidence of one column: a truth that all networks share, and noise of their own."""
    truth = np.random.default_rng(0).normal(0, 3, (len(RECORDS), len(CLASSES)))
    truth[RECORDS != "a", 2] -= 100.0  # the teacher predicts the third class in one record alone
    own = np.random.default_rng(seed).normal(0, noise, truth.shape)
    return Run((truth + own)[:, :, None].astype(np.float32))


def test_a_student_decides_as_often_as_its_teacher() -> None:
    teacher, student = make_run(1, 0.0), make_run(2, 1.5)
    reference = Reference(teacher, TEACHER_LIMITS)
    limits = student_thresholds(reference, student, RECORDS)
    often = (student.logits >= limits).sum(axis=0)
    np.testing.assert_array_equal(often[:2], reference.predicted.sum(axis=0)[:2])


def test_a_class_that_the_teacher_predicts_in_few_records_or_never_keeps_one_half() -> None:
    reference = Reference(make_run(1, 0.0), TEACHER_LIMITS)
    assert reference.predicted[:, 2].any()
    assert not reference.predicted[:, 3].any()
    assert student_thresholds(reference, make_run(2, 1.5), RECORDS)[2:].tolist() == [0.0, 0.0]


def test_labels_of_one_patient_do_not_move_a_students_threshold() -> None:
    """The fault of strips-6k: one record of many positives set how all were decided."""
    teacher, student = make_run(1, 0.0), make_run(2, 1.5)
    validation = make_windows(teacher.logits >= 1.0)
    prepared = PreparedWindows([], [], [], False, "made for this test")
    before = choose_limits(RECIPE, prepared, validation, student, teacher)
    other = validation.labels.copy()
    other[RECORDS == "a"] = 1.0  # whoever annotated this patient calls every window positive
    moved = make_windows(other)
    assert usable_thresholds(moved.labels, student.logits, RECORDS)[0] < before[0] - 1
    np.testing.assert_array_equal(
        student_thresholds(Reference(teacher, TEACHER_LIMITS), student, RECORDS)[:1], before[:1]
    )
    by_labels = choose_limits(RECIPE, prepared, moved, student)
    assert by_labels[0] == usable_thresholds(moved.labels, student.logits, RECORDS)[0]


def test_a_threshold_of_the_recipe_stands_beside_chosen_ones() -> None:
    document = RECIPE.model_dump(mode="json")
    document["task"]["classes"]["sve"]["threshold"] = 0.25
    recipe = WindowRecipe.parse(document)
    teacher, student = make_run(1, 0.0), make_run(2, 1.5)
    validation = make_windows(teacher.logits >= 1.0)
    prepared = PreparedWindows([], [], [], False, "made for this test")
    free = choose_limits(RECIPE, prepared, validation, student, teacher)
    mixed = choose_limits(recipe, prepared, validation, student, teacher)
    at = list(CLASSES).index("sve")
    assert mixed[at] == np.log(0.25 / 0.75) != free[at]
    np.testing.assert_array_equal(np.delete(mixed, at), np.delete(free, at))


def test_regular_rhythm_counts_against_fibrillation_in_what_is_measured() -> None:
    document = RECIPE.model_dump(mode="json")
    document["task"]["classes"]["afib"] |= {"regular": -4.0, "alternating": -1.0}
    tables = build_tables(WindowRecipe.parse(document).task.classes)
    assert build_tables({"pvc": RECIPE.task.classes["pvc"]}) is None
    assert tables is not None
    run = make_run(1, 0.0)
    added = add_up(tables, np.tile([0, 31], (len(RECORDS), 1)))
    moved = replace(run, added=added).logits - run.logits
    assert (moved[:, list(CLASSES).index("afib")] == -4).all()
    assert np.count_nonzero(moved) == len(RECORDS)


def test_windows_have_the_rhythm_of_their_own_recording_up_to_their_end() -> None:
    tracks = [make_track(samples=4 * SPAN, record=name) for name in "ab"]
    plain, found = cut_windows(tracks), cut_windows(tracks, rhythm=True)
    assert plain.rhythm is None
    assert found.rhythm is not None
    ends = range(SPAN, 4 * SPAN + 1, SPAN)
    np.testing.assert_array_equal(found.rhythm[4:], track_rhythm(tracks[1].x, list(ends)))
    assert WindowSet.joined([found, found]).rhythm.shape == (16, 2)
    assert WindowSet.joined([plain, plain]).rhythm is None


def make_windows(labels: np.ndarray) -> WindowSet:
    """Windows whose samples do not matter."""
    count = len(labels)
    return WindowSet(
        windows=np.zeros((count, 0), np.int8),
        labels=labels.astype(np.float32),
        masks=np.zeros((count, len(CLASSES), 0), bool),
        records=RECORDS,
        starts=np.zeros(count, np.int64),
    )
