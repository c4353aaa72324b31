"""Step 1 of the pipeline: roles without shared patients, and what was prepared is kept."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from beatlens.errors import DataError, RecipeError
from beatlens.pipeline import data as step
from beatlens.recipe import Recipe
from beatlens.signals import data_folders
from beatlens.signals.databases import Database, DatabaseNotFoundError, find_database
from beatlens.signals.databases import mitdb as splits
from beatlens.tasks.beats.data import prepare_beats, wanted_records
from beatlens.tasks.beats.recipe import BeatDataSection, BeatRecipe
from beatlens.tasks.common.workers import Workers
from beatlens.tasks.recordings.data import prepare_recordings
from beatlens.tasks.recordings.recipe import RecordingRecipe
from beatlens.tasks.windows.data import (
    ROLES,
    Prepared,
    held_patients,
    prepare,
    simulates,
    trainable,
)
from beatlens.tasks.windows.labels import CLASSES, cut_windows
from beatlens.tasks.windows.metrics import Run
from beatlens.tasks.windows.sampling import CropSampler

from ..signals.wfdb_cases import write_record

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
        assert (cut_windows(tracks).labels.sum(axis=0) > 0).all()  # every class in every role
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


@pytest.fixture
def nothing_at_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without databases; returns where its cache would be."""
    monkeypatch.delenv("BEATLENS_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(data_folders, "__file__", str(tmp_path / "a/b/c/d/data_folders.py"))
    return tmp_path / "cache" / "beatlens" / "data"


def test_auto_falls_back_on_simulation_and_real_does_not(
    nothing_at_hand: Path, tmp_path: Path
) -> None:
    small = SIMULATED.data.model_copy(update={"source": "auto"})
    assert prepare(SIMULATED.model_copy(update={"data": small}), tmp_path).simulated
    real = SIMULATED.data.model_copy(update={"source": "real"})
    with pytest.raises(DataError, match=r"mitdb .* is not there"):
        prepare(SIMULATED.model_copy(update={"data": real}), tmp_path / "real")
    assert not (tmp_path / "real").exists()


AUTO = {
    "strips": Recipe.parse({"data": {"simulated_patients": 12, "simulated_seconds": 60}}),
    "beats": BeatRecipe.parse(
        {"task": "beats", "name": "b", "data": {"simulated_patients": 12, "simulated_seconds": 60}}
    ),
    "recordings": RecordingRecipe.parse(
        {"task": "wearable", "name": "w",
         "data": {"simulated_recordings": 80, "simulated_seconds": 30}}
    ),
}  # fmt: skip
PREPARE = {"strips": prepare, "beats": prepare_beats, "recordings": prepare_recordings}
NEEDED = {"strips": "mitdb", "beats": "mitdb", "recordings": "cinc2017"}


def damaged(folder: Path, needed: str, how: str) -> None:
    """A folder of databases in which the one needed is not as it should be, or is not there."""
    if how == "mistyped":
        return
    if how == "empty folder":
        folder.mkdir(parents=True)
        return
    if how == "another database":
        write_record(folder / "nstdb", "118e00")
        return
    write_record(folder / needed, "100")
    records = folder / needed / "RECORDS"
    if how == "entry of RECORDS":
        records.write_text("100\n../../etc/passwd\n")
    elif how == "records lost":
        records.write_text("100\n101\n102\n")
    elif how == "no record":
        (folder / needed / "100.hea").unlink()
    elif how == "samples cut":
        (folder / needed / "100.dat").write_bytes(b"cut")
    else:
        records.write_bytes(bytes(range(256)))


MESSAGES = {
    "mistyped": "expected a folder that exists",
    "empty folder": "holds none of the databases",
    "another database": "is not there; looked for",
    "entry of RECORDS": r"RECORDS: entry is '\.\./\.\./etc/passwd'",
    "records lost": "2 of the 3 records in its list RECORDS are not there",
    "no record": "is there, but has none of the",
    "samples cut": r"no record '|number of signals is 2|no REFERENCE-v3",
    "RECORDS of bytes": "RECORDS: entry is",
}


@pytest.mark.parametrize("task", AUTO)
@pytest.mark.parametrize("how", MESSAGES)
@pytest.mark.parametrize("asked", ["--data", "BEATLENS_DATA", "cache"])
def test_auto_simulates_only_where_nothing_was_asked_for_or_found(
    asked: str, how: str, task: str, nothing_at_hand: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    folder = nothing_at_hand if asked == "cache" else tmp_path / "named"
    damaged(folder, NEEDED[task], how)
    if asked == "BEATLENS_DATA":
        monkeypatch.setenv("BEATLENS_DATA", str(folder))
    data = folder if asked == "--data" else None
    if asked == "cache" and how in ("mistyped", "empty folder", "another database"):
        assert not list(simulated_reasons(task, data))
        return
    (reason,) = simulated_reasons(task, data)
    assert re.search(MESSAGES[how], reason), reason
    assert not (tmp_path / "run" / "tracks").exists() or how == "samples cut"


def simulated_reasons(task: str, data: Path | None) -> Iterator[str]:
    """Why a recipe's ECG is not simulated, if it is not."""
    section = AUTO[task].data
    others = getattr(section, "databases", ())
    try:
        if not simulates(section.source, NEEDED[task], others, data):
            with tempfile.TemporaryDirectory() as folder:
                PREPARE[task](AUTO[task], Path(folder), data)
            yield "trained on what was there"
    except DataError as error:
        yield str(error)


@pytest.mark.parametrize("task", AUTO)
def test_auto_simulates_where_nothing_is(task: str, nothing_at_hand: Path, tmp_path: Path) -> None:
    assert PREPARE[task](AUTO[task], tmp_path / "run").simulated


def test_auto_with_another_database_of_the_recipe_is_an_error(nothing_at_hand: Path) -> None:
    write_record(nothing_at_hand / "svdb", "800")
    with pytest.raises(DatabaseNotFoundError, match=r"mitdb .* is not there"):
        simulates("auto", "mitdb", ("mitdb", "svdb"), None)
    assert simulates("simulated", "mitdb", ("svdb",), None)
    assert not simulates("real", "mitdb", (), None)


def test_an_extra_database_that_is_damaged_is_not_left_out(
    mitdb_dir: Path, nothing_at_hand: Path, tmp_path: Path
) -> None:
    nothing_at_hand.mkdir(parents=True)
    (nothing_at_hand / "mitdb").symlink_to(mitdb_dir)
    write_record(nothing_at_hand / "svdb", "800")
    (nothing_at_hand / "svdb" / "RECORDS").write_text("800\n801\n")
    with pytest.raises(DataError, match=r"svdb: 1 of the 2 records in its list"):
        prepare(AUTO["strips"], tmp_path / "run")
    with pytest.raises(DataError, match=r"svdb: 1 of the 2 records in its list"):
        prepare_beats(AUTO["beats"], tmp_path / "run")


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
    assert cut_windows(prepared.validation).labels.shape[1] == len(CLASSES)


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
    strips = cut_windows(prepared.validation)
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
        raise DatabaseNotFoundError(f"{name} is not there")

    monkeypatch.setattr(step, "find_database", only_mitdb)
    prepared = prepare(Recipe(), tmp_path, mitdb_dir.parent)
    assert {track.database for track in prepared.train} == {"mitdb"}
    assert "recordings (mitdb; of mitdb" in prepared.description


@pytest.fixture
def excerpts(tmp_path: Path) -> Path:
    """mitdb, svdb and qtdb, made: sel100 is of DS2, sel114 of validation, sel801 of svdb's."""
    write_record(tmp_path / "mitdb", "100")
    for record in ("800", "801"):
        write_record(tmp_path / "svdb", record)
    for record in ("sel100", "sel101", "sel114", "sel30", "sel801", "sel808"):
        write_record(tmp_path / "qtdb", record)
    return tmp_path


def test_patients_of_validation_and_test_are_not_trained_on(excerpts: Path) -> None:
    held = held_patients((*splits.VALIDATION, *splits.DS2))
    assert trainable(find_database("qtdb", excerpts), held) == (
        "sel101", "sel30", "sel801", "sel808",
    )  # fmt: skip
    assert trainable(find_database("mitdb", excerpts), frozenset()) == ()  # 100 is tested on
    section = BeatDataSection.model_validate({"databases": ("mitdb", "svdb", "qtdb")})
    wanted = wanted_records(section, excerpts)
    assert [named for named in wanted["validation"] if named[0] != "mitdb"] == [("svdb", "801")]
    assert [named for named in wanted["train"] if named[0] != "mitdb"] == [
        ("svdb", "800"),
        ("qtdb", "sel101"),
        ("qtdb", "sel30"),
        ("qtdb", "sel808"),
    ]


def test_a_recipe_for_beats_takes_any_database_with_labels_of_beats() -> None:
    recipe = BeatRecipe.parse({"data": {"databases": ["mitdb", "edb", "ltafdb"]}})
    assert recipe.data.databases == ("mitdb", "edb", "ltafdb")
    with pytest.raises(RecipeError, match=r"databases\.0 is 'afdb': .* no labels of beats"):
        BeatRecipe.parse({"data": {"databases": ["afdb"]}})
    with pytest.raises(RecipeError, match=r"no database is called 'afbd'; there are mitdb"):
        BeatRecipe.parse({"unlabelled": {"databases": ["afbd"]}})
