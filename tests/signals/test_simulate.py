"""Simulated ECG: the same for the same seed, timed like the rhythm it claims, evidence in place.

What a clinician would measure is measured on the undisturbed signal (`clean_mv`), and the R peaks
are found by a detector that knows nothing of the simulator.
"""

from itertools import pairwise
from typing import Any

import neurokit2
import numpy as np
import pytest
from numpy.typing import NDArray

from beatlens.errors import RecipeError
from beatlens.signals.frontend import FrontEnd
from beatlens.signals.simulate import (
    COUNTS_PER_MV,
    EVIDENCE,
    RAILS,
    SimulatedRecording,
    simulate_database,
    simulate_patient,
)
from beatlens.signals.simulated_beats import draw_shapes, render, waves
from beatlens.signals.simulated_noise import disturbance, draw_noise, worn_noise

SEEDS = range(6)

SETTINGS: dict[str, dict[str, Any]] = {
    "sinus": {},
    "pvc": {"pvc_per_minute": 10},
    "pac": {"pac_per_minute": 10},
    "afib": {"rhythm": "afib"},
    "flutter": {"rhythm": "flutter"},
    "paroxysmal": {"rhythm": "paroxysmal"},
    "lbbb": {"conduction": "lbbb"},
    "rbbb": {"conduction": "intermittent rbbb"},
}


def intervals(patient: SimulatedRecording) -> NDArray[np.float64]:
    return np.diff(patient.annotations.beats.sample) / patient.recording.rate_hz


def spread(values: NDArray[np.float64]) -> float:
    return float(np.std(values) / np.mean(values))


def around(patient: SimulatedRecording, symbol: str) -> list[tuple[float, float, float]]:
    """(RR before the last normal beat, before and after) of isolated beats of one symbol, in s."""
    rr, symbols = intervals(patient), patient.annotations.beats.symbol
    return [
        (rr[i - 2], rr[i - 1], rr[i])
        for i in range(2, rr.size)
        if symbols[i] == symbol and (symbols[[i - 2, i - 1, i + 1]] == "N").all()
    ]


@pytest.mark.parametrize("kind", SETTINGS)
def test_a_seed_is_a_patient(kind: str) -> None:
    first, again = (simulate_patient(5, 30, **SETTINGS[kind]) for _ in range(2))
    other = simulate_patient(6, 30, **SETTINGS[kind])
    np.testing.assert_array_equal(first.recording.counts, again.recording.counts)
    np.testing.assert_array_equal(first.annotations.sample, again.annotations.sample)
    assert first.annotations.aux == again.annotations.aux
    assert first.evidence == again.evidence
    assert not np.array_equal(first.recording.counts, other.recording.counts)
    assert first.recording.patient != other.recording.patient


@pytest.mark.parametrize("rate_hz", [128, 250, 500, 1000])
@pytest.mark.parametrize("kind", ["pvc", "paroxysmal"])
def test_another_rate_is_the_same_heart(kind: str, rate_hz: int) -> None:
    at_360 = simulate_patient(9, 30, **SETTINGS[kind])
    other = simulate_patient(9, 30, rate_hz=rate_hz, **SETTINGS[kind])
    assert other.recording.counts.shape == (1, 30 * rate_hz)
    assert "".join(other.annotations.symbol) == "".join(at_360.annotations.symbol)
    away = other.annotations.sample / rate_hz - at_360.annotations.sample / 360
    assert np.abs(away).max() <= 1 / rate_hz + 1 / 360


def test_noise_changes_no_beat_and_can_be_left_out() -> None:
    clean, loud = (simulate_patient(4, 30, noise=level) for level in (0.0, 3.0))
    np.testing.assert_array_equal(clean.annotations.sample, loud.annotations.sample)
    np.testing.assert_array_equal(clean.clean_mv, loud.clean_mv)
    converted = clean.recording.counts[0] / COUNTS_PER_MV
    assert np.abs(converted - clean.clean_mv).max() <= 0.5001 / COUNTS_PER_MV
    assert np.std(loud.recording.counts[0] / COUNTS_PER_MV - clean.clean_mv) > 0.05


