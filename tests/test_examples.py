"""Every example runs as its text says and prints what it promises."""

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from beatlens.runtime.bundle import Bundle
from beatlens.signals.simulate import simulate_patient
from beatlens.signals.wfdb_files import read_recording

from .firmware.beat_bundles import beat_bundle
from .runtime.conftest import make_bundle

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.export


def example(name: str, *arguments: str) -> str:
    result = subprocess.run(
        [sys.executable, str(ROOT / "examples" / name), *arguments],
        capture_output=True, text=True, check=False, timeout=300,
        env={**os.environ, "PYTHONPATH": str(ROOT / "sdk"), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.rounding
def test_matching_keeps_the_maps_of_a_network_of_ones_own() -> None:
    text = example("match_your_own_network.py")
    alone, matched = (float(x) for x in re.findall(r"Spearman (-?\d\.\d+)", text))
    assert matched > alone + 0.03


@pytest.mark.rounding
def test_compression_in_steps_keeps_the_maps_of_a_network_of_ones_own() -> None:
    text = example("compress_your_own_network.py")
    size, alone, matched = (int(x.replace(",", "")) for x in re.findall(r"([\d,]+) bytes", text))
    assert max(alone, matched) <= size // 20
    same, without, kept = (float(x) for x in re.findall(r"Spearman (-?\d\.\d+)", text))
    assert same == 1
    assert kept > without + 0.03
    right = [float(x) for x in re.findall(r"right (\d\.\d+)", text)]
    assert min(right) > 0.9


@pytest.mark.parametrize("record", [None, "119"])
def test_beats_of_a_recording_come_with_reasons(
    record: str | None, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    beat_bundle(tmp_path)
    of = [] if record is None else [str(request.getfixturevalue("mitdb_dir") / record)]
    text = example("beats_of_a_recording.py", str(tmp_path / "bundle"), *of)
    assert re.search(r"\d+ x (normal|supraventricular|ventricular|fusion)", text)
    reasons = re.findall(r" s  [svf] 0\.\d\d  .*\([+-]\d+\.\d\)", text)
    assert len(reasons) > 5


def gapped_record(folder: Path) -> Path:
    """60 s of simulated ECG with single samples and half seconds missing, amid beats."""
    counts = simulate_patient(7, 60, pvc_per_minute=8).recording.counts[0].astype("<i2")
    for at in range(5, 55, 7):
        counts[at * 360 + 100 * (at % 5)] = -(1 << 15)
        counts[at * 360 + 1000 : at * 360 + 1180] = -(1 << 15)
    counts.tofile(folder / "r.dat")
    total = int(counts.sum(dtype=np.int64)) % 65536
    (folder / "r.hea").write_text(
        f"r 1 360 {len(counts)}\nr.dat 16 200 16 0 {counts[0]} {total} 0 MLII\n"
    )
    return folder / "r"


def test_missing_samples_are_gaps_in_the_examples_as_in_the_library(tmp_path: Path) -> None:
    beat_bundle(tmp_path)
    make_bundle("dense", tmp_path / "strips")
    record = gapped_record(tmp_path)
    whole = read_recording(tmp_path, "r")
    assert whole.missing is not None
    given = (whole.counts[0], 360, 200.0)
    options = {"missing": whole.missing[0], "rails": whole.rails[0]}
    model = Bundle.load(tmp_path / "bundle")
    beats = Counter(
        "not assessable" if beat.class_name is None else model.titles[beat.class_name]
        for beat in model.explain(*given, **options)
    )
    text = example("beats_of_a_recording.py", str(tmp_path / "bundle"), str(record))
    said = {name: int(n) for n, name in re.findall(r"(\d+) x ([^;\n]+)", text.splitlines()[-1])}
    assert said == beats
    plain = model.explain(*given, rails=whole.rails[0])
    assert len(list(plain)) != sum(beats.values())  # the gaps matter

    spans = [
        f"{f.start_s:7.1f} .. {f.end_s:7.1f} s"
        for f in Bundle.load(tmp_path / "strips").explain(*given, **options)
    ]
    text = example("stream_a_recording.py", str(tmp_path / "strips"), str(record))
    assert [line[:20] for line in text.splitlines() if ".." in line] == spans


def test_own_evidence_network_becomes_a_file(tmp_path: Path) -> None:
    path = tmp_path / "own.tflite"
    text = example("your_own_evidence_network.py", str(path))
    assert path.read_bytes()[4:8] == b"TFL3"
    assert "DEPTHWISE_CONV_2D" in text


@pytest.mark.parametrize("record", [None, "119"])
def test_a_whole_device_finds_on_a_board_what_python_finds(
    record: str | None, bundle_folder: Path, request: pytest.FixtureRequest
) -> None:
    for tool in ("arm-none-eabi-gcc", "qemu-system-arm"):
        if shutil.which(tool) is None:
            pytest.skip(f"NO {tool}: the device's example was not run")
    of = [] if record is None else [str(request.getfixturevalue("mitdb_dir") / record)]
    text = example("firmware/run_on_qemu.py", str(bundle_folder), *of)
    assert re.search(r"\d{3} lines of findings and evidence, the same on the device", text)


@pytest.fixture(scope="module")
def bundle_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle") / "tiny"
    make_bundle("dense", folder)
    return folder
