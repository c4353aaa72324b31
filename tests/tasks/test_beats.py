"""Beat tracks: labels at the system's own R peaks, on simulated and real ECG; kept files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from beatlens.errors import DataError
from beatlens.signals.annotations import read_annotations, write_annotations
from beatlens.signals.databases import find_database
from beatlens.signals.simulate import LEAD, simulate_patient
from beatlens.tasks.beats import (
    CLASSES,
    PARTNER,
    UNKNOWN,
    BeatTrack,
    beat_track,
    labels_of_peaks,
    load_beat_tracks,
    save_beat_tracks,
)


@pytest.fixture(scope="module")
def track() -> BeatTrack:
    patient = simulate_patient(3, 60)
    return beat_track(patient.recording, patient.annotations, LEAD)


def test_a_peak_takes_the_label_of_the_beat_near_it() -> None:
    beats, labels = np.array([100, 300, 320]), np.array([0, 2, 1])
    peaks = np.array([100 + PARTNER, 100 + PARTNER + 1, 309, 311])
    assert labels_of_peaks(peaks, beats, labels).tolist() == [0, UNKNOWN, 2, 1]
    assert labels_of_peaks(peaks, beats[:0], labels[:0]).tolist() == [UNKNOWN] * 4
    assert labels_of_peaks(peaks[:1], beats[:1], labels[:1]).tolist() == [0]


def test_tracks_are_kept_as_they_are(track: BeatTrack, tmp_path: Path) -> None:
    save_beat_tracks(tmp_path / "beats.npz", [track, track.first(20)])
    again = load_beat_tracks(tmp_path / "beats.npz")
    for kept, given in zip(again, (track, track.first(20)), strict=True):
        for name in ("x", "usable", "peaks", "labels", "contexts"):
            assert (getattr(kept, name) == getattr(given, name)).all()
        assert (kept.record, kept.rate_hz, kept.samples) == (
            given.record, given.rate_hz, given.samples)  # fmt: skip


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "beats.npz"
    path.write_bytes(b"not an archive")
    with pytest.raises(DataError, match="not a file of prepared beats"):
        load_beat_tracks(path)


def test_decisions_become_annotations_that_wfdb_reads(track: BeatTrack, tmp_path: Path) -> None:
    decided = np.arange(len(track.peaks)) % len(CLASSES)
    said = track.annotations(decided)
    write_annotations(tmp_path, "tst", said, track.rate_hz)
    again = read_annotations(tmp_path, track.record, "tst", track.samples)
    assert again.sample.tolist() == said.sample.tolist()
    assert "".join(again.symbol[:4]) == "NSVF"
    assert (
        np.abs(said.sample / track.rate_hz - track.peaks / 128).max() < 0.5 / track.rate_hz + 1e-9
    )


def test_the_beginning_of_a_track_has_no_beat_beyond_it(track: BeatTrack) -> None:
    short = track.first(20)
    assert len(short.x) == 20 * 128
    assert 0 < len(short.peaks) < len(track.peaks)
    assert short.peaks.max() < len(short.x)


def test_real_beats_get_their_labels(data_dir: Path) -> None:
    mitdb = find_database("mitdb", data_dir)
    annotations = mitdb.annotations("119")
    track = beat_track(mitdb.read("119"), annotations, "MLII")
    classes = annotations.beats.classes()
    for number, (name, symbol) in enumerate(zip("nsvf", "NSVF", strict=True)):
        found, there = np.sum(track.labels == number), np.sum(classes == symbol)
        assert abs(found - there) <= 0.01 * there, name
