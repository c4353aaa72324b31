"""What a verb refuses is one sentence and exit status 1: records, scoring, data, run folders.

Each case is a hostile or mistaken input. The sentence stands alone on stderr.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from beatlens.cli import main
from beatlens.errors import DataError
from beatlens.pipeline import export
from beatlens.signals import data_folders
from beatlens.tasks.registry import default_recipe, kind_names
from beatlens.tasks.windows.metrics import Run
from beatlens.training.history import read_history

from ..pipeline.tiny import document_of
from ..signals.wfdb_cases import write_record
from ..toml_text import toml_of
from .test_score import run_limited
from .test_score import write_record as write_ecg

ROOT = Path(__file__).resolve().parents[2]
BUNDLE = ROOT / "models" / "beats-6k" / "bundle"
TINY = toml_of({
    **document_of("windows"),
    "name": "tiny",
    "data": {
        "simulated_patients": 12, "simulated_seconds": 60, "sources": [{"database": "mitdb"}],
    },
})  # fmt: skip


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with a few things in it, and no databases anywhere."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BEATLENS_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(data_folders, "__file__", str(tmp_path / "a/b/c/d/data_folders.py"))
    write_record(tmp_path, "r")
    write_record(tmp_path / "ward", "100")
    (tmp_path / "tiny.toml").write_text(TINY)
    (tmp_path / "file").write_text("text\n")
    (tmp_path / "empty").mkdir()
    return tmp_path


def ended(*arguments: object, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit status and stderr of a call of the command line in this process."""
    before = sys.argv
    sys.argv = ["beatlens", *map(str, arguments)]
    try:
        main()
        code: object = 0
    except SystemExit as leaving:
        code = leaving.code or 0
    finally:
        sys.argv = before
    errors = capsys.readouterr().err
    return (1, errors + code) if isinstance(code, str) else (int(str(code)), errors)


def assert_one_sentence(status: int, text: str) -> None:
    assert status == 1, text
    assert text.startswith("beatlens: ")
    assert len(text.strip().splitlines()) == 1, text
    assert "Traceback" not in text
    assert "Error(" not in text, text
    assert len(text) < 700, text


LONG = "x" * 300
"""Longer than a file system takes."""
NO_RECORDS = [
    "", " ", ".", "./", "/", "..", "ward", "empty", "nosuch", "nosuch.hea", "/nosuch/x", "file",
    "x" * 5000, "ward/nosuch", "a\nb", "mitdb/100", "mitdb", "nosuchdb/100", "~nobody/r",
    "r/r", "r.hea/r", "file/r", "[/red]", "[bold]x",
]  # fmt: skip