def test_the_converter_stays_within_its_rails() -> None:
    counts = simulate_patient(4, 30, noise=60.0).recording.counts
    assert counts.dtype == np.int32
    assert (counts.min(), counts.max()) == RAILS


@pytest.mark.parametrize("kind", SETTINGS)
def test_beats_lie_on_local_extremes(kind: str) -> None:
    """Within 20 ms no sample deflects more than the annotated one, from the first to the last."""
    for seed in SEEDS:
        patient = simulate_patient(seed, 60, **SETTINGS[kind])
        deflection = np.abs(patient.clean_mv)
        window = np.arange(-7, 8)
        for sample in patient.annotations.beats.sample:
            near = deflection[np.clip(sample + window, 0, deflection.size - 1)]
            assert deflection[sample] == near.max(), (seed, sample)
            assert deflection[sample] > 0.3, (seed, sample)


def test_sinus_rhythm_is_nearly_regular_and_breathes() -> None:
    rates = []
    for seed in range(20):
        patient = simulate_patient(seed, 120)
        rr = intervals(patient)
        rates.append(60 / rr.mean())
        assert 0.01 < spread(rr) < 0.09
        assert (patient.annotations.beats.symbol == "N").all()
        assert [(r.start, r.end, r.label) for r in patient.annotations.rhythms] == [(0, 43200, "N")]
    assert 50 < min(rates) < 66
    assert 78 < max(rates) < 100


def test_ventricular_beats_are_early_with_a_full_pause() -> None:
    found = [
        a for seed in SEEDS for a in around(simulate_patient(seed, 120, pvc_per_minute=8), "V")
    ]
    assert len(found) > 50
    usual, before, after = np.array(found).T
    assert (before < 0.85 * usual).all()
    assert np.abs((before + after) / (2 * usual) - 1).mean() < 0.04
    assert before.min() > 0.35


def test_atrial_beats_are_early_with_less_than_a_full_pause() -> None:
    found = [
        a for seed in SEEDS for a in around(simulate_patient(seed, 120, pac_per_minute=8), "A")
    ]
    assert len(found) > 50
    usual, before, after = np.array(found).T
    assert (before < 0.85 * usual).all()
    assert ((before + after) / (2 * usual)).mean() < 0.95
    assert after.mean() > 1.02 * usual.mean()


def test_fibrillation_is_irregularly_irregular() -> None:
    for seed in SEEDS:
        rr = intervals(simulate_patient(seed, 120, "afib"))
        assert 0.12 < spread(rr) < 0.35
        assert rr.min() > 0.3
        following = np.corrcoef(rr[:-1], rr[1:])[0, 1]
        assert abs(following) < 0.3, "intervals do not depend on each other"


def test_flutter_conducts_whole_cycles() -> None:
    for seed in SEEDS:
        rr = intervals(simulate_patient(seed, 120, "flutter", noise=0))
        cycle = np.median(rr) / 4
        assert 1 / 5.4 < cycle < 1 / 4.4
        assert np.abs(rr / cycle - np.rint(rr / cycle)).max() < 0.15


@pytest.mark.parametrize(("rhythm", "low", "high"), [("afib", 4.0, 9.0), ("flutter", 4.3, 5.5)])
def test_atrial_waves_have_the_frequency_of_their_rhythm(
    rhythm: Any, low: float, high: float
) -> None:
    """Between T and the next QRS the spectrum peaks where the atria beat."""
    for seed in SEEDS:
        patient = simulate_patient(seed, 120, rhythm, noise=0)
        beats = patient.annotations.beats.sample
        power = np.zeros(1025)
        for start, end in pairwise(beats):
            piece = patient.clean_mv[start + 150 : end - 25]
            if piece.size > 90:
                piece = (piece - piece.mean()) * np.hanning(piece.size)
                power += np.abs(np.fft.rfft(piece, 2048)) ** 2
        frequency = np.arange(1025) * 360 / 2048
        power[frequency < 3] = 0
        assert low <= frequency[power.argmax()] <= high, seed


