"""Preparing recordings of any kind: roles without shared patients; what was prepared is kept."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from beatlens.errors import DataError, RecipeError
from beatlens.recipe import DataSection, Recipe, SourceSection
from beatlens.signals import data_folders, simulate
from beatlens.signals.databases import DatabaseNotFoundError
from beatlens.signals.databases import mitdb as splits
from beatlens.tasks.beats.recipe import BeatRecipe
from beatlens.tasks.common.sources import ROLES, assign_roles, find_sources, simulates
from beatlens.tasks.common.workers import ALONE, Workers
from beatlens.tasks.registry import default_recipe, find_training, kind_names
from beatlens.tasks.windows.data import PreparedWindows, prepare_windows
from beatlens.tasks.windows.evaluation import choose_limits
from beatlens.tasks.windows.labels import cut_windows
from beatlens.tasks.windows.metrics import Run
from beatlens.tasks.windows.recipe import WindowRecipe
from beatlens.tasks.windows.sampling import WindowSampler

from ...pipeline.tiny import document_of
from ...signals.wfdb_cases import write_record


def with_data(kind: str, **changes: object) -> Recipe:
    """A kind's built-in recipe with other settings of data."""
    recipe = default_recipe(kind)
    return recipe.model_copy(update={"data": recipe.data.model_copy(update=changes)})


SIMULATED = with_data("windows", source="simulated", simulated_patients=12, simulated_seconds=60)
CLASSES = SIMULATED.classes
MITDB = (SourceSection(database="mitdb"),)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="module")
def simulated(folder: Path) -> PreparedWindows:
    return prepare_windows(SIMULATED, folder)


def test_simulated_patients_are_split_and_said_to_be_simulated(simulated: PreparedWindows) -> None:
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
    simulated: PreparedWindows, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simulate, "simulate_database", None)
    again = prepare_windows(SIMULATED, folder)
    assert again.description == simulated.description
    for mine, theirs in zip(again.test, simulated.test, strict=True):
        assert mine.record == theirs.record
        np.testing.assert_array_equal(mine.x, theirs.x)
    with pytest.raises(TypeError):  # another data section is prepared anew
        prepare_windows(
            SIMULATED.model_copy(
                update={"data": SIMULATED.data.model_copy(update={"simulated_seconds": 61})}
            ),
            folder,
        )


def test_simulated_data_do_not_depend_on_the_recipes_seed(
    simulated: PreparedWindows, tmp_path: Path
) -> None:
    other = prepare_windows(SIMULATED.model_copy(update={"seed": 5}), tmp_path)
    np.testing.assert_array_equal(other.train[0].x, simulated.train[0].x)


def test_progress_is_told(tmp_path: Path) -> None:
    calls: list[tuple[str, int, int]] = []
    prepare_windows(SIMULATED, tmp_path, progress=lambda *call: calls.append(call))
    assert calls == [(f"simulated, {role}", n, 4) for role in ROLES for n in range(1, 5)]


def test_the_sampler_is_the_recipes(simulated: PreparedWindows) -> None:
    shares = {**SIMULATED.sampling.shares, "pvc": 0.5}
    sampling = SIMULATED.sampling.model_copy(update={"shares": shares})
    recipe = SIMULATED.model_copy(update={"sampling": sampling})
    weights = {"mitdb": 4.0, "svdb": 2.0, "cinc2017": 0.1, "ludb": 0.25}
    own = simulated.sampler(recipe, 9, excerpts=False)
    other = WindowSampler(simulated.train, CLASSES, 9, shares, weights, sampling.augmentation)
    for index in range(5):
        np.testing.assert_array_equal(own.crop(index)[0], other.crop(index)[0])


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
    assert prepare_windows(SIMULATED.model_copy(update={"data": small}), tmp_path).simulated
    real = SIMULATED.data.model_copy(update={"source": "real"})
    with pytest.raises(DataError, match=r"mitdb .* is not there"):
        prepare_windows(SIMULATED.model_copy(update={"data": real}), tmp_path / "real")
    assert not (tmp_path / "real").exists()


AUTO = {
    kind: with_data(kind, simulated_patients=12 if kind != "recordings" else 80,
                    simulated_seconds=60 if kind != "recordings" else 30)
    for kind in kind_names()
}  # fmt: skip
NEEDED = {"windows": "mitdb", "beats": "mitdb", "recordings": "cinc2017"}


def prepare(kind: str, folder: Path, data: Path | None = None) -> object:
    recipe = AUTO[kind]
    return find_training(kind).prepare(recipe, folder, data, None, ALONE, ROLES)


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


