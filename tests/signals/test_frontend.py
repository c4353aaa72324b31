"""The front end: exact, linear phase, the same in pieces as whole, honest about bad signal."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beatlens.errors import SignalError
from beatlens.signals import design_taps
from beatlens.signals.frontend import (
    LSB_MV,
    LSBS_MV,
    RATES_HZ,
    Conditioned,
    FrontEnd,
    quantize_millivolts,
    resampler_taps,
)

FIELDS = ("x", "saturated", "clipped", "flat", "noisy")


def _noise(n: int, seed: int, amplitude: int = 400) -> np.ndarray:
    return np.random.default_rng(seed).integers(-amplitude, amplitude, n).astype(np.int16)


@pytest.mark.parametrize("rate", RATES_HZ)
def test_committed_taps_are_the_design(rate: int) -> None:
    taps = resampler_taps(rate)
    assert np.array_equal(taps, design_taps.design(rate))
    assert (taps.astype(int).sum(axis=1) == 1 << 15).all()
    assert (np.abs(taps.astype(np.int64)).sum(axis=1) < 1 << 16).all(), "int32 could overflow"


@pytest.mark.parametrize("rate", RATES_HZ)
def test_linear_phase(rate: int) -> None:
    taps = resampler_taps(rate).astype(int)
    phases = taps.shape[0]
    for phase in range(1, phases):
        assert np.array_equal(taps[phase], taps[phases - phase][::-1])
    assert np.array_equal(taps[0][:-1], taps[0][:-1][::-1])
    assert taps[0][-1] == 0


@settings(max_examples=60, deadline=None)
@given(
    rate=st.sampled_from(RATES_HZ),
    cuts=st.lists(st.integers(0, 900), max_size=12),
    seed=st.integers(0, 2**32 - 1),
    length=st.integers(1, 3000),
    amplitude=st.sampled_from([1, 3, 400, 32767]),
)
def test_pieces_equal_the_whole(
    rate: int, cuts: list[int], seed: int, length: int, amplitude: int
) -> None:
    signal = _noise(length, seed, amplitude)
    front = FrontEnd(rate, 213.7, rails=(-390, 390))
    whole = front.run(signal)
    stream = front.stream()
    parts, at = [], 0
    for cut in cuts:
        parts.append(stream.push(signal[at : at + cut]))
        at += cut
    parts += [stream.push(signal[at:]), stream.flush()]
    joined = Conditioned.concatenate(parts)
    assert len(whole.x) == front.output_length(length)
    for field in FIELDS:
        assert np.array_equal(getattr(joined, field), getattr(whole, field)), field


@pytest.mark.parametrize("lsb_mv", LSBS_MV)
@pytest.mark.parametrize("rate", RATES_HZ)
def test_output_is_aligned_and_scaled(rate: int, lsb_mv: float) -> None:
    """A 1 mV, 5 Hz burst comes out at the time it went in, whatever the sensor's rate and gain."""
    t = np.arange(20 * rate) / rate
    burst = np.exp(-0.5 * ((t - 10) / 0.3) ** 2) * np.cos(2 * np.pi * 5 * (t - 10))
    front = FrontEnd(rate, 1000.0, lsb_mv=lsb_mv)
    out = front.run(np.round(1000 * burst).astype(np.int16))
    u = np.arange(len(out.x)) / 128
    expected = np.exp(-0.5 * ((u - 10) / 0.3) ** 2) * np.cos(2 * np.pi * 5 * (u - 10))
    # Rounding, and what is lost of the burst with the baseline.
    assert np.abs(out.x * lsb_mv - expected).max() < lsb_mv / 2 + 0.0175


def test_reversing_the_leads_reverses_the_bits_up_to_rounding() -> None:
    signal = _noise(4000, 1)
    a, b = FrontEnd(360, 200.0).run(signal).x, FrontEnd(360, 200.0).run(-signal).x
    assert np.abs(a.astype(int) + b).max() <= 1


