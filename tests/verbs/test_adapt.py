"""`beatlens adapt`: what it prints, and what it refuses in one sentence with exit status 1."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..firmware.beat_bundles import beat_bundle
from ..pipeline.test_adapt import reviewed_as, write_patient
from .test_no_tracebacks import assert_one_sentence, ended

pytestmark = pytest.mark.export


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_patient(tmp_path_factory.mktemp("ward"))


def test_before_and_after_are_printed(
    patient: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    beat_bundle(tmp_path, likely="n")
    given = ("adapt", tmp_path / "bundle", patient, "--to", 100, "--engine", "simulator")
    status, _ = ended(*given, "--out", tmp_path / "new", "--name", "mine", capsys=capsys)
    assert status == 0
    assert (tmp_path / "new" / "bundle.json").is_file()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("strips-6k", "{record}"), "cannot be adapted to a patient"),
        (("wearable-af-6k", "{record}"), "cannot be adapted to a patient"),
        (("beats-6k", "nowhere/1"), "no such file"),
        (("beats-6k", "{record}", "--annotator", "../x"), "is not one"),
        (("beats-6k", "{record}", "--minutes", "5", "--to", "9"), "expected one of them"),
        (("beats-6k", "{record}", "--lead", "V9"), "has no lead 'V9'"),
        (("beats-6k", "{record}", "--from", "50", "--to", "20"), "an end after the start"),
        (("none", "{record}"), "none"),
    ],
)
def test_refusals(
    patient: Path,
    tmp_path: Path,
    given: tuple[str, ...],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = [one.replace("{record}", str(patient)) for one in given]
    status, text = ended("adapt", *arguments, "--out", tmp_path / "new", capsys=capsys)
    assert_one_sentence(status, text)
    assert message in text
    assert not (tmp_path / "new").exists()


def test_nothing_to_learn_is_one_sentence(
    patient: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    beat_bundle(tmp_path, likely="n")
    record = reviewed_as(patient, tmp_path / "normal", "N")
    given = ("adapt", tmp_path / "bundle", record, "--engine", "simulator")
    status, text = ended(*given, "--out", tmp_path / "new", capsys=capsys)
    assert_one_sentence(status, text)
    assert "no bundle is written" in text
