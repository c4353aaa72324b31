"""A package of somebody else's adds a database and a class, from training to the stream in C.

The package is `ward_ecg` beside this file: fewer than 150 lines, its recipe included. beatlens
finds it by its entry point, as if it were installed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from beatlens.runtime.bundle import Bundle

from .records import RATE_HZ, with_pauses, write_ward

HERE = Path(__file__).parent
PACKAGE = [*(HERE / "ward_ecg").glob("*.py"), *(HERE / "ward_ecg").glob("*.toml"),
           *(HERE / "ward_ecg-1.0.dist-info").iterdir()]  # fmt: skip


def beatlens(*arguments: str, cwd: Path) -> str:
    path = os.pathsep.join(
        [str(HERE), str(HERE.parents[1] / "sdk"), os.environ.get("PYTHONPATH", "")]
    )
    environment = {**os.environ, "PYTHONPATH": path, "BEATLENS_DATA": str(cwd / "data")}
    done = subprocess.run(
        [sys.executable, "-m", "beatlens", *arguments],
        cwd=cwd, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_package_is_small() -> None:
    assert sum(len(path.read_text(encoding="utf-8").splitlines()) for path in PACKAGE) < 150


@pytest.mark.slow
def test_its_class_is_trained_and_streams_the_same_bits_in_python_and_c(tmp_path: Path) -> None:
    """One test, since all of it stands on one training."""
    write_ward(tmp_path / "data" / "ward")
    assert "ward" in beatlens("data", "list", cwd=tmp_path)
    recipe = str(HERE / "ward_ecg" / "pauses.toml")
    for verb in ("train", "compress", "evaluate", "export"):
        beatlens(verb, recipe, "--run", "run", cwd=tmp_path)
    rows = json.loads((tmp_path / "run" / "figures.json").read_text(encoding="utf-8"))["rows"]
    device = next(row for row in rows if row["form"] == "int8" and row["model"] == "student")
    assert device["ap_pause"] > 0.8
    check_streams(Bundle.load(tmp_path / "run" / "bundle"))


def check_streams(bundle: Bundle) -> None:
    """Simulator, interpreter and the firmware's C give the same findings, and find pauses."""
    assert bundle.titles == {"pause": "pause of more than 2 s"}
    counts, _ = with_pauses(seed=100, seconds=60)
    by_engine = {}
    for engine in ("simulator", "litert", "c"):
        stream = bundle.stream(rate_hz=RATE_HZ, counts_per_mv=200, engine=engine)
        by_engine[engine] = [*stream.push(counts.astype(np.int16)), *stream.flush()]
    first = by_engine["simulator"]
    assert any(finding.predicted == ("pause",) for finding in first)
    for findings in by_engine.values():
        assert [f.predicted for f in findings] == [f.predicted for f in first]
        for one, other in zip(findings, first, strict=True):
            assert (one.evidence is None) == (other.evidence is None)
            if one.evidence is not None:
                assert np.array_equal(one.evidence, other.evidence)