def test_p_waves_stand_before_sinus_beats_only() -> None:
    """The mean signal in the PR interval: a hump in sinus rhythm, none in fibrillation."""
    heights = {}
    for rhythm in ("sinus", "afib"):
        humps = []
        for seed in SEEDS:
            patient = simulate_patient(seed, 120, rhythm, noise=0)  # type: ignore[arg-type]
            beats = patient.annotations.beats.sample[2:-2]
            mean = patient.clean_mv[beats[:, None] + np.arange(-100, -16)].mean(axis=0)
            humps.append(np.ptp(mean))
        heights[rhythm] = np.mean(humps)
    assert heights["sinus"] > 0.08
    assert heights["afib"] < 0.5 * heights["sinus"]


def test_spells_alternate_and_are_the_evidence() -> None:
    for seed in range(12):
        patient = simulate_patient(seed, 120, "paroxysmal")
        labels = [rhythm.label for rhythm in patient.annotations.rhythms]
        assert {"N"} < set(labels) <= {"N", "AFIB", "AFL"}
        assert all((a == "N") != (b == "N") for a, b in pairwise(labels))
        atrial = [(r.start, r.end) for r in patient.annotations.rhythms if r.label != "N"]
        assert [(e.start, e.end) for e in patient.evidence["afib"]] == atrial


@pytest.mark.parametrize(
    ("qrs", "shortest", "longest"),
    [("narrow", 0.08, 0.10), ("rbbb", 0.12, 0.16), ("lbbb", 0.12, 0.165), ("pvc", 0.14, 0.20)],
)
def test_qrs_durations_measured_on_the_drawn_shape(
    qrs: str, shortest: float, longest: float
) -> None:
    """By the waves' limits, and as seen: between the first and last 2 % of the deflection."""
    for seed in range(40):
        shape = draw_shapes(np.random.default_rng(seed)).qrs[qrs]
        assert shortest <= shape.offset - shape.onset <= longest
        moved = shape._replace(centre=shape.centre + 0.5)
        signal = np.abs(render(moved, 1000, 1000))
        seen = np.flatnonzero(signal > 0.02 * signal.max())
        assert shortest * 0.85 <= (seen[-1] - seen[0]) / 1000 <= longest * 1.15, seed


def test_p_wave_and_pr_interval_are_those_of_the_textbook() -> None:
    for seed in range(40):
        shapes = draw_shapes(np.random.default_rng(seed))
        assert 0.08 <= shapes.p.offset - shapes.p.onset <= 0.11
        assert 0.12 <= shapes.pr_s <= 0.20
        start_of_p = shapes.p_centre("narrow", early=False) + shapes.p.onset
        assert shapes.qrs["narrow"].onset - start_of_p == pytest.approx(shapes.pr_s)
        assert 0.05 < render(shapes.p.repeated(np.array([0.5])), 360, 360).max() < 0.30


def test_qt_shortens_with_the_rate_and_t_opposes_a_ventricular_qrs() -> None:
    for seed in range(40):
        shapes = draw_shapes(np.random.default_rng(seed))
        slow, fast = (shapes.t_waves("narrow", np.zeros(1), np.array([rr])) for rr in (1.0, 0.6))
        assert slow.offset - shapes.qrs["narrow"].onset == pytest.approx(shapes.qtc_s, abs=0.02)
        assert 0.05 < slow.offset - fast.offset < 0.15
        assert shapes.t["narrow"].left > shapes.t["narrow"].right, "T falls faster than it rises"
        qrs = shapes.qrs["pvc"]
        area = np.dot(qrs.height, qrs.left + qrs.right)
        assert np.sign(area) == -np.sign(shapes.t["pvc"].height[0])
        assert shapes.t["lbbb"].height[0] < 0


