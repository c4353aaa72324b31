"""Six databases, on small records made here and on real ones; and databases of other packages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
import wfdb

import beatlens
from beatlens.errors import DataError, RecipeError
from beatlens.recipe import SourceSection
from beatlens.signals.annotations import Annotations
from beatlens.signals.databases import (
    BUILT_IN,
    ECTOPIC,
    Codes,
    Database,
    Published,
    WfdbDatabase,
    database_names,
    database_type,
    find_database,
    is_database,
    named_folder,
    registry,
)
from beatlens.signals.download import get_database
from beatlens.signals.frontend import RATES_HZ
from beatlens.signals.record_names import find_record
from beatlens.tasks.beats.labels import has_beat_labels
from beatlens.tasks.registry import parse_recipe
from beatlens.tasks.windows.tracks import decided_classes

from ..tasks.recipes import window_recipe
from ..tasks.tracks import DECLARED, load_tracks

SECONDS = 20
PAGE = Path(registry.__file__).with_name("README.md")
TWELVE = ("I", "II", "III", "AVR", "AVL", "AVF", "V1", "V2", "V3", "V4", "V5", "V6")
MADE = {
    "incartdb": ("I01", 257, TWELVE),
    "edb": ("e0103", 250, ("V4", "MLIII")),
    "afdb": ("04015", 250, ("ECG1", "ECG2")),
    "ltafdb": ("00", 128, ("ECG", "ECG")),
    "qtdb": ("sel100", 250, ("MLII", "V5")),
    "cpsc2021": ("data_0_1", 200, ("I", "II")),
}
"""Record, rate and leads of what is made of each."""
LEADS = {"incartdb": "II", "cpsc2021": "II"}
"""The lead that models take where it is not the first."""
DECIDED = {
    "edb": ["pvc", "sve"],
    "afdb": ["afib"],
    "ltafdb": ["pvc", "sve"],
    "qtdb": ["pvc", "sve"],
    "cpsc2021": ["afib"],
}
"""Classes of windows that each decides; incartdb is at a rate that the front end does not read."""


def make_record(
    folder: Path, name: str, rate_hz: int, leads: tuple[str, ...], comments: tuple[str, ...] = ()
) -> None:
    """A record of 20 s with a beat a second, one of them V, and fibrillation from 10 s on."""
    folder.mkdir(parents=True, exist_ok=True)
    samples = SECONDS * rate_hz
    at = np.arange(rate_hz // 2, samples, rate_hz)
    signal = np.random.default_rng(1).integers(-3, 4, (samples, len(leads)))
    signal[at] += 200
    wfdb.wrsamp(
        name,
        fs=rate_hz,
        units=["mV"] * len(leads),
        sig_name=[f"lead{number}" for number in range(len(leads))],  # names may come twice
        d_signal=signal,
        fmt=["16"] * len(leads),
        adc_gain=[200.0] * len(leads),
        baseline=[0] * len(leads),
        comments=list(comments),
        write_dir=str(folder),
    )
    header = folder / f"{name}.hea"
    text = header.read_text()
    for number in reversed(range(len(leads))):
        text = text.replace(f"lead{number}\n", f"{leads[number]}\n")
    header.write_text(text)
    marks = [(sample, "N", "") for sample in at.tolist()]
    marks[3] = (marks[3][0], "V", "")
    marks += [(5, "+", "(N"), (10 * rate_hz, "+", "(AFIB")]
    sample, symbol, aux = zip(*sorted(marks), strict=True)
    wfdb.wrann(
        name,
        "atr",
        np.array(sample),
        symbol=list(symbol),
        aux_note=list(aux),
        write_dir=str(folder),
    )


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A folder with one made record of each of the six."""
    for name, (record, rate_hz, leads) in MADE.items():
        make_record(tmp_path / name, record, rate_hz, leads)
        (tmp_path / name / "RECORDS").write_text(f"{record}\n")
    return tmp_path


@pytest.mark.parametrize("name", MADE)
def test_records_and_annotations_are_read(made: Path, name: str) -> None:
    record, rate_hz, leads = MADE[name]
    database = find_database(name, made)
    assert database.records() == (record,)
    assert not database.complete
    assert find_record(f"{name}/{record}", made).open().rate_hz == rate_hz
    recording = database.read(record)
    assert recording.counts.shape == (len(leads), SECONDS * rate_hz)
    assert recording.lead(database.lead(recording)) == (1 if name in LEADS else 0)
    assert database.lead(recording) == LEADS.get(name, leads[0])
    annotations = database.annotations(record)
    assert len(annotations.beats) == SECONDS
    assert annotations.beats.symbol[3] == "V"
    assert [r.label for r in annotations.rhythms] == ["N", "AFIB"]


