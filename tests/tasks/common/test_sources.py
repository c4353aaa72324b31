"""Sources of recordings: who is trained, validated and tested on; folders of own records."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from beatlens.errors import DataError
from beatlens.recipe import ClassSection, DataSection, SourceSection
from beatlens.signals.databases import find_database
from beatlens.signals.databases.own_records import OwnRecords
from beatlens.tasks.common.sources import (
    ROLES,
    Roles,
    Source,
    assign_roles,
    check_classes_found,
    check_roles_filled,
    describe_roles,
    find_shared,
    find_sources,
    held_patients,
    simulates,
    stratified_parts,
)

from ...records import write_record

LABELS = "NAO"


def make_data(*sources: Mapping[str, Any], **settings: object) -> DataSection:
    return DataSection.model_validate({"sources": sources, **settings})


def make_source(folder: Path, **settings: object) -> Source:
    section = SourceSection.model_validate({"path": str(folder), **settings})
    return Source(section, folder)


def own(source: Source) -> OwnRecords:
    assert isinstance(source.database, OwnRecords)
    return source.database


def names(roles: Roles, role: str) -> list[str]:
    return [record for _, record in roles[role]]


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten patients' folders with two records each, and files of labels and intervals."""
    folder = tmp_path_factory.mktemp("sources") / "ward"
    records = []
    for patient in range(10):
        for part in "ab":
            name = f"r{patient}{part}"
            comments = [f"age: {60 + patient}", f"patient: p{patient}"]
            write_record(folder / f"p{patient}", name, annotator="qrs", comments=comments)
            records.append((name, patient))
    rows = [f"{name},{LABELS[patient % 3]}" for name, patient in records]
    (folder / "labels.csv").write_text("record,label\n" + "\n".join(rows) + "\n")
    rows = [f"{name},doctor,{patient // 2}" for name, patient in records]
    (folder / "patients.csv").write_text("record,by,patient\n" + "\n".join(rows) + "\n")
    (folder / "intervals.csv").write_text(
        "record,start_s,end_s,label\nr0a,2.0,7.5,artefact\nr0a,10,20,run\np1/r1b,0,1,run\n"
    )
    return folder


# Splits


def test_somebody_is_left_to_train_and_to_validate_on(ward: Path) -> None:
    (source,) = find_sources(make_data({"path": str(ward), "split": "train"}), None)
    roles = assign_roles([source])
    with pytest.raises(DataError, match=r"validated on none.*expected at least one record for val"):
        check_roles_filled(roles)
    check_roles_filled(roles, final_fit=True)


def test_a_class_that_is_nowhere_is_refused() -> None:
    classes = {"vt": ClassSection(rhythms=("VT",)), "shake": ClassSection(intervals=("sake",))}
    check_classes_found({"vt": 1, "shake": 2}, classes)
    with pytest.raises(DataError, match="class shake is in no recording: expected intervals sake"):
        check_classes_found({"vt": 1, "shake": 0}, classes)


def test_a_split_by_patient_keeps_patients_apart(ward: Path) -> None:
    split = {"by": "patient", "validation": 0.2, "test": 0.3, "seed": 4}
    source = make_source(ward, patient="folder", split=split)
    roles = assign_roles([source])
    assert [len(roles[role]) for role in ROLES] == [10, 4, 6]
    patients = [{source.database.patient(r) for r in names(roles, role)} for role in ROLES]
    assert len(set.union(*patients)) == sum(map(len, patients)) == 10
    assert assign_roles([source]) == roles  # nothing is left to chance
    other = make_source(ward, patient="folder", split={**split, "seed": 5})
    assert names(assign_roles([other]), "test") != names(roles, "test")
    assert held_patients(roles) == patients[1] | patients[2]
    assert not find_shared(roles)
    assert describe_roles(roles) == (
        "real ECG, records by patient: trained on 10 of ward, validated on 4 of ward, tested on "
        "6 of ward"
    )
    assert describe_roles(roles, ("test",)).endswith("patient: tested on 6 of ward")


