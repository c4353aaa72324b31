"""Augmentation of crops: within its ranges, and on the front end's grid."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from beatlens.signals.frontend import LSB_MV
from beatlens.tasks.common.crops import Augmentation

SAMPLES = 1792


@given(st.integers(0, 2**32), st.floats(0.1, 40), st.floats(0, 5), st.floats(0, 5))
def test_augmented_crops_lie_on_the_int8_grid(
    seed: int, gain: float, wander: float, noise: float
) -> None:
    rng = np.random.default_rng(seed)
    before = rng.integers(-127, 128, 300).astype(np.float32) * np.float32(LSB_MV)
    kept = before.copy()
    after = Augmentation((gain, gain), wander, (0.1, 0.6), noise).apply(before, rng)
    assert after.dtype == np.float32
    np.testing.assert_array_equal(before, kept)  # a copy was changed
    steps = np.round(after / np.float32(LSB_MV))
    np.testing.assert_allclose(after, steps * np.float32(LSB_MV), rtol=1e-6)
    assert np.abs(steps).max() <= 127


def test_augmentation_clips_and_can_be_nothing() -> None:
    before = np.full(200, 2.0, np.float32)
    rng = np.random.default_rng(0)
    assert (Augmentation((4.0, 4.0), 0, (0.1, 0.6), 0).apply(before, rng) == 127 * LSB_MV).all()
    assert (Augmentation((4.0, 4.0), 0, (0.1, 0.6), 0).apply(-before, rng) < -3.17).all()
    same = Augmentation((1.0, 1.0), 0, (0.1, 0.6), 0).apply(before, rng)
    np.testing.assert_allclose(same, before, rtol=1e-6)


def test_augmentation_changes_gain_wander_and_noise_within_their_ranges() -> None:
    ramp = np.linspace(-1, 1, SAMPLES, dtype=np.float32)
    gains, wanders, noises = [], [], []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        scaled = Augmentation((0.5, 1.5), 0, (0.1, 0.6), 0).apply(ramp, rng)
        gains.append(float(np.polyfit(ramp, scaled, 1)[0]))
        wandering = Augmentation((1, 1), 0.1, (0.1, 0.6), 0).apply(0 * ramp, rng)
        wanders.append(float(np.abs(wandering).max()))
        noisy = Augmentation((1, 1), 0, (0.1, 0.6), 0.04).apply(0 * ramp, rng)
        noises.append(float(noisy.std()))
    assert min(gains) > 0.48
    assert max(gains) < 1.52
    assert max(gains) - min(gains) > 0.9
    assert 0.07 < max(wanders) <= 0.1001
    assert 0.03 < max(noises) < 0.05
    assert min(noises) < 0.01
