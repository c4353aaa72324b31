"""The C detector of R peaks against the Python one: the same peaks for every signal and end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from beatlens.signals.frontend import LSB_MV, LSBS_MV, FrontEnd
from beatlens.signals.qrs import QrsDetector, detect_qrs, find_floor
from beatlens.signals.simulate import simulate_patient
from beatlens.signals.wfdb_files import read_recording

from .compiled import HERE, compile_c, run_c, source


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("qrs")
    return compile_c(
        [source("bl_qrs"), source("bl_qrs_shapes"), HERE / "qrs_harness.c"], folder / "qrs"
    )


def agree(program: Path, x: np.ndarray, lsb_mv: float = LSB_MV) -> list[int]:
    """Assert that C gives what Python gives, whole and in pieces; the peaks."""
    wanted = detect_qrs(x, lsb_mv).tolist()
    found = np.frombuffer(run_c(program, bytes([find_floor(lsb_mv)]) + x.tobytes()), "<u4")
    assert found.tolist() == wanted * 2
    rng = np.random.default_rng(len(x))
    detector, pieces, at = QrsDetector(lsb_mv), [], 0
    while at < len(x):
        size = int(rng.integers(1, 300))
        pieces += detector.push(x[at : at + size])
        at += size
    assert pieces + detector.flush() == wanted
    return wanted


def conditioned(seed: int, seconds: int, **settings: float) -> np.ndarray:
    recording = simulate_patient(seed, seconds, **settings).recording
    frontend = FrontEnd(recording.rate_hz, recording.counts_per_mv[0], recording.rails[0])
    return frontend.run(recording.counts[0].astype(np.int16)).x


@pytest.mark.parametrize("seed", range(4))
def test_simulated_ecg(program: Path, seed: int) -> None:
    x = conditioned(seed, 60, pvc_per_minute=8)
    assert len(agree(program, x)) > 40


def test_t_waves_pauses_and_missed_beats(program: Path) -> None:
    """Trains of pulses with what the decisions look at: flat waves, overdue beats, falls."""
    rng = np.random.default_rng(3)
    for every in (40, 57, 100):
        x = np.zeros(12_000)
        for at in range(100, 11_900, every):
            if rng.random() < 0.9:
                x[at - 2 : at + 3] += rng.choice([40, 80, 100]) * np.array([0.2, 0.7, 1, 0.7, 0.2])
            after = at + int(rng.integers(27, 50))
            x[after - 2 : after + 3] += rng.choice([0, 30, 38, 55, 66]) * np.array(
                [0.3, 0.7, 1, 0.7, 0.3]
            )
        assert len(agree(program, np.clip(x, -127, 127).astype(np.int8))) > 100


@pytest.mark.parametrize("length", [0, 1, 2, 3, 6, 7, 8, 20, 127, 128, 129, 1023, 1024, 1025, 1100])
def test_any_end(program: Path, length: int) -> None:
    agree(program, conditioned(9, 12)[:length])


@pytest.mark.parametrize("seed", range(12))
def test_what_is_no_ecg(program: Path, seed: int) -> None:
    lsb_mv = LSBS_MV[seed % 2]
    rng = np.random.default_rng(seed)
    scale = float(rng.choice([0, 1, 5, 40, 400]))
    x = np.clip(rng.normal(0, scale, 6000), -127, 127)
    x[rng.integers(0, 6000, 60)] = rng.choice([-127, 127], 60)
    x[2000:4000] *= rng.choice([0, 0.1, 1])
    agree(program, x.astype(np.int8), lsb_mv)
    agree(program, rng.choice(np.array([-127, 127], np.int8), 3000), lsb_mv)


@pytest.mark.parametrize("lsb_mv", LSBS_MV)
def test_real_recordings(program: Path, mitdb_dir: Path, lsb_mv: float) -> None:
    """Ten minutes each of low amplitude, fibrillation with V beats, and small aberrant beats."""
    for name in ("108", "203", "201"):
        record = read_recording(mitdb_dir, name)
        frontend = FrontEnd(360, record.counts_per_mv[0], record.rails[0], lsb_mv)
        x = frontend.run(record.counts[0, : 600 * 360].astype(np.int16)).x
        assert len(agree(program, x, lsb_mv)) > 500