@pytest.mark.parametrize("record", NO_RECORDS)
@pytest.mark.parametrize("verb", ["explain", "score"])
def test_a_name_that_is_no_record(
    verb: str, record: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert_one_sentence(*ended(verb, "--bundle", BUNDLE, "--", record, capsys=capsys))
    assert not (here / "findings").exists()


def mat_of_2_31(folder: Path) -> str:
    (folder / "m.hea").write_text(f"m 1 300 {2**31}\nm.mat 16+24 1000/mV 16 0 0 0 0 ECG\n")
    (folder / "m.mat").write_bytes(b"\x1e\0\0\0" + bytes(40))
    return "m"


def mat_under_another_name(folder: Path) -> str:
    (folder / "E1.hea").write_text("E1 1 300 10\nE1 16+24 1000/mV 16 0 0 0 0 ECG\n")
    (folder / "E1.mat").write_bytes(b"\x1e\0\0\0" + bytes(40))
    return "E1"


def header_is_a_folder(folder: Path) -> str:
    (folder / "d.hea").mkdir()
    return "d"


def samples_are_a_folder(folder: Path) -> str:
    (folder / "r.dat").unlink()
    (folder / "r.dat").mkdir()
    return "r"


def header_of_bytes(folder: Path) -> str:
    (folder / "r.hea").write_bytes(bytes(range(256)))
    return "r"


def a_lead_in_markup(folder: Path) -> str:
    path = folder / "r.hea"
    path.write_text(path.read_text().replace("MLII", "[/red]").replace("212 200", "212 0"))
    return "r"


@pytest.mark.parametrize(
    "made",
    [mat_of_2_31, mat_under_another_name, header_is_a_folder, samples_are_a_folder,
     header_of_bytes, a_lead_in_markup],
)  # fmt: skip
@pytest.mark.parametrize("verb", ["explain", "score"])
def test_a_record_that_is_damaged(
    verb: str, made: Callable[[Path], str], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert_one_sentence(*ended(verb, made(here), "--bundle", BUNDLE, capsys=capsys))


@pytest.mark.parametrize("verb", ["explain", "score"])
def test_a_lead_name_in_markup_is_text(
    verb: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = write_ecg(here, "ecg", seconds=30, lead="[/red]")
    assert ended(verb, record, "--bundle", BUNDLE, capsys=capsys) == (0, "")


def test_an_out_that_cannot_be(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = write_ecg(here, "ecg", seconds=30)
    options = ("--bundle", BUNDLE, "--out")
    for out in ("file", "file/below", "/proc/nosuch", LONG):
        assert_one_sentence(*ended("score", record, *options, out, capsys=capsys))
    for content in (b"", b"[]", b"\xff\xfe", b"{}"):
        (here / "out").mkdir(exist_ok=True)
        (here / "out" / "about.json").write_bytes(content)
        assert_one_sentence(*ended("score", record, *options, "out", capsys=capsys))
    for scheduler in ("nonsense", "tcp://127.0.0.1:1", "tcp://127.0.0.1:x", ""):
        given = (*options, "new", "--scheduler", scheduler)
        assert_one_sentence(*ended("score", record, *given, capsys=capsys))


@pytest.mark.parametrize("data", ["nosuch", "empty", "file", "ward", LONG, "~nobody/data"])
@pytest.mark.parametrize(
    "command",
    [("data", "list"), ("data", "check", "mitdb"), ("explain", "mitdb/100", "--bundle", BUNDLE),
     ("score", "mitdb", "--bundle", BUNDLE), ("train", "tiny.toml")],
    ids=lambda command: " ".join(map(str, command[:2])),
)  # fmt: skip
def test_a_data_folder_that_is_none(
    command: tuple[object, ...], data: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert_one_sentence(*ended(*command, "--data", data, capsys=capsys))
    assert not list(here.glob("runs/*/tracks"))


def test_a_folder_that_data_cannot_be_fetched_to(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is named, not the server, which is not asked."""
    for folder in ("file", "file/below", "/proc/nosuch"):
        status, text = ended("data", "get", "mitdb", "--to", folder, capsys=capsys)
        assert_one_sentence(status, text)
        assert "cannot be written" in text
        assert "connection" not in text
    assert_one_sentence(*ended("data", "get", "nosuchdb", capsys=capsys))


@pytest.mark.parametrize("run", ["file", "file/below", "/proc/nosuch", LONG])
@pytest.mark.parametrize("verb", ["train", "compress", "evaluate", "export"])
def test_a_run_folder_that_cannot_be(
    verb: str, run: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert_one_sentence(*ended(verb, "tiny.toml", "--run", run, capsys=capsys))


DAMAGED = [b"", b"[]", b"{", b"\xff\xfe\x00", b"null", b'"text"', b"[" * 100_000, None]


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_claim_of_a_run_folder(
    content: bytes | None, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = here / "run" / "recipe.json"
    path.parent.mkdir()
    path.mkdir() if content is None else path.write_bytes(content)
    for verb in ("train", "export"):
        assert_one_sentence(*ended(verb, "tiny.toml", "--run", "run", capsys=capsys))


@pytest.mark.parametrize("recipe", ["nosuch.toml", "empty", "file", "r.dat", LONG])
def test_a_recipe_that_is_none(recipe: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert_one_sentence(*ended("train", recipe, "--run", "run", capsys=capsys))
    assert not (here / "run").exists()


@pytest.mark.parametrize("content", [*DAMAGED, b'{"rows": [[]]}', b'{"rows": 3}'])
def test_damaged_results_of_a_run(content: bytes | None, here: Path) -> None:
    path = here / "damaged.json"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(DataError, match=r"damaged\.json: not a .*; delete it"):
        read_history(path)
    path.rename(here / "figures.json")
    for kind in kind_names():
        with pytest.raises(DataError, match=r"figures\.json: not a .*; delete it"):
            export._measured(default_recipe(kind), here)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x93NUMPY", b"[]", None])
def test_damaged_evidence_of_a_run(content: bytes | None, here: Path) -> None:
    path = here / "evidence.npz"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(DataError, match=r"evidence\.npz: not a network's evidence .*; delete it"):
        Run.load(path)
    path.rmdir() if content is None else path.unlink()
    Run(np.zeros((1, 2, 3), np.float32)).save(path)
    assert Run.load(path).evidence.shape == (1, 2, 3)


@pytest.mark.parametrize(
    "arguments",
    [("explain", "."), ("score", ""), ("train", "--run", "file"),
     ("data", "list", "--data", "nosuch")],
)  # fmt: skip
def test_the_command_itself(arguments: tuple[str, ...], here: Path) -> None:
    """As a user runs it, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "beatlens", *arguments],
        capture_output=True, text=True, check=False, timeout=300,
        env={**os.environ, "PYTHONPATH": str(ROOT / "sdk")},
    )  # fmt: skip
    assert_one_sentence(done.returncode, done.stderr)


def test_a_full_disk(here: Path) -> None:
    record = write_ecg(here, "ecg", seconds=300)
    done = run_limited(2000, record, "--bundle", BUNDLE, "--out", "out")
    assert_one_sentence(done.returncode, done.stderr)
    assert [path.name for path in (here / "out").iterdir()] == ["about.json"]