@pytest.mark.parametrize("name", DECIDED)
def test_windows_know_the_classes_that_a_database_decides(made: Path, name: str) -> None:
    (track,) = load_tracks(name, data=made)
    classes = np.array(["pvc", "sve", "afib", "bbb"])
    assert classes[track.known].tolist() == DECIDED[name]
    assert len(track.intervals[0]) == ("pvc" in DECIDED[name])
    if "afib" in DECIDED[name]:
        assert abs(int(track.intervals[2][0, 0]) - 10 * 128) <= 1


def test_257_hz_is_refused_by_the_front_end_in_a_sentence(made: Path) -> None:
    if 257 in RATES_HZ:
        pytest.fail("the front end reads 257 Hz now: change incartdb's text and this test")
    with pytest.raises(Exception, match="257"):
        load_tracks("incartdb", data=made)


def test_what_is_known_without_files() -> None:
    for name, kind in BUILT_IN.items():
        published = kind.published
        assert published.name == name
        assert published.records > 0
        assert published.citation, name
        assert published.licence, name
        assert set(kind.splits) <= {"train", "validation", "test"}
    assert [name for name in BUILT_IN if has_beat_labels(database_type(name))] == [
        "mitdb", "svdb", "qtdb", "incartdb", "edb", "ltafdb", "simulated-runs",
    ]  # fmt: skip
    assert not decided_classes(database_type("nstdb"), DECLARED)


def test_the_page_of_databases_is_what_is_known() -> None:
    page = PAGE.read_text(encoding="utf-8")
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| ")]
    listed = {row[0]: row for row in rows[1:]}
    assert list(listed) == list(BUILT_IN)
    for name, kind in BUILT_IN.items():
        about = kind.published
        known = [about.records, about.patients or "–", about.expected.rate_hz]
        assert listed[name][1:4] == [str(value) for value in known]


def test_the_example_of_the_page_is_a_database(others: list[EntryPoint]) -> None:
    page = PAGE.read_text(encoding="utf-8")
    code = page.split("```python\n")[1].split("```")[0]
    space: dict[str, object] = {}
    exec(code, space)
    setattr(sys.modules["ward_of_tests"], "PageWard", space["Ward"])  # noqa: B010
    others.append(EntryPoint("ward", "ward_of_tests:PageWard", registry.GROUP))
    others.pop(0)
    assert database_type("ward") is space["Ward"]
    assert decided_classes(database_type("ward"), DECLARED)
    assert has_beat_labels(database_type("ward"))
    del sys.modules["ward_of_tests"].PageWard


def test_patients(made: Path) -> None:
    assert find_database("cpsc2021", made).patient("data_0_1") == "cpsc2021/0"
    assert find_database("qtdb", made).patient("sel100") == "mitdb/100"
    patient = database_type("qtdb")(made).find_patient  # type: ignore[attr-defined]
    assert [patient(name) for name in ("sel202", "sel808", "sele0104", "sel30", "sel301")] == [
        "mitdb/201",  # 201 and 202 are one patient
        "svdb/808",
        "edb/e0104",
        "qtdb/sel30",
        "qtdb/sel301",
    ]
    incartdb = made / "incartdb"
    for record in ("I02", "I03"):
        make_record(incartdb, record, 257, TWELVE, ("age: 65", "patient 1"))
    (incartdb / "RECORDS").write_text("I01\nI02\nI03\n")
    database = find_database("incartdb", made)
    assert database.patient("I02") == database.patient("I03") == "incartdb/patient 1"
    assert database.patient("I01") == "incartdb/I01"


def test_records_without_signals_are_left_out(made: Path) -> None:
    folder = made / "afdb"
    (folder / "RECORDS").write_text("00735\n04015\n")
    (folder / "00735.hea").write_text("00735 0 250 9205760\n")
    database = find_database("afdb", made)
    assert database.records() == ("04015",)
    database.check_whole()


def test_another_annotator_is_asked_for_by_name(made: Path) -> None:
    folder = made / "qtdb"
    wfdb.wrann("sel100", "man", np.array([100]), symbol=["N"], write_dir=str(folder))
    database = find_database("qtdb", made)
    assert len(database.annotations("sel100", "man").beats) == 1
    with pytest.raises(DataError, match="has no annotator 'atx', expected one of atr, ari"):
        database.annotations("sel100", "atx")


