"""Probabilities out of scores. A calibration is fitted after training and applied on the device.

Needs numpy only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Calibration:
    """Makes probabilities of scores: `softmax(logits / temperature + bias)`.

    Args:
        temperature: above 0.
        bias: float `[C]`, log odds by which the classes are rarer than in training.
    """

    temperature: float
    bias: NDArray[np.float64]

    def probabilities(self, logits: NDArray[np.floating]) -> NDArray[np.float64]:
        """Probabilities `[..., C]` of logits `[..., C]`.

        >>> Calibration(1.0, np.zeros(2)).probabilities(np.zeros((1, 2))).tolist()
        [[0.5, 0.5]]
        """
        scaled = logits / self.temperature + self.bias
        raised = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
        return np.asarray(raised / raised.sum(axis=-1, keepdims=True), np.float64)
