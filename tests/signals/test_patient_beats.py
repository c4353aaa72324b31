"""Beats against the patient's own: clusters, and what a reader measures."""

from __future__ import annotations

import numpy as np
import pytest

from beatlens.signals.beat_clusters import CLUSTERS, JOINS, BeatClusters, best_correlation
from beatlens.signals.beat_shape import BEFORE, SEGMENT, UsualBeat, measure
from beatlens.signals.patient_beats import FEATURES, PatientBeats, patient_features

NARROW = np.array([10, -20, 90, -30, 5])
WIDE = np.array([15, 30, 45, 60, 70, 75, 78, 75, 70, 60, 45, 30, 15])


def beat(shape: np.ndarray, t_wave: int = 0, p_wave: int = 0) -> np.ndarray:
    """A beat's samples with its largest one at the R peak."""
    samples = np.zeros(SEGMENT, np.int64)
    first = BEFORE - int(np.abs(shape).argmax())
    samples[first : first + len(shape)] = shape
    samples[BEFORE + 28 : BEFORE + 36] = t_wave
    samples[BEFORE - 24 : BEFORE - 18] = p_wave
    return samples


def values(beats: list[np.ndarray], interval: int = 100) -> list[dict[str, int]]:
    patient = PatientBeats()
    found = [patient.push(one, interval if i else None) for i, one in enumerate(beats)]
    return [dict(zip(FEATURES, row.features, strict=True)) for row in found]


def test_width_and_steepness_are_absolute() -> None:
    narrow, wide = measure(beat(NARROW)), measure(beat(WIDE))
    assert (narrow.width, wide.width) == (1, 9)
    assert narrow.steepness == 31
    assert wide.steepness == 32 * 15 // 78
    assert measure(2 * beat(NARROW) // 2).width == 1
    assert measure(np.zeros(SEGMENT, np.int64)).area == 0


@pytest.mark.parametrize("sign", [1, -1])
def test_a_t_wave_is_positive_where_it_points_as_the_qrs_does(sign: int) -> None:
    assert measure(sign * beat(WIDE, t_wave=39)).t_wave == 8
    assert measure(sign * beat(WIDE, t_wave=-39)).t_wave == -8


def test_a_wide_beat_among_narrow_ones_is_a_cluster_of_its_own() -> None:
    beats = 20 * [beat(NARROW, 20, 8)] + [beat(WIDE, -40)] + 3 * [beat(NARROW, 20, 8)]
    found = values(beats)
    wide, usual = found[20], found[-1]
    assert (wide["cluster_share"], usual["cluster_share"]) == (0, 31 * 20 // 21)
    assert wide["usual_similarity"] < 30
    assert usual["usual_similarity"] == 31
    assert wide["qrs_area"] == 31
    assert usual["qrs_area"] in (7, 8)
    assert wide["t_wave"] < 8
    assert usual["t_wave"] in (15, 16)
    assert wide["p_wave"] < 24
    assert usual["p_wave"] == 31


def test_a_run_becomes_usual_only_after_as_many_beats_as_before() -> None:
    clusters = BeatClusters()
    shapes = [NARROW] * 60 + [WIDE] * 80
    qrs = slice(BEFORE - 10, BEFORE + 18)
    usual = []
    for shape in shapes:
        clusters.push(beat(shape)[qrs])
        usual.append(clusters.usual)
    assert usual[:105] == 105 * [0]  # older beats count a little less
    assert usual[-1] == 1


def test_the_rarest_cluster_gives_way() -> None:
    rng = np.random.default_rng(0)
    clusters = BeatClusters()
    common, rare = (rng.integers(-100, 100, 28) for _ in range(2))
    for _ in range(5):
        clusters.push(common)
    clusters.push(rare)
    others = [clusters.push(rng.integers(-100, 100, 28)) for _ in range(CLUSTERS)]
    assert all(one.is_new for one in others)
    assert {one.number for one in others[:2]} == {2, 3}
    assert clusters.push(common).number == 0
    assert clusters.push(rare).is_new


def test_a_correlation_is_pearsons() -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        samples, template = rng.integers(-127, 128, 28), rng.integers(-1000, 1000, 24)
        found, place = best_correlation(samples, template)
        windows = [samples[i : i + 24] for i in range(5)]
        covariances = [np.cov(window, template)[0, 1] for window in windows]
        assert place == int(np.argmax(covariances))
        exact = 256 * np.corrcoef(windows[place], template)[0, 1]
        assert found == pytest.approx(exact, abs=1.5)
    assert best_correlation(np.zeros(28, np.int64), template)[0] == 0
    assert round(0.9 * 256) == JOINS


def test_the_usual_beat_moves_slowly() -> None:
    usual = UsualBeat(measure(beat(NARROW, 20)))
    before = usual.area
    usual.add(measure(beat(WIDE)))
    assert before < usual.area < before + (measure(beat(WIDE)).area << 4) // 8


def test_a_beat_at_an_end_has_zeros_beyond_it() -> None:
    x = np.zeros(60, np.int8)
    x[3:6] = 40
    found = patient_features(x, np.array([4]))
    assert found.values.shape == (1, len(FEATURES))
    assert found.begins.tolist() == [True]
    assert patient_features(x, np.zeros(0, np.int64)).values.shape == (0, len(FEATURES))