def test_beats_of_a_program_where_there_are_no_audited_ones(made: Path) -> None:
    folder = made / "qtdb"
    make_record(folder, "sel30", 250, ("ECG1", "ECG2"))
    (folder / "sel30.atr").unlink(missing_ok=True)
    wfdb.wrann("sel30", "ari", np.array([100, 200]), symbol=["N", "V"], write_dir=str(folder))
    (folder / "RECORDS").write_text("sel100\nsel30\n")
    database = find_database("qtdb", made)
    assert database.annotations("sel30").beats.symbol.tolist() == ["N", "V"]
    with pytest.raises(DataError, match="no such annotation file"):
        database.annotations("sel30", "atr")
    assert len(database.annotations("sel100").beats) > 2


@pytest.mark.parametrize("name", ["qtdb", "cpsc2021"])
def test_real_records_are_read(data_dir: Path, name: str) -> None:
    if not (data_dir / name).is_dir():
        pytest.skip(f"NO REAL ECG: {name} is not beside this checkout, it is UNTESTED")
    database = find_database(name, data_dir)
    database.check_whole()
    for record in database.records():
        recording = database.open(record)
        assert recording.rate_hz == {"qtdb": 250, "cpsc2021": 200}[name]
        assert database.lead(recording) in recording.lead_names
    if name == "cpsc2021":
        assert database.read("data_101_6").rails == ((-(2**15), 2**15 - 1),) * 2
        (track,) = load_tracks(name, ("data_101_6",), data_dir)
        assert track.usable.mean() > 0.9
        assert track.intervals[2][0].tolist() == [2004, 3609]
        assert len(track.intervals[2]) == 4
        said = [database.annotations(record) for record in database.records()]
        assert beats_of(said) == {"N": 6512, "A": 43, "a": 8, "V": 14}
        assert sum(r.label == "AFIB" for one in said for r in one.rhythms) > 6
        assert len({database.patient(record) for record in database.records()}) == 7
    else:
        said = [database.annotations(r) for r in database.records() if r.startswith("sele")]
        assert len(said) == 33
        assert beats_of(said)["N"] == 33_494
        marks = database.annotations("sele0106", "q1c")
        assert (marks.symbol == "t").any()


def beats_of(said: list[Annotations]) -> dict[str, int]:
    symbols = np.concatenate([one.beats.symbol for one in said])
    return {str(symbol): int((symbols == symbol).sum()) for symbol in np.unique(symbols)}


# Download: PhysioNet's layout, from a folder.


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Files are copied from the folder that stands for the server."""
    asked: list[str] = []

    def copy(url: str, path: str) -> None:
        asked.append(url)
        Path(path).write_bytes(Path(url).read_bytes())

    monkeypatch.setattr("beatlens.signals.download.dl_full_file", copy)
    return asked


def write_sums(folder: Path) -> None:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    lines = [
        f"{sha256(path.read_bytes()).hexdigest()} {path.relative_to(folder)}\n" for path in files
    ]
    (folder / "SHA256SUMS.txt").write_text("".join(lines))


@pytest.mark.parametrize("name", MADE)
def test_each_is_fetched_by_name(fetched: list[str], tmp_path: Path, name: str) -> None:
    record, rate_hz, leads = MADE[name]
    slug, version = database_type(name).published.slug, database_type(name).published.version
    folder = tmp_path / "server" / slug / version
    make_record(folder, record, rate_hz, leads)
    (folder / "RECORDS").write_text(f"{record}\n")
    write_sums(folder)
    database = get_database(name, tmp_path / "cache", base_url=str(tmp_path / "server"))
    assert database.records() == (record,)
    assert len(database.annotations(record).beats) == SECONDS


def test_lists_of_sub_folders_and_records_without_signals(
    fetched: list[str], tmp_path: Path
) -> None:
    server = tmp_path / "server"
    folder = server / "cpsc2021" / "1.0.0"
    for part, record in (("Training_set_I", "data_0_1"), ("Training_set_II", "data_98_1")):
        make_record(folder / part, record, 200, ("I", "II"))
        (folder / part / "RECORDS").write_text(f"{record}\n")
    (folder / "RECORDS").write_text("Training_set_I/\nTraining_set_II/\n")
    write_sums(folder)
    database = get_database("cpsc2021", tmp_path / "cache", base_url=str(server))
    assert database.records() == ("data_0_1", "data_98_1")
    assert len(database.annotations("data_98_1").beats) == SECONDS
    database.check_whole()

    (folder / "RECORDS").unlink()
    write_sums(folder)
    database = get_database("cpsc2021", tmp_path / "again", base_url=str(server))
    assert database.records() == ("data_0_1", "data_98_1")

    afdb = server / "afdb" / "1.0.0"
    make_record(afdb, "04015", 250, ("ECG1", "ECG2"))
    (afdb / "00735.hea").write_text("00735 0 250 9205760\n")
    (afdb / "RECORDS").write_text("00735\n04015\n")
    write_sums(afdb)
    assert get_database("afdb", tmp_path / "cache", base_url=str(server)).records() == ("04015",)


# Databases of other packages.


class Ward(WfdbDatabase):
    """Records of a ward."""

    published = Published(name="ward", title="Records of a ward", records=1, annotators=("atr",))
    annotated = Codes.of(ECTOPIC)


class Wrong(WfdbDatabase):
    """Its name is not the entry point's."""

    published = Published(name="other", title="Other", records=1)


