"""Wearable tracks: a label for the whole of a recording, and the rhythm of all its beats."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from beatlens.errors import DataError
from beatlens.signals.databases import CINC2017_LABELS, find_database
from beatlens.signals.frontend import FrontEnd
from beatlens.signals.qrs import detect_qrs
from beatlens.signals.rr_features import BINS, FEATURES, rr_features
from beatlens.signals.simulate import COUNTS_PER_MV, LEAD, RAILS, simulate_patient
from beatlens.tasks.recordings.labels import (
    CLASSES,
    LONG_NAMES,
    SYMBOLS,
    RecordingTrack,
    recording_track,
    rhythm_shares,
)


@pytest.fixture(scope="module")
def track() -> RecordingTrack:
    patient = simulate_patient(3, 30, rate_hz=300, rhythm="afib")
    return recording_track(patient.recording, "A")


def test_classes_are_the_labels_of_the_challenge() -> None:
    assert tuple(SYMBOLS) == CINC2017_LABELS
    assert len(CLASSES) == len(SYMBOLS) == len(set(CLASSES))
    assert tuple(LONG_NAMES) == CLASSES


def test_a_track_is_what_the_front_end_and_the_detector_say(track: RecordingTrack) -> None:
    recording = simulate_patient(3, 30, rate_hz=300, rhythm="afib").recording
    x = FrontEnd(300, float(COUNTS_PER_MV), RAILS).run(recording.counts[0]).x
    assert (track.record, track.database) == (recording.name, "simulated")
    assert track.label == CLASSES.index("afib")
    assert (track.x == x).all()
    assert track.peaks.tolist() == detect_qrs(x).tolist()
    assert (track.contexts == rr_features(track.peaks)).all()
    assert len(track.peaks) > 20
    named = recording_track(recording, "A", LEAD)
    assert (named.x == track.x).all()


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_every_label_has_its_class(symbol: str) -> None:
    patient = simulate_patient(1, 10, rate_hz=300)
    assert SYMBOLS[recording_track(patient.recording, symbol).label] == symbol


@pytest.mark.parametrize("label", ["", "NA", "n", "x"])
def test_other_labels_are_refused(label: str) -> None:
    recording = simulate_patient(1, 10, rate_hz=300).recording
    with pytest.raises(DataError, match=f"{recording.name}: label is '{label}', expected one of N"):
        recording_track(recording, label)


@pytest.mark.parametrize("beats", [1, 2, 7, 90])
def test_tables_weighted_by_shares_are_the_mean_of_every_beat(beats: int) -> None:
    rng = np.random.default_rng(beats)
    contexts = rng.integers(0, BINS, (beats, len(FEATURES)))
    tables = rng.normal(0, 1, (len(FEATURES), BINS, len(CLASSES)))
    looked_up = [sum(tables[i, beat[i]] for i in range(len(FEATURES))) for beat in contexts]
    worth = np.einsum("ks,ksc->c", rhythm_shares(contexts), tables)
    assert worth == pytest.approx(np.mean(looked_up, axis=0), abs=1e-5)
    assert rhythm_shares(contexts).sum(axis=1) == pytest.approx(np.ones(len(FEATURES)), abs=1e-5)


def test_without_a_beat_rhythm_is_worth_nothing(track: RecordingTrack) -> None:
    assert (rhythm_shares(np.zeros((0, len(FEATURES)), int)) == 0).all()
    assert (track.rhythm == rhythm_shares(track.contexts)).all()
    flat = RecordingTrack("a", "b", track.x, track.peaks[:0], track.contexts[:0], 3)
    assert flat.rhythm.shape == (len(FEATURES), BINS)
    assert not flat.rhythm.any()


def test_fibrillation_is_irregular_and_sinus_rhythm_is_not(track: RecordingTrack) -> None:
    sinus = recording_track(simulate_patient(3, 30, rate_hz=300).recording, "N")
    irregular = FEATURES.index("rr_variability")
    means = [t.rhythm[irregular] @ np.arange(BINS) for t in (sinus, track)]
    assert means[0] < 4 < means[1]


def test_real_recordings_get_the_labels_of_their_table(data_dir: Path) -> None:
    if not (data_dir / "cinc2017").is_dir():
        pytest.skip("no real ECG: cinc2017 is not beside this checkout")
    database = find_database("cinc2017", data_dir)
    wanted = {symbol: next(r for r in sorted(database.records()) if database.label(r) == symbol)
              for symbol in SYMBOLS}  # fmt: skip
    for symbol, record in wanted.items():
        recording = database.read(record)
        track = recording_track(database.open(record), database.label(record))
        assert track.label == SYMBOLS.index(symbol)
        assert len(track.x) == -(-recording.samples * 128 // 300)
        seconds = len(track.x) / 128
        assert 9 <= seconds <= 61
        if symbol != "~":
            assert 30 < 60 * len(track.peaks) / seconds < 200
