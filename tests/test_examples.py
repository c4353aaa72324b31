"""Every example runs as its text says and prints what it promises."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

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


def test_matching_keeps_the_maps_of_a_network_of_ones_own() -> None:
    text = example("match_your_own_network.py")
    alone, matched = (float(x) for x in re.findall(r"Spearman (-?\d\.\d+)", text))
    assert matched > alone + 0.03


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
