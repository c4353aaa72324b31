"""Cross-validation of recordings: networks new to them decide; what is kept and shared."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from beatlens.errors import DataError, RecipeError
from beatlens.pipeline.folder import claim
from beatlens.tasks.contract import Networks
from beatlens.tasks.recordings.data import PreparedRecordings, prepare_recordings
from beatlens.tasks.recordings.evaluation import FORMS, Predictions, format_rows, predict
from beatlens.tasks.recordings.recipe import RecordingRecipe
from benchmarks.crossval import recordings as recordings_crossval
from benchmarks.crossval.recordings import fold_folder, fold_recipe, out_of_fold

from ..pipeline.recording_runs import TINY
from ..pipeline.tiny import SHORT

pytestmark = pytest.mark.export
RECIPE = RecordingRecipe.parse(
    {**TINY, "teacher_schedule": {**SHORT, "steps": 4, "validate_every": 4}}
)
FOLDS = (1, 3)
Folds = dict[int, PreparedRecordings]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return claim(tmp_path_factory.mktemp("crossval") / "run", RECIPE)


def prepare(recipe: RecordingRecipe, folder: Path) -> Folds:
    return {fold: prepare_recordings(fold_recipe(recipe, fold), folder) for fold in FOLDS}


@pytest.fixture(scope="module")
def prepared(folder: Path) -> Folds:
    return prepare(RECIPE, folder)


@pytest.fixture(scope="module")
def found(prepared: Folds, folder: Path) -> dict[str, Predictions]:
    return decided_with(RECIPE, prepared, folder)


def decided_with(recipe: RecordingRecipe, prepared: Folds, folder: Path) -> dict[str, Predictions]:
    return out_of_fold(recipe, prepared, folder, say=lambda text: None)


def test_every_recording_is_decided_by_networks_not_trained_on_it(
    prepared: Folds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[set[str], set[str]]] = []

    def watched(
        recipe: RecordingRecipe, fold: PreparedRecordings, networks: Networks
    ) -> dict[str, Predictions]:
        trained = {t.record for t in [*fold.train, *fold.validation]}
        seen.append((trained, {t.record for t in fold.test}))
        return predict(recipe, fold, networks)

    monkeypatch.setattr(recordings_crossval, "predict", watched)
    found = decided_with(RECIPE, prepared, tmp_path)
    assert len(seen) == len(FOLDS)
    assert all(not trained & tested for trained, tested in seen)
    decided = found["device"].records.tolist()
    assert sorted(decided) == sorted(seen[0][1] | seen[1][1])
    assert tuple(found) == FORMS


def test_the_folds_test_on_every_recording_once() -> None:
    data = RECIPE.data.model_copy(update={"simulated_seconds": 10, "simulated_patients": 20})
    recipe = RECIPE.model_copy(update={"data": data})
    folds = [prepare_recordings(fold_recipe(recipe, fold), Path()) for fold in range(5)]
    tested = [track.record for fold in folds for track in fold.test]
    every = [t.record for t in (*folds[0].train, *folds[0].validation, *folds[0].test)]
    assert sorted(tested) == sorted(every)
    assert len(tested) == 20
    split = RECIPE.data.sources[0].model_copy(update={"split": "test"})
    other = RECIPE.data.model_copy(update={"sources": (split,)})
    with pytest.raises(RecipeError, match=r"expected one .* with split = \{ parts = 5 \}"):
        fold_recipe(RECIPE.model_copy(update={"data": other}), 0)


def test_folds_are_kept_one_by_one(
    prepared: Folds, found: dict[str, Predictions], folder: Path
) -> None:
    again = out_of_fold(RECIPE, prepared, folder, say=pytest.fail)
    for form in FORMS:
        assert (again[form].logits == found[form].logits).all()
    one = out_of_fold(RECIPE, {3: prepared[3]}, folder, say=pytest.fail)
    assert one["device"].records.tolist() == [track.record for track in prepared[3].test]
    count = len(one["device"].records)
    assert (one["device"].logits == found["device"].logits[-count:]).all()
    rows = format_rows(RECIPE, found, {})
    assert rows[0]["recordings"] == sum(len(fold.test) for fold in prepared.values())


def with_offsets(recipe: RecordingRecipe, **offsets: float) -> RecordingRecipe:
    classes = {
        name: one.model_copy(update={"offset": offsets.get(name, 0.0)})
        for name, one in recipe.task.classes.items()
    }
    return recipe.model_copy(update={"task": recipe.task.model_copy(update={"classes": classes})})


def test_other_offsets_are_decided_with_again_and_nothing_is_trained(
    prepared: Folds,
    found: dict[str, Predictions],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Offsets are no part of what a run folder is claimed for.
    noise = with_offsets(RECIPE, noise=2.0)
    claim(folder, noise)
    with monkeypatch.context() as patched:
        patched.setattr("beatlens.pipeline.train.fit", pytest.fail)
        other = decided_with(noise, prepared, folder)
    for form in FORMS:
        assert (other[form].logits == found[form].logits).all()
        assert (other[form].decided == 3).all()
        assert not (found[form].decided == 3).all()
    again = decided_with(RECIPE, prepared, folder)
    assert (again["device"].decided == found["device"].decided).all()


def test_predictions_for_other_recordings_are_not_taken_for_these(
    found: dict[str, Predictions], folder: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    fewer = RECIPE.data.model_copy(update={"simulated_patients": 60})
    prepared = prepare(RECIPE.model_copy(update={"data": fewer}), tmp_path)
    with pytest.raises(
        DataError, match=r"predictions\.npz: predictions for 16 recordings from sim\d+ to"
    ):
        out_of_fold(RECIPE, prepared, copy, say=pytest.fail)


def test_recipes_with_one_teacher_share_it(
    prepared: Folds, found: dict[str, Predictions], folder: Path, tmp_path: Path
) -> None:
    smaller = RECIPE.model_copy(update={"name": "smaller"})
    lines: list[str] = []
    again = out_of_fold(smaller, prepared, tmp_path, folder, say=lines.append)
    assert lines == [f"smaller, seed 0: fold {fold + 1} of 5" for fold in FOLDS]
    assert (again["teacher"].logits == found["teacher"].logits).all()
    for fold in FOLDS:
        for name in ("teacher.pt", "tables.pt", "teacher.json"):
            taken, source = (fold_folder(f, RECIPE, fold) / name for f in (tmp_path, folder))
            assert taken.read_bytes() == source.read_bytes()


def test_teachers_of_other_settings_are_not_shared(
    prepared: Folds, folder: Path, tmp_path: Path
) -> None:
    for section, changes in (
        ("sampling", {"flips": 0.25}),
        ("data", {"simulated_seconds": 14}),
        ("teacher_schedule", {"steps": 8}),
    ):
        part = getattr(RECIPE, section).model_copy(update=changes)
        other = RECIPE.model_copy(update={section: part})
        with pytest.raises(RecipeError, match=f"its section {section} is .* expected the recipe's"):
            out_of_fold(other, prepared, tmp_path, folder)
    with pytest.raises(RecipeError, match=r"recipe\.json: cannot be read"):
        out_of_fold(RECIPE, prepared, tmp_path, tmp_path / "nothing")
