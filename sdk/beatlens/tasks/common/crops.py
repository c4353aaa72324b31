"""Random changes that every crop goes through in training, whatever the kind of span."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from beatlens.signals.frontend import LSB_MV, MODEL_RATE_HZ


@dataclass(frozen=True)
class Augmentation:
    """Ranges of the random changes made to a crop, in the units of the fields' names."""

    gain: tuple[float, float] = (0.5, 1.5)
    wander_mv: float = 0.1
    wander_hz: tuple[float, float] = (0.1, 0.6)
    noise_mv: float = 0.12
    flips: float = 0.0
    """Share of the crops that are turned upside down."""

    def apply(self, millivolts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return a changed copy of one window, float32 `[n]`, on the front end's int8 grid."""
        n = millivolts.shape[-1]
        t = np.arange(n, dtype=np.float32) / MODEL_RATE_HZ
        phase = 2 * np.pi * (rng.uniform(*self.wander_hz) * t + rng.uniform())
        factor = rng.uniform(*self.gain)
        if self.flips and rng.uniform() < self.flips:
            factor = -factor
        changed = millivolts * np.float32(factor)
        changed += np.float32(rng.uniform(0, self.wander_mv)) * np.sin(phase, dtype=np.float32)
        changed += np.float32(rng.uniform(0, self.noise_mv)) * rng.standard_normal(n, np.float32)
        lsb = np.float32(LSB_MV)
        return np.clip(np.round(changed / lsb), -127, 127) * lsb
