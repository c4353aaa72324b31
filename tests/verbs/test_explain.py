"""`beatlens explain` on long records: engines, progress, memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from beatlens.pipeline.result_files import rounded
from beatlens.runtime.bundle import Bundle
from beatlens.runtime.host_build import has_compiler
from beatlens.signals.simulate import simulate_patient
from beatlens.signals.wfdb_files import read_recording
from beatlens.verbs.app import app

from ..runtime.conftest import make_bundle

pytestmark = pytest.mark.export
SIMULATED_S = 300


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("bundle") / "dense"
    make_bundle("dense", made)
    return made


def write_long(folder: Path, name: str, minutes: int) -> Path:
    """Simulated ECG over and over, in two leads, with a segment that is missing."""
    once = simulate_patient(4, SIMULATED_S).recording.counts[0]
    counts = np.resize(once, minutes * 60 * 360).astype(np.int16)
    both = np.stack([counts // 2, counts], axis=1)
    both[9000:11_000] = -(1 << 15)
    both.astype("<i2").tofile(folder / f"{name}.dat")
    lines = [
        f"{name}.dat 16 200 16 0 {both[0, row]} {int(both[:, row].sum(dtype=np.int64)) % 65536} "
        f"0 {lead}"
        for row, lead in enumerate(("V5", "MLII"))
    ]
    (folder / f"{name}.hea").write_text(
        "\n".join([f"{name} 2 360 {len(counts)}", *lines]) + "\n", encoding="ascii"
    )
    return folder / name


def explained(record: Path, bundle: Path, *options: str) -> list[dict]:
    command = ["explain", str(record), "--bundle", str(bundle), "--json", *options]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in done.output.splitlines()]


@pytest.mark.parametrize("engine", ["auto", "c", "simulator"])
def test_findings_are_those_of_the_whole_recording(
    folder: Path, tmp_path: Path, engine: str
) -> None:
    if engine == "c" and not has_compiler():
        pytest.skip("NO C COMPILER: explain was not tested with engine 'c'")
    record = write_long(tmp_path, "long", 7)
    whole = read_recording(tmp_path, "long")
    assert whole.missing is not None
    wanted = Bundle.load(folder).explain(whole.counts[1], 360, 200.0, rails=whole.rails[1],
        missing=whole.missing[1], hop_s=10.0,
    )  # fmt: skip
    found = explained(record, folder, "--engine", engine)
    assert found == [rounded(finding.as_dict()) for finding in wanted]
    assert any("gap" in " ".join(f["quality_notes"]) for f in found)


def test_an_engine_that_does_not_exist_is_one_line(folder: Path, tmp_path: Path) -> None:
    record = write_long(tmp_path, "long", 1)
    done = subprocess.run(
        [sys.executable, "-m", "beatlens", "explain", record, "--bundle", folder,
         "--engine", "onnx"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "engine is 'onnx', expected one of" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


MEASURE = """
import resource, sys
from beatlens.verbs.app import app
try:
    app(sys.argv[1:])
finally:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
"""


@pytest.mark.skipif(not has_compiler(), reason="NO C COMPILER: memory of engine 'c' UNTESTED")
@pytest.mark.parametrize("options", [("--json",), ("--html", "page.html")], ids=["json", "page"])
def test_memory_does_not_grow_with_the_length(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    """Peak memory of the whole process, in KiB; read whole, the longer record takes 150 MB more."""
    monkeypatch.chdir(tmp_path)

    def peak(minutes: int) -> int:
        record = write_long(tmp_path, f"long{minutes}", minutes)
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, "explain", record, "--bundle", folder, "--engine", "c",
             "--every", "10", *options],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert len(done.stdout.splitlines()) >= minutes * 6 - 1, done.stderr
        return int(done.stderr.splitlines()[-1])

    peak(15)  # compiles
    assert peak(480) < peak(15) + 25_000
