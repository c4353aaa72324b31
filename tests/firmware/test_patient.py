"""The C of a patient's own beats against the Python: the same features and the same clusters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from beatlens.signals.beat_shape import BEFORE, SEGMENT
from beatlens.signals.frontend import FrontEnd
from beatlens.signals.patient_beats import FEATURES, PatientBeats
from beatlens.signals.qrs import detect_qrs
from beatlens.signals.rr_features import BINS, LONGEST
from beatlens.signals.simulate import simulate_patient
from beatlens.signals.wfdb_files import read_recording

from .compiled import HERE, compile_c, run_c, source

ROW = len(FEATURES) + 2


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("patient")
    return compile_c([source("bl_patient"), HERE / "patient_harness.c"], folder / "patient")


def agree(program: Path, segments: np.ndarray, intervals: np.ndarray) -> np.ndarray:
    """Assert that C gives what Python gives, and again after a new start.

    Args:
        segments: int8 `[b, SEGMENT]`.
        intervals: before each beat `[b]`; 0: there is none.

    Returns:
        Features, cluster, and whether that begins: `[b, 11]`.
    """
    patient, wanted = PatientBeats(), []
    for segment, interval in zip(segments.astype(np.int64), intervals.tolist(), strict=True):
        beat = patient.push(segment, interval or None)
        wanted.append([*beat.features, beat.cluster, beat.begins])
    rows = np.concatenate(
        [intervals.astype("<u2")[:, None].view(np.uint8), segments.view(np.uint8)], axis=1
    )
    found = np.frombuffer(run_c(program, rows.tobytes()), np.uint8).reshape(2, -1, ROW)
    assert found[0].tolist() == wanted
    assert found[1].tolist() == wanted
    features = found[0][:, : len(FEATURES)]
    assert features.max(initial=0) < BINS
    return found[0]


def cut(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Segments and intervals of the beats that are found in a recording."""
    peaks = detect_qrs(x)
    padded = np.pad(x, SEGMENT)
    segments = padded[peaks[:, None] + np.arange(SEGMENT) + SEGMENT - BEFORE]
    return segments, np.minimum(np.diff(peaks, prepend=peaks[:1]), LONGEST)


def conditioned(counts: np.ndarray, rate_hz: int, gain: float) -> np.ndarray:
    return FrontEnd(rate_hz, gain).run(counts.astype(np.int16)).x


@pytest.mark.parametrize("record", ["119", "208", "217"])
def test_beats_of_real_recordings(program: Path, mitdb_dir: Path, record: str) -> None:
    """Bigeminy, a bundle branch block and paced beats among others: all four clusters are used."""
    recording = read_recording(mitdb_dir, record)
    segments, intervals = cut(conditioned(recording.counts[0], 360, recording.counts_per_mv[0]))
    found = agree(program, segments, intervals)
    assert len(found) > 1500
    assert found[:, -1].sum() >= 4
    assert set(found[:, -2].tolist()) == {0, 1, 2, 3}
    assert all(len(set(column.tolist())) > 4 for column in found[:, : len(FEATURES)].T)


def test_beats_of_a_simulated_patient(program: Path) -> None:
    recording = simulate_patient(5, 120, pvc_per_minute=15).recording
    segments, intervals = cut(
        conditioned(recording.counts[0], recording.rate_hz, recording.counts_per_mv[0])
    )
    assert len(agree(program, segments, intervals)) > 100
    agree(program, segments[:0], intervals[:0])


@pytest.mark.parametrize("seed", range(8))
def test_samples_that_are_no_beats(program: Path, seed: int) -> None:
    """Noise, square waves at both ends of the range, constants, and all intervals there are."""
    rng = np.random.default_rng(seed)
    count = 400
    walks = rng.normal(0, rng.choice([0.3, 2, 20]), (count, SEGMENT)).cumsum(axis=1)
    squares = rng.choice([-127, 127], (count, 1)) * np.sign(
        np.sin(np.arange(SEGMENT) / rng.uniform(1, 20, (count, 1)))
    )
    levels = np.repeat(rng.integers(-127, 128, (count, 1)), SEGMENT, axis=1)
    noise = rng.integers(-127, 128, (count, SEGMENT))
    kinds = np.stack([walks, squares, levels, noise, walks[:1].repeat(count, axis=0)])
    segments = kinds[rng.integers(0, len(kinds), count), np.arange(count)]
    intervals = rng.choice([0, 1, 2, 26, 100, 101, 2000, LONGEST], count)
    agree(program, np.clip(segments, -127, 127).astype(np.int8), intervals)


def test_the_largest_sums_there_are(program: Path) -> None:
    """Templates and samples at the ends of their ranges, alike and against each other."""
    half = np.where(np.arange(SEGMENT) % 2, 127, -127)
    block = np.where(np.arange(SEGMENT) < BEFORE, 127, -127)
    beats = [block, block, -block, half, -half, half * 0 + 127, block, half, half * 0 - 127]
    segments = np.array(20 * beats, np.int8)
    agree(program, segments, np.full(len(segments), LONGEST))
