"""The noise stress test: where noise is, how strong, and what the sensor does to it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from beatlens.errors import DataError
from beatlens.signals.annotations import Annotations
from beatlens.signals.databases import find_database
from beatlens.signals.recording import Recording
from benchmarks.robustness.noise_stress import (
    noise_power,
    noise_segments,
    qrs_power,
    read_noise,
    with_noise,
)

RATE = 360
SAMPLES = 11 * 60 * RATE


def spikes(height_mv: float, rails: int = 2000) -> tuple[Recording, Annotations]:
    """A beat each second, as a spike of two samples."""
    at = np.arange(RATE, SAMPLES - RATE, RATE)
    counts = np.zeros((1, SAMPLES), np.int32)
    counts[0, at] = round(height_mv * 200)
    recording = Recording(
        "made", "", "made", RATE, ("MLII",), counts, (200.0,), ((-rails, rails),)
    )  # fmt: skip
    none = np.zeros(len(at), np.int64)
    beats = Annotations("made", SAMPLES, at, np.full(len(at), "N"), none, ("",) * len(at))
    return recording, beats


@pytest.mark.parametrize("snr_db", [24, 6, -6])
def test_noise_is_as_strong_as_asked_for_and_where_it_belongs(snr_db: int) -> None:
    recording, beats = spikes(2.0)
    noise = np.random.default_rng(0).normal(3.0, 0.7, 200 * RATE)  # shorter than needed: it wraps
    counts = with_noise(recording, "MLII", beats, noise, snr_db)
    added = (counts - recording.counts[0]) / 200.0
    segments = noise_segments(SAMPLES, RATE)
    inside = np.zeros(SAMPLES, bool)
    for start, end in segments:
        inside[start:end] = True
    assert [(a // RATE, b // RATE) for a, b in segments] == [(300, 420), (540, 660)]
    assert not added[~inside].any()
    signal = 2.0**2 / 8
    measured = noise_power(added[inside], RATE)
    assert 10 * np.log10(signal / measured) == pytest.approx(snr_db, abs=0.15)


def test_the_sensor_s_rails_stay() -> None:
    recording, beats = spikes(2.0, rails=450)
    noise = np.random.default_rng(0).normal(0, 1, 300 * RATE)
    counts = with_noise(recording, "MLII", beats, noise, -6)
    assert (counts.min(), counts.max()) == (-450, 450)


def test_power_leaves_out_the_extremes_and_the_mean() -> None:
    recording, beats = spikes(1.0)
    millivolts = recording.counts[0] / 200.0
    millivolts[beats.sample[:10]] = 50.0  # artefacts: 3 % of the first 300 beats
    assert qrs_power(millivolts, beats, RATE) == pytest.approx(1 / 8)
    seconds = np.sin(2 * np.pi * np.arange(100 * RATE) / RATE) + 7.0
    seconds[:RATE] *= 100
    assert noise_power(seconds, RATE) == pytest.approx(0.5, rel=1e-3)
    nobody = Annotations("made", 10, *(np.zeros(0, np.int64), np.zeros(0, "<U1")),
                         np.zeros(0, np.int64), ())  # fmt: skip
    with pytest.raises(DataError, match="made has no normal beats"):
        qrs_power(millivolts, nobody, RATE)


def test_noise_of_nstdb(data_dir: Path, tmp_path: Path) -> None:
    database = find_database("nstdb", data_dir)
    for kind, seconds in (("bw", 1800), ("ma", 1800), ("em", 780)):
        noise, rate = read_noise(database, kind)
        assert rate == RATE
        assert len(noise) > seconds * rate
        assert noise_power(noise, rate) > 0
    with pytest.raises(DataError, match="has no record xx"):
        read_noise(database, "xx")