def test_baseline_is_removed_and_ecg_band_kept() -> None:
    t = np.arange(60 * 250) / 250
    wander = FrontEnd(250, 200.0).run(np.round(200 * np.sin(2 * np.pi * 0.1 * t)).astype(np.int16))
    qrs = FrontEnd(250, 200.0).run(np.round(200 * np.sin(2 * np.pi * 12 * t)).astype(np.int16))
    hum = FrontEnd(250, 200.0).run(np.round(200 * np.sin(2 * np.pi * 75 * t)).astype(np.int16))
    middle = slice(1000, -1000)
    assert np.abs(wander.x[middle]).max() <= 1
    assert 19 <= np.abs(qrs.x[middle]).max() <= 21  # 1 mV is 20 steps
    assert np.abs(hum.x[middle]).max() <= 1


def test_flat_lead_is_reported_within_two_seconds_and_only_there() -> None:
    signal = _noise(360 * 30, 3)
    signal[360 * 10 : 360 * 20] = 17
    flat = FrontEnd(360, 200.0).run(signal).flat
    assert flat[128 * 12 : 128 * 19].all()
    assert not flat[: 128 * 10 - 10].any()
    assert not flat[128 * 20 + 10 :].any()
    assert flat[128 * 10 + 2 * 128 :].any()


def test_saturation_and_clipping_are_reported() -> None:
    signal = _noise(3600, 4, 100)
    signal[1800:1810] = 1023
    out = FrontEnd(360, 100.0, rails=(-1024, 1023)).run(signal)
    centre = 1800 * 128 // 360
    assert out.saturated[centre : centre + 3].all()
    assert out.saturated.sum() < 30
    assert out.clipped[centre : centre + 3].any()
    assert out.clipped.sum() < 20
    assert not out.usable[centre]


def test_the_step_sets_the_range() -> None:
    """A spike of 5 mV is within 127 steps of 0.05 mV, and beyond those of 0.025 mV."""
    t = np.arange(10 * 360) / 360
    counts = np.round(1000 * np.exp(-(((t - 5) / 0.03) ** 2))).astype(np.int16)
    front = FrontEnd(360, 200.0)
    half = front.with_lsb(0.025)
    assert (front.lsb_mv, half.lsb_mv, half.rails) == (LSB_MV, 0.025, front.rails)
    assert not front.run(counts).clipped.any()
    assert 90 <= front.run(counts).x.max() <= 100
    assert 3 <= half.run(counts).clipped.sum() <= 12
    assert half.run(counts).x.max() == 127
    with pytest.raises(SignalError, match=r"lsb_mv is 0\.04, expected one of 0\.025, 0\.05 mV"):
        front.with_lsb(0.04)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros(10), "integer counts"),
        (np.zeros((2, 10), np.int16), "one lead"),
        (np.array([40000]), "16 bit"),
        (np.zeros(0, np.int16), "no samples"),
    ],
)
def test_bad_samples_are_refused(samples: np.ndarray, message: str) -> None:
    with pytest.raises(SignalError, match=message):
        FrontEnd(250, 200.0).run(samples)


@pytest.mark.parametrize("gain", [0.0, -1.0, float("nan"), float("inf")])
def test_bad_gain_is_refused(gain: float) -> None:
    with pytest.raises(SignalError, match="gain"):
        FrontEnd(250, gain)


def test_bad_rate_and_rails_are_refused() -> None:
    with pytest.raises(SignalError, match="251 Hz, expected one of 125"):
        FrontEnd(251, 200.0)
    with pytest.raises(SignalError, match="rails"):
        FrontEnd(250, 200.0, rails=(5, 5))


def test_millivolts_must_be_finite_and_in_range() -> None:
    with pytest.raises(SignalError, match="sample 1 is nan"):
        quantize_millivolts(np.array([0.0, np.nan]))
    with pytest.raises(SignalError, match="microvolt"):
        quantize_millivolts(np.array([1000.0]))


def test_a_stream_ends_once() -> None:
    stream = FrontEnd(250, 200.0).stream()
    stream.push(np.zeros(100, np.int16))
    stream.flush()
    with pytest.raises(SignalError, match="new stream"):
        stream.push(np.zeros(1, np.int16))