@pytest.mark.parametrize("kind", AUTO)
@pytest.mark.parametrize("how", MESSAGES)
@pytest.mark.parametrize("asked", ["--data", "BEATLENS_DATA", "cache"])
def test_auto_simulates_only_where_nothing_was_asked_for_or_found(
    asked: str, how: str, kind: str, nothing_at_hand: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    folder = nothing_at_hand if asked == "cache" else tmp_path / "named"
    damaged(folder, NEEDED[kind], how)
    if asked == "BEATLENS_DATA":
        monkeypatch.setenv("BEATLENS_DATA", str(folder))
    data = folder if asked == "--data" else None
    if asked == "cache" and how in ("mistyped", "empty folder", "another database"):
        assert not list(reasons_not_to_simulate(kind, data))
        return
    (reason,) = reasons_not_to_simulate(kind, data)
    assert re.search(MESSAGES[how], reason), reason
    assert not (tmp_path / "run" / "tracks").exists() or how == "samples cut"


def reasons_not_to_simulate(kind: str, data: Path | None) -> Iterator[str]:
    """Why a recipe's ECG is not simulated, if it is not."""
    try:
        if not simulates(AUTO[kind].data, data):
            with tempfile.TemporaryDirectory() as folder:
                prepare(kind, Path(folder), data)
            yield "trained on what was there"
    except DataError as error:
        yield str(error)


@pytest.mark.parametrize("kind", AUTO)
def test_auto_simulates_where_nothing_is(kind: str, nothing_at_hand: Path, tmp_path: Path) -> None:
    assert prepare(kind, tmp_path / "run").simulated


def test_auto_with_another_database_of_the_recipe_is_an_error(
    nothing_at_hand: Path, tmp_path: Path
) -> None:
    write_record(nothing_at_hand / "svdb", "800")
    assert not simulates(AUTO["windows"].data, None)
    with pytest.raises(DatabaseNotFoundError, match=r"mitdb .* is not there"):
        prepare("windows", tmp_path)
    assert simulates(SIMULATED.data, None)
    assert not simulates(with_data("windows", source="real").data, None)


def test_own_records_are_never_replaced_by_simulated_ones(nothing_at_hand: Path) -> None:
    data = DataSection(sources=(SourceSection(path="nowhere"),))
    assert not simulates(data, None)


def test_an_extra_database_that_is_damaged_is_not_left_out(
    mitdb_dir: Path, nothing_at_hand: Path, tmp_path: Path
) -> None:
    nothing_at_hand.mkdir(parents=True)
    (nothing_at_hand / "mitdb").symlink_to(mitdb_dir)
    write_record(nothing_at_hand / "svdb", "800")
    (nothing_at_hand / "svdb" / "RECORDS").write_text("800\n801\n")
    with pytest.raises(DataError, match=r"svdb: 1 of the 2 records in its list"):
        prepare("windows", tmp_path / "run")
    with pytest.raises(DataError, match=r"svdb: 1 of the 2 records in its list"):
        prepare("beats", tmp_path / "run")


def test_a_damaged_cache_is_named(tmp_path: Path) -> None:
    prepare_windows(SIMULATED, tmp_path)
    store = next((tmp_path / "tracks").glob("*-test"))
    victim = store / "x.bin"
    victim.write_bytes(victim.read_bytes()[:1000])
    with pytest.raises(DataError, match=rf"{store.name}: .*x\.bin has 1000 bytes.*delete it"):
        prepare_windows(SIMULATED, tmp_path)


def test_recordings_read_by_several_processes_are_the_same(data_dir: Path, tmp_path: Path) -> None:
    recipe = with_data("windows", sources=(
        SourceSection(database="mitdb"),
        SourceSection(database="ludb", split="train", assume=("ectopy_by_diagnosis",)),
    ))  # fmt: skip
    one = prepare_windows(recipe, tmp_path / "one", data_dir)
    two = prepare_windows(recipe, tmp_path / "two", data_dir, workers=Workers(jobs=2))
    for role in ROLES:
        first, second = getattr(one, role), getattr(two, role)
        assert [track.record for track in first] == [track.record for track in second]
        for a, b in zip(first, second, strict=True):
            np.testing.assert_array_equal(a.x, b.x)
            np.testing.assert_array_equal(a.beats, b.beats)


def test_real_ecg_is_split_by_patient(mitdb_dir: Path, tmp_path: Path) -> None:
    recipe = with_data("windows", sources=MITDB)
    prepared = prepare_windows(recipe, tmp_path, mitdb_dir.parent)
    assert not prepared.simulated
    assert prepared.description.startswith("real ECG")
    assert "records by patient" in prepared.description
    names = [
        tuple(track.record for track in tracks)
        for tracks in (prepared.train, prepared.validation, prepared.test)
    ]
    assert names == [splits.TRAIN, splits.VALIDATION, splits.DS2]
    training = {track.patient for track in prepared.train}
    others = {track.patient for track in prepared.validation + prepared.test}
    assert not training & others
    assert cut_windows(prepared.validation).labels.shape[1] == len(CLASSES)


LAST = {"steps": 10, "learning_rate": 1e-3, "keep": "last"}
THRESHOLDS = {"pvc": 0.5, "sve": 0.75, "afib": 0.25, "bbb": 0.5}


def final_fit(thresholds: dict[str, float] | None = None, **changes: object) -> WindowRecipe:
    """A recipe that trains on validation patients too."""
    document = document_of("windows")
    given = THRESHOLDS if thresholds is None else thresholds
    classes = {
        name: one | ({"threshold": given[name]} if name in given else {})
        for name, one in document["task"]["classes"].items()
    }
    final = {
        "task": {"kind": "windows", "classes": classes},
        "data": {"sources": [{"database": "mitdb"}], "final_fit": True},
        "teacher_schedule": LAST,
        "student_schedule": LAST,
        "quantize_schedule": LAST,
    }
    return WindowRecipe.parse({**document, **final, **changes})


def test_a_final_fit_trains_on_all_of_ds1_but_the_patient_of_the_test_set(
    mitdb_dir: Path, tmp_path: Path
) -> None:
    recipe = final_fit()
    prepared = prepare_windows(recipe, tmp_path, mitdb_dir.parent)
    assert {t.record for t in prepared.train} == set(splits.DS1) - {"201"}
    assert [t.record for t in prepared.validation] == ["201"]
    assert not {t.patient for t in prepared.train} & {t.patient for t in prepared.test}
    windows = cut_windows(prepared.validation)
    run = Run(np.zeros((len(windows), len(CLASSES), 2), np.float32))
    chosen = choose_limits(recipe, prepared, windows, run)
    np.testing.assert_allclose(chosen, [0, np.log(3), -np.log(3), 0])


def test_a_final_fit_chooses_nothing() -> None:
    with pytest.raises(RecipeError, match="expected a threshold for each class"):
        final_fit({})
    with pytest.raises(RecipeError, match=r"expected student_schedule\.keep"):
        final_fit(student_schedule=LAST | {"keep": "best"})


def test_a_final_fit_needs_the_threshold_of_every_class() -> None:
    with pytest.raises(RecipeError, match="expected a threshold for each class"):
        final_fit({"pvc": 0.5})


def test_optional_databases_that_are_not_there_are_left_out(
    mitdb_dir: Path, nothing_at_hand: Path, tmp_path: Path
) -> None:
    nothing_at_hand.mkdir(parents=True)
    (nothing_at_hand / "mitdb").symlink_to(mitdb_dir)
    prepared = prepare_windows(default_recipe("windows"), tmp_path / "run")
    assert {track.database for track in prepared.train} == {"mitdb"}
    assert f"trained on {len(prepared.train)} of mitdb, " in prepared.description


@pytest.fixture
def excerpts(tmp_path: Path) -> Path:
    """mitdb, svdb and qtdb, made: sel100 is of DS2, sel114 of validation, sel801 of svdb's."""
    for record in (*splits.DS1, *splits.DS2):
        write_record(tmp_path / "mitdb", record)
    for record in ("800", "801"):
        write_record(tmp_path / "svdb", record)
    for record in ("sel100", "sel101", "sel114", "sel30", "sel801", "sel808"):
        write_record(tmp_path / "qtdb", record)
    return tmp_path


def test_patients_of_validation_and_test_are_not_trained_on(excerpts: Path) -> None:
    names = ("mitdb", "svdb", "qtdb")
    data = DataSection(sources=tuple(SourceSection(database=name) for name in names))
    roles = assign_roles(find_sources(data, excerpts))
    found = {role: [(source.name, record) for source, record in roles[role]] for role in ROLES}
    assert {
        role: [record for name, record in found[role] if name == "mitdb"] for role in ROLES
    } == {
        "train": list(splits.TRAIN),
        "validation": list(splits.VALIDATION),
        "test": list(splits.DS2),
    }
    others = {role: [one for one in found[role] if one[0] != "mitdb"] for role in ROLES}
    assert others == {
        "train": [("svdb", "800"), ("qtdb", "sel101"), ("qtdb", "sel30"), ("qtdb", "sel808")],
        "validation": [("svdb", "801")],
        "test": [],
    }


def test_a_recipe_for_beats_takes_any_database_with_labels_of_beats(tmp_path: Path) -> None:
    write_record(tmp_path / "afdb", "04015")
    afdb = with_data("beats", sources=(SourceSection(database="afdb"),))
    with pytest.raises(RecipeError, match="database afdb has no labels of beats, expected one"):
        find_training("beats").prepare(afdb, tmp_path / "run", tmp_path, None, ALONE, ROLES)
    document = document_of("beats")
    with pytest.raises(RecipeError, match=r"no database is called 'afbd'; there are .*mitdb"):
        BeatRecipe.parse({**document, "data": {"sources": [{"database": "afbd"}]}})
    with pytest.raises(RecipeError, match=r"no database is called 'afbd'; there are .*mitdb"):
        BeatRecipe.parse({**document, "unlabelled": {"databases": ["afbd"]}})
