"""Probabilities out of logits: temperature and bias, chosen on validation patients.

Temperature scaling is Guo et al. (ICML 2017, section 4); the bias makes up for classes having been
drawn more often in training than they are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from beatlens.calibration import Calibration

LARGEST_LOG_TEMPERATURE, LARGEST_BIAS = 3.0, 9.0


def fitted_calibration(
    logits: NDArray[np.floating], labels: NDArray[np.integer], weights: NDArray[np.floating]
) -> Calibration:
    """Temperature and bias that make labels likeliest; the first class's bias is 0.

    Args:
        logits: `[n, C]`.
        labels: class numbers `[n]`.
        weights: how much each counts, `[n]`.

    >>> logits = np.array([[4.0, 0.0], [4.0, 0.0], [0.0, 4.0], [0.0, 4.0]])
    >>> found = fitted_calibration(logits, np.array([0, 1, 1, 1]), np.ones(4))
    >>> found.probabilities(logits)[0].round(2).tolist()
    [0.5, 0.5]
    """
    rows, rest = np.arange(len(labels)), logits.shape[1] - 1

    def loss(parameters: NDArray[np.float64]) -> float:
        tried = Calibration(float(np.exp(parameters[0])), np.append(0.0, parameters[1:]))
        chances = tried.probabilities(logits)[rows, labels]
        return float(-(weights * np.log(chances.clip(1e-12))).sum())

    bounds = [(-LARGEST_LOG_TEMPERATURE, LARGEST_LOG_TEMPERATURE)]
    bounds += rest * [(-LARGEST_BIAS, LARGEST_BIAS)]
    found = minimize(loss, np.zeros(1 + rest), method="L-BFGS-B", bounds=bounds)
    return Calibration(float(np.exp(found.x[0])), np.append(0.0, found.x[1:]))
