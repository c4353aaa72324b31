"""Every way a signal can be bad: an error that says so, or a finding without numbers."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from beatlens.errors import DataError, RecipeError, SignalError
from beatlens.runtime.quality import Limits
from beatlens.runtime.stream import Stream
from beatlens.signals.frontend import RATES_HZ, FrontEnd, quantize_millivolts
from beatlens.signals.recording import Recording

from .cases import GAIN, RATE, assert_same, ecg_counts, run, touching

pytestmark = pytest.mark.export


# Bad samples


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e6])
def test_a_bad_millivolt_is_refused_and_changes_nothing(bundle, engine, bad):
    millivolts = ecg_counts(12) / 200
    stream = Stream(bundle, RATE, engine=engine)
    found = stream.push_millivolts(millivolts[:1000])
    spoilt = millivolts[1000:2000].copy()
    spoilt[77] = bad
    with pytest.raises(SignalError, match="sample 77 is"):
        stream.push_millivolts(spoilt)
    found += stream.push_millivolts(millivolts[1000:]) + stream.flush()
    other = Stream(bundle, RATE, engine=engine)
    assert_same(found, other.push_millivolts(millivolts) + other.flush())


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros(5), "float64"),
        (np.array([np.nan]), "float64"),
        (np.zeros(5, bool), "bool"),
        (np.zeros(5, complex), "complex128"),
        (np.zeros((2, 5), np.int16), r"shape \(2, 5\)"),
        (np.int16(3), r"shape \(\)"),
        (np.array([40000]), "40000"),
        (np.array([2**63], np.uint64), "16 bit"),
        (np.array(["1"]), "<U1"),
        (np.array([None]), "object"),
        ([[1], [1, 2]], "no array"),
        (None, "shape"),
    ],
)
def test_bad_counts_are_refused_and_change_nothing(bundle, engine, samples, message):
    counts = ecg_counts(11)
    stream = Stream(bundle, RATE, GAIN, engine=engine)
    found = stream.push(counts[:1000])
    with pytest.raises(SignalError, match=message):
        stream.push(samples)
    found += stream.push(counts[1000:]) + stream.flush()
    assert_same(found, run(Stream(bundle, RATE, GAIN, engine=engine), [counts]))


@pytest.mark.parametrize(
    "samples", [np.zeros(3, np.int16), np.zeros(3, complex), ["x"], [[1.0], []]]
)
def test_bad_millivolts_are_refused(bundle, engine, samples):
    with pytest.raises(SignalError):
        Stream(bundle, RATE, engine=engine).push_millivolts(samples)


def test_units_cannot_be_mixed_up(bundle, engine):
    with pytest.raises(SignalError, match="takes integer counts"):
        Stream(bundle, RATE, GAIN, engine=engine).push_millivolts(np.zeros(3))
    with pytest.raises(SignalError, match="takes millivolts"):
        Stream(bundle, RATE, engine=engine).push(np.zeros(3, np.int16))


@pytest.mark.parametrize("rate", [0, -360, 44100, 359, 360.5, np.nan, np.inf, "360", None, True])
def test_an_unsupported_rate_is_refused(bundle, engine, rate):
    with pytest.raises(SignalError, match="sampling rate is"):
        Stream(bundle, rate, GAIN, engine=engine)


@pytest.mark.parametrize("gain", [0, -200, np.nan, np.inf, 1e9, "200", True])
def test_an_impossible_gain_is_refused(bundle, engine, gain):
    with pytest.raises(SignalError, match=r"gain|counts_per_mv"):
        Stream(bundle, RATE, gain, engine=engine)


@pytest.mark.parametrize("rails", [(5, 5), (1, -1), (1,), 7, "ab", (np.nan, 1), (None, 1)])
def test_impossible_rails_are_refused(bundle, engine, rails):
    with pytest.raises(SignalError, match="rails"):
        Stream(bundle, RATE, GAIN, rails=rails, engine=engine)


@pytest.mark.parametrize("hop", [0, -1, 0.01, 10.0625, np.nan, np.inf, "1"])
def test_an_impossible_hop_is_refused(bundle, engine, hop):
    with pytest.raises(RecipeError, match="hop is"):
        Stream(bundle, RATE, GAIN, hop_s=hop, engine=engine)


# Bad signal: findings that say so


def not_assessable(findings):
    bad = [f for f in findings if not f.assessable]
    for finding in bad:
        assert finding.quality_notes
        assert finding.predicted == ()
        for name in ("probabilities", "evidence", "present", "usable", "padded"):
            assert getattr(finding, name) is None
    return bad


def test_a_lead_that_is_off(bundle, engine):
    counts = ecg_counts(60)
    counts[20 * RATE : 25 * RATE] = 31
    found = run(Stream(bundle, RATE, GAIN, engine=engine), [counts])
    bad = not_assessable(found)
    # More than 1 s of the 5 is within each span that ends after 21 s and starts before 24 s; the
    # baseline takes time to settle, so allow a second.
    assert {f.start_s for f in bad} >= set(range(12, 24))
    assert {f.start_s for f in bad} <= set(range(10, 26))
    assert all(f.quality_notes[0].startswith("flat for ") for f in bad)
    assert min(f.quality for f in bad) < 0.6


@pytest.mark.parametrize("value", [0, 1000, -32768, 32767])
def test_a_constant_signal(bundle, engine, value):
    found = run(Stream(bundle, RATE, GAIN, engine=engine), [np.full(15 * RATE, value, np.int16)])
    assert len(not_assessable(found)) == len(found) == 6


def test_a_sensor_at_its_rails(bundle, engine):
    counts = np.clip(ecg_counts(40), -1024, 1023)
    counts[15 * RATE : 18 * RATE] = 1023
    counts[15 * RATE : 18 * RATE : 7] = 900  # not flat
    found = run(Stream(bundle, RATE, GAIN, rails=(-1024, 1023), engine=engine), [counts])
    bad = not_assessable(found)
    assert {f.start_s for f in bad} >= set(range(7, 17))
    assert all("saturated" in " ".join(f.quality_notes) for f in bad)
    assert {f.start_s for f in found} - {f.start_s for f in bad} >= {0, 1, 2, 3, 25, 26}


def test_rails_of_a_millivolt_stream_are_in_millivolt(bundle, engine):
    millivolts = np.clip(5 * ecg_counts(15) / 200, -0.5, 0.5)
    stream = Stream(bundle, RATE, rails=(-0.5, 0.5), engine=engine)
    found = stream.push_millivolts(millivolts) + stream.flush()
    assert all("saturated" in " ".join(f.quality_notes) for f in found)


def test_tall_peaks_leave_a_note_and_more_clipping_no_decision(bundle, engine):
    counts = ecg_counts(14).astype(np.int32)
    stream = Stream(bundle, RATE, GAIN / 6.4, engine=engine)  # peaks of more than 8 mV
    noted = run(stream, [counts])
    assert all(f.assessable for f in noted)
    assert any("clipped" in r for f in noted for r in f.quality_notes)
    assert not all(f.usable.all() for f in noted)
    square = np.where(np.arange(14 * RATE) // RATE % 2, 1500, -1500).astype(np.int16)
    found = run(Stream(bundle, RATE, GAIN, engine=engine), [square])
    assert not_assessable(found) == found
    assert all(any("clipped" in r for r in f.quality_notes) for f in found)


def test_limits_are_the_caller_s(bundle, engine):
    counts = ecg_counts(30)
    counts[10 * RATE : 15 * RATE] = 0
    lenient = Stream(bundle, RATE, GAIN, engine=engine, limits=Limits(unusable=1.0, clipped=1.0))
    found = run(lenient, [counts])
    assert all(f.assessable for f in found)
    assert any("flat" in " ".join(f.quality_notes) for f in found)
    strict = Stream(bundle, RATE, GAIN, engine=engine, limits=Limits(unusable=0.0))
    assert len(not_assessable(run(strict, [counts]))) > 12
    for value in (-0.1, 1.1, np.nan):
        with pytest.raises(RecipeError, match="limit unusable"):
            Limits(unusable=value)


# Gaps


@pytest.mark.parametrize("rate", RATES_HZ)
@pytest.mark.parametrize("lost", [1, 37, 1000])
def test_spans_that_touch_a_gap_are_not_assessable_and_the_others_are(bundle, engine, rate, lost):
    before, after = ecg_counts(15.3, rate), ecg_counts(20, rate, seed=1)
    found = run(Stream(bundle, rate, GAIN, engine=engine), [before, lost, after])
    start = len(before) / rate
    end = start + lost / rate
    touched = touching(found, start, end)
    assert touched
    assert not_assessable(touched) == touched
    assert all("gap" in f.quality_notes[0] for f in touched)
    # A column before and up to a second after the gap go with it.
    apart = [f for f in found if f.end_s <= start - 1 / 16 or f.start_s >= end + 1]
    assert sum(f.assessable for f in apart) >= 10
    assert [f.start_s for f in found[:-1]] == list(range(len(found) - 1))


@pytest.mark.parametrize("rate", [125, 250, 360])
def test_after_a_gap_the_signal_is_as_if_it_started_there(bundle, engine, rate):
    period = {125: 125, 250: 125, 360: 45}[rate]  # sensor samples between common ticks
    before, after = ecg_counts(7, rate), ecg_counts(30, rate, seed=2)
    lost = 3 * rate + 11
    resumed = -(-(len(before) + lost) // period) * period
    dropped = resumed - len(before) - lost
    fresh = run(Stream(bundle, rate, GAIN, engine=engine, hop_s=1 / 16), [after[dropped:]])
    found = run(Stream(bundle, rate, GAIN, engine=engine, hop_s=1 / 16), [before, lost, after])
    expected = {f.start_s + resumed / rate: f for f in fresh if f.assessable}
    found = {f.start_s: f for f in found if f.assessable and f.start_s >= resumed / rate}
    assert found.keys() == expected.keys()
    assert len(found) > 250
    for start, finding in found.items():
        np.testing.assert_array_equal(finding.evidence, expected[start].evidence)
        assert finding.probabilities == expected[start].probabilities


def test_a_long_gap_is_a_few_findings(bundle, engine):
    year = 365 * 86400 * RATE
    stream = Stream(bundle, RATE, GAIN, engine=engine)
    found = run(stream, [ecg_counts(12), year, ecg_counts(12.5)])
    assert len(found) < 40
    longest = max(found, key=lambda f: f.end_s - f.start_s)
    assert longest.end_s - longest.start_s > year / RATE - 20
    assert "all of" in longest.quality_notes[0]
    # No second of the recording is without a finding.
    for earlier, later in pairwise(found):
        assert earlier.start_s < later.start_s <= earlier.end_s
    assert found[-1].end_s == stream.seconds


def test_a_gap_at_the_start_at_the_end_and_alone(bundle, engine):
    def streamed(*pieces):
        return run(Stream(bundle, RATE, GAIN, engine=engine), pieces)

    at_start = streamed(RATE * 2, ecg_counts(13))
    assert [f.assessable for f in at_start[:4]] == [False, False, True, True]
    at_end = streamed(ecg_counts(13), RATE * 3)
    assert [f.assessable for f in at_end] == [True] * 4 + [False] * 3
    alone = streamed(RATE * 30)
    assert not any(f.assessable for f in alone)
    assert (alone[0].start_s, alone[-1].end_s) == (0, 30)
    assert streamed(0) == []
    assert_same(streamed(ecg_counts(5), 0, ecg_counts(9)), streamed(ecg_counts(5), ecg_counts(9)))


@pytest.mark.parametrize("samples", [-1, 1.0, np.nan, "3", None, True])
def test_an_impossible_gap_is_refused(bundle, engine, samples):
    with pytest.raises(SignalError, match="gap is"):
        Stream(bundle, RATE, GAIN, engine=engine).gap(samples)


# Samples that are missing, named by the caller


def gone_of(length: int) -> np.ndarray:
    """Single samples and longer gaps, one of them at the start."""
    gone = np.zeros(length, bool)
    gone[:40] = gone[1000] = gone[2500:2503] = True
    gone[RATE * 20 : RATE * 23] = True
    return gone


@pytest.mark.parametrize("sizes", [(7,), (360,), (10_000,)])
def test_missing_samples_of_a_push_are_gaps(bundle, engine, sizes):
    counts = ecg_counts(40)
    gone = gone_of(len(counts))
    wanted = list(bundle.explain(counts, RATE, GAIN, missing=gone, engine=engine))
    assert any("gap" in " ".join(f.quality_notes) for f in wanted)
    spoilt = np.where(gone, -(1 << 20), counts)
    for pushed in ((spoilt, gone), (np.ma.masked_array(spoilt, gone), None)):
        stream, found = Stream(bundle, RATE, GAIN, engine=engine), []
        for start in range(0, len(counts), sizes[0]):
            part = slice(start, start + sizes[0])
            found += stream.push(pushed[0][part], None if pushed[1] is None else pushed[1][part])
        assert_same(found + stream.flush(), wanted)


def test_masked_millivolts_and_recordings_are_gaps(bundle, engine):
    counts = ecg_counts(40)
    gone = gone_of(len(counts))
    millivolts = np.where(gone, np.nan, counts / 200)
    wanted = list(bundle.explain(counts / 200, RATE, missing=gone, engine=engine))
    masked = np.ma.masked_array(millivolts, gone)
    assert_same(list(bundle.explain(masked, RATE, engine=engine)), wanted)
    stream = Stream(bundle, RATE, engine=engine)
    assert_same(stream.push_millivolts(masked) + stream.flush(), wanted)
    stream = Stream(bundle, RATE, engine=engine)
    half = np.ma.masked_array(millivolts, gone & (np.arange(len(gone)) < 2000))
    found = stream.push_millivolts(half, missing=gone & (np.arange(len(gone)) >= 2000))
    assert_same(found + stream.flush(), wanted)


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        (np.zeros(99, bool), r"missing is bool \(99,\), expected bool \(100,\)"),
        (np.zeros(100, int), r"missing is int64 \(100,\), expected bool"),
    ],
)
def test_a_mask_of_another_shape_is_refused(bundle, engine, missing, message):
    stream = Stream(bundle, RATE, GAIN, engine=engine)
    with pytest.raises(SignalError, match=message):
        stream.push(np.zeros(100, np.int16), missing)
    assert stream.seconds == 0


def test_masked_arrays_are_refused_where_there_are_no_gaps():
    masked = np.ma.masked_array(np.zeros(10, np.int64), [False] * 9 + [True])
    with pytest.raises(SignalError, match="1 samples are masked, expected a plain array"):
        FrontEnd(RATE, GAIN).run(masked)
    with pytest.raises(SignalError, match="1 samples are masked, expected a plain array"):
        quantize_millivolts(masked / 200)
    with pytest.raises(DataError, match="counts of recording 'x' are a masked array"):
        Recording("x", "", "x", RATE, ("II",), masked[None], (GAIN,), ((-2048, 2047),))
    # A masked array that hides nothing is a plain one.
    assert len(FrontEnd(RATE, GAIN).run(np.ma.masked_array(np.zeros(400, np.int64))).x)
