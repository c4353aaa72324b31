"""Features of beats: a stream's, in pieces of any size, are the recording's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beatlens.signals.beat_features import (
    FEATURES,
    STEPS,
    BeatFeatures,
    BeatRow,
    BeatRows,
    beat_features,
)
from beatlens.signals.frontend import FrontEnd
from beatlens.signals.morphology import morphology_similarity
from beatlens.signals.patient_beats import PatientBeats, patient_features
from beatlens.signals.qrs import QrsDetector, detect_qrs
from beatlens.signals.rr_features import BINS, rr_features
from beatlens.signals.rr_irregularity import rr_irregularity
from beatlens.signals.simulate import simulate_patient


def samples(seed: int, seconds: int) -> np.ndarray:
    recording = simulate_patient(seed, seconds, pvc_per_minute=10).recording
    frontend = FrontEnd(recording.rate_hz, recording.counts_per_mv[0], recording.rails[0])
    return frontend.run(recording.counts[0].astype(np.int16)).x


def streamed(x: np.ndarray, lengths: list[int]) -> list[BeatRow]:
    """As the runtime does: samples, then the peaks found in them."""
    known, detector = BeatFeatures(), QrsDetector()
    found = []
    at = 0
    for length in [*lengths, len(x)]:
        piece = x[at : at + length]
        at += len(piece)
        known.add_samples(piece)
        found += [known.push(peak) for peak in detector.push(piece)]
    found += [known.push(peak) for peak in detector.flush()]
    return [one for one in [*found, known.end()] if one is not None]


def as_rows(found: BeatRows) -> list[BeatRow]:
    rows = zip(found.values.tolist(), found.clusters.tolist(), found.begins.tolist(), strict=True)
    return [BeatRow(tuple(values), cluster, begins) for values, cluster, begins in rows]


def test_they_are_those_of_rhythm_morphology_rr_irregularity_and_patient() -> None:
    x = samples(3, 60)
    peaks = detect_qrs(x)
    rows = beat_features(x, peaks)
    found = rows.values
    np.testing.assert_array_equal(found[:, :6], rr_features(peaks))
    np.testing.assert_array_equal(found[:, 6], morphology_similarity(x, peaks))
    np.testing.assert_array_equal(found[:, 7], rr_irregularity(peaks))
    of_patient = patient_features(x, peaks)
    np.testing.assert_array_equal(found[:, 8:], of_patient.values)
    np.testing.assert_array_equal(rows.clusters, of_patient.clusters)
    assert found.shape == (len(peaks), len(FEATURES))
    assert 0 <= found.min() <= found.max() < BINS
    assert tuple(STEPS) == FEATURES


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 5), st.lists(st.integers(0, 3000), max_size=20), st.booleans())
def test_streams_say_the_same(seed: int, lengths: list[int], falls_silent: bool) -> None:
    x = samples(seed, 40)
    if falls_silent:  # beats that are found late, and one after a long silence
        x = x.copy()
        x[1500:4000] //= 6
    wanted = beat_features(x, detect_qrs(x))
    assert streamed(x, lengths) == as_rows(wanted)


@pytest.mark.parametrize("length", [0, 5, 40, 700])
def test_short_streams(length: int) -> None:
    x = samples(1, 10)[:length]
    wanted = beat_features(x, detect_qrs(x))
    assert streamed(x, [7] * 10) == as_rows(wanted)


def test_a_new_segment_remembers_no_rhythm_but_the_patient() -> None:
    x, patient = samples(2, 30), PatientBeats()
    peaks = detect_qrs(x)
    known, rows = BeatFeatures(patient), []
    for _ in range(2):
        known.add_samples(x)
        found = [known.push(int(peak)) for peak in peaks]
        rows.append([one for one in [*found, known.end()] if one is not None])
    assert rows[0] == as_rows(beat_features(x, peaks))
    assert [row.values[:8] for row in rows[1]] == [row.values[:8] for row in rows[0]]
    share = FEATURES.index("cluster_share")
    assert rows[0][1].values[share] == 31
    assert not any(row.begins for row in rows[1])
