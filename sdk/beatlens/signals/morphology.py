"""How many of the last beats look like a beat, in integers: high for a heart's usual beat.

A beat that is wide in everybody else may be this patient's own (a bundle branch block); one that is
narrow and early is supraventricular only if it looks like the others. So the QRS of a beat, 24
samples at 128 Hz, is held against each of the last 16 beats': alike are two whose correlation is
above 0.9 for any of five shifts of up to two samples, since R peaks are found to a sample. The
share that is alike is one more feature of the beat, `morphology_similarity`, in steps of 1/31.

Comparing a beat with the patient's own beats is as old as automatic analysis (templates and
clusters; de Chazal & Reilly 2006 adapt to the patient by an expert's labels). Ours needs no label
and no training on the device, and is the same bit for bit everywhere. Needs numpy only.

>>> x = np.zeros(1000, np.int8)
>>> for peak in range(50, 1000, 100):
...     x[peak - 3 : peak + 4] = (20, 60, 100, 120, 100, 60, 20)
>>> x[650:680] = -90
>>> morphology_similarity(x, np.arange(50, 1000, 100)).tolist()
[31, 31, 31, 31, 31, 31, 0, 26, 27, 27]
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from beatlens.errors import SignalError

BEFORE, AFTER = 8, 16
"""Samples of a QRS before its R peak, and from that on."""
SHIFT = 2
"""Samples that two QRS may be shifted against each other."""
REMEMBERED = 16
"""Beats that one is held against."""
STEPS = 31
"""A share of all of them."""
LENGTH = BEFORE + AFTER
SEEN = LENGTH + 2 * SHIFT
"""Samples that are kept of a beat."""
LEAST_SQUARE = (81, 100)
"""Alike is what has a correlation above the square root of this: 0.9."""


class MorphologySimilarity:
    """The same for a stream, beat by beat.

    >>> beats = MorphologySimilarity()
    >>> narrow = np.array([0] * 8 + [90, 120, 90] + [0] * 17, np.int8)
    >>> [beats.push(narrow), beats.push(np.roll(narrow, 1)), beats.push(np.roll(narrow, 9))]
    [31, 31, 0]
    """

    def __init__(self) -> None:
        self._remembered: deque[NDArray[np.int64]] = deque(maxlen=REMEMBERED)

    def push(self, samples: NDArray[np.int8]) -> int:
        """Take a beat; returns the share of the last ones that look like it, 0 to `STEPS`.

        Args:
            samples: int8 `[SEEN]` from `BEFORE + SHIFT` before its R peak on; 0 where there are
                none. The first beat, which there is none to hold against, is as usual.

        Raises:
            SignalError: `samples` is not int8 `[SEEN]`.
        """
        if samples.dtype != np.int8 or samples.shape != (SEEN,):
            raise SignalError(
                f"samples are {samples.dtype} {list(samples.shape)}, expected int8 [{SEEN}]"
            )
        seen = samples.astype(np.int64)
        own = seen[SHIFT : SHIFT + LENGTH]
        alike = sum(bool(_alike(own, other)) for other in self._remembered)
        among = len(self._remembered)
        self._remembered.append(seen)
        return STEPS * alike // among if among else STEPS


def cut_qrs(x: NDArray[np.int8], peaks: NDArray[np.integer]) -> NDArray[np.int8]:
    """Samples around R peaks, `[b, SEEN]`; what is not in `x [n]` is 0."""
    padded = np.pad(x, SEEN)
    return padded[np.asarray(peaks)[:, None] + np.arange(SEEN) + SEEN - BEFORE - SHIFT]


def morphology_similarity(x: NDArray[np.int8], peaks: NDArray[np.integer]) -> NDArray[np.int64]:
    """How many of the last beats look like each beat of a recording.

    Args:
        x: int8 `[n]`, front end output at 128 Hz.
        peaks: R peaks `[b]` in samples, in time order.

    Returns:
        int64 `[b]`, 0 to `STEPS`.
    """
    beats = cut_qrs(x, peaks).astype(np.int64)
    alike, among = np.zeros((2, len(beats)), np.int64)
    for back in range(1, min(REMEMBERED, len(beats) - 1) + 1):
        own = beats[back:, SHIFT : SHIFT + LENGTH]
        alike[back:] += _alike(own, beats[:-back])
        among[back:] += 1
    return np.where(among > 0, STEPS * alike // np.maximum(among, 1), STEPS)


def _alike(own: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether QRS `[..., LENGTH]` are like the others `[..., SEEN]` at any shift, `[...]`.

    Pearson's correlation of whole numbers, as `covariance > 0` and `covariance^2 > 0.81 variances`:
    all of it below 2^57.
    """
    least, of = LEAST_SQUARE
    variance, found = _covariance(own, own), np.zeros(own.shape[:-1], bool)
    for shift in range(2 * SHIFT + 1):
        shifted = other[..., shift : shift + LENGTH]
        covariance = _covariance(own, shifted)
        variances = variance * _covariance(shifted, shifted)
        found |= (covariance > 0) & (of * covariance * covariance > least * variances)
    return found


def _covariance(a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
    """Times `LENGTH` squared."""
    return np.asarray(LENGTH * (a * b).sum(axis=-1) - a.sum(axis=-1) * b.sum(axis=-1))
