"""Beat tracks: labels at the system's own R peaks, on simulated and real ECG; kept files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from beatlens.signals.annotations import read_annotations, write_annotations
from beatlens.signals.databases import find_database
from beatlens.signals.simulate import LEAD, simulate_patient
from beatlens.tasks.beats.labels import PARTNER, UNKNOWN, BeatTrack, beat_track, labels_of_peaks

from ..recipes import beat_recipe

TASK = beat_recipe().task
CODES = tuple(one.beats for one in TASK.classes.values())


@pytest.fixture(scope="module")
def track() -> BeatTrack:
    patient = simulate_patient(3, 60)
    return beat_track(patient.recording, patient.annotations, LEAD, CODES)


def test_a_peak_takes_the_label_of_the_beat_near_it() -> None:
    beats, labels = np.array([100, 300, 320]), np.array([0, 2, 1])
    peaks = np.array([100 + PARTNER, 100 + PARTNER + 1, 309, 311])
    assert labels_of_peaks(peaks, beats, labels).tolist() == [0, UNKNOWN, 2, 1]
    assert labels_of_peaks(peaks, beats[:0], labels[:0]).tolist() == [UNKNOWN] * 4
    assert labels_of_peaks(peaks[:1], beats[:1], labels[:1]).tolist() == [0]


def test_decisions_become_annotations_that_wfdb_reads(track: BeatTrack, tmp_path: Path) -> None:
    decided = np.arange(len(track.peaks)) % len(CODES)
    written = track.annotations(decided, TASK.symbols)
    write_annotations(tmp_path, "tst", written, track.rate_hz)
    again = read_annotations(tmp_path, track.record, "tst", track.samples, rate_hz=track.rate_hz)
    assert again.sample.tolist() == written.sample.tolist()
    assert "".join(again.symbol[:4]) == "NSVF"
    apart = np.abs(written.sample / track.rate_hz - track.peaks / 128)
    assert apart.max() < 0.5 / track.rate_hz + 1e-9


def test_the_beginning_of_a_track_has_no_beat_beyond_it(track: BeatTrack) -> None:
    short = track.first(20)
    assert len(short.x) == 20 * 128
    assert 0 < len(short.peaks) < len(track.peaks)
    assert short.peaks.max() < len(short.x)


def test_real_beats_get_their_labels(data_dir: Path) -> None:
    mitdb = find_database("mitdb", data_dir)
    annotations = mitdb.annotations("119")
    track = beat_track(mitdb.read("119"), annotations, "MLII", CODES)
    classes = annotations.beats.classes()
    for number, (name, symbol) in enumerate(zip("nsvf", "NSVF", strict=True)):
        found, there = np.sum(track.labels == number), np.sum(classes == symbol)
        assert abs(found - there) <= 0.01 * there, name