def test_every_ventricular_beat_has_its_wide_qrs_as_evidence() -> None:
    for seed in SEEDS:
        patient = simulate_patient(seed, 120, pvc_per_minute=10)
        beats = patient.annotations.beats
        mask = patient.evidence_mask("pvc")
        assert mask[beats.sample[beats.symbol == "V"]].all()
        assert not mask[beats.sample[beats.symbol == "N"]].any()
        whole = [e for e in patient.evidence["pvc"] if e.start > 0 and e.end < mask.size]
        assert all(0.14 * 360 - 1 <= e.length <= 0.20 * 360 + 1 for e in whole)
        assert {e.label for e in whole} == {"wide QRS"}
        others = [name for name in EVIDENCE if name != "pvc"]
        assert not any(patient.evidence_mask(name).any() for name in others)


def test_atrial_evidence_is_the_short_interval_and_the_early_beat() -> None:
    for seed in SEEDS:
        patient = simulate_patient(seed, 120, pac_per_minute=10)
        beats = patient.annotations.beats
        early = beats.sample[beats.symbol == "A"]
        spans = {
            label: [e for e in patient.evidence["sve"] if e.label == label]
            for label in ("short RR", "early P and QRS")
        }
        complexes = np.array([(e.start, e.end) for e in spans["early P and QRS"]])
        inside = (complexes[:, 0] < early[:, None]) & (early[:, None] < complexes[:, 1])
        assert inside.any(axis=1).all()
        for e in spans["early P and QRS"]:
            if e.start > 0 and e.end < patient.recording.samples:
                assert 0.15 < e.length / 360 < 0.30
        ends = {e.start for e in spans["early P and QRS"]}
        assert all(e.end in ends or e.end == patient.recording.samples for e in spans["short RR"])
        normal = beats.sample[beats.symbol == "N"]
        assert not patient.evidence_mask("sve")[normal].any()


@pytest.mark.parametrize(("conduction", "symbol"), [("lbbb", "L"), ("rbbb", "R")])
def test_blocked_beats_are_wide_and_marked(conduction: Any, symbol: str) -> None:
    whole = simulate_patient(3, 60, conduction=conduction)
    assert set(whole.annotations.beats.symbol.tolist()) == {symbol}
    for seed in SEEDS:
        patient = simulate_patient(seed, 60, conduction=f"intermittent {conduction}")  # type: ignore[arg-type]
        beats = patient.annotations.beats
        assert set(beats.symbol.tolist()) == {"N", symbol}
        marked = patient.evidence_mask("bbb")[beats.sample]
        np.testing.assert_array_equal(marked, beats.symbol == symbol)


def test_an_independent_detector_finds_the_beats() -> None:
    """neurokit2's R peak detector on the noisy signal: 97 % found, 97 % of its finds right."""
    hits = beats = finds = 0
    for seed in range(8):
        patient = simulate_patient(seed, 60)
        signal = neurokit2.ecg_clean(patient.recording.millivolts("MLII"), sampling_rate=360)
        _, info = neurokit2.ecg_peaks(signal, sampling_rate=360)
        found = np.asarray(info["ECG_R_Peaks"])
        truth = patient.annotations.beats.sample
        truth = truth[(truth > 180) & (truth < 60 * 360 - 180)]
        hits += int((np.abs(truth[:, None] - found).min(axis=1) <= 18).sum())
        beats += truth.size
        finds += int(((found > 180) & (found < 60 * 360 - 180)).sum())
    assert hits / beats > 0.97
    assert hits / finds > 0.97


def test_the_front_end_takes_it_without_clipping() -> None:
    recording = simulate_patient(2, 30, pvc_per_minute=10).recording
    out = FrontEnd(360, 200.0, rails=RAILS).run(recording.counts[0])
    assert out.x.size == 30 * 128
    assert not out.saturated.any()
    assert out.clipped.mean() < 0.001
    assert not out.flat.any()


def test_a_database_has_every_class_in_every_split_and_no_patient_twice() -> None:
    database = simulate_database(20, seed=3, duration_s=60)
    assert {split: len(patients) for split, patients in database.items()} == {
        "train": 12,
        "validation": 4,
        "test": 4,
    }
    for patients in database.values():
        present = {name for p in patients for name in EVIDENCE if p.evidence[name]}
        assert present == set(EVIDENCE)
    names = [p.recording.patient for patients in database.values() for p in patients]
    assert len(set(names)) == 20