def test_every_share_above_0_gets_a_patient_and_a_share_of_0_none(ward: Path) -> None:
    split = {"by": "patient", "validation": 0.0, "test": 0.001}
    roles = assign_roles([make_source(ward, patient="folder", split=split)])
    assert [len(roles[role]) for role in ROLES] == [18, 0, 2]


def test_too_few_patients_for_a_split_are_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_record(tmp_path / "two", name)
    source = make_source(tmp_path / "two")
    with pytest.raises(DataError, match="two has 2 patients, expected at least 3 to train, valid"):
        assign_roles([source])


def test_a_split_in_parts_has_equal_shares_of_every_label(ward: Path) -> None:
    tested: list[str] = []
    for part in range(4):
        split = {"parts": 4, "test_part": part, "validation": 0.25}
        source = make_source(ward, labels="labels.csv", split=split)
        roles = assign_roles([source])
        counts = [sum(source.database.label(r) == label for r in names(roles, "test"))
                  for label in LABELS]  # fmt: skip
        assert max(counts) - min(counts) <= 1
        assert len({*names(roles, "train"), *names(roles, "validation")}) == 20 - sum(counts)
        assert 2 <= len(roles["validation"]) <= 6
        tested += names(roles, "test")
    assert sorted(tested) == sorted(source.database.records())
    without = make_source(ward, labels="labels.csv", split={"parts": 4})
    assert assign_roles([without])["test"] == []


def test_parts_are_drawn_label_by_label() -> None:
    labels = np.array(list("aaaabbbbbbbb"))
    parts = stratified_parts(labels, "ab", 4, seed=3)
    assert sorted(parts[:4].tolist()) == [0, 1, 2, 3]
    assert np.bincount(parts[4:]).tolist() == [2] * 4
    again = stratified_parts(labels, "ab", 4, seed=3)
    assert (again == parts).all()


def test_lists_of_records_are_taken_as_they_are(ward: Path) -> None:
    split = {"validation": ["r3a"], "test": ["r1b", "r0a"]}
    roles = assign_roles([make_source(ward, split=split)])
    assert names(roles, "test") == ["r1b", "r0a"]
    assert names(roles, "validation") == ["r3a"]
    assert len(roles["train"]) == 17
    named = assign_roles([make_source(ward, split={**split, "train": ["r5a", "r6a"]})])
    assert names(named, "train") == ["r5a", "r6a"]
    with pytest.raises(DataError, match="split names record 'r10a', which ward does not have; its"):
        assign_roles([make_source(ward, split={"test": ["r10a"]})])


def test_who_is_held_out_is_not_trained_on_whatever_a_list_says(ward: Path) -> None:
    split = {"train": ["r0b", "r1b", "r2a"], "validation": ["r1a", "r0b"], "test": ["r0a"]}
    with pytest.raises(ValidationError, match="record r0b is listed more than once"):
        make_source(ward, split=split)
    split["validation"] = ["r1a"]
    roles = assign_roles([make_source(ward, patient="folder", split=split)])
    assert [names(roles, role) for role in ROLES] == [["r2a"], ["r1a"], ["r0a"]]


@pytest.mark.parametrize("role", ROLES)
def test_one_role_for_all_records(ward: Path, role: str) -> None:
    roles = assign_roles([make_source(ward, split=role)])
    assert [len(roles[each]) for each in ROLES] == [20 * (role == each) for each in ROLES]


