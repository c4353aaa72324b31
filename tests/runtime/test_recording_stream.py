"""Streams of whole recordings: against one run, in pieces, with gaps, and with a lead that is off.

The oracle runs every uninterrupted segment at once and decides with fractions.
"""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beatlens.errors import ModelError, RecipeError, SignalError
from beatlens.runtime.bundle import Bundle
from beatlens.runtime.finding import Finding
from beatlens.runtime.quality import Limits
from beatlens.runtime.stream import Stream
from beatlens.signals.frontend import RATES_HZ
from beatlens.signals.rr_features import FEATURES
from beatlens.tasks.recordings import chain as recording_chain
from beatlens.tasks.recordings import rule as recording_rule

from .cases import GAIN, RATE, ecg_counts
from .recordings import CLASSES, assert_same, expected_of, explain_whole, make_recording_bundle, run

pytestmark = pytest.mark.export
LOST = Limits(unusable=1.0, clipped=1.0)
"""Limits that have everything decided."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_recording_bundle(tmp_path_factory.mktemp("whole") / "bundle")


@pytest.fixture(scope="module")
def finding(whole: Bundle) -> Finding:
    return explain_whole(whole, ecg_counts(40, seed=2), RATE, GAIN)


@pytest.mark.parametrize("rate", RATES_HZ)
def test_a_recording_is_decided_as_by_fractions(whole: Bundle, rate: int) -> None:
    counts = ecg_counts(31.37, rate, seed=rate)
    found = explain_whole(whole, counts, rate, GAIN)
    wanted = expected_of(whole, [counts], rate)
    quantization = whole.tensors["evidence"]
    steps = np.round(found.evidence / quantization.scale) + quantization.zero_point
    np.testing.assert_array_equal(steps, wanted.evidence)
    assert found.present.all()
    assert found.shares["missing"] == 0
    assert found.class_name == wanted.class_name
    assert (found.beat_times_s * 128).round().astype(int).tolist() == wanted.peaks
    assert len(wanted.peaks) > 25
    logits = np.array([quantization.scale * float(s) for s in wanted.without])
    chances = whole.rule.calibration.probabilities(logits)
    assert list(found.probabilities.values()) == pytest.approx(chances.tolist())
    assert found.end_s == pytest.approx(31.37, abs=8 / 128)


def test_the_other_kind_of_network_decides_on_recordings_too(tmp_path) -> None:
    bundle = make_recording_bundle(tmp_path / "residual", "residual")
    counts = ecg_counts(12)
    found, wanted = explain_whole(bundle, counts, RATE, GAIN), expected_of(bundle, [counts])
    assert found.class_name == wanted.class_name
    assert found.present.sum() == wanted.evidence.shape[1]


@settings(max_examples=20, deadline=None)
@given(cuts=st.lists(st.integers(0, 21 * RATE), max_size=10), rate=st.sampled_from([300, 360]))
def test_the_cutting_of_pushes_makes_no_difference(whole, cuts, rate) -> None:
    counts = ecg_counts(19, rate)
    (found,) = run(Stream(whole, rate, GAIN), np.split(counts, sorted(cuts)))
    assert_same(found, explain_whole(whole, counts, rate, GAIN))


@settings(max_examples=25, deadline=None)
@given(
    plan=st.lists(
        st.tuples(
            st.integers(0, 9 * RATE),  # samples pushed
            st.integers(0, 3 * RATE),  # samples lost after them
            st.floats(0, 1),  # where the push, and the gap, are cut in two
        ),
        min_size=1,
        max_size=4,
    )
)
def test_with_gaps_in_any_pieces_it_is_what_each_stretch_gives(whole, plan) -> None:
    counts = ecg_counts(9, seed=3)
    events: list = []
    pieces: list = []
    for size, lost, part in plan:
        cut, split = int(part * size), int(part * lost)
        events += [counts[:size], lost]
        pieces += [counts[:cut], counts[cut:size], split, lost - split]
    wanted = expected_of(whole, events)
    if not len(wanted.there):
        with pytest.raises(SignalError, match="expected at least one column"):
            run(Stream(whole, RATE, GAIN, limits=LOST), pieces)
        return
    one = run(Stream(whole, RATE, GAIN, limits=LOST), pieces)
    other = run(Stream(whole, RATE, GAIN, limits=LOST), events)
    assert len(one) == len(other) == 1
    for found, again in zip(one, other, strict=True):
        assert_same(found, again)
        assert found.shares["missing"] == pytest.approx(1 - wanted.there.mean())
        assert found.assessable == wanted.there.any()
        if found.assessable:
            np.testing.assert_array_equal(found.present, wanted.there)
            assert (found.evidence[:, ~wanted.there] == 0).all()
            assert found.class_name == wanted.class_name
            assert np.round(found.beat_times_s * 128).astype(int).tolist() == wanted.peaks
            scale = whole.tensors["evidence"].scale
            scores = [scale * float(s) for s in wanted.scores]
            assert found.scores() == pytest.approx(scores, abs=1e-5)
            logits = np.array([scale * float(s) for s in wanted.without])
            chances = whole.rule.calibration.probabilities(logits)
            assert list(found.probabilities.values()) == pytest.approx(chances.tolist())


def test_sample_by_sample(whole: Bundle) -> None:
    counts = ecg_counts(3.1)
    (found,) = run(Stream(whole, RATE, GAIN), list(counts[:, None]))
    assert_same(found, explain_whole(whole, counts, RATE, GAIN))


def test_missing_samples_are_gaps(whole: Bundle) -> None:
    counts = ecg_counts(40, seed=1).astype(np.int32)
    missing = np.zeros(len(counts), bool)
    missing[:50] = True
    missing[18 * RATE : 20 * RATE] = True
    found = explain_whole(whole, counts, RATE, GAIN, missing=missing)
    pieces = [50, counts[50 : 18 * RATE], 2 * RATE, counts[20 * RATE :]]
    assert_same(found, run(Stream(whole, RATE, GAIN), pieces)[0])
    assert found.assessable
    assert found.shares["missing"] == pytest.approx(2 / 40, abs=0.01)
    assert found.quality_notes[0].startswith("gap: ")
    pieces = [(counts[:7000], missing[:7000]), (counts[7000:], missing[7000:])]
    apart = explain_whole(whole, iter(pieces), RATE, GAIN)
    assert_same(found, apart)


def test_millivolts_equal_counts_at_200_per_millivolt(whole: Bundle) -> None:
    counts = ecg_counts(12)
    found = explain_whole(whole, counts / 200, RATE)
    assert_same(found, explain_whole(whole, counts, RATE, GAIN))


# What a finding says


def test_evidence_features_and_offsets_add_up_to_the_scores(
    whole: Bundle, finding: Finding
) -> None:
    rule = whole.rule
    beats = expected_of(whole, [ecg_counts(40, seed=2)]).features
    sums = rule.sums(np.round(finding.evidence / rule.scale).astype(np.int8), beats)
    exact = rule.step * rule.scores(sums) / (sums.columns * sums.beats)
    parts = finding.evidence.mean(axis=1, dtype=float) + finding.feature_contributions.sum(axis=0)
    assert finding.scores() == pytest.approx(exact, abs=1e-6)
    assert parts + finding.constants == pytest.approx(exact, abs=1e-6)
    looked_up = [
        [rule.tables[i, step] * rule.step for i, step in enumerate(beat)] for beat in beats
    ]
    assert finding.feature_contributions == pytest.approx(np.mean(looked_up, axis=0), abs=1e-12)
    ratios = beats.mean(axis=0) / [16, 16, 16, 16, 16, 64]
    assert list(finding.features) == list(FEATURES)
    assert list(finding.features.values()) == pytest.approx(ratios)
    assert finding.class_name == CLASSES[finding.scores().argmax()]


def assert_contributions_sum(found: Finding) -> None:
    scores, mine = found.scores(), found.classes.index(found.class_name)
    for other, name in enumerate(found.classes):
        parts = found.explain(against=name)
        total = sum(part.logits for part in parts)
        assert total == pytest.approx(scores[mine] - scores[other], abs=1e-12)
        assert [p.logits for p in parts] == sorted((p.logits for p in parts), reverse=True)
        times = sorted((p.start_s, p.end_s) for p in parts if p.what == "evidence")
        assert times[0][0] == found.start_s
        assert times[-1][1] == pytest.approx(found.end_s)
        assert all(a[1] == pytest.approx(b[0]) for a, b in pairwise(times))


def test_contributions_sum_to_the_difference_of_the_scores(whole: Bundle, finding: Finding) -> None:
    assert_contributions_sum(finding)
    features = [part for part in finding.explain() if part.what not in ("evidence", "offset")]
    assert sorted(part.what for part in features) == sorted(FEATURES)
    assert {part.what: part.ratio for part in features} == finding.features
    gaps = [ecg_counts(20), 1800, ecg_counts(20, seed=5), 700]
    assert_contributions_sum(run(Stream(whole, RATE, GAIN, limits=LOST), gaps)[0])


def test_contributions_are_against_the_class_that_came_second(finding: Finding) -> None:
    second = CLASSES[np.argsort(finding.scores())[-2]]
    assert finding.second() == second
    assert finding.explain() == finding.explain(against=second)
    assert finding.explain() == finding.explain(finding.class_name, second)
    with pytest.raises(RecipeError, match="class is 'flutter', expected one of normal, afib"):
        finding.explain(against="flutter")


def test_a_recording_without_beats_is_decided_on_evidence(whole: Bundle) -> None:
    t = np.arange(20 * RATE) / RATE
    rng = np.random.default_rng(0)
    counts = np.round(40 * np.sin(2 * np.pi * 0.8 * t) + rng.normal(0, 2, len(t))).astype(int)
    found = explain_whole(whole, counts, RATE, GAIN)
    assert found.assessable
    assert len(found.beat_times_s) == 0
    assert found.features == {}
    assert found.feature_contributions is None
    means = found.evidence.mean(axis=1, dtype=float)
    assert found.scores() == pytest.approx(means + found.constants)
    assert {part.what for part in found.explain()} == {"evidence", "offset"}
    assert_contributions_sum(found)
    assert found.as_dict()["beats"] == 0


def test_findings_are_plain_data(finding: Finding) -> None:
    said = json.loads(json.dumps(finding.as_dict()))
    assert said["predicted"] == [finding.class_name]
    assert said["beats"] == len(finding.beat_times_s)
    assert len(said["contributions"]) == 3
    assert said["contributions"][0]["logits"] == finding.explain()[0].logits
    assert finding.as_dict(contributions=-1)["contributions"] == []
    assert not finding.evidence.flags.writeable


# What cannot be decided


def assert_refused(found: Finding, words: str) -> None:
    assert not found.assessable
    assert words in " ".join(found.quality_notes)
    assert found.class_name is found.probabilities is found.evidence is None
    assert found.explain() == ()
    assert len(found.scores()) == 0
    said = json.loads(json.dumps(found.as_dict()))
    assert (said["predicted"], said["contributions"]) == ([], [])


def test_a_lead_that_is_off_gives_no_decision(whole: Bundle) -> None:
    counts = ecg_counts(40)
    counts[10 * RATE : 20 * RATE] = 77
    found = explain_whole(whole, counts, RATE, GAIN)
    assert_refused(found, "flat for 9.46 s of 40 s")  # the front end smooths the edges
    assert found.shares["flat"] == pytest.approx(9.46 / 40, abs=1e-3)
    assert found.quality == pytest.approx(1 - 9.46 / 40, abs=1e-3)


def test_a_sensor_at_its_rails_gives_no_decision(whole: Bundle) -> None:
    counts = ecg_counts(40)
    counts[10 * RATE : 16 * RATE : 2] = 800
    assert explain_whole(whole, counts, RATE, GAIN, limits=Limits(clipped=1)).assessable
    found = explain_whole(whole, counts, RATE, GAIN, rails=(-800, 800), limits=Limits(clipped=1))
    assert_refused(found, "saturated for 6.")
    assert found.shares["saturated"] == pytest.approx(0.15, abs=0.01)


def test_a_signal_beyond_the_networks_input_gives_no_decision(whole: Bundle) -> None:
    counts = ecg_counts(40)
    counts[10 * RATE : 16 * RATE : 20] = 20_000
    found = explain_whole(whole, counts, RATE, GAIN)
    assert_refused(found, "clipped for ")
    assert found.shares["clipped"] > 0.05


def test_what_is_lost_and_what_is_flat_count_together(whole: Bundle) -> None:
    counts = ecg_counts(40)
    counts[5 * RATE : 8 * RATE] = 5  # 7.5 %; with a gap of 2 s about 12 %
    flat = explain_whole(whole, counts, RATE, GAIN)
    assert flat.assessable
    pieces = [counts[: 30 * RATE], 2 * RATE, counts[32 * RATE :]]
    both = run(Stream(whole, RATE, GAIN), pieces)[0]
    assert_refused(both, "gap: ")
    shares = both.shares["missing"] + both.shares["flat"]
    assert 0.1 < shares < 0.14
    assert max(both.shares["missing"], both.shares["flat"]) < 0.1
    allowed = run(Stream(whole, RATE, GAIN, limits=Limits(unusable=0.15)), pieces)[0]
    assert allowed.assessable


def test_nothing_but_a_gap_gives_no_decision_whatever_the_limits(whole: Bundle) -> None:
    (found,) = run(Stream(whole, RATE, GAIN, limits=LOST), [10 * RATE])
    assert_refused(found, "gap: 10.00 s of 10 s are missing")
    assert found.shares["missing"] == 1
    assert found.quality == 0


def test_noise_is_decided_and_doubted(whole: Bundle) -> None:
    noise = np.random.default_rng(0).normal(0, 90, 20 * RATE).astype(int)
    found = explain_whole(whole, noise, RATE, GAIN, limits=Limits(clipped=1))
    assert found.warnings == ("noisy",)
    assert found.class_name in CLASSES
    assert found.shares["noisy"] > 0.5
    assert explain_whole(whole, ecg_counts(20), RATE, GAIN).warnings == ()


def test_recordings_shorter_than_a_column_are_refused(whole: Bundle) -> None:
    with pytest.raises(SignalError, match="recording has 0 s, expected at least one column"):
        run(Stream(whole, RATE, GAIN), [])
    with pytest.raises(SignalError, match=r"recording has 0\.0277778 s, expected at least one col"):
        explain_whole(whole, ecg_counts(1)[:10], RATE, GAIN)
    with pytest.raises(SignalError, match="expected at least one column"):
        explain_whole(whole, iter([]), RATE, GAIN)
    with pytest.raises(SignalError, match="expected one lead"):
        explain_whole(whole, np.zeros((2, 9), np.int16), RATE, GAIN)
    found = explain_whole(whole, ecg_counts(1)[:30], RATE, GAIN)
    assert found.end_s == 8 / 128


@pytest.mark.parametrize("rate", [300, 360])
def test_a_recording_may_be_as_long_as_there_are_sums_and_no_longer(
    whole: Bundle, rate: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (recording_chain, recording_rule):
        monkeypatch.setattr(module, "MAX_COLUMNS", 100)
    counts = ecg_counts(10, rate)
    most = max(n for n in range(7 * rate) if -(-n * 128 // rate) // 8 <= 100)
    for size in (most - 1, most):
        stream = Stream(whole, rate, GAIN)
        stream.push(counts[: 5 * rate])
        stream.push(counts[5 * rate : size])
        with pytest.raises(SignalError, match="at most 100, 0 minutes: end the stream and make"):
            stream.push(counts[: most + 1 - size])
        assert stream.seconds == size / rate
        assert stream.flush()[0].end_s == 100 * 8 / 128
    stream = Stream(whole, rate, GAIN)
    with pytest.raises(SignalError, match="expected at most 100"):
        stream.gap(8 * rate)
    assert stream.seconds == 0


def test_a_stream_ends_once(whole: Bundle) -> None:
    stream = whole.stream(RATE, GAIN)
    stream.push(ecg_counts(1))
    stream.flush()
    for call in (stream.flush, lambda: stream.push(ecg_counts(1)), lambda: stream.gap(1)):
        with pytest.raises(SignalError, match="stream has ended"):
            call()


def test_recordings_have_no_hop(whole: Bundle) -> None:
    with pytest.raises(RecipeError, match=r"hop is 1 s, expected none: .* whole recordings, each"):
        whole.stream(RATE, GAIN, hop_s=1)
    assert whole.stream(RATE, GAIN).latency_s is None


def test_there_is_no_c_for_recordings(whole: Bundle) -> None:
    with pytest.raises(ModelError, match=r"engine is 'c', .* no C for whole recordings"):
        explain_whole(whole, ecg_counts(2), RATE, GAIN, engine="c")
    with pytest.raises(ModelError, match="engine is 'onnx', expected one of"):
        whole.stream(RATE, GAIN, engine="onnx")
    simulated = explain_whole(whole, ecg_counts(5), RATE, GAIN, engine="simulator")
    assert_same(simulated, explain_whole(whole, ecg_counts(5), RATE, GAIN))
