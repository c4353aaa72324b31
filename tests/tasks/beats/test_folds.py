"""Folds of patients, tables fitted on what networks said, and spliced runs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from beatlens.signals.beat_features import FEATURES, beat_features
from beatlens.signals.simulate import LEAD, simulate_patient
from beatlens.tasks.beats.folds import assign_folds
from beatlens.tasks.beats.labels import BeatTrack, beat_track
from beatlens.tasks.beats.out_of_fold import RHYTHM, cost_offsets, feature_mask
from beatlens.tasks.beats.recipe import BeatClass
from beatlens.tasks.beats.spliced_runs import FEWEST, INTERVALS, splice_runs
from beatlens.tasks.beats.table_fit import fit_tables

CODES = ("NLRBej", "AaJSn", "VrE", "F")
V = 2


def track(record: str, database: str = "a", ectopic: int = 0) -> BeatTrack:
    x, peaks = np.zeros(2000, np.int8), np.arange(100, 1900, 100)
    labels = np.zeros(len(peaks), np.int64)
    labels[:ectopic] = V
    values = beat_features(x, peaks).values
    return BeatTrack(record, database, x, np.ones(2000, bool), peaks, labels, values, 128, 2000)


def test_a_patient_is_in_one_fold_and_ectopic_beats_are_in_all() -> None:
    tracks = [track(f"r{i}", "ab"[i % 2], ectopic=i) for i in range(12)]
    patients = {"r0": "one", "r2": "one", "r4": "one"}
    folds = assign_folds(tracks, patients, 3)
    assert len({folds[0], folds[2], folds[4]}) == 1
    assert set(folds[:6].tolist()) == set(folds[6:].tolist()) == {0, 1, 2}
    assert (assign_folds(tracks, patients, 3) == folds).all()
    # The six patients of database b, by ectopic beats: of three neighbours one is in each fold.
    of_b = folds[[11, 9, 7]]
    assert sorted(of_b.tolist()) == [0, 1, 2]


def test_fitted_tables_find_what_a_feature_says_and_how_far_evidence_holds() -> None:
    rng = np.random.default_rng(0)
    count = 4000
    labels = rng.integers(0, 3, count)
    features = rng.integers(0, 32, (count, 2))
    features[labels == 1, 0] = rng.integers(0, 12, (labels == 1).sum())
    evidence = 4.0 * (np.eye(3)[labels] + rng.normal(0, 1.0, (count, 3)))
    mask = np.array([[False, True, False], [False, True, True]])
    found = fit_tables(evidence, features, labels, np.ones(count), mask)
    assert not found.tables[:, :, 0].any()
    assert not found.tables[0, :, 2].any()
    assert found.tables[0, :10, 1].min() > 0.3
    assert found.tables[0, 14:, 1].max() < -0.5
    assert np.abs(found.tables[1]).max() < 0.5
    assert found.scale < 0.5  # evidence that is too sure counts for less
    logits = found.logits(evidence, features)
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    chances = raised / raised.sum(axis=1, keepdims=True)
    assert chances.mean(axis=0) == pytest.approx(np.bincount(labels) / count, abs=0.01)


def test_the_weight_of_a_beat_is_how_much_it_counts() -> None:
    labels = np.array([0] * 90 + [1] * 10)
    weights = np.where(labels == 1, 9.0, 1.0)
    empty = np.zeros((100, 2)), np.zeros((100, 1), np.int64)
    found = fit_tables(*empty, labels, weights, np.zeros((1, 2), bool))
    assert found.bias[1] - found.bias[0] == pytest.approx(0, abs=0.02)


def test_a_class_that_looks_usual_has_tables_of_the_rhythm_alone() -> None:
    classes = {
        "n": BeatClass(beats="N"),
        "s": BeatClass(beats="A", features="rhythm", cost=4),
        "v": BeatClass(beats="V"),
    }
    mask = feature_mask(classes)
    assert not mask[:, 0].any()
    assert {FEATURES[i] for i in np.flatnonzero(mask[:, 1])} == set(RHYTHM)
    assert {FEATURES[i] for i in np.flatnonzero(~mask[:, 2])} == {"rr_irregularity"}
    assert cost_offsets(classes).tolist() == [0, np.log(4), 0]


@pytest.fixture(scope="module")
def ectopic() -> BeatTrack:
    patient = simulate_patient(3, 300, pvc_per_minute=8)
    return beat_track(patient.recording, patient.annotations, LEAD, CODES)


def test_spliced_runs_are_of_the_patients_own_beats(ectopic: BeatTrack) -> None:
    found = splice_runs(ectopic, V, (1, 2))
    assert found is not None
    again = splice_runs(ectopic, V, (1, 2))
    assert again is not None
    np.testing.assert_array_equal(found.x, again.x)
    assert (np.diff(found.peaks) > 0).all()
    assert len(found.labels) == len(found.peaks) == len(found.features) == len(found.clusters)
    np.testing.assert_array_equal(found.features, beat_features(found.x, found.peaks).values)
    v = (found.labels == V).astype(int)
    edges = np.flatnonzero(np.diff(np.pad(v, 1)))
    lengths = edges[1::2] - edges[::2]
    assert lengths.max() >= FEWEST
    assert v.sum() > (ectopic.labels == V).sum()
    longest = int(lengths.argmax())
    inside = np.diff(found.peaks[edges[::2][longest] : edges[1::2][longest]])
    assert INTERVALS[0] * 0.8 < np.median(inside) < INTERVALS[1] * 1.2


def test_without_such_beats_there_are_no_runs(ectopic: BeatTrack) -> None:
    none = replace(ectopic, labels=np.zeros_like(ectopic.labels))
    assert splice_runs(none, V, (0,)) is None
