"""The command line as a user meets it: help, one-line errors, and the steps on simulated ECG."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from beatlens.verbs.app import app

from ..pipeline.tiny import document_of
from ..toml_text import toml_of

pytestmark = pytest.mark.export
RUNNER = CliRunner()
MODELS = Path(__file__).resolve().parents[2] / "models"
OLDER = Path(__file__).parents[1] / "runtime" / "format3" / "strips-6k"
VERBS = (
    "demo", "data", "train", "compress", "export", "evaluate", "explain", "score", "firmware",
    "models", "adapt",
)  # fmt: skip

SHORT = {"batch": 8, "learning_rate": 6e-3}
NETWORK = {"channels": [4, 6, 8], "kernels": [8, 8, 8], "strides": [2, 2, 2]}
TINY = toml_of({
    **document_of("windows"),
    "name": "tiny",
    "data": {"source": "simulated", "simulated_patients": 15, "simulated_seconds": 60},
    "teacher": {
        "kind": "residual", "channels": [8, 8, 12], "kernels": [16, 9, 9], "strides": [2, 2, 2],
    },
    "teacher_schedule": {**SHORT, "steps": 60, "learning_rate": 1e-2, "validate_every": 30},
    "student": {"kind": "depthwise", **NETWORK},
    "student_schedule": {**SHORT, "steps": 20, "validate_every": 10},
    "quantize_schedule": {**SHORT, "steps": 10, "learning_rate": 1e-3},
    "distill": {"cache": 64},
})  # fmt: skip


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The installed command in a process of its own, as a user starts it."""
    return subprocess.run(
        [sys.executable, "-m", "beatlens", *map(str, arguments)],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_every_verb(verb: str) -> None:
    result = RUNNER.invoke(app, [verb, "--help"])
    assert result.exit_code == 0
    assert "Usage:" in result.output


def test_help_says_units() -> None:
    text = RUNNER.invoke(app, ["explain", "--help"], env={"COLUMNS": "200"}).output
    assert "seconds" in text.lower()
    assert "logits" in text.lower()


def test_steps_in_order_then_explain(tmp_path: Path) -> None:
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(TINY)
    folder = tmp_path / "run"

    early = run("compress", recipe, "--run", folder)
    assert early.returncode == 1
    assert "beatlens train" in early.stderr
    assert "Traceback" not in early.stderr

    measured = {}
    for verb in ("train", "compress", "export", "evaluate", "export"):
        result = run(verb, recipe, "--run", folder)
        assert result.returncode == 0, result.stderr
        if verb == "export":
            noted = "note: the bundle is not measured yet: run `beatlens evaluate`" in result.stdout
            said = json.loads((folder / "bundle" / "bundle.json").read_text())["measured"]
            measured[noted] = said
    assert list(measured) == [True, False]
    assert list(measured[True]) == ["note"]
    assert "macro_ap" in measured[False]

    compressed = run(
        "compress", recipe, "--run", tmp_path / "other", "--teacher", folder / "teacher.pt"
    )
    assert compressed.returncode == 0, compressed.stderr
    assert (tmp_path / "other" / "quantized.pt").exists()
    assert "SIMULATED" in result.stdout
    assert {p.name for p in folder.iterdir()} >= {
        "teacher.pt", "student.pt", "quantized.pt", "bundle", "figures.json", "report.html",
        "recipe.json",
    }  # fmt: skip

    from beatlens.signals.simulate import simulate_patient

    patient = simulate_patient(3, 60, pvc_per_minute=10).recording
    record = _as_wfdb(tmp_path, patient)
    result = run("explain", record, "--bundle", folder / "bundle", "--json")
    assert result.returncode == 0, result.stderr
    findings = [json.loads(line) for line in result.stdout.splitlines()]
    assert [f["start_s"] for f in findings[:3]] == [0.0, 10.0, 20.0]
    assert set(findings[1]["probabilities"]) == {"pvc", "sve", "afib", "bbb"}


def test_a_bundle_is_exported_and_evaluated_without_its_run_folder(tmp_path: Path) -> None:
    from beatlens.nets.backbones import build
    from beatlens.nets.files import save_net
    from beatlens.runtime.bundle import Bundle
    from beatlens.tasks.registry import read_recipe

    recipe, teacher = tmp_path / "tiny.toml", tmp_path / "teacher.pt"
    recipe.write_text(TINY)
    chosen = read_recipe(recipe)
    spec = chosen.teacher.spec
    save_net(teacher, build(spec, chosen.classes), spec)
    bundle, folder = MODELS / "strips-6k" / "bundle", tmp_path / "run"
    given = ("--run", folder, "--teacher", teacher)

    result = run("export", recipe, *given, "--from-bundle", bundle)
    assert result.returncode == 0, result.stderr
    assert "rule now: pvc" in result.stdout
    assert Bundle.load(folder / "bundle").tflite == Bundle.load(bundle).tflite

    result = run("evaluate", recipe, *given, "--bundle", folder / "bundle")
    assert result.returncode == 0, result.stderr
    assert (folder / "report.html").exists()
    rows = json.loads((folder / "figures.json").read_text())["rows"]
    assert [row["model"] for row in rows] == ["teacher", "student", "shuffled floor"]

    result = run("export", recipe, "--run", folder, "--from-bundle", bundle)
    assert result.returncode == 1
    assert "--from-bundle was given without --teacher" in result.stderr
    result = run("evaluate", recipe, *given, "--bundle", MODELS / "beats" / "bundle")
    assert result.returncode == 1
    assert "decides on beats for n, s, v, f, expected windows for pvc, sve" in result.stderr
    result = run("export", MODELS / "wearable-af.toml", "--run", tmp_path / "other",
                 "--from-bundle", bundle, "--teacher", teacher)  # fmt: skip
    assert result.returncode == 1
    assert "expected the recipe's teacher" in result.stderr


def test_a_bundle_of_other_steps_is_refused_before_anything_is_prepared(tmp_path: Path) -> None:
    from beatlens.nets.backbones import build
    from beatlens.nets.files import save_net
    from beatlens.tasks.registry import read_recipe

    recipe, teacher, folder = (tmp_path / name for name in ("tiny.toml", "teacher.pt", "run"))
    recipe.write_text(TINY)
    chosen = read_recipe(recipe)
    save_net(teacher, build(chosen.teacher.spec, chosen.classes), chosen.teacher.spec)
    for verb, option in (("export", "--from-bundle"), ("evaluate", "--bundle")):
        given = ("--run", folder, "--teacher", teacher, option, OLDER)
        result = RUNNER.invoke(app, [verb, str(recipe), *map(str, given)])
        assert result.exit_code == 1
        assert "takes samples in steps of 0.025 mV, expected 0.05" in str(result.exception)
        assert not folder.exists()


def test_two_processes_train_one_teacher_from_one_store(tmp_path: Path) -> None:
    recipe, folder = tmp_path / "tiny.toml", tmp_path / "run"
    recipe.write_text(TINY)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            *("--nproc-per-node", "2", "-m", "beatlens", "--", "train", str(recipe)),
            *("--run", str(folder), "--jobs", "2"),
        ],
        capture_output=True, text=True, check=False, timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    history = json.loads((folder / "teacher.json").read_text())["rows"]
    assert [row["step"] for row in history] == [30, 60]
    assert len(list((folder / "tracks").glob("*-train"))) == 1
    assert run("compress", recipe, "--run", folder).returncode == 0


