"""Figures of evidence by wave, of contributions and of agreement, on decisions made by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from beatlens.errors import SignalError
from beatlens.signals.beat_features import FEATURES
from beatlens.signals.rr_features import BINS
from beatlens.tasks.beats.labels import UNKNOWN, BeatTrack
from beatlens.tasks.beats.metrics import BeatRun
from benchmarks.clinical.classes import F, N, S, V
from benchmarks.clinical.contributions import BeatContributions, split_decisions
from benchmarks.clinical.delineation import BeatWaves
from benchmarks.clinical.statistics import (
    agreement_row,
    by_record,
    check_row,
    contribution_row,
    kinds,
    outcomes,
    wave_row,
)
from benchmarks.clinical.waves import WAVES, wave_columns

COLUMNS, STRIDE = 17, 8
QRS_COLUMNS = slice(8, 10)


def beats(count: int, seed: int = 0, records: int = 5) -> BeatContributions:
    """Random decisions of some recordings, every class as likely."""
    rng = np.random.default_rng(seed)
    evidence = rng.normal(size=(count, 4, COLUMNS)).astype(np.float32)
    rhythm, offsets = rng.normal(size=(count, len(FEATURES), 4)), np.array([0.0, 0.5, -0.5, 0.1])
    scores = evidence.mean(axis=2, dtype=np.float64) + rhythm.sum(axis=1) + offsets
    record = np.arange(count) % records
    return BeatContributions(
        record.astype(str), record, np.full(count, 1000), rng.integers(0, 4, count),
        scores.argmax(axis=1), evidence, rhythm, offsets, STRIDE,
    )  # fmt: skip


def find_columns(count: int) -> np.ndarray:
    """QRS in columns 8 and 9, P in 3 to 5, T to the end of column 14."""
    ends = ([1024, 1048], [1064, 1080], [1096, 1120])
    waves = BeatWaves(*(np.tile(each, (count, 1)) for each in ends))
    return wave_columns(waves, np.full(count, 1000), COLUMNS, STRIDE)


def test_contributions_sum_to_the_difference_of_the_scores() -> None:
    contributions = beats(50)
    scores, rows = contributions.scores(), np.arange(50)
    assert (scores.argmax(axis=1) == contributions.decided).all()
    second = contributions.second()
    assert (np.sort(scores, axis=1)[:, -2] == scores[rows, second]).all()
    for mine, other in ((contributions.decided, second), (S, N), (V, N)):
        expected = scores[rows, mine] - scores[rows, other]
        np.testing.assert_allclose(contributions.contrast(mine, other).total, expected)
    row = contribution_row(contributions, find_columns(50), S)
    assert row["sum"] == pytest.approx((scores[:, S] - scores[:, N]).mean())
    assert row["signal"] + row["features"] + row["offset"] == pytest.approx(row["sum"])
    assert sum(row[f"signal_{w}"] for w in WAVES) == pytest.approx(row["signal"])
    assert sum(row[c] for c in FEATURES) == pytest.approx(row["features"])
    assert row["sum_lo"] < row["sum"] < row["sum_hi"]


def test_decisions_are_taken_apart_as_they_were_made() -> None:
    rng = np.random.default_rng(1)
    peaks = np.array([40, 400, 700, 1190])  # the first and last spans are moved in
    features = rng.integers(0, BINS, (4, len(FEATURES)))
    track = BeatTrack("a", "mitdb", np.zeros(1200, np.int8), np.ones(1200, bool), peaks,
                      np.array([0, 1, 2, UNKNOWN]), features, 360, 3375)  # fmt: skip
    evidence = rng.normal(size=(4, 150)).astype(np.float32)
    tables, offsets = rng.normal(size=(len(FEATURES), BINS, 4)), np.array([0.0, 1.0, 0.0, -1.0])
    decided = [np.array([0, 1, 2, 0])]
    run = BeatRun([track], [evidence], [np.zeros((4, 4))])
    contributions = split_decisions(run, decided, tables, offsets, STRIDE)
    assert contributions.first.tolist() == [0, 336, 632, 1064]
    expected = evidence[:, 42 : 42 + COLUMNS].mean(axis=1)
    expected = expected + sum(tables[i, features[1, i]] for i in range(len(FEATURES))) + offsets
    np.testing.assert_allclose(contributions.scores()[1], expected, rtol=1e-5)
    assert contributions[np.array([1, 3])].labels.tolist() == [1, UNKNOWN]
    with pytest.raises(SignalError, match="there is no beat"):
        split_decisions(BeatRun([], [], []), [], tables, offsets, STRIDE)


def test_what_a_cluster_adds_is_a_part_of_its_own() -> None:
    rng = np.random.default_rng(2)
    peaks = np.array([200, 400, 700])
    features = rng.integers(0, BINS, (3, len(FEATURES)))
    track = BeatTrack("a", "mitdb", np.zeros(1200, np.int8), np.ones(1200, bool), peaks,
                      np.array([N, V, V]), features, 360, 3375)  # fmt: skip
    evidence = rng.normal(size=(4, 150)).astype(np.float32)
    tables, offsets = rng.normal(size=(len(FEATURES), BINS, 4)), np.zeros(4)
    plain = split_decisions(
        BeatRun([track], [evidence], [np.zeros((3, 4))]), [np.array([N, V, V])], tables, offsets,
        STRIDE,
    )  # fmt: skip
    shared = np.array([0.0, 1.5, -0.5])
    logits = plain.scores() + 0.25  # which all classes have
    logits[:, V] += shared
    found = split_decisions(
        BeatRun([track], [evidence], [logits]), [np.array([N, V, V])], tables, offsets, STRIDE,
        shares=True,
    )  # fmt: skip
    contrast = found.contrast(V, N)
    np.testing.assert_allclose(contrast.features[:, -1], shared, atol=1e-6)
    np.testing.assert_allclose(contrast.total, logits[:, V] - logits[:, N], atol=1e-6)
    row = contribution_row(found, find_columns(3), V)
    assert row["cluster_evidence"] == pytest.approx(shared.mean(), abs=1e-6)
    assert "cluster_evidence" not in contribution_row(plain, find_columns(3), V)


def test_right_and_wrong_leave_out_what_is_not_known() -> None:
    labels = np.array([S, N, UNKNOWN, V, F, N, V, S])
    decided = np.array([S, S, S, V, V, N, N, N])
    contributions = replace(beats(8), labels=labels, decided=decided)
    assert np.flatnonzero(outcomes(contributions, S)["right"]).tolist() == [0]
    assert np.flatnonzero(outcomes(contributions, S)["wrong"]).tolist() == [1]
    assert np.flatnonzero(outcomes(contributions, V)["wrong"]).tolist() == []  # fusion is excused
    assert np.flatnonzero(outcomes(contributions, N)["wrong"]).tolist() == [6, 7]
    told = {name: np.flatnonzero(mask).tolist() for name, mask in kinds(contributions, S).items()}
    assert told == {"found": [0], "missed": [7], "false": [1], "normal": [5]}


def test_evidence_in_qrs_alone_is_found_there() -> None:
    contributions = beats(40)
    evidence = np.zeros_like(contributions.evidence)
    evidence[np.arange(40), contributions.decided, QRS_COLUMNS] = 3, 1
    contributions = replace(contributions, evidence=evidence, features=0 * contributions.features)
    row = wave_row(contributions, find_columns(40))
    assert row["share_qrs"] == row["share_qrs_lo"] == row["peak_qrs"] == 1
    assert row["share_before_qrs"] == row["share_p"] == row["silent"] == 0
    assert row["time_qrs"] == pytest.approx(2 / 17)
    assert row["enrichment_qrs"] == pytest.approx(17 / 2)
    assert row["peak_ms"] == pytest.approx(4 * 1000 / 128)
    assert row["found_p"] == row["found_t"] == 1
    assert (row["beats"], row["records"]) == (40, 5)


def test_evidence_that_knows_nothing_has_no_enrichment() -> None:
    row = wave_row(beats(6000), find_columns(6000))
    for wave in WAVES:
        assert row[f"enrichment_{wave}"] == pytest.approx(1, abs=0.06)
        assert row[f"peak_{wave}"] == pytest.approx(row[f"time_{wave}"], abs=0.02)


def test_beats_that_rest_on_rhythm_alone_are_counted_and_left_out() -> None:
    contributions = beats(20)
    evidence = contributions.evidence.copy()
    evidence[:10] = 0
    row = wave_row(replace(contributions, evidence=evidence), find_columns(20))
    # The second class is another one without evidence, and so are all: nothing is positive.
    assert row["silent"] == 0.5
    assert 0 < row["share_qrs"] < 1


def test_ratios_by_record_are_those_of_all_beats() -> None:
    rng = np.random.default_rng(0)
    part, whole = rng.uniform(size=30), rng.uniform(1, 2, 30)
    part[3] = np.nan
    records = (np.arange(30) // 10).astype(str)
    found = by_record("x", part, whole, records)
    assert found["x"] == pytest.approx(np.nansum(part) / np.delete(whole, 3).sum())
    assert found["x_lo"] < found["x"] < found["x_hi"]
    one = by_record("x", part[:10], None, records[:10])
    assert one["x"] == pytest.approx(np.nanmean(part[:10]))
    assert np.isnan(one["x_lo"])
    assert np.isnan(by_record("x", np.full(3, np.nan), None, records[:3])["x"])
    row = check_row({"drop": part}, records)
    assert row["drop"] == pytest.approx(np.nanmean(part))
    assert row["checked"] == 30


def test_agreement_with_oneself_is_whole_and_with_another_beat_is_not() -> None:
    contributions, columns = beats(60), find_columns(60)
    same = agreement_row(contributions, contributions, columns)
    assert same["spearman"] == same["same_peak"] == same["same_wave"] == same["same_class"] == 1
    assert abs(same["spearman_floor"]) < 0.2
    assert same["same_peak_floor"] < 0.5
    assert same["same_wave_floor"] < 0.6
    other = agreement_row(contributions, beats(60, seed=7), columns)
    assert abs(other["spearman"]) < 0.2
    assert other["same_class"] < 0.6