class Bare:
    """Has nothing but a name."""

    published = Published(name="bare", title="Bare", records=1)


@pytest.fixture
def others(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[EntryPoint]]:
    """Entry points, as other packages would bring them."""
    sys.modules["ward_of_tests"] = sys.modules[__name__]
    found = [
        EntryPoint("ward", "ward_of_tests:Ward", registry.GROUP),
        EntryPoint("mitdb", "ward_of_tests:Ward", registry.GROUP),
        EntryPoint("wrong", "ward_of_tests:Wrong", registry.GROUP),
        EntryPoint("bare", "ward_of_tests:Bare", registry.GROUP),
        EntryPoint("lost", "package_of_nowhere:Lost", registry.GROUP),
    ]
    monkeypatch.setattr(registry, "entry_points", lambda group: found)
    registry._others.cache_clear()
    yield found
    registry._others.cache_clear()
    del sys.modules["ward_of_tests"]


def test_a_database_of_another_package(others: list[EntryPoint], tmp_path: Path) -> None:
    make_record(tmp_path / "ward", "100", 250, ("II", "V1"))
    assert database_names() == (*BUILT_IN, "ward", "wrong", "bare", "lost")
    assert is_database("ward")
    assert database_type("mitdb") is BUILT_IN["mitdb"]
    assert named_folder(tmp_path) == tmp_path
    database: Database = find_database("ward", tmp_path)
    assert isinstance(database, Ward)
    (track,) = load_tracks("ward", data=tmp_path)
    assert track.known.tolist() == [True, True, False, False]
    assert len(track.beats) == SECONDS
    assert SourceSection(database="ward", split="train").name == "ward"
    with pytest.raises(DataError, match="ward is not on PhysioNet, expected one of mitdb, "):
        get_database("ward", tmp_path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("wrong", "published.name is 'other', expected the entry point's name"),
        ("bare", "lacks records, patient, lead, .*, expected all of beatlens"),
        ("lost", "cannot be loaded: ModuleNotFoundError: No module named 'package_of_nowhere'"),
        ("none", "no database is called 'none'; there are mitdb, .*, ward, "),
    ],
)
def test_one_that_does_not_follow_the_protocol(
    others: list[EntryPoint], name: str, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        database_type(name)
    data = window_recipe().model_dump()
    data["data"]["sources"] = [{"database": name}]
    with pytest.raises(RecipeError, match=message):
        parse_recipe(data)


def test_an_installed_package_is_listed(tmp_path: Path) -> None:
    """As pip leaves it: a module, and metadata beside it."""
    site, data = tmp_path / "site", tmp_path / "data"
    about = site / "ward_ecg-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: ward-ecg\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        "[beatlens.databases]\nward = ward_ecg:Ward\nlost = nowhere:Lost\n"
    )
    (site / "ward_ecg.py").write_text(
        "from beatlens.signals.databases import ECTOPIC, Codes, Published, WfdbDatabase\n"
        "class Ward(WfdbDatabase):\n"
        "    published = Published('ward', 'Records of a ward', 1, annotators=('atr',))\n"
        "    annotated = Codes.of(ECTOPIC)\n"
    )
    make_record(data / "ward", "100", 250, ("II", "V1"))
    code = (
        "import json, sys; sys.path.insert(0, sys.argv[1])\n"
        "from beatlens.signals.databases import database_names, find_database\n"
        "print(json.dumps([database_names()[-2:], 'ward_ecg' in sys.modules,\n"
        "    find_database('ward', sys.argv[2]).records()]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(site), str(data)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        env=_environment(),
    )
    assert json.loads(done.stdout) == [["ward", "lost"], False, ["100"]]
    listed = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; sys.path.insert(0, sys.argv.pop(1))\n"
            "from beatlens.cli import main; main()",
            str(site),
            "data",
            "list",
            "--data",
            str(data),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        env=_environment() | {"COLUMNS": "500"},
    )
    row = next(line for line in listed.stdout.splitlines() if "Records of a ward" in line)
    assert "1 of 1" in row
    assert "No module named 'nowhere'" in listed.stdout
    assert "incartdb: The front end does not read 257 Hz yet" in listed.stdout


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(beatlens.__file__).parents[1])}
