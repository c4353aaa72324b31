"""Training noise: added to the student's crops, not to the teacher's.

The teacher runs on clean crops. The student is trained on noisy copies of some of them, with the
teacher's decision and evidence for the clean crop as target: so that neither decision nor evidence
changes with noise. (After "noisy student" training, Xie et al., CVPR 2020, section 2, where only
decisions are the target.)

The noise is what a worn sensor adds within the front end's band: muscle noise, motion and baseline
wander; each is present half of the time, at least one of them always. Its strength is a standard
deviation in mV, drawn evenly on a logarithmic scale.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from beatlens.errors import RecipeError
from beatlens.signals.frontend import LSB_MV, MODEL_RATE_HZ
from beatlens.signals.simulated_noise import worn_noise

LEAST_MV = 0.02
"""Standard deviation of the weakest noise, mV; the noise of the crops themselves hides less."""
STREAM = 11
"""Part of the seed that separates these random numbers from others with the same seed."""


@dataclass(frozen=True)
class TrainingNoise:
    """Strength and frequency of the training noise.

    Args:
        mv: standard deviation of the strongest noise, mV; at least `LEAST_MV`.
        share: share of the crops with noise, 0 to 1.

    >>> windows = np.zeros((2, 1024), np.float32)
    >>> noisy = TrainingNoise(mv=0.2, share=1.0).added(windows, first=0, seed=0)
    >>> bool((noisy.std(axis=1) > 0.01).all())
    True
    >>> TrainingNoise(0.2, 0.0).added(windows, 0, 0) is windows
    True
    """

    mv: float
    share: float

    def __post_init__(self) -> None:
        if self.mv < LEAST_MV or not 0 <= self.share <= 1:
            raise RecipeError(
                f"noise of up to {self.mv:g} mV in {self.share:g} of the crops, expected at least "
                f"{LEAST_MV:g} mV, and a share of 0 (none) to 1"
            )

    def added(self, windows: NDArray[np.float32], first: int, seed: int) -> NDArray[np.float32]:
        """Return windows float32 `[B, n]` in mV on the front end's int8 grid, some with noise.

        The noise of window `i` depends on its number `first + i` and on the seed only.
        """
        if self.share == 0:
            return windows
        noisy = windows.copy()
        for row, number in enumerate(range(first, first + len(windows))):
            rng = np.random.default_rng([seed, number, STREAM])
            if rng.uniform() < self.share:
                noise = worn_noise(rng, windows.shape[1], MODEL_RATE_HZ, (LEAST_MV, self.mv))
                noisy[row] += noise.astype(np.float32)
        lsb = np.float32(LSB_MV)
        return np.clip(np.round(noisy / lsb), -127, 127) * lsb
