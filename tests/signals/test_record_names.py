"""The record that a user names: by path, by database; what is none is said in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from beatlens.errors import DataError
from beatlens.signals.record_names import NoRecord, RecordPlace, find_record, find_records

from .wfdb_cases import write_record


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with records `r` and `ward/100` and a folder of databases."""
    write_record(tmp_path, "r")
    write_record(tmp_path / "ward", "100")
    for record in ("100", "101"):
        write_record(tmp_path / "data" / "mitdb", record)
    (tmp_path / "data" / "mitdb" / "RECORDS").write_text("100\n101\n")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "text", ["r", "./r", "r.hea", "r.dat", "r.atr", "ward/../r", "{here}/r", "{here}/r.hea"]
)
def test_a_path_is_taken_with_any_ending(here: Path, text: str) -> None:
    place = find_record(text.format(here=here))
    assert (place.name, place.database, place.root) == ("r", "", None)
    assert place.key == str(here.resolve() / "r")
    assert place.open().samples == 720
    assert place.header().files == (here / "r.hea", here / "r.dat") or ".." in text


@pytest.mark.parametrize("name", ["r (1)", "r+1", "r.1", "r.hea", "ward 3"])
def test_a_renamed_record_is_taken(here: Path, name: str) -> None:
    """Also one that is called `r.hea`, so that its header is `r.hea.hea`."""
    (here / "r.hea").rename(here / f"{name}.hea")
    if name == "r.hea":
        with pytest.raises(DataError, match=r"record name 'r\.hea' is not one"):
            find_record(name).open()
        return
    assert find_record(name).open().samples == 720
    assert find_record(f"{name}.hea").name == name


def test_a_database_is_searched_where_no_path_is(here: Path) -> None:
    data = here / "data"
    place = find_record("mitdb/100", data)
    assert (place.label, place.database) == ("mitdb/100", "mitdb")
    assert place == find_record("mitdb/100.hea", data)
    write_record(here / "mitdb", "100")
    assert find_record("mitdb/100", data).database == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the record's name is empty"),
        (" ", "the record's name is empty"),
        (
            ".",
            r"'\.' is a folder, not a record; name a record in it such as r, .* them \./\*\.hea$",
        ),
        ("./", "is a folder, not a record"),
        ("..", "is a folder, not a record"),
        ("/", "'/' is a folder, not a record"),
        (
            "ward",
            r"'ward' is a folder, not a record; name .* such as ward/100, .* ward/\*\.hea$",
        ),
        ("empty", "'empty' is a folder, not a record; name a record in it$"),
        ("nosuch", r"no such file: nosuch\.hea; expected"),
        ("{here}/nosuch", r"no such file: /.*/nosuch\.hea; expected"),
        ("ward/nosuch.hea", r"no such file: ward/nosuch\.hea; expected"),
        ("nosuch/r", r"no such file: nosuch/r\.hea; .* one of the databases mitdb, "),
        ("data/mitdb/RECORDS", "is a file without a WFDB header 'RECORDS.hea' beside it"),
        (
            "x" * 5000,
            r"'x{200}\.\.\. \(5000 characters\)' cannot be a record \(File name too long\)",
        ),
        ("/" + "y/" * 5000 + "r", r"cannot be a record \(File name too long\)"),
        ("r\nr", "holds a control character"),
        ("r\0", "holds a control character"),
        ("mitdb", "'mitdb' is a database, expected one record of it, such as mitdb/100"),
        ("mitdb/999", "mitdb has no record '999'"),
        ("mitdb/../r/", "mitdb has no record"),
        ("mitdb/", "mitdb"),
    ],
)
def test_what_is_no_record_is_said(here: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        find_record(text.format(here=here), here / "data")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_many_names_give_each_record_once(here: Path) -> None:
    (here / "other").symlink_to(here / "ward")
    found = find_records(
        ["r", "mitdb", "nosuch", "ward/100.hea", "./r", "mitdb/100", "other/100", "nosuch",
         "data/mitdb/101", ""],
        here / "data",
    )  # fmt: skip
    labels = [each.label for each in found]
    assert labels == ["r", "mitdb/100", "mitdb/101", "nosuch", "ward/100", ""]
    assert [isinstance(each, NoRecord) for each in found] == [False] * 3 + [True, False, True]
    assert len({each.key for each in found if isinstance(each, RecordPlace)}) == 4


def test_a_folder_called_as_a_database_is_the_database(here: Path) -> None:
    found = find_records(["mitdb/"], here / "data")
    assert [each.label for each in found] == ["mitdb/100", "mitdb/101"]
