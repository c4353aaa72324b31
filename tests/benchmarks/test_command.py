"""`python -m benchmarks` starts at once, and help says what the code takes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from benchmarks.__main__ import app
from benchmarks.compression import commands
from benchmarks.compression.plans import SMALL

from ..verbs.test_start import HEAVY

ROOT = Path(__file__).resolve().parents[2]
NAMES = sorted(getattr(typer.main.get_command(app), "commands", {}))


def run(*arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "benchmarks", *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "sdk")))},
        cwd=folder, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["", *NAMES])
def test_help_imports_nothing_heavy(name: str) -> None:
    done = run(*name.split(), "--help")
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    packages = {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}
    assert done.stdout.startswith(f"Usage: python -m benchmarks {name}".rstrip())
    assert {"typer", "beatlens", "benchmarks"} <= packages
    assert not packages & HEAVY


def test_a_missing_database_is_one_line(tmp_path: Path) -> None:
    done = run("maps", "--run", str(tmp_path), "--data", str(tmp_path), folder=tmp_path)
    assert done.returncode == 1
    (line,) = [x for x in done.stderr.splitlines() if not x.startswith("import time:")]
    assert line.startswith("python -m benchmarks: ")
    assert "holds none of the databases" in line


def test_help_states_what_the_code_takes() -> None:
    """Help must not import the code, so this is written down twice."""
    assert commands.SMALL == SMALL
