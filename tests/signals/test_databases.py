"""Databases: where they are looked for, what they hold; the counts that any loader must reach."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from beatlens.errors import DataError
from beatlens.signals import data_folders
from beatlens.signals.annotations import AamiMapping, Interval, rhythm_mask
from beatlens.signals.data_folders import cache_root, data_roots
from beatlens.signals.databases import (
    CINC2017_LABELS,
    LUDB_LEADS,
    Database,
    DatabaseNotFoundError,
    database_names,
    find_database,
    listed_records,
    named_folder,
)
from beatlens.signals.databases.mitdb import DS1, DS2, VALIDATION

from .wfdb_cases import edit_header, write_record

FIVE_MINUTES = 5 * 60 * 360


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test may see this machine's own setting or cache."""
    monkeypatch.delenv("BEATLENS_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "no-cache"))


@pytest.fixture(scope="session")
def mitdb(data_dir: Path) -> Database:
    return find_database("mitdb", data_dir)


def counts(
    mitdb: Database, records: Sequence[str], mapping: AamiMapping = "aami", start: int = 0
) -> list[int]:
    total: Counter[str] = Counter()
    for record in records:
        beats = mitdb.annotations(record).beats
        total.update(beats.classes(mapping)[beats.sample >= start].tolist())
    return [total[label] for label in "NSVFQ"]


@pytest.mark.parametrize(
    ("records", "mapping", "start", "expected"),
    [
        (DS1, "aami", 0, [45866, 944, 3788, 415, 8]),
        (DS2, "aami", 0, [44259, 1837, 3221, 388, 7]),
        (DS1, "aami", FIVE_MINUTES, [38012, 894, 3214, 335, 8]),
        (DS2, "aami", FIVE_MINUTES, [36926, 1608, 2686, 288, 7]),
        (DS2, "bxb", FIVE_MINUTES, [36713, 1821, 2686, 288, 7]),
    ],
    ids=["DS1", "DS2", "DS1 after 5:00", "DS2 after 5:00", "DS2 after 5:00, bxb"],
)
def test_beat_counts_of_the_literature(
    mitdb: Database, records: Sequence[str], mapping: AamiMapping, start: int, expected: list[int]
) -> None:
    assert counts(mitdb, records, mapping, start) == expected


def test_few_records_hold_most_rare_beats(mitdb: Database) -> None:
    """Why intervals must be taken over records: 232 and 213 (ec57.md)."""
    assert counts(mitdb, ["232"])[1] / 1837 == pytest.approx(0.75, abs=0.01)
    assert counts(mitdb, ["213"])[3] / 388 == pytest.approx(0.93, abs=0.01)


def test_the_mappings_differ_by_escape_beats_of_record_222(mitdb: Database) -> None:
    moved = counts(mitdb, DS2, "bxb")[1] - counts(mitdb, DS2)[1]
    assert moved == 213
    assert counts(mitdb, ["222"], "bxb")[1] - counts(mitdb, ["222"])[1] == 212


def test_every_record_of_mitdb_reads(mitdb: Database) -> None:
    assert mitdb.complete
    assert len(mitdb.records()) == 48
    for record in mitdb.records():
        recording = mitdb.read(record)
        assert recording.counts.shape == (2, 650_000)
        assert recording.counts_per_mv == (200.0, 200.0)
        assert recording.rails == ((-1024, 1023), (-1024, 1023))
        assert recording.missing is None
        assert recording.calibrated


def test_mlii_is_found_by_name(mitdb: Database) -> None:
    assert mitdb.read("114").lead("MLII") == 1
    assert mitdb.read("100").lead("MLII") == 0
    with pytest.raises(DataError, match="mitdb/102 has no lead 'MLII'; its leads are V5, V2"):
        mitdb.read("102").lead("MLII")


def test_validation_records_hold_every_class(mitdb: Database) -> None:
    found = [mitdb.annotations(record) for record in VALIDATION]
    symbols = {symbol for a in found for symbol in a.beats.symbol.tolist()}
    assert "R" in symbols
    assert counts(mitdb, VALIDATION)[1] > 100
    assert counts(mitdb, VALIDATION)[2] > 500
    assert sum(int(rhythm_mask(a, ("AFIB", "AFL")).sum()) for a in found) > 360 * 60


def test_rhythms_and_flutter_of_mitdb(mitdb: Database) -> None:
    found = mitdb.annotations("207")
    assert found.flutter[0] == Interval(14665, 18350, "[")
    assert len(found.flutter) == 6
    assert [i.label for i in found.rhythms[:4]] == ["B", "VT", "N", "VFL"]
    labels = {i.label for r in mitdb.records() for i in mitdb.annotations(r).rhythms}
    assert {"AFIB", "AFL", "N", "VT", "B", "PREX"} <= labels
    assert not any("\0" in label or "(" in label for label in labels)


def test_patients(mitdb: Database, data_dir: Path) -> None:
    assert mitdb.patient("202") == mitdb.read("201").patient == "mitdb/201"
    assert len({mitdb.patient(record) for record in mitdb.records()}) == 47
    nstdb = find_database("nstdb", data_dir)
    assert nstdb.patient("118e00") == mitdb.patient("118")
    assert nstdb.patient("bw") == "nstdb/bw"


def test_svdb_reads(data_dir: Path) -> None:
    svdb = find_database("svdb", data_dir)
    assert len(svdb.records()) >= 52
    flags = set()
    for record in svdb.records():
        recording = svdb.read(record)
        assert (recording.rate_hz, recording.samples) == (128, 230_400)
        assert (recording.counts.min(axis=1) >= [low for low, _ in recording.rails]).all()
        assert (recording.counts.max(axis=1) <= [high for _, high in recording.rails]).all()
        beats = svdb.annotations(record).beats
        assert len(beats) > 1000
        assert beats.sample[-1] < 230_400
        flags.add(recording.calibrated)
    assert flags == {True, False}


def test_nstdb_reads(data_dir: Path) -> None:
    nstdb = find_database("nstdb", data_dir)
    assert not nstdb.read("bw").calibrated
    assert nstdb.read("118e24").calibrated
    for record in nstdb.records():
        assert nstdb.read(record).rate_hz == 360
    assert len(nstdb.annotations("118e00").beats) == 2278
    with pytest.raises(DataError, match=r"bw\.atr: no such annotation file"):
        nstdb.annotations("bw")


def test_cinc2017_reads(data_dir: Path) -> None:
    cinc2017 = find_database("cinc2017", data_dir)
    records = cinc2017.records()
    labels = Counter(cinc2017.label(record) for record in records)
    assert set(labels) == set(CINC2017_LABELS)
    if len(records) == 2220:
        assert labels == {"N": 800, "A": 600, "O": 600, "~": 220}
    for record in records[::20]:
        recording = cinc2017.read(record)
        assert recording.lead_names == ("ECG",)
        assert recording.counts_per_mv == (1000.0,)
        assert 9 <= recording.duration_s <= 61
    with pytest.raises(DataError, match="cinc2017 has no beat annotations"):
        cinc2017.annotations(records[0])


def test_ludb_reads(data_dir: Path) -> None:
    ludb = find_database("ludb", data_dir)
    assert ludb.complete
    for record in ludb.records():
        recording = ludb.read(record)
        assert recording.lead_names == LUDB_LEADS
        assert recording.samples == 5000
        diagnoses = ludb.diagnoses(record)
        assert diagnoses["ID"] == (record,)
        assert diagnoses["Sex"] in (("M",), ("F",))
        assert len(diagnoses["Rhythms"]) >= 1
    assert ludb.diagnoses("4")["Conduction abnormalities"] == (
        "Incomplete right bundle branch block",
    )
    assert ludb.diagnoses("7")["Extrasystolies"][1] == "Atrial extrasystole: sa-nodal extrasystole"


def test_ludb_boundaries(data_dir: Path) -> None:
    ludb = find_database("ludb", data_dir)
    first = ludb.boundaries("1", "ii")
    assert first.qrs[0].tolist() == [644, 662, 682]
    waves = partial = 0
    for record in ludb.records():
        for kind in (ludb.boundaries(record, "II").p, ludb.boundaries(record, "v1").qrs):
            assert (kind[:, 1] > 0).all()
            whole = kind[(kind >= 0).all(axis=1)]
            assert (np.diff(whole, axis=1) > 0).all()
            waves += len(kind)
            partial += len(kind) - len(whole)
    assert waves > 3000
    assert partial / waves < 0.02
    with pytest.raises(DataError, match="ludb has no lead 'MLII'"):
        ludb.boundaries("1", "MLII")


def test_only_their_own_tables(mitdb: Database) -> None:
    for call in (mitdb.label, mitdb.diagnoses):
        with pytest.raises(DataError, match="mitdb has no"):
            call("100")
    with pytest.raises(DataError, match="mitdb has no wave boundaries"):
        mitdb.boundaries("100", "ii")


# From here on made files only: these run without real ECG.


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A folder of databases with a made mitdb of two records, its RECORDS listing three."""
    write_record(tmp_path / "mitdb", "100")
    write_record(tmp_path / "mitdb", "101")
    (tmp_path / "mitdb" / "RECORDS").write_text("101\n102\n100\n")
    return tmp_path


def test_records_are_those_listed_and_there(made: Path) -> None:
    database = find_database("mitdb", made)
    assert database.records() == ("101", "100")
    assert not database.complete
    assert database.read("100").patient == "mitdb/100"
    with pytest.raises(DataError, match=r"no record '102' in .*: 2 of 48 records are there"):
        database.read("102")
    for name in ("../mitdb/100", "", "RECORDS"):
        with pytest.raises(DataError, match="no record"):
            database.read(name)


def test_records_without_a_list_are_the_headers(made: Path) -> None:
    (made / "mitdb" / "RECORDS").unlink()
    assert find_database("mitdb", made).records() == ("100", "101")


@pytest.mark.parametrize("entry", ["../100", "/etc/100", "a//b", "a/../../b", "100.hea", "x\\y"])
def test_lists_that_lead_elsewhere_are_refused(made: Path, entry: str) -> None:
    (made / "mitdb" / "RECORDS").write_text(f"100\n{entry}\n")
    with pytest.raises(DataError, match=r"RECORDS: entry is"):
        listed_records(made / "mitdb")


def test_a_changed_file_changes_the_fingerprint(made: Path) -> None:
    def fingerprint() -> str:
        return find_database("mitdb", made).fingerprint

    before = fingerprint()
    assert before == fingerprint()
    (made / "mitdb" / "100.qrs").write_bytes(b"\0\0")
    added = fingerprint()
    assert added != before
    os.utime(made / "mitdb" / "100.qrs", ns=(1, 1))
    assert fingerprint() != added
    (made / "mitdb" / "100.qrs").unlink()
    assert fingerprint() == before


def test_labels_above_the_records_are_in_the_fingerprint(tmp_path: Path) -> None:
    training = tmp_path / "challenge-2017" / "training"
    write_record(training)
    table = training.parent / "REFERENCE-v3.csv"
    table.write_text("100,N\n")
    before = find_database("cinc2017", tmp_path).fingerprint
    table.write_text("100,A\n101,N\n")
    assert find_database("cinc2017", tmp_path).fingerprint != before


def test_records_not_as_the_database_are_refused(made: Path) -> None:
    edit_header(made / "mitdb", "100 2 360", "100 2 250")
    with pytest.raises(DataError, match="sampling rate is 250, expected 360 Hz"):
        find_database("mitdb", made).read("100")


def test_physionets_layout_is_found(tmp_path: Path) -> None:
    write_record(tmp_path / "mitdb" / "1.0.0")
    assert find_database("mitdb", tmp_path).folder == tmp_path / "mitdb" / "1.0.0"
    training = tmp_path / "challenge-2017" / "1.0.0" / "training"
    codes = np.arange(30, dtype="<i2")
    (training / "A00").mkdir(parents=True)
    (training / "RECORDS").write_text("A00/A00001\n")
    header = b"\x1e\0\0\0\x01\0\0\0\x1e\0\0\0\0\0\0\0\x04\0\0\0val\0"
    (training / "A00" / "A00001.mat").write_bytes(header + codes.tobytes())
    (training / "A00" / "A00001.hea").write_text(
        "A00001 1 300 30 05:05:15 1/05/2014\nA00001.mat 16+24 1000/mV 16 0 -127 0 0 ECG\n"
    )
    (training.parent / "REFERENCE-v3.csv").write_text("A00001,A\n")
    # The challenge's first labels, which version 3 corrects.
    (training / "REFERENCE.csv").write_text("A00/A00001,N\n")
    database = find_database("cinc2017", tmp_path)
    assert database.records() == ("A00001",)
    assert database.label("A00001") == "A"
    assert np.array_equal(database.read("A00001").counts[0], codes)
    (training / "A00" / "A00001.mat").write_bytes(header[:8] + b"\x1d" + header[9:] + bytes(60))
    with pytest.raises(DataError, match="MATLAB header"):
        database.read("A00001")


def test_labels_that_are_none_are_refused(tmp_path: Path) -> None:
    write_record(tmp_path / "cinc2017")
    (tmp_path / "cinc2017" / "REFERENCE.csv").write_text("100,X\n")
    with pytest.raises(DataError, match=r"REFERENCE\.csv: row 1 is \['100', 'X'\]"):
        find_database("cinc2017", tmp_path).label("100")
    (tmp_path / "cinc2017" / "REFERENCE.csv").write_text("101,N\n")
    with pytest.raises(DataError, match="no label for record 100"):
        find_database("cinc2017", tmp_path).label("100")
    (tmp_path / "cinc2017" / "REFERENCE.csv").unlink()
    with pytest.raises(DataError, match=r"no REFERENCE-v3\.csv; `beatlens data get cinc2017`"):
        find_database("cinc2017", tmp_path).label("100")


def test_labels_of_an_older_version_are_refused(tmp_path: Path) -> None:
    write_record(tmp_path / "cinc2017", "A00001")
    first = {"N": 5154, "A": 771, "O": 2557, "~": 46}
    labels = [label for label, many in first.items() for _ in range(many)]
    rows = [f"A{number:05d},{label}\n" for number, label in enumerate(labels, start=1)]
    (tmp_path / "cinc2017" / "REFERENCE.csv").write_text("".join(rows))
    with pytest.raises(DataError, match=r"'N': 5154.*expected .*'N': 5076.* version 3"):
        find_database("cinc2017", tmp_path).label("A00001")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "first row is"),
        ("Name,Sex\n1,F\n", "first row is"),
        ("ID,Sex\n1,F,51\n", "row '1' has 3 columns, expected 2"),
        ("ID,Sex\n2,F\n", "no row with ID 1"),
    ],
)
def test_damaged_diagnoses_are_refused(tmp_path: Path, text: str, message: str) -> None:
    write_record(tmp_path / "ludb" / "data", "1")
    (tmp_path / "ludb" / "RECORDS").write_text("data/1\n")
    (tmp_path / "ludb" / "ludb.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        find_database("ludb", tmp_path).diagnoses("1")


def test_a_folder_named_comes_first_then_the_environment_then_the_cache(
    made: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = tmp_path_factory.mktemp("environment")
    cache = tmp_path_factory.mktemp("cache")
    write_record(environment / "mitdb")
    write_record(cache / "beatlens" / "data" / "mitdb")
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    # As installed: no checkout, so nothing beside it.
    monkeypatch.setattr(data_folders, "__file__", str(cache / "a/b/c/site/beatlens/databases.py"))
    assert find_database("mitdb").folder == cache_root() / "mitdb"
    monkeypatch.setenv("BEATLENS_DATA", str(environment))
    assert find_database("mitdb").folder == environment / "mitdb"
    assert find_database("mitdb", made).folder == made / "mitdb"
    assert data_roots(made) == (made, cache_root())
    write_record(cache / "beatlens" / "data" / "svdb")
    assert find_database("svdb", made).folder == cache_root() / "svdb"


def test_data_beside_a_checkout_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = tmp_path / "checkout" / "sdk" / "beatlens" / "signals" / "databases.py"
    module.parent.mkdir(parents=True)
    monkeypatch.setattr(data_folders, "__file__", str(module))
    assert data_roots() == (cache_root(),)
    write_record(tmp_path / "shared" / "data" / "mitdb")
    assert find_database("mitdb").folder == tmp_path / "shared" / "data" / "mitdb"


def test_what_is_not_there_is_said_with_where_and_how(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_folders, "__file__", str(tmp_path / "a/b/c/d/databases.py"))
    (tmp_path / "mitdb").mkdir()
    with pytest.raises(DatabaseNotFoundError) as caught:
        find_database("svdb", tmp_path)
    message = str(caught.value)
    assert f"{tmp_path / 'svdb'}, {cache_root() / 'svdb'}" in message
    assert "beatlens data get svdb" in message
    assert "--data or BEATLENS_DATA" in message
    with pytest.raises(DataError, match=f"there are {', '.join(database_names())}"):
        find_database("mitbih", tmp_path)
    with pytest.raises(DataError, match=r"--data is '.*none', expected a folder that exists"):
        find_database("svdb", tmp_path / "none")
    monkeypatch.setenv("BEATLENS_DATA", str(tmp_path / "none"))
    with pytest.raises(DataError, match="BEATLENS_DATA is"):
        find_database("svdb")


def test_a_folder_asked_for_that_holds_no_database_is_an_error(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the cache has the database: it is not the one asked for."""
    write_record(cache_root() / "mitdb")
    monkeypatch.setattr(data_folders, "__file__", str(made / "a/b/c/d/data_folders.py"))
    (made / "empty").mkdir()
    wanted = r"is '.*', which holds none of the databases mitdb, svdb, .* the folder above them"
    for folder in (made / "empty", made / "mitdb"):
        with pytest.raises(DataError, match=f"--data {wanted}"):
            find_database("mitdb", folder)
        monkeypatch.setenv("BEATLENS_DATA", str(folder))
        with pytest.raises(DataError, match=f"BEATLENS_DATA {wanted}"):
            find_database("mitdb")
    assert named_folder(made) == made
    monkeypatch.setenv("BEATLENS_DATA", "")
    assert named_folder() is None
    assert find_database("mitdb").folder == cache_root() / "mitdb"


@pytest.mark.parametrize("name", ["~nobody-of-this-name/data", "x" * 5000, "RECORDS", "none"])
def test_a_folder_asked_for_that_is_none_is_an_error(made: Path, name: str) -> None:
    data = name if name.startswith("~") else made / "mitdb" / name
    with pytest.raises(DataError, match="--data is "):
        find_database("mitdb", data)


@pytest.mark.parametrize("inside", ["", "1.0.0", "SHA256SUMS.txt"])
def test_a_database_without_records_is_not_passed_over(
    inside: str, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (made / "svdb" / inside).mkdir(parents=True)
    write_record(cache_root() / "svdb")
    with pytest.raises(DataError, match=r"svdb: is there, but has none of the 78 records of svdb"):
        find_database("svdb", made)
    (made / "svdb" / "RECORDS").write_text("800\n801\n")
    with pytest.raises(DataError, match=r"svdb: is there, but has none of the 78 records of svdb"):
        find_database("svdb", made)


def test_a_list_of_records_that_are_not_there_is_incomplete(made: Path) -> None:
    database = find_database("mitdb", made)
    lost = "1 of the 3 records in its list RECORDS are not there, the first is 102; `beatlens data"
    with pytest.raises(DataError, match=lost):
        database.check_whole()
    (made / "mitdb" / "RECORDS").write_text("100\n101\n")
    find_database("mitdb", made).check_whole()
    (made / "mitdb" / "RECORDS").unlink()
    find_database("mitdb", made).check_whole()


def test_without_a_home_folder_there_is_no_cache(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(data_folders, "__file__", str(made / "a/b/c/d/data_folders.py"))
    monkeypatch.setattr(data_folders.Path, "home", homeless)
    assert data_roots(made) == (made,)
    with pytest.raises(DataError, match="no home folder is known"):
        cache_root()