def _as_wfdb(folder: Path, recording: object) -> Path:
    import wfdb

    wfdb.wrsamp(
        "sim", fs=recording.rate_hz, units=["mV"], sig_name=["MLII"],
        d_signal=recording.counts.T.astype("int64"), fmt=["16"], adc_gain=[200.0], baseline=[0],
        write_dir=str(folder),
    )  # fmt: skip
    return folder / "sim"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "nowhere.toml"), "nowhere.toml: cannot be read"),
        (("explain", "nowhere/1", "--bundle", "{tmp}/none"), "no such folder"),
        (("train", "--run", "{tmp}", "--data", "{tmp}"), "holds none of the databases"),
        (("data", "get", "mitbd"), "mitbd"),
        (
            ("compress", str(MODELS / "beats.toml"), "--run", "{tmp}", "--teacher", "x.pt"),
            "x.pt",
        ),
    ],
)
def test_errors_are_one_line(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    result = run(*(a.replace("{tmp}", str(tmp_path)) for a in arguments))
    assert result.returncode == 1
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr


def test_unknown_recipe_key_is_named(tmp_path: Path) -> None:
    recipe = tmp_path / "r.toml"
    recipe.write_text(toml_of({**document_of("windows"), "distill": {"lamda": 3}}))
    result = run("train", recipe, "--run", tmp_path / "run")
    assert result.returncode == 1
    assert re.search(r"r\.toml: distill\.lamda is 3", result.stderr)


def test_help_shows_the_defaults_it_states() -> None:
    text = " ".join(RUNNER.invoke(app, ["train", "--help"]).output.split())
    assert "(default: runs/NAME)" in text
    assert "(default: all)" in text