def test_databases_of_two_seeds_share_no_patient() -> None:
    first, second = (
        {p.recording.patient for split in simulate_database(12, seed, 60).values() for p in split}
        for seed in (1, 2)
    )
    assert not first & second


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": -1}, "seed is -1, expected 0 to"),
        ({"seed": 1.5}, r"seed is 1\.5, expected a whole number"),
        ({"duration_s": 0.0}, "duration_s is 0.0, expected 2 to"),
        ({"duration_s": float("nan")}, "duration_s is nan"),
        ({"rate_hz": 50}, "rate_hz is 50, expected 100 to 2000"),
        ({"rhythm": "asystole"}, "rhythm is 'asystole', expected one of sinus, afib"),
        ({"conduction": "left"}, "conduction is 'left', expected one of normal, lbbb"),
        ({"pvc_per_minute": -1.0}, "pvc_per_minute is -1.0"),
        ({"pac_per_minute": 31.0}, "pac_per_minute is 31.0"),
        ({"noise": float("inf")}, "noise is inf"),
    ],
)
def test_what_cannot_be_simulated_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        simulate_patient(**{"seed": 1, **arguments})


def test_small_databases_and_unknown_evidence_are_refused() -> None:
    with pytest.raises(RecipeError, match="n_patients is 11, expected 12 to"):
        simulate_database(11, seed=1)
    with pytest.raises(RecipeError, match="no evidence class 'vf'; expected one of pvc, sve"):
        simulate_patient(1, 10).evidence_mask("vf")


def test_a_wave_is_a_gaussian_at_its_place() -> None:
    """Against the formula, also where the wave is cut by the signal's ends."""
    shape = waves((1.0, 0.5, 0.02, 0.05), (-0.5, 0.0, 0.03, 0.03))
    time = np.arange(256) / 256
    widths = np.where(time < 0.5, 0.02, 0.05)
    wanted = np.exp(-0.5 * ((time - 0.5) / widths) ** 2) - 0.5 * np.exp(-0.5 * (time / 0.03) ** 2)
    np.testing.assert_allclose(render(shape, 256, 256), wanted, atol=4e-4)


def test_disturbances_have_the_size_they_are_asked_for() -> None:
    noise = draw_noise(np.random.default_rng(1))
    quiet = type(noise)(0.01, 0.0, 0.0, 0.25, 0.0, 50, 0.0, 0.0)
    assert np.std(disturbance(np.random.default_rng(2), quiet, 36000, 360)) == pytest.approx(
        0.01, rel=0.05
    )
    hum = type(noise)(0.0, 0.0, 0.0, 0.25, 0.02, 60, 0.0, 0.0)
    spectrum = np.abs(np.fft.rfft(disturbance(np.random.default_rng(2), hum, 36000, 360)))
    assert spectrum.argmax() == pytest.approx(60 * 100, abs=100)


def test_worn_noise_is_within_the_front_ends_band_and_as_strong_as_said() -> None:
    drawn = [worn_noise(np.random.default_rng(i), 12800, 128, (0.1, 0.1)) for i in range(40)]
    power = np.abs(np.fft.rfft(drawn)) ** 2
    frequency = np.fft.rfftfreq(12800, 1 / 128)
    inside = (frequency > 0.3) & (frequency < 40.5)
    assert power[:, ~inside].sum() < 0.01 * power.sum()
    strength = np.std(drawn, axis=1)
    assert strength.min() > 0.08  # one kind at least
    assert np.median(strength) == pytest.approx(0.15, rel=0.35)
    kinds = {(share[1] > 0.1, share[0] > 0.1) for share in _shares(power, frequency)}
    assert {(True, False), (False, True), (True, True)} <= kinds


def _shares(power: np.ndarray, frequency: np.ndarray) -> np.ndarray:
    """Shares of power below 7 Hz and above 9 Hz, `[n, 2]`."""
    below, above = (power[:, where].sum(axis=1) for where in (frequency < 7, frequency > 9))
    return np.stack([below, above], axis=1) / power.sum(axis=1)[:, None]
