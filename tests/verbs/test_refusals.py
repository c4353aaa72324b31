"""What the system refuses a verb is one sentence, with file and reason, and exit status 1."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import beatlens
from beatlens.runtime.host_build import has_compiler

from ..pipeline.tiny import document_of
from ..toml_text import toml_of

pytestmark = pytest.mark.export
SDK = Path(beatlens.__file__).parents[1]
LIMITED = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)), -1))
from beatlens.cli import main
main()
"""
"""Files may not grow beyond so many bytes: what a program sees is as on a full disk."""
HOMELESS = """
import os, sys
os.environ.pop("HOME", None)
os.environ.pop("XDG_CACHE_HOME", None)
os.path.expanduser = lambda path: path
from beatlens.cli import main
main()
"""
"""A user without a home folder, as in many a container."""

TINY = toml_of({
    **document_of("windows"),
    "name": "tiny",
    "data": {"source": "simulated", "simulated_patients": 15, "simulated_seconds": 60},
    "teacher": {
        "kind": "residual", "channels": [4, 4, 6], "kernels": [16, 9, 9], "strides": [2, 2, 2],
    },
    "teacher_schedule": {"steps": 4, "batch": 4, "learning_rate": 1e-2, "validate_every": 2},
})  # fmt: skip


def run(
    code: str, *arguments: object, cwd: Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(SDK), **environment},
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip


def one_sentence(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 1, done.stderr
    said = done.stderr.strip().splitlines()
    assert len(said) == 1, done.stderr
    assert said[0].startswith("beatlens: ")
    for word in words:
        assert word in said[0]


@pytest.fixture
def record(tmp_path: Path) -> Path:
    codes = (100 * np.sin(np.arange(3600) / 20)).astype("<i2")
    codes.tofile(tmp_path / "own.dat")
    (tmp_path / "own.hea").write_text("own 1 360 3600\nown.dat 16 200/mV 16 0 0 0 0 [/red]\n")
    return tmp_path / "own"


def test_a_lead_with_markup_in_its_name_is_explained(record: Path, tmp_path: Path) -> None:
    code = "from beatlens.cli import main; main()"
    for bundle in ("beats", "strips-6k", "wearable-af-6k"):
        done = run(code, "explain", record, "--bundle", bundle, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "[/red]" in done.stdout


@pytest.mark.parametrize(
    ("limit", "arguments", "words"),
    [
        (0, ("train", "tiny.toml", "--run", "run"), ("run/recipe.json", "cannot be written")),
        (20_000, ("train", "tiny.toml", "--run", "run"), ("run/tracks/", "cannot be written")),
        (100, ("score", "own", "--out", "found"), ("found", "cannot be written")),
        (
            100,
            ("firmware", "strips-6k", "--rate", "250", "--counts-per-mv", "400"),
            ("strips_6k_firmware", "cannot be written"),
        ),
    ],
)
def test_a_full_disk_is_one_sentence(
    limit: int, arguments: tuple[str, ...], words: tuple[str, ...], record: Path, tmp_path: Path
) -> None:
    (tmp_path / "tiny.toml").write_text(TINY)
    one_sentence(run(LIMITED, limit, *arguments, cwd=tmp_path), *words)


def test_a_network_that_the_disk_refuses_is_one_sentence(tmp_path: Path) -> None:
    """The tracks are there; the weights no longer fit."""
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(TINY)
    plain = "from beatlens.cli import main; main()"
    assert run(plain, "train", recipe, "--run", "run", cwd=tmp_path).returncode == 0
    (tmp_path / "run" / "teacher.pt").unlink()
    done = run(LIMITED, 1000, "train", recipe, "--run", "run", cwd=tmp_path)
    one_sentence(done, "run/teacher.", "cannot be written")
    assert not list((tmp_path / "run").glob("*.part"))


def test_a_run_folder_that_is_a_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    done = run(LIMITED, -1, "train", "--run", "taken", cwd=tmp_path)
    one_sentence(done, "run folder taken cannot be made", "--run")


def test_a_recipe_that_cannot_be_prepared_may_be_mended(tmp_path: Path) -> None:
    recipe = tmp_path / "own.toml"
    content = document_of("windows") | {"data": {"sources": [{"path": "nowhere"}]}}
    recipe.write_text(toml_of(content), encoding="utf-8")
    done = run(LIMITED, -1, "train", recipe, "--run", "run", cwd=tmp_path)
    one_sentence(done, "nowhere: no such folder")
    assert not (tmp_path / "run").exists()
    done = run(LIMITED, -1, "compress", "--run", "untrained", cwd=tmp_path)
    one_sentence(done, "untrained/teacher.pt is not there")
    assert not (tmp_path / "untrained").exists()


@pytest.mark.skipif(not has_compiler(), reason="NO C COMPILER: engine 'c' without a home UNTESTED")
def test_without_a_home_folder_engine_c_says_what_to_set(record: Path, tmp_path: Path) -> None:
    one_sentence(
        run(HOMELESS, "explain", record, "--engine", "c", cwd=tmp_path),
        "set HOME or XDG_CACHE_HOME",
    )


def test_without_a_home_folder_models_run(record: Path, tmp_path: Path) -> None:
    for arguments in (("explain", record), ("score", record, "--out", "f"), ("data", "list")):
        done = run(HOMELESS, *arguments, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
