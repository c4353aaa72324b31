"""Shares of evidence by wave, on maps whose place is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beatlens.errors import SignalError
from benchmarks.clinical.delineation import NONE, BeatWaves
from benchmarks.clinical.waves import (
    WAVES,
    peak_shares,
    sample_waves,
    wave_columns,
    wave_shares,
    wave_sums,
)

QRS, P, PR, ST_T, EARLIER, LATER = (
    WAVES.index(n) for n in ("qrs", "p", "pr", "st_t", "earlier", "later")
)
FIRST = np.array([1000])


def waves(p: list[int], qrs: list[int], t: list[int]) -> BeatWaves:
    return BeatWaves(*(np.array([ends]) for ends in (p, qrs, t)))


WHOLE = waves([1010, 1024], [1040, 1056], [1080, 1104])


def test_samples_are_named_by_the_wave_they_lie_in() -> None:
    (found,) = sample_waves(WHOLE, FIRST, 136)
    names = [WAVES[n] for n in found]
    lengths = {name: names.count(name) for name in WAVES}
    assert lengths == {"earlier": 10, "p": 14, "pr": 16, "qrs": 16, "st_t": 48, "later": 32}
    assert names == sorted(names, key=WAVES.index)


def test_waves_that_were_not_found_take_no_time() -> None:
    (found,) = sample_waves(waves([NONE, NONE], [1040, 1056], [NONE, NONE]), FIRST, 136)
    assert np.bincount(found, minlength=6).tolist() == [40, 0, 0, 16, 0, 80]
    late = sample_waves(waves([1030, 1050], [1040, 1056], [1060, 1200]), FIRST, 136)[0]
    assert np.bincount(late, minlength=6).tolist() == [30, 10, 0, 16, 80, 0]


def test_a_map_in_qrs_alone_has_share_one() -> None:
    columns = wave_columns(WHOLE, FIRST, 17, 8)
    evidence = np.full((1, 17), -1.0)
    evidence[0, 5:7] = 1, 3
    assert wave_shares(evidence, columns)[0].tolist() == [0, 0, 0, 1, 0, 0]
    assert peak_shares(evidence, columns)[0, QRS] == 1
    half = np.zeros((1, 17))
    half[0, 1] = 2  # samples 1008 to 1015: two before P, six in it
    assert wave_shares(half, columns)[0, [EARLIER, P]].tolist() == [0.25, 0.75]
    assert wave_sums(-half, columns)[0, P] == -1.5


def test_a_map_without_positive_evidence_has_no_shares() -> None:
    columns = wave_columns(WHOLE, FIRST, 17, 8)
    assert np.isnan(wave_shares(np.zeros((1, 17)), columns)).all()
    constant = wave_shares(np.ones((1, 17)), columns)
    np.testing.assert_allclose(constant, columns.mean(axis=2))
    np.testing.assert_allclose(peak_shares(np.ones((1, 17)), columns), columns.mean(axis=2))


@settings(deadline=None, max_examples=50)  # the machine may be busy
@given(seed=st.integers(0, 10_000), stride=st.sampled_from([2, 4, 8]))
def test_shares_sum_to_one_and_sums_to_the_whole(seed: int, stride: int) -> None:
    rng = np.random.default_rng(seed)
    edges = np.sort(rng.integers(990, 1150, (9, 6)), axis=1)
    edges[:, 3] += edges[:, 3] == edges[:, 2]
    beats = BeatWaves(edges[:, :2], edges[:, 2:4], edges[:, 4:])
    columns = wave_columns(beats, np.full(9, 1000), 136 // stride, stride)
    np.testing.assert_allclose(columns.sum(axis=1), 1)
    evidence = rng.normal(size=(9, 136 // stride))
    np.testing.assert_allclose(wave_shares(evidence, columns).sum(axis=1), 1)
    np.testing.assert_allclose(wave_sums(evidence, columns).sum(axis=1), evidence.sum(axis=1))
    np.testing.assert_allclose(peak_shares(evidence, columns).sum(axis=1), 1)


def test_random_maps_have_the_shares_of_time() -> None:
    rng = np.random.default_rng(0)
    columns = np.repeat(wave_columns(WHOLE, FIRST, 17, 8), 4000, axis=0)
    evidence = rng.normal(size=(4000, 17))
    for shares in (wave_shares(evidence, columns), peak_shares(evidence, columns)):
        np.testing.assert_allclose(shares.mean(axis=0) / columns[0].mean(axis=1), 1, atol=0.08)


def test_beats_without_qrs_are_refused() -> None:
    with pytest.raises(SignalError, match="1 spans and 0 beats with a QRS"):
        sample_waves(waves([NONE, NONE], [NONE, NONE], [NONE, NONE]), FIRST, 136)
    with pytest.raises(SignalError, match="2 spans and 1 beats"):
        sample_waves(WHOLE, np.array([0, 1]), 136)
