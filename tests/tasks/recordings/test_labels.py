"""Recording tracks: a label for the whole of a recording, and the RR features of its beats."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from beatlens.recipe import SourceSection
from beatlens.signals.databases import database_type, find_database
from beatlens.signals.frontend import FrontEnd
from beatlens.signals.qrs import detect_qrs
from beatlens.signals.rr_features import BINS, FEATURES, rr_features
from beatlens.signals.simulate import COUNTS_PER_MV, LEAD, RAILS, simulate_patient
from beatlens.tasks.common.sources import Source
from beatlens.tasks.recordings.data import MakeRecordingTrack
from beatlens.tasks.recordings.labels import RecordingTrack, recording_track, rr_shares

from ..recipes import recording_recipe

TASK = recording_recipe().task
CLASSES = tuple(TASK.classes)
NUMBERS = TASK.numbers
AFIB = CLASSES.index("afib")


@pytest.fixture(scope="module")
def track() -> RecordingTrack:
    patient = simulate_patient(3, 30, rate_hz=300, rhythm="afib")
    return recording_track(patient.recording, AFIB, LEAD)


def test_classes_are_the_labels_of_the_challenge() -> None:
    assert tuple(NUMBERS) == database_type("cinc2017").labels
    assert list(NUMBERS.values()) == list(range(len(CLASSES)))


def test_a_track_is_what_the_front_end_and_the_detector_say(track: RecordingTrack) -> None:
    recording = simulate_patient(3, 30, rate_hz=300, rhythm="afib").recording
    x = FrontEnd(300, float(COUNTS_PER_MV), RAILS).run(recording.counts[0]).x
    assert (track.record, track.database) == (recording.name, "simulated")
    assert track.label == AFIB
    assert (track.x == x).all()
    assert track.peaks.tolist() == detect_qrs(x).tolist()
    assert (track.features == rr_features(track.peaks)).all()
    assert len(track.peaks) > 20


@pytest.mark.parametrize("beats", [1, 2, 7, 90])
def test_tables_weighted_by_shares_are_the_mean_of_every_beat(beats: int) -> None:
    rng = np.random.default_rng(beats)
    features = rng.integers(0, BINS, (beats, len(FEATURES)))
    tables = rng.normal(0, 1, (len(FEATURES), BINS, len(CLASSES)))
    looked_up = [sum(tables[i, beat[i]] for i in range(len(FEATURES))) for beat in features]
    contribution = np.einsum("ks,ksc->c", rr_shares(features), tables)
    assert contribution == pytest.approx(np.mean(looked_up, axis=0), abs=1e-5)
    assert rr_shares(features).sum(axis=1) == pytest.approx(np.ones(len(FEATURES)), abs=1e-5)


def test_without_a_beat_rr_features_contribute_nothing(track: RecordingTrack) -> None:
    assert (rr_shares(np.zeros((0, len(FEATURES)), int)) == 0).all()
    assert (track.rr_shares == rr_shares(track.features)).all()
    flat = RecordingTrack("a", "b", track.x, track.peaks[:0], track.features[:0], 3)
    assert flat.rr_shares.shape == (len(FEATURES), BINS)
    assert not flat.rr_shares.any()


def test_fibrillation_is_irregular_and_sinus_rhythm_is_not(track: RecordingTrack) -> None:
    sinus = recording_track(simulate_patient(3, 30, rate_hz=300).recording, 0, LEAD)
    irregular = FEATURES.index("rr_variability")
    means = [t.rr_shares[irregular] @ np.arange(BINS) for t in (sinus, track)]
    assert means[0] < 4 < means[1]


def test_real_recordings_get_the_labels_of_their_table(data_dir: Path) -> None:
    if not (data_dir / "cinc2017").is_dir():
        pytest.skip("no real ECG: cinc2017 is not beside this checkout")
    database = find_database("cinc2017", data_dir)
    source = Source(SourceSection(database="cinc2017", split="train"), database.folder)
    records = sorted(database.records())
    for label, number in NUMBERS.items():
        record = next(record for record in records if database.label(record) == label)
        track = MakeRecordingTrack(tuple(NUMBERS.items()))((source, record))
        assert track is not None
        assert track.label == number
        assert len(track.x) == -(-database.read(record).samples * 128 // 300)
        seconds = len(track.x) / 128
        assert 9 <= seconds <= 61
        if label != "~":
            assert 30 < 60 * len(track.peaks) / seconds < 200


def test_a_recording_whose_label_makes_no_class_is_left_out(data_dir: Path) -> None:
    if not (data_dir / "cinc2017").is_dir():
        pytest.skip("no real ECG: cinc2017 is not beside this checkout")
    database = find_database("cinc2017", data_dir)
    source = Source(SourceSection(database="cinc2017", split="train"), database.folder)
    noisy = next(r for r in sorted(database.records()) if database.label(r) == "~")
    assert MakeRecordingTrack((("N", 0), ("A", 1)))((source, noisy)) is None
