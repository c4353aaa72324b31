"""The example that streams a recording runs as it is printed in its own text."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import beatlens

pytestmark = pytest.mark.export
EXAMPLE = Path(__file__).parents[2] / "examples" / "stream_a_recording.py"


def run(*arguments):
    return subprocess.run(
        [sys.executable, EXAMPLE, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(Path(beatlens.__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_on_simulated_ecg(bundle_dir):
    done = run(bundle_dir, "--simulate", 13.2)
    assert done.returncode == 0, done.stderr
    spans = [line for line in done.stdout.splitlines() if " .. " in line]
    assert len(spans) == 5
    assert spans[0].startswith("    0.0 ..    10.0 s")
    assert "not assessable: the recording ends" in spans[-1]


def test_on_a_record(bundle_dir, mitdb_dir):
    (header,) = mitdb_dir.rglob("100.hea")
    done = run(bundle_dir, header.with_suffix(""), "--lead", "V5")
    assert done.returncode == 0, done.stderr
    assert sum(" .. " in line for line in done.stdout.splitlines()) == 1797


def test_a_mistake_is_one_line(bundle_dir, tmp_path):
    for arguments in ((tmp_path / "nowhere",), (bundle_dir, tmp_path / "nowhere" / "100")):
        done = run(*arguments)
        assert done.returncode == 1
        assert len(done.stderr.splitlines()) == 1
        assert "Traceback" not in done.stderr