def test_patients_of_two_sources_are_kept_apart(tmp_path: Path) -> None:
    """Record 100 of mitdb and sel100 of qtdb are of one patient, as are 102 and sel102."""
    for name in ("100", "101", "102"):
        write_record(tmp_path / "mitdb", name, rate_hz=360, leads=("MLII", "V5"))
    for name in ("sel100", "sel102", "sel30"):
        write_record(tmp_path / "qtdb", name, leads=("MLII", "V5"))
    sources = [
        Source(
            SourceSection.model_validate({"database": name, "split": split}),
            find_database(name, tmp_path).folder,
        )
        for name, split in (
            ("mitdb", {"test": ["100"], "validation": ["101"]}),
            ("qtdb", {"validation": ["sel100", "sel102"]}),
        )
    ]
    roles = assign_roles(sources)
    found = {role: [(s.name, record) for s, record in roles[role]] for role in ROLES}
    assert found == {
        "train": [("qtdb", "sel30")],  # 102 is of who is validated on
        "validation": [("mitdb", "101"), ("qtdb", "sel102")],  # sel100 is of who is tested on
        "test": [("mitdb", "100")],
    }


def test_a_published_split_stays_as_it_is_and_its_shared_patients_are_named(
    tmp_path: Path,
) -> None:
    """In the published split of mitdb, 201 is trained on and 202, of the same patient, tested."""
    published = find_published("mitdb")
    for record in (*published["train"], *published["validation"], *published["test"]):
        write_record(tmp_path / "mitdb", record, rate_hz=360, leads=("MLII", "V5"), seconds=2)
    source = Source(
        SourceSection(database="mitdb", split="published"), find_database("mitdb", tmp_path).folder
    )
    roles = assign_roles([source])
    assert set(names(roles, "test")) == set(published["test"])
    assert set(names(roles, "validation")) == set(published["validation"])
    held = {source.database.patient(r) for r in (*published["validation"], *published["test"])}
    expected = [r for r in published["train"] if source.database.patient(r) not in held]
    assert names(roles, "train") == expected
    assert "202" in names(roles, "test")
    shared = find_shared(roles)
    assert shared == ({"202"} if "201" in names(roles, "validation") else frozenset())


def find_published(name: str) -> dict[str, tuple[str, ...]]:
    from beatlens.signals.databases import database_type

    return {role: tuple(database_type(name).splits[role]) for role in ROLES}


def test_a_final_fit_trains_on_validation_records_too(ward: Path) -> None:
    split = {"validation": ["r1a", "r2a"], "test": ["r0a", "r2b"]}
    source = make_source(ward, patient="folder", split=split)
    roles = assign_roles([source], final_fit=True)
    assert names(roles, "test") == ["r0a", "r2b"]
    assert names(roles, "validation") == ["r2a"]  # of a patient who is tested on
    train = names(roles, "train")
    assert {"r1a", "r1b"} <= set(train)
    assert not {"r0a", "r0b", "r2a", "r2b"} & set(train)
    assert train == [r for r in source.database.records() if r in train]
    assert "r1b" not in names(assign_roles([source]), "train")


# What is there


def test_optional_sources_may_be_missing_and_others_may_not(ward: Path, tmp_path: Path) -> None:
    write_record(tmp_path / "mitdb", "100", rate_hz=360)
    absent = {"database": "afdb", "split": "train"}
    data = make_data({"path": str(ward)}, {**absent, "optional": True})
    assert [source.name for source in find_sources(data, tmp_path)] == ["ward"]
    with pytest.raises(DataError, match="afdb"):
        find_sources(make_data({"path": str(ward)}, absent), tmp_path)
    with pytest.raises(DataError, match="no such folder, expected one that holds WFDB records"):
        find_sources(make_data({"path": str(tmp_path / "nowhere")}), tmp_path)
    (tmp_path / "bare").mkdir()
    with pytest.raises(DataError, match=r"no record in it or below, expected files NAME\.hea"):
        find_sources(make_data({"path": str(tmp_path / "bare")}), tmp_path)


