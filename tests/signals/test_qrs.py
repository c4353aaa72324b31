"""R peaks: found where they are, on simulated and on real ECG, whatever the size of the pieces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from beatlens.errors import SignalError
from beatlens.evaluate.ec57 import BeatCounts, compare_beats
from beatlens.signals.annotations import Annotations
from beatlens.signals.databases import find_database
from beatlens.signals.frontend import FrontEnd
from beatlens.signals.qrs import QrsDetector, detect_qrs
from beatlens.signals.recording import Recording
from beatlens.signals.simulate import simulate_patient


def samples_of(recording: Recording, row: int = 0) -> np.ndarray:
    frontend = FrontEnd(recording.rate_hz, recording.counts_per_mv[row], recording.rails[row])
    return frontend.run(recording.counts[row].astype(np.int16)).x


def peaks_of(x: np.ndarray, name: str, length: int, rate: int) -> Annotations:
    at = np.round(detect_qrs(x) * rate / 128).astype(np.int64)
    at = at[at < length]
    return Annotations(name, length, at, np.full(len(at), "N"), np.zeros(len(at), int),
                       ("",) * len(at))  # fmt: skip


def test_simulated_beats_are_found() -> None:
    counts = BeatCounts({})
    for seed in range(5):
        patient = simulate_patient(seed, 60, pvc_per_minute=6)
        recording = patient.recording
        x = samples_of(recording)
        found = peaks_of(x, recording.name, recording.samples, recording.rate_hz)
        counts += compare_beats(patient.annotations, found, recording.rate_hz, start_s=0)
    assert counts.qrs.sensitivity > 0.985
    assert counts.qrs.predictivity > 0.98  # simulated bursts of motion have QRS's frequencies


def test_development_records_meet_what_is_asked(mitdb_dir: Path) -> None:
    """Of DS1 some that are hard: noise, tall T waves, low voltage, bigeminy."""
    database, counts = find_database("mitdb", mitdb_dir.parent), BeatCounts({})
    for name in ("106", "108", "119", "203", "208", "223"):
        recording, truth = database.read(name), database.annotations(name)
        x = samples_of(recording, recording.lead("MLII"))
        counts += compare_beats(truth, peaks_of(x, name, truth.length, 360), 360)
    assert counts.qrs.sensitivity > 0.994
    assert counts.qrs.predictivity > 0.991


def test_intervals_are_those_between_annotated_beats(mitdb_dir: Path) -> None:
    """Early beats are told by intervals: they are wrong by less than a sample of 7.8 ms."""
    database = find_database("mitdb", mitdb_dir.parent)
    for name in ("101", "106", "109", "119"):
        recording, beats = database.read(name), database.annotations(name).beats.sample * 128 / 360
        peaks = detect_qrs(samples_of(recording, recording.lead("MLII")))
        off = peaks - beats[np.abs(peaks[:, None] - beats).argmin(axis=1)]
        wrong = np.abs(np.diff(off[np.abs(off) < 19]))
        assert np.median(wrong) < 0.5, name
        assert np.quantile(wrong, 0.9) < 1, name


def test_a_signal_that_falls_is_followed() -> None:
    recording = simulate_patient(1, 60).recording
    x = samples_of(recording)
    fallen = x.copy()
    fallen[3000:] = fallen[3000:] // 6
    late = [peak for peak in detect_qrs(x).tolist() if peak > 5500]
    assert [peak for peak in detect_qrs(fallen).tolist() if peak > 5500] == pytest.approx(
        late, abs=6
    )


@pytest.mark.parametrize("x", [np.zeros(2000, np.int8), np.tile(np.array([0, 1], np.int8), 900)])
def test_silence_has_no_beats(x: np.ndarray) -> None:
    assert detect_qrs(x).size == 0


@pytest.mark.parametrize("x", [np.zeros(5), np.zeros((2, 5), np.int8)])
def test_what_is_no_samples(x: np.ndarray) -> None:
    with pytest.raises(SignalError, match="expected int8"):
        QrsDetector().push(x)
