"""Step 1 of the pipeline: roles without shared patients, and what was prepared is kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from beatlens.errors import DataError, RecipeError
from beatlens.evaluate.strips import Run
from beatlens.pipeline import data as step
from beatlens.pipeline.data import ROLES, Prepared, prepare
from beatlens.recipe import Recipe
from beatlens.signals import splits
from beatlens.signals.databases import Database
from beatlens.tasks.sampling import CropSampler
from beatlens.tasks.strips import CLASSES, cut_strips
from beatlens.tasks.workers import Workers

SIMULATED = Recipe.parse(
    {"data": {"source": "simulated", "simulated_patients": 12, "simulated_seconds": 60}}
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="module")
def simulated(folder: Path) -> Prepared:
    return prepare(SIMULATED, folder)


def test_simulated_patients_are_split_and_said_to_be_simulated(simulated: Prepared) -> None:
    assert simulated.simulated
    assert "SIMULATED" in simulated.description
    roles = (simulated.train, simulated.validation, simulated.test)
    assert [len(tracks) for tracks in roles] == [4, 4, 4]
    patients = [track.patient for tracks in roles for track in tracks]
    assert len(set(patients)) == len(patients) == 12
    for tracks in roles:
        assert (cut_strips(tracks).labels.sum(axis=0) > 0).all()  # every class in every role
        for track in tracks:
            assert track.known.all()
            assert len(track.x) == 60 * 128


def test_what_was_prepared_is_read_again(
    simulated: Prepared, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step.simulate, "simulate_database", None)
    again = prepare(SIMULATED, folder)
    assert again.description == simulated.description
    for mine, theirs in zip(again.test, simulated.test, strict=True):
        assert mine.record == theirs.record
        np.testing.assert_array_equal(mine.x, theirs.x)
    with pytest.raises(TypeError):  # another data section is prepared anew
        prepare(
            SIMULATED.model_copy(
                update={"data": SIMULATED.data.model_copy(update={"simulated_seconds": 61})}
            ),
            folder,
        )


def test_simulated_data_do_not_depend_on_the_recipes_seed(
    simulated: Prepared, tmp_path: Path
) -> None:
    other = prepare(SIMULATED.model_copy(update={"seed": 5}), tmp_path)
    np.testing.assert_array_equal(other.train[0].x, simulated.train[0].x)


def test_progress_is_told(tmp_path: Path) -> None:
    calls: list[tuple[str, int, int]] = []
    prepare(SIMULATED, tmp_path, progress=lambda *call: calls.append(call))
    assert calls == [(f"simulated, {role}", n, 4) for role in ROLES for n in range(1, 5)]


def test_the_sampler_is_the_recipes(simulated: Prepared) -> None:
    recipe = SIMULATED.model_copy(
        update={"sampling": SIMULATED.sampling.model_copy(update={"pvc": 0.5})}
    )
    mine = simulated.sampler(recipe, 9)
    sampling = recipe.sampling
    theirs = CropSampler(
        simulated.train, 9, sampling.shares, sampling.database_weights, sampling.augmentation
    )
    for index in range(5):
        np.testing.assert_array_equal(mine.crop(index)[0], theirs.crop(index)[0])


def nothing_found(name: str, data: Path | None = None) -> None:
    raise DataError(f"{name} is not there")


def test_auto_falls_back_on_simulation_and_real_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step, "find_database", nothing_found)
    small = SIMULATED.data.model_copy(update={"source": "auto"})
    assert prepare(SIMULATED.model_copy(update={"data": small}), tmp_path).simulated
    real = SIMULATED.data.model_copy(update={"source": "real"})
    with pytest.raises(DataError, match="mitdb is not there"):
        prepare(SIMULATED.model_copy(update={"data": real}), tmp_path / "real")
    assert not (tmp_path / "real").exists()


def test_a_damaged_cache_is_named(tmp_path: Path) -> None:
    prepare(SIMULATED, tmp_path)
    store = next((tmp_path / "tracks").glob("*-test"))
    victim = store / "x.bin"
    victim.write_bytes(victim.read_bytes()[:1000])
    with pytest.raises(DataError, match=rf"{store.name}: .*x\.bin has 1000 bytes.*delete it"):
        prepare(SIMULATED, tmp_path)


def test_recordings_read_by_several_processes_are_the_same(data_dir: Path, tmp_path: Path) -> None:
    recipe = Recipe.parse({"data": {"databases": ["ludb"]}})
    one = prepare(recipe, tmp_path / "one", data_dir)
    two = prepare(recipe, tmp_path / "two", data_dir, workers=Workers(jobs=2))
    for role in ROLES:
        mine, theirs = getattr(one, role), getattr(two, role)
        assert [track.record for track in mine] == [track.record for track in theirs]
        for a, b in zip(mine, theirs, strict=True):
            np.testing.assert_array_equal(a.x, b.x)
            np.testing.assert_array_equal(a.beats, b.beats)


def test_real_ecg_is_split_by_patient(mitdb_dir: Path, tmp_path: Path) -> None:
    recipe = Recipe.parse({"data": {"databases": []}})
    prepared = prepare(recipe, tmp_path, mitdb_dir.parent)
    assert not prepared.simulated
    assert prepared.description.startswith("real ECG")
    assert "inter-patient" in prepared.description
    names = [
        tuple(track.record for track in tracks)
        for tracks in (prepared.train, prepared.validation, prepared.test)
    ]
    assert names == [splits.TRAIN, splits.VALIDATION, splits.DS2]
    training = {track.patient for track in prepared.train}
    others = {track.patient for track in prepared.validation + prepared.test}
    assert not training & others
    assert cut_strips(prepared.validation).labels.shape[1] == len(CLASSES)


FINAL = {
    "data": {"databases": [], "final_fit": True},
    "teacher_schedule": {"steps": 10, "learning_rate": 1e-3, "keep": "last"},
    "student_schedule": {"steps": 10, "learning_rate": 1e-3, "keep": "last"},
    "quantize_schedule": {"steps": 10, "learning_rate": 1e-3, "keep": "last"},
    "decision": {"thresholds": {"pvc": 0.5, "sve": 0.75, "afib": 0.25, "bbb": 0.5}},
}


def test_a_final_fit_trains_on_all_of_ds1_but_the_patient_of_the_test_set(
    mitdb_dir: Path, tmp_path: Path
) -> None:
    recipe = Recipe.parse(FINAL)
    prepared = prepare(recipe, tmp_path, mitdb_dir.parent)
    assert {t.record for t in prepared.train} == set(splits.DS1) - {"201"}
    assert [t.record for t in prepared.validation] == ["201"]
    assert not {t.patient for t in prepared.train} & {t.patient for t in prepared.test}
    assert "chosen before, by cross-validation over DS1" in prepared.description
    strips = cut_strips(prepared.validation)
    run = Run(np.zeros((len(strips), len(CLASSES), 2), np.float32))
    chosen = prepared.thresholds(recipe, strips, run)
    np.testing.assert_allclose(chosen, [0, np.log(3), -np.log(3), 0])


@pytest.mark.parametrize("left_out", ["decision", "student_schedule"])
def test_a_final_fit_chooses_nothing(left_out: str) -> None:
    expected = {"decision": "decision.thresholds", "student_schedule": "student_schedule.keep"}
    choosing = FINAL["student_schedule"] | {"keep": "best"}
    given = FINAL | ({"decision": {}} if left_out == "decision" else {left_out: choosing})
    with pytest.raises(RecipeError, match=expected[left_out]):
        Recipe.parse(given)


def test_thresholds_are_given_for_all_classes_or_none() -> None:
    with pytest.raises(RecipeError, match="expected none or all of pvc, sve, afib, bbb"):
        Recipe.parse({"decision": {"thresholds": {"pvc": 0.5}}})


def test_databases_that_are_not_there_are_left_out(
    mitdb_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = step.find_database

    def only_mitdb(name: str, data: Path | None = None) -> Database:
        if name == "mitdb":
            return find(name, data)
        raise DataError(f"{name} is not there")

    monkeypatch.setattr(step, "find_database", only_mitdb)
    prepared = prepare(Recipe(), tmp_path, mitdb_dir.parent)
    assert {track.database for track in prepared.train} == {"mitdb"}
    assert "recordings (mitdb; of mitdb" in prepared.description