def test_own_records_are_never_replaced_by_simulated_ones(ward: Path, tmp_path: Path) -> None:
    assert not simulates(make_data({"path": str(ward)}), None)
    assert not simulates(make_data({"path": str(tmp_path / "nowhere")}), None)
    assert simulates(make_data({"path": str(ward)}, source="simulated"), None)
    assert not simulates(make_data({"database": "mitdb"}, source="real"), None)
    with pytest.raises(DataError, match="which holds none of the databases"):
        simulates(make_data({"database": "mitdb"}), tmp_path)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"database": "mitdb", "path": "x"}, "expected exactly one of the two"),
        ({"split": "train"}, "expected exactly one of the two"),
        ({"database": "mitdbx"}, "no database is called 'mitdbx'"),
        ({"database": "mitdb", "labels": "l.csv"}, "labels is given for database mitdb"),
        ({"database": "mitdb", "patient": "folder"}, "patient is given for database mitdb"),
        ({"database": "mitdb", "decides": ["pvc"]}, "decides is given for database mitdb"),
        ({"path": "x", "split": "published"}, 'split = "published" is given for x'),
        ({"path": "x", "assume": ["normal_has_no_ectopy"]}, "assume is given for x"),
        ({"path": "x", "split": {"by": "patient", "test": 0.6, "validation": 0.4}}, "add up to 1"),
        ({"path": "x", "split": {"parts": 3, "test_part": 3}}, "test_part is 3, expected 0 to 2"),
        ({"path": "x", "annotator": "a.b"}, "annotator"),
    ],
)
def test_sections_that_cannot_be_are_refused(section: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        SourceSection.model_validate(section)


def test_a_recipe_has_sources_each_once() -> None:
    with pytest.raises(ValidationError, match=r"sources is empty, expected at least one"):
        make_data()
    with pytest.raises(ValidationError, match="sources has x more than once"):
        make_data({"path": "a/x"}, {"path": "b/x"})
    assert make_data(source="simulated").sources == ()


# Folders of own records


def test_the_first_lead_of_the_list_that_is_there_is_taken(ward: Path) -> None:
    recording = make_source(ward).database.read("r0a")
    assert make_source(ward).lead(recording) == "II"
    assert make_source(ward, lead=["MLII", "v1"]).lead(recording) == "V1"
    message = "record ward/r0a has the leads II, V1, expected one of MLII, V5"
    with pytest.raises(DataError, match=message):
        make_source(ward, lead=["MLII", "V5"]).lead(recording)


def test_a_list_of_leads_goes_before_a_databases_own(tmp_path: Path) -> None:
    write_record(tmp_path / "mitdb", "100", rate_hz=360, leads=("MLII", "V5"))
    folder = find_database("mitdb", tmp_path).folder
    for lead, expected in (((), "MLII"), (("II", "V5"), "V5")):
        section = SourceSection(database="mitdb", split="train", lead=lead)
        source = Source(section, folder)
        assert source.lead(source.database.read("100")) == expected
    source = Source(SourceSection(database="mitdb", split="train", lead=("V1",)), folder)
    with pytest.raises(DataError, match="has the leads MLII, V5, expected one of V1"):
        source.lead(source.database.read("100"))


def test_annotations_are_those_of_the_annotator(ward: Path) -> None:
    found = make_source(ward, annotator="qrs").annotations("r0a")
    assert "".join(found.beats.symbol[:5]) == "NNNVN"
    assert [rhythm.label for rhythm in found.rhythms] == ["N", "AFIB"]
    with pytest.raises(DataError, match="atr"):
        make_source(ward).annotations("r0a")


@pytest.mark.parametrize(
    ("patient", "expected"),
    [
        ("record", ["r0a", "r0b", "r2b"]),
        ("folder", ["p0", "p0", "p2"]),
        ({"header": "patient"}, ["p0", "p0", "p2"]),
        ({"csv": "patients.csv"}, ["0", "0", "1"]),
    ],
)
def test_patients_are_told_apart(ward: Path, patient: object, expected: list[str]) -> None:
    database = make_source(ward, patient=patient).database
    found = [database.patient(record) for record in ("r0a", "r0b", "r2b")]
    assert found == [f"ward/{name}" for name in expected]


def test_a_patient_that_is_nowhere_is_an_error(ward: Path) -> None:
    with pytest.raises(DataError, match="no comment line begins with 'name', expected one that"):
        make_source(ward, patient={"header": "name"}).database.patient("r0a")
    with pytest.raises(DataError, match="no column patient, expected the columns record,pat"):
        make_source(ward, patient={"csv": "labels.csv"}).database.patient("r0a")


def test_labels_are_those_of_the_file(ward: Path, tmp_path: Path) -> None:
    database = make_source(ward, labels="labels.csv").database
    assert [database.label(record) for record in ("r0a", "r1b", "r5a")] == ["N", "A", "O"]
    with pytest.raises(DataError, match="recordings have no labels, expected a CSV file"):
        make_source(ward).database.label("r0a")
    for name in "ab":
        write_record(tmp_path / "few", name)
    (tmp_path / "few" / "labels.csv").write_text("record,label\nb,N\n")
    with pytest.raises(DataError, match=r"labels\.csv: no label of record a, expected a row"):
        make_source(tmp_path / "few", labels="labels.csv").database.label("a")
    (tmp_path / "few" / "cut.csv").write_text("record,label\na\n")
    with pytest.raises(DataError, match="row 2 has 1 cells, expected 2"):
        make_source(tmp_path / "few", labels="cut.csv").database.label("a")
    (tmp_path / "few" / "two.csv").write_text("record,label\na,N\na,A\n")
    with pytest.raises(DataError, match="row 3 gives record a the label 'A', a row before it 'N'"):
        make_source(tmp_path / "few", labels="two.csv").database.label("a")
    (tmp_path / "few" / "more.csv").write_text("record,label\na,N\nc,A\n")
    with pytest.raises(DataError, match=r"row 3 names record 'c', which .*; its records are a, b"):
        make_source(tmp_path / "few", labels="more.csv").database.label("a")
    with pytest.raises(DataError, match=r"none\.csv: no such file, expected a CSV file with rec"):
        make_source(tmp_path / "few", labels="none.csv").database.label("a")


def test_intervals_are_those_of_the_file_in_samples(ward: Path, tmp_path: Path) -> None:
    database = own(make_source(ward, intervals="intervals.csv"))
    assert [(i.start, i.end, i.label) for i in database.intervals("r0a")] == [
        (500, 1875, "artefact"),
        (2500, 5000, "run"),
    ]
    assert [i.label for i in database.intervals("r1b")] == ["run"]  # named by its path
    assert database.intervals("r2a") == ()
    write_record(tmp_path / "few", "a")
    for rows, message in (
        ("a,5,5,run", "row 2 is from '5' to '5', expected seconds, the start before the end"),
        ("a,-1,5,run", "row 2 is from '-1' to '5'"),
        ("a,one,5,run", "row 2 is from 'one' to '5'"),
        ("a,5,inf,run", "row 2 is from '5' to 'inf'"),
        ("c,5,6,run", "row 2 names record 'c', which"),
        ("a,5,20.5,run", "row 2 ends at 20.5 s, expected at most 20 s, the end of record a"),
    ):
        (tmp_path / "few" / "i.csv").write_text(f"record,start_s,end_s,label\n{rows}\n")
        with pytest.raises(DataError, match=message):
            own(make_source(tmp_path / "few", intervals="i.csv", lead=[rows])).intervals("a")


def test_records_of_one_name_are_called_by_their_paths(tmp_path: Path) -> None:
    for folder in ("x", "y"):
        write_record(tmp_path / "rooms" / folder, "night")
    write_record(tmp_path / "rooms", "day")
    database = make_source(tmp_path / "rooms", patient="folder").database
    assert set(database.records()) == {"day", "x-night", "y-night"}
    assert database.patient("x-night") == "rooms/x"
    assert database.patient("day") == "rooms/day"  # not in a folder of its own
    assert database.read("y-night").name == "y-night"
    assert database.annotations("y-night").name == "y-night"
