"""`beatlens explain` into a pipe that closes, and on a terminal that is not UTF-8."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import wfdb

from beatlens.signals.simulate import simulate_patient


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("record")
    recording = simulate_patient(2, 300, pvc_per_minute=20).recording
    wfdb.wrsamp(
        "sim", fs=recording.rate_hz, units=["mV"], sig_name=["II"], fmt=["16"],
        d_signal=recording.counts[:1].T.astype("int64"), adc_gain=[200.0], baseline=[0],
        write_dir=str(folder),
    )  # fmt: skip
    return folder / "sim"


def test_a_page_is_written_though_the_reader_of_the_text_has_gone(
    record: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    command = [sys.executable, "-m", "beatlens", "explain", str(record), "--html", str(page)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.readline()
        running.stdout.close()
        said = running.stderr.read().decode()
        assert running.wait(timeout=120) == 0, said
    assert said == ""
    assert page.read_text(encoding="utf-8").rstrip().endswith("</html>")


def test_a_terminal_that_is_not_utf_8_shows_what_it_can(record: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "beatlens", "explain", str(record)],
        env={**os.environ, "PYTHONIOENCODING": "ascii"}, capture_output=True, timeout=120,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert b"heart rate" in ran.stdout
    assert b"Traceback" not in ran.stderr
