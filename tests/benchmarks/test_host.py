"""The benchmark of engine "c" beside interpreters, on a few minutes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from beatlens.errors import DataError
from beatlens.runtime.host_build import has_compiler
from benchmarks.__main__ import app
from benchmarks.device import host as host_bench
from benchmarks.device.host import host_rows, make_day
from benchmarks.device.other_python import other_python

from ..runtime.conftest import make_bundle

pytestmark = [
    pytest.mark.export,
    pytest.mark.skipif(not has_compiler(), reason="NO C COMPILER: engine 'c' was not measured"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("bundle") / "dense"
    make_bundle("dense", made)
    return made


def simulated(data: Path, hours: float) -> host_bench.Day:
    """Without databases: simulated ECG."""
    data.mkdir(exist_ok=True)
    return make_day(data, hours)


@pytest.fixture(autouse=True)
def no_databases(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_: object) -> None:
        raise DataError("not there")

    monkeypatch.setattr(host_bench, "find_database", absent)


@pytest.mark.parametrize("hop_s", [1.0, 2.5])
def test_rows(folder: Path, tmp_path: Path, hop_s: float) -> None:
    said: list[str] = []
    day = simulated(tmp_path, 0.03)
    rows = host_rows(folder, day, hop_s, 6, said.append)
    named = {(row["engine"], row["kernels"]): row for row in rows}
    assert list(named)[:2] == [("c", "host"), ("litert", "reference")]
    assert rows[0]["ratio"] == 1
    assert rows[0]["measured_s"] == day.seconds == 108
    assert rows[0]["findings"] == (108 - 10) // hop_s + 1
    kinds = {row["engine"] for row in rows}
    assert kinds >= {"c", "litert"}
    assert ("tflite-runtime" in kinds) == other_python().exists()
    assert other_python().exists() or any("LEFT OUT" in text for text in said)
    for row in rows[1:]:
        assert row["ratio"] == row["cpu_seconds"] / rows[0]["cpu_seconds"] > 0
        if row["kernels"] == "reference":
            assert row["bits"] == "same", row
        if "windows" in row["way"]:
            assert (row["findings"], row["measured_s"]) == (6, 6 * hop_s)


def test_the_other_python_is_the_one_that_the_makefile_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = Path(__file__).resolve().parents[2]
    for named, folder in ((None, root / ".venv-tflite"), ("", root / ".venv-tflite"),
                          ("old", root / "old"), ("/opt/old", Path("/opt/old"))):  # fmt: skip
        if named is None:
            monkeypatch.delenv("TFLITE_VENV", raising=False)
        else:
            monkeypatch.setenv("TFLITE_VENV", named)
        assert other_python() == folder / "bin" / "python"


def test_exactness_is_looked_at() -> None:
    one = {float(k): np.full((4, 160), k, np.float32) for k in range(5)}
    assert host_bench._bits(one, dict(list(one.items())[2:])) == "same"
    assert host_bench._bits(one, {3.0: np.nextafter(one[3.0], 4)}) == "other"
    assert host_bench._bits(one, {9.0: one[3.0]}) == "other"


def test_a_day_of_a_real_record(mitdb_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    day = make_day(mitdb_dir.parent, 1.5)
    assert (day.rate_hz, day.counts_per_mv, day.rails) == (360, 200.0, (-1024, 1023))
    assert day.seconds == 5400
    assert "record 100, lead MLII" in day.description
    np.testing.assert_array_equal(day.counts[650_000:651_000], day.counts[:1000])


def test_a_day_that_is_too_short(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected 32[0-9] s for 300 windows"):
        host_rows(folder, simulated(tmp_path, 0.05), 1.0, 300)


def test_the_verb_writes_figures(folder: Path, tmp_path: Path) -> None:
    command = ["host", "--bundle", folder, "--hours", 0.02, "--windows", 3,
               "--out", tmp_path]  # fmt: skip
    done = CliRunner().invoke(app, list(map(str, command)))
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "host.json").read_text())
    assert found["command"] == "python -m benchmarks host --hours 0.02 --hop 1 --windows 3"
    assert "SIMULATED" in found["data"]
    assert found["rows"][0]["engine"] == "c"
    assert all(row["cpu_seconds"] > 0 for row in found["rows"])
    assert "s per 24 h" in done.output
