"""`python -m benchmarks wearable`: folds; what is kept and shared."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from beatlens.errors import DataError, RecipeError
from beatlens.pipeline.folder import claim
from beatlens.tasks.recordings.data import PreparedRecordings, Recordings, read_recordings
from beatlens.tasks.recordings.evaluation import FORMS, Told, rows_of, tell
from beatlens.tasks.recordings.recipe import RecordingRecipe
from benchmarks.crossval import recordings as wearable_crossval
from benchmarks.crossval.recordings import fold_folder, out_of_fold

from ..pipeline.wearable_runs import SHORT, TINY

pytestmark = pytest.mark.export
RECIPE = RecordingRecipe.parse(
    {**TINY, "teacher_schedule": {**SHORT, "steps": 4, "validate_every": 4}}
)
FOLDS = (1, 3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return claim(tmp_path_factory.mktemp("crossval") / "run", RECIPE)


@pytest.fixture(scope="module")
def recordings(folder: Path) -> Recordings:
    return read_recordings(RECIPE.data, folder)


@pytest.fixture(scope="module")
def said(recordings: Recordings, folder: Path) -> dict[str, Told]:
    return out_of_fold(RECIPE, recordings, folder, FOLDS, say=lambda text: None)


def decided_with(recipe: RecordingRecipe, recordings: Recordings, folder: Path) -> dict[str, Told]:
    return out_of_fold(recipe, recordings, folder, FOLDS, say=lambda text: None)


def test_every_recording_is_told_by_networks_not_trained_on_it(
    recordings: Recordings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[set[str], set[str]]] = []

    def watched(recipe: RecordingRecipe, prepared: PreparedRecordings, networks: object) -> object:
        learnt = {t.record for t in [*prepared.train, *prepared.validation]}
        seen.append((learnt, {t.record for t in prepared.test}))
        return tell(recipe, prepared, networks)  # type: ignore[arg-type]

    monkeypatch.setattr(wearable_crossval, "tell", watched)
    said = decided_with(RECIPE, recordings, tmp_path)
    assert len(seen) == len(FOLDS)
    assert all(not learnt & tested for learnt, tested in seen)
    told = said["device"].records.tolist()
    assert sorted(told) == sorted(seen[0][1] | seen[1][1])
    assert tuple(said) == FORMS


def test_folds_are_kept_one_by_one(
    recordings: Recordings, said: dict[str, Told], folder: Path
) -> None:
    again = out_of_fold(RECIPE, recordings, folder, FOLDS, say=pytest.fail)
    for form in FORMS:
        assert (again[form].logits == said[form].logits).all()
    one = out_of_fold(RECIPE, recordings, folder, (3,), say=pytest.fail)
    parts = recordings.parts
    assert one["device"].records.tolist() == [
        track.record for track, part in zip(recordings.tracks, parts, strict=True) if part == 3
    ]
    count = len(one["device"].records)
    assert (one["device"].logits == said["device"].logits[-count:]).all()
    rows = rows_of(RECIPE, said)
    assert rows[0]["recordings"] == int(np.isin(parts, FOLDS).sum())


def test_other_offsets_are_decided_with_again_and_nothing_is_trained(
    recordings: Recordings, said: dict[str, Told], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The decision is no part of what a run folder is claimed for.
    noise = RECIPE.model_copy(update={"decision": type(RECIPE.decision)(offsets={"noise": 2.0})})
    claim(folder, noise)
    with monkeypatch.context() as patched:
        patched.setattr("beatlens.tasks.recordings.training.fit", pytest.fail)
        found = decided_with(noise, recordings, folder)
    for form in FORMS:
        assert (found[form].logits == said[form].logits).all()
        assert (found[form].decided == 3).all()
        assert not (said[form].decided == 3).all()
    again = decided_with(RECIPE, recordings, folder)
    assert (again["device"].decided == said["device"].decided).all()


def test_decisions_on_other_recordings_are_not_taken_for_these(
    recordings: Recordings, said: dict[str, Told], folder: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    fewer = Recordings(recordings.tracks[:60], True, "fewer")
    found = r"decisions\.npz: decisions on 16 recordings from sim\d+ to"
    with pytest.raises(DataError, match=found):
        out_of_fold(RECIPE, fewer, copy, FOLDS, say=pytest.fail)


def test_recipes_with_one_teacher_share_it(
    recordings: Recordings, said: dict[str, Told], folder: Path, tmp_path: Path
) -> None:
    smaller = RECIPE.model_copy(update={"name": "smaller"})
    lines: list[str] = []
    found = out_of_fold(smaller, recordings, tmp_path, FOLDS, folder, say=lines.append)
    assert lines == [f"smaller, seed 0: fold {fold + 1} of 5" for fold in FOLDS]
    assert (found["teacher"].logits == said["teacher"].logits).all()
    for fold in FOLDS:
        for name in ("teacher.pt", "tables.pt", "teacher.json"):
            mine, theirs = (fold_folder(f, RECIPE, fold) / name for f in (tmp_path, folder))
            assert mine.read_bytes() == theirs.read_bytes()


def test_teachers_of_other_settings_are_not_shared(
    recordings: Recordings, folder: Path, tmp_path: Path
) -> None:
    for section, changes in (
        ("sampling", {"flips": 0.25}),
        ("data", {"validation": 0.3}),
        ("teacher_schedule", {"steps": 8}),
    ):
        part = getattr(RECIPE, section).model_copy(update=changes)
        other = RECIPE.model_copy(update={section: part})
        with pytest.raises(RecipeError, match=f"its section {section} is .* expected the recipe's"):
            out_of_fold(other, recordings, tmp_path, FOLDS, folder)
    with pytest.raises(RecipeError, match=r"recipe\.json: cannot be read"):
        out_of_fold(RECIPE, recordings, tmp_path, FOLDS, tmp_path / "nothing")
