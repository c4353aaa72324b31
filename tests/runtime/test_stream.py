"""Streams against whole-recording processing, bit for bit."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import beatlens
from beatlens.errors import ModelError, RecipeError, SignalError
from beatlens.runtime.stream import Stream
from beatlens.signals.frontend import RATES_HZ

from .cases import GAIN, RATE, assert_same, ecg_counts, run, touching, whole_decisions

pytestmark = pytest.mark.export
cutting = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.mark.parametrize("kind", ["dense", "residual"])
def test_a_stream_equals_one_run_over_the_whole_recording(kind, bundle, residual):
    model = bundle if kind == "dense" else residual
    counts = ecg_counts(33)
    found = run(model.stream(RATE, GAIN), [counts[i : i + 500] for i in range(0, len(counts), 500)])
    expected = whole_decisions(model, counts)
    assert len(expected) == 24
    assert all(f.assessable for f in found)
    for finding, decision in zip(found, expected, strict=True):
        assert (finding.start_s, finding.end_s) == (decision.start_s, decision.start_s + 10)
        np.testing.assert_array_equal(finding.evidence, decision.evidence)
        np.testing.assert_allclose(
            list(finding.probabilities.values()), decision.probabilities, rtol=1e-12
        )


@pytest.mark.parametrize("kind", ["dense", "residual"])
def test_a_stream_equals_the_fixed_windows_of_the_file(kind, bundle, residual):
    model = bundle if kind == "dense" else residual
    engine = model.engine("litert")
    counts = ecg_counts(16)
    x = model.stream(RATE, GAIN)._frontend.run(counts).x
    for k, finding in enumerate(run(model.stream(RATE, GAIN), [counts])):
        start = 128 * k - model.geometry.left
        window = x[np.clip(np.arange(start, start + model.input_length), 0, len(x) - 1)]
        q = model.tensors["evidence"]
        steps = np.round(finding.evidence / q.scale + q.zero_point).astype(np.int8)
        np.testing.assert_array_equal(engine.evidence(window), steps.T)
        q = model.tensors["logits"]
        rounded = q.scale * (engine.logits(window).astype(float) - q.zero_point)
        # The file rounds its logits to int8, twice over; the stream has the mean itself.
        means = finding.scores() - finding.constants
        np.testing.assert_allclose(means, rounded, atol=0.53 * q.scale)


@cutting
@given(
    cuts=st.lists(st.integers(0, 17 * RATE), max_size=12),
    hop=st.sampled_from([1 / 16, 0.5, 1.0, 3.0, 10.0]),
)
def test_the_cutting_of_pushes_makes_no_difference(bundle, engine, cuts, hop):
    counts = ecg_counts(17)
    whole = run(Stream(bundle, RATE, GAIN, hop_s=hop, engine=engine), [counts])
    pieces = np.split(counts, sorted(cuts))
    assert_same(run(Stream(bundle, RATE, GAIN, hop_s=hop, engine=engine), pieces), whole)


@cutting
@given(
    plan=st.lists(
        st.tuples(
            st.integers(0, 15 * RATE),  # samples pushed
            st.integers(0, 25 * RATE),  # samples lost after them
            st.floats(0, 1),  # where the push, and the gap, are cut in two
        ),
        max_size=5,
    )
)
def test_cutting_makes_no_difference_with_gaps_either(bundle, engine, plan):
    counts = ecg_counts(15)
    events: list = []
    pieces: list = []
    for size, lost, part in plan:
        cut, split = int(part * size), int(part * lost)
        events += [counts[:size], lost]
        pieces += [counts[:cut], counts[cut:size], split, lost - split]
    streams = [Stream(bundle, RATE, GAIN, engine=engine) for _ in range(2)]
    assert_same(run(streams[0], pieces), run(streams[1], events))


def test_sample_by_sample(bundle, engine):
    counts = ecg_counts(11.2)
    one = run(Stream(bundle, RATE, GAIN, engine=engine), list(counts[:, None]))
    assert_same(one, run(Stream(bundle, RATE, GAIN, engine=engine), [counts]))


@pytest.mark.parametrize("rate", RATES_HZ)
def test_every_rate_gives_the_same_times(bundle, engine, rate):
    counts = ecg_counts(13, rate)
    found = run(Stream(bundle, rate, GAIN, engine=engine), [counts])
    assert [(f.start_s, f.end_s) for f in found] == [(0, 10), (1, 11), (2, 12), (3, 13)]
    assert all(f.assessable for f in found)


def test_millivolts_equal_counts_at_200_per_millivolt(bundle, engine):
    counts = ecg_counts(12)
    millivolts = Stream(bundle, RATE, engine=engine)
    found = millivolts.push_millivolts(counts / 200) + millivolts.flush()
    assert_same(found, run(Stream(bundle, RATE, GAIN, engine=engine), [counts]))


def test_findings_come_as_early_as_they_can(bundle, engine):
    counts = ecg_counts(15)
    stream = Stream(bundle, RATE, GAIN, engine=engine)
    for second in range(14):
        for finding in stream.push(counts[second * RATE : (second + 1) * RATE]):
            assert stream.seconds - 1 < finding.end_s + stream.latency_s <= stream.seconds + 0.01
    assert stream.seconds == 14


def test_findings_after_a_gap_come_as_early_as_they_can(bundle, engine):
    stream = Stream(bundle, RATE, GAIN, engine=engine)
    stream.push(ecg_counts(3))
    stream.gap(217)
    seen = 0
    for piece in np.split(ecg_counts(20, seed=1), 20):
        for finding in stream.push(piece):
            seen += 1
            assert stream.seconds - 1 < finding.end_s + stream.latency_s <= stream.seconds + 0.01
    assert seen > 8


def test_the_package_offers_bundle_and_stream(bundle, bundle_dir):
    model = beatlens.Bundle.load(bundle_dir)
    assert model.stream(RATE, GAIN).push(np.zeros(0, np.int16)) == []


# Ends of the recording


def test_padding_is_marked_where_the_signal_starts_and_ends(bundle, engine):
    found = run(Stream(bundle, RATE, GAIN, engine=engine), [ecg_counts(14)])
    left, right = -(-bundle.geometry.left // 8), -(-bundle.geometry.right // 8)
    assert found[0].padded.tolist() == [True] * left + [False] * (160 - left)
    assert found[-1].padded.tolist() == [False] * (160 - right) + [True] * right
    assert not found[2].padded.any()
    assert "signal starts" in found[0].quality_notes[0]
    assert "signal ends" in found[-1].quality_notes[0]
    assert found[2].quality_notes == ()


def test_what_is_left_at_the_end_is_said(bundle, engine):
    found = run(Stream(bundle, RATE, GAIN, engine=engine, hop_s=10.0), [ecg_counts(14.5)])
    assert [(f.start_s, f.end_s, f.assessable) for f in found] == [(0, 10, True), (10, 14.5, False)]
    assert "4.50 s are left, a decision needs 10 s" in found[1].quality_notes[0]
    assert found[1].probabilities is None
    assert found[1].quality > 0.95


def test_a_recording_too_short_is_not_assessable(bundle, engine):
    (finding,) = run(Stream(bundle, RATE, GAIN, engine=engine), [ecg_counts(4)])
    assert (finding.start_s, finding.end_s, finding.assessable) == (0, 4, False)
    assert finding.evidence is None
    assert finding.explain() == ()


def test_one_sample(bundle, engine):
    (finding,) = run(Stream(bundle, RATE, GAIN, engine=engine), [np.array([5], np.int16)])
    assert not finding.assessable


def test_nothing_pushed_gives_nothing(bundle, engine):
    assert run(Stream(bundle, RATE, GAIN, engine=engine), [np.zeros(0, np.int16)]) == []


def test_a_stream_ends_once(bundle, engine):
    stream = Stream(bundle, RATE, GAIN, engine=engine)
    stream.push(ecg_counts(1))
    stream.flush()
    for call in (stream.flush, lambda: stream.push(ecg_counts(1)), lambda: stream.gap(1)):
        with pytest.raises(SignalError, match="stream has ended"):
            call()


# Whole recordings


def test_explain_recording_takes_missing_samples_as_gaps(bundle, engine):
    counts = ecg_counts(40).astype(np.int32)
    missing = np.zeros(len(counts), bool)
    missing[:50] = True
    missing[18 * RATE : 19 * RATE] = True
    found = list(bundle.explain(counts, RATE, GAIN, missing=missing, engine=engine))
    pieces = [50, counts[50 : 18 * RATE], RATE, counts[19 * RATE :]]
    assert_same(found, run(Stream(bundle, RATE, GAIN, engine=engine), pieces))
    assert not any(f.assessable for f in touching(found, 18, 19))


def test_explain_recording_says_at_once_what_is_wrong(bundle, engine):
    for samples, options, error in (
        (np.zeros(0, np.int16), {}, SignalError),
        (np.zeros((2, 9), np.int16), {}, SignalError),
        (np.zeros(9, np.int16), {"missing": np.zeros(8, bool)}, SignalError),
        (np.zeros(9, np.int16), {"missing": np.zeros(9)}, SignalError),
        (np.zeros(9, np.int16), {"hop_s": 99.0}, RecipeError),
    ):
        with pytest.raises(error):
            bundle.explain(samples, RATE, GAIN, engine=engine, **options)


def test_memory_does_not_grow_with_the_recording(bundle, engine):
    def peak(minutes):
        counts = np.tile(ecg_counts(60), minutes)
        tracemalloc.start()
        for _ in bundle.explain(counts, RATE, GAIN, engine=engine):
            pass
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(4)
    assert peak(24) < 1.3 * peak(4)


def test_an_engine_that_fails_is_an_error(bundle):
    class Broken:
        name = "broken"

        def evidence(self, x):
            raise ModelError("broken failed to run the model")

        def logits(self, x):
            raise ModelError("broken failed to run the model")

    with pytest.raises(ModelError):
        run(Stream(bundle, RATE, GAIN, engine=Broken()), [ecg_counts(12)])


@pytest.mark.parametrize("record", ["100", "207"])
def test_a_record_of_mitdb(bundle, engine, mitdb_dir, record):
    from beatlens.signals.databases import find_database

    recording = find_database("mitdb", mitdb_dir.parent).read(record)
    lead = recording.lead("MLII")
    counts, gain = recording.counts[lead], recording.counts_per_mv[lead]
    rails = recording.rails[lead]
    options = {"rails": rails, "engine": engine}
    found = list(bundle.explain(counts, recording.rate_hz, gain, **options))
    assert len(found) in (1796, 1797)
    # 207 has ventricular flutter and touches the rails; 100 is clean.
    assert sum(f.assessable for f in found) > (1790 if record == "100" else 1500)
    expected = whole_decisions(bundle, counts, recording.rate_hz)
    for finding, decision in zip(found, expected, strict=False):
        assert finding.start_s == decision.start_s
        if finding.assessable:
            np.testing.assert_array_equal(finding.evidence, decision.evidence)
