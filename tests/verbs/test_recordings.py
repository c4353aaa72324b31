"""The command line with a recipe of recordings, and `explain` of what it exports."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import wfdb
from typer.testing import CliRunner, Result

from beatlens.errors import ModelError, RecipeError
from beatlens.pipeline.result_files import rounded
from beatlens.runtime.bundle import Bundle
from beatlens.verbs.app import app

from ..pipeline.recording_runs import TINY, simulated
from ..runtime.recordings import make_recording_bundle
from ..toml_text import toml_of

pytestmark = pytest.mark.export


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def done(*arguments: object) -> str:
    result = invoke(*arguments)
    assert result.exit_code == 0, f"{result.output}\n{result.exception!r}"
    return result.output


def refused(error: type[Exception], *arguments: object) -> str:
    result = invoke(*arguments)
    assert result.exit_code != 0
    assert isinstance(result.exception, error), result.exception
    return str(result.exception)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "tiny.toml"
    path.write_text(toml_of(TINY))
    return path


@pytest.fixture(scope="module")
def folder(recipe: Path) -> Path:
    made = recipe.parent / "run"
    for verb in ("train", "compress", "evaluate", "export"):
        done(verb, recipe, "--run", made)
    return made


@pytest.fixture(scope="module")
def bundle(folder: Path) -> Path:
    return folder / "bundle"


def write_record(folder: Path, name: str, counts: np.ndarray) -> Path:
    wfdb.wrsamp(
        name, fs=300, units=["mV"], sig_name=["ECG"], fmt=["16"], write_dir=str(folder),
        d_signal=counts.astype(np.int64)[:, None], adc_gain=[200.0], baseline=[0],
    )  # fmt: skip
    return folder / name


def test_every_step_leaves_its_files(folder: Path) -> None:
    assert {p.name for p in folder.iterdir()} >= {
        "recipe.json", "teacher.pt", "tables.pt", "student.pt", "quantized.pt", "figures.json",
        "bundle",
    }  # fmt: skip
    figures = json.loads((folder / "figures.json").read_text())
    assert figures["data"].startswith("SIMULATED ECG")
    assert figures["rows"][0]["recordings"] == 16
    assert [(r["model"], r["form"]) for r in figures["rows"]] == [
        ("teacher", "float"), ("tiny", "float"), ("tiny", "int8"),
    ]  # fmt: skip
    loaded = Bundle.load(folder / "bundle")
    assert loaded.measured["score"] == figures["rows"][2]["score"]
    assert loaded.decides_on == "whole recordings"


def test_explain_says_what_a_recording_is_and_why(bundle: Path, tmp_path: Path) -> None:
    counts = simulated(1, 30).recording.counts[0]
    record = write_record(tmp_path, "whole", counts)
    found = next(Bundle.load(bundle).explain(counts, 300, 200.0))
    said = json.loads(done("explain", record, "--bundle", bundle, "--json"))
    assert said == rounded(found.as_dict())
    assert said["predicted"] == [found.class_name]
    text = " ".join(done("explain", record, "--bundle", bundle).split())
    assert f"0:00:00 to 0:00:30 {found.class_name} " in text
    for name, chance in (found.probabilities or {}).items():
        assert f"{name} {100 * chance:.0f} %" in text
    for reason in [part for part in found.explain() if part.what != "offset"][:4]:
        what = (
            f"{reason.what} {reason.ratio:.2f}"
            if reason.start_s is None
            else f"0:00:{reason.start_s:04.1f}-0:00:{reason.end_s:04.1f}"
        )
        assert f"{what} ({reason.logits:+.1f})" in text


def test_explain_says_why_a_recording_is_not_assessable(bundle: Path, tmp_path: Path) -> None:
    counts = simulated(0, 20).recording.counts[0].copy()
    counts[5 * 300 : 15 * 300] = 7
    record = write_record(tmp_path, "off", counts)
    text = " ".join(done("explain", record, "--bundle", bundle).split())
    assert "not assessable: flat for 9." in text
    said = json.loads(done("explain", record, "--bundle", bundle, "--json"))
    assert (said["assessable"], said["predicted"], said["contributions"]) == (False, [], [])


def test_explain_takes_missing_samples_as_a_gap(bundle: Path, tmp_path: Path) -> None:
    counts = simulated(0, 30).recording.counts[0].copy()
    counts[10 * 300 : 11 * 300] = -(1 << 15)
    said = json.loads(done("explain", write_record(tmp_path, "gap", counts), "--bundle", bundle,
                           "--json"))  # fmt: skip
    assert said["assessable"]
    assert said["shares"]["missing"] == pytest.approx(1 / 30, abs=0.005)
    assert said["quality_notes"][0].startswith("gap: ")


def test_explain_names_a_warning(bundle: Path, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 60, 6000)
    record = write_record(tmp_path, "noise", noise)
    assert "warning: noisy" in " ".join(done("explain", record, "--bundle", bundle).split())


def test_there_is_no_c_yet(bundle: Path, tmp_path: Path) -> None:
    record = write_record(tmp_path, "whole", simulated(0, 10).recording.counts[0])
    said = refused(ModelError, "explain", record, "--bundle", bundle, "--engine", "c")
    assert "no C for whole recordings" in said


def test_verbs_say_what_comes_first(recipe: Path, tmp_path: Path, folder: Path) -> None:
    empty = tmp_path / "empty"
    for verb in ("compress", "export", "evaluate"):
        assert "run `beatlens train` first" in refused(ModelError, verb, recipe, "--run", empty)
    empty.mkdir(exist_ok=True)
    for name in ("teacher.pt", "tables.pt"):
        (empty / name).write_bytes((folder / name).read_bytes())
    for verb in ("export", "evaluate"):
        assert "run `beatlens compress` first" in refused(ModelError, verb, recipe, "--run", empty)


def test_ec57_has_no_figures_for_recordings(recipe: Path, folder: Path) -> None:
    said = refused(RecipeError, "evaluate", recipe, "--run", folder, "--ec57")
    assert said.startswith("tiny: EC57 has no figures for recordings, expected a recipe of beats")


@pytest.mark.parametrize("options", [(), ("--tflm",)])
def test_firmware_of_recordings_is_refused(options: tuple[str, ...], tmp_path: Path) -> None:
    make_recording_bundle(tmp_path / "bundle")
    said = refused(RecipeError, "firmware", tmp_path / "bundle", "--rate", 300, "--counts-per-mv",
                   1000, "--out", tmp_path / "c", *options)  # fmt: skip
    assert "decides on whole recordings, expected a bundle that decides on spans or beats" in said
    assert not (tmp_path / "c").exists()
