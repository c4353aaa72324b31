"""Cross-validation of a teacher's recipe: nobody is predicted by a network that has seen him."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from beatlens.errors import DataError
from beatlens.recipe import ScheduleSection, TeacherSection
from beatlens.signals.databases import mitdb
from beatlens.tasks.registry import default_recipe
from beatlens.tasks.windows.data import PreparedWindows
from beatlens.tasks.windows.labels import SPAN, WindowSet, WindowTrack, cut_windows
from beatlens.tasks.windows.metrics import Run, usable_thresholds
from beatlens.tasks.windows.recipe import WindowRecipe
from benchmarks.crossval import windows as crossval
from benchmarks.crossval.windows import OutOfFold, build_row, out_of_fold

from ..nets.networks import SMALL
from ..tasks.tracks import make_track


def track(record: str, database: str = "mitdb") -> WindowTrack:
    beats = [(300 + 200 * i, "V" if i % 3 == int(record) % 3 else "N") for i in range(10)]
    return make_track(beats, samples=2 * SPAN, record=record, database=database, patient=record)


def prepared(without: str = "") -> PreparedWindows:
    ours = [track(r) for r in mitdb.TRAIN if r != without] + [track("800", "svdb")]
    return PreparedWindows(
        ours, [track(r) for r in mitdb.VALIDATION], [track("100")], False, "made"
    )


def recipe() -> WindowRecipe:
    schedule = ScheduleSection(steps=2, learning_rate=1e-3, batch=2)
    teacher = TeacherSection.of(SMALL["residual"])
    found = default_recipe("windows").model_copy(
        update={"teacher": teacher, "teacher_schedule": schedule}
    )
    assert isinstance(found, WindowRecipe)
    return found


CLASSES = recipe().task.classes


def test_every_record_is_held_out_once_and_201_never_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[set[str], set[str]]] = []
    train_network = crossval.train_network

    def spy(chosen, fold, crops, spec, schedule, *rest):
        assert schedule.keep == "last"
        seen.append(({t.record for t in fold.train}, {t.record for t in fold.validation}))
        return train_network(chosen, fold, crops, spec, schedule, *rest)

    monkeypatch.setattr(crossval, "train_network", spy)
    found = out_of_fold(recipe(), prepared(), tmp_path, range(5), say=lambda _: None)
    assert sorted(record for _, held in seen for record in held) == sorted(mitdb.DS1)
    for trained, held in seen:
        assert not trained & held
        assert "201" not in trained
        assert "100" not in trained | held
        assert "800" in trained
    assert set(found.strips.records) == set(mitdb.DS1)
    assert found.run.logits.shape == found.strips.labels.shape

    again = out_of_fold(recipe(), prepared(), tmp_path, range(5), say=lambda _: None)
    assert len(seen) == 5  # nothing was trained again
    np.testing.assert_array_equal(again.run.evidence, found.run.evidence)
    row = build_row(recipe(), found)
    assert row["records"] == 22
    assert 0 < row["ap_pvc_lo"] <= row["ap_pvc"] <= row["ap_pvc_hi"] <= 1
    assert 0 < row["threshold_pvc"] < 1


def strips_of(labels: np.ndarray, records: list[str]) -> WindowSet:
    count, classes = labels.shape
    masks = np.zeros((count, classes, 2), bool)
    return WindowSet(
        np.zeros((count, 2), np.int8), labels, masks, np.array(records), np.arange(count)
    )


def test_where_evidence_lies_is_judged_on_strips_that_are_found() -> None:
    strips = cut_windows([track(str(n)) for n in (100, 101, 102)])
    inside = strips.masks.reshape(*strips.masks.shape[:2], -1, 8).all(axis=3)
    present = (strips.labels == 1)[:, :, None]
    evidence = np.where(present, 1.0, -1.0) + np.where(inside, 1.0, -1.0) * 0.5
    row = OutOfFold(CLASSES, strips, Run(evidence)).row(50)
    assert row["ap_pvc"] == row["point_pvc"] == 1
    assert row["loc_auc_pvc"] > 0.95
    turned = OutOfFold(CLASSES, strips, Run(np.where(present, 1.0, -1.0) - evidence)).row(50)
    assert turned["point_pvc"] < 0.05
    assert turned["loc_auc_pvc"] < 0.1


def test_thresholds_are_probabilities_with_the_best_f1() -> None:
    labels = np.tile(np.array([[1.0]] * 3 + [[0.0]] * 3), (1, 4))
    logits = np.tile(np.array([[5.0], [4.0], [3.0], [1.0], [-1.0], [-3.0]]), (1, 4))
    row = OutOfFold(CLASSES, strips_of(labels, ["a", "b", "c"] * 2), Run(logits[:, :, None])).row(
        50
    )
    assert row["threshold_sve"] == pytest.approx(1 / (1 + np.exp(-2)))
    assert row["f1_sve"] == 1
    assert row["macro_ap"] == 1


def test_a_class_that_is_not_told_or_has_few_patients_keeps_one_half() -> None:
    rng = np.random.default_rng(0)
    labels = np.zeros((400, 4))
    labels[:40] = 1
    logits = np.tile((labels[:, :1] * 8 - 2), (1, 4))
    logits[:, 1] = rng.normal(-3, 0.1, 400)  # says nothing: F1 is best where all is predicted
    records = np.array([f"{i % 4}" for i in range(400)])
    labels[:, 2] *= records == "0"  # one patient
    chosen = 1 / (1 + np.exp(-usable_thresholds(labels, logits, records)))
    assert chosen[0] == pytest.approx(1 / (1 + np.exp(-2)))
    assert chosen[1:3].tolist() == [0.5, 0.5]


def test_a_missing_record_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="101 is missing"):
        out_of_fold(recipe(), prepared(without="101"), tmp_path, [0])
