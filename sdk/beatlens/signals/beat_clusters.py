"""A patient's own beats in at most four clusters of one shape each, in integers.

A wide beat is ventricular in most people, but the usual beat of somebody with a bundle branch
block; a run of ventricular beats looks usual to the beats around it, but not to the hours before.
So every QRS complex, 24 samples at 128 Hz, is held against the templates of four clusters. It joins
the one it correlates with best, if by more than .9, and that cluster's template moves towards it;
else a cluster of its own takes the place of the rarest one. The cluster with the largest count is
the patient's usual beat; counts decay with 256 beats, so it is what was usual for minutes.

Templates and clusters of beats are as old as automatic analysis of long recordings; that a
patient's own clusters carry over where labels do not is shown by de Chazal & Reilly (IEEE Trans
Biomed Eng 53, 2006) and Llamedo & Martinez (ibid. 59, 2012). Needs numpy only.

>>> narrow = np.array([0] * 8 + [90, 120, 90] + [0] * 17, np.int64)
>>> clusters = BeatClusters()
>>> [clusters.push(beat).number for beat in (narrow, narrow, np.roll(narrow, 9), narrow)]
[0, 0, 1, 0]
>>> clusters.usual
0
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from beatlens.signals.morphology import LENGTH, SHIFT

CLUSTERS = 4
ONE = 256
"""A correlation of 1, a count of one beat."""
JOINS = 230
"""256ths that the correlation with a template has to be above: .9."""
DECAY = 8
"""Counts lose 1 / 2^DECAY of themselves a beat."""
SCALE = 8
"""Steps of a template in a step of the samples."""
QUICK, SLOW = 1, 3
"""A template moves by 1 / 2^QUICK of the difference for its first `SETTLED` beats, then slower."""
SETTLED = 4


@dataclass(frozen=True)
class Membership:
    """Where a beat belongs.

    Attributes:
        number: of its cluster.
        is_new: whether the cluster begins with this beat.
        share: 0 to 1 in 31sts, the cluster's count by that of all, before the beat joined; 31 for
            the first beat of all.
        to_usual: its correlation with the usual beat, in 256ths, before the beat joined; 256 for
            the first beat.
    """

    number: int
    is_new: bool
    share: int
    to_usual: int


class BeatClusters:
    """The clusters of one recording, beat by beat.

    Attributes:
        templates: int64 `[CLUSTERS, LENGTH]`, steps of the samples times `SCALE`.
        counts: of beats, times `ONE`; 0: there is no such cluster.
        beats: that joined, up to `SETTLED`.
    """

    def __init__(self) -> None:
        self.templates = np.zeros((CLUSTERS, LENGTH), np.int64)
        self.counts = [0] * CLUSTERS
        self.beats = [0] * CLUSTERS

    @property
    def usual(self) -> int:
        """Number of the cluster with the largest count, the first of equal ones."""
        return self.counts.index(max(self.counts))

    def push(self, samples: NDArray[np.int64]) -> Membership:
        """Take a beat; returns where it belongs.

        Args:
            samples: int64 `[LENGTH + 2 SHIFT]`, see `beatlens.signals.morphology.cut_qrs`.
        """
        total = sum(self.counts)
        found = [self._hold(samples, number) for number in range(CLUSTERS)]
        best = max(range(CLUSTERS), key=lambda number: found[number][0])
        to_usual = found[self.usual][0] if total else ONE
        is_new = found[best][0] <= JOINS
        if is_new:
            best = self.counts.index(min(self.counts))
            share = 0 if total else 31
            self.counts[best], self.beats[best] = 0, 1
            self.templates[best] = SCALE * samples[SHIFT : SHIFT + LENGTH]
        else:
            share = 31 * self.counts[best] // total
            self._join(samples, best, found[best][1])
        self.counts = [count - (count >> DECAY) for count in self.counts]
        self.counts[best] += ONE
        return Membership(best, is_new, share, to_usual)

    def _hold(self, samples: NDArray[np.int64], number: int) -> tuple[int, int]:
        """Correlation of a beat with a template in 256ths, and the shift of the beat."""
        if not self.counts[number]:
            return -ONE, 0
        return best_correlation(samples, self.templates[number])

    def _join(self, samples: NDArray[np.int64], number: int, shift: int) -> None:
        own = SCALE * samples[shift : shift + LENGTH]
        part = QUICK if self.beats[number] < SETTLED else SLOW
        self.templates[number] += (own - self.templates[number]) >> part
        self.beats[number] = min(self.beats[number] + 1, SETTLED)


def best_correlation(samples: NDArray[np.int64], template: NDArray[np.int64]) -> tuple[int, int]:
    """The correlation, in 256ths, of a template with the samples where their covariance is largest.

    Args:
        samples: `[n + s]`, -127 to 127.
        template: `[n]`, n up to 26, -2032 to 2032.

    Returns:
        The correlation, rounded towards 0, and the first sample of that place, the first of equal
        ones; a correlation of 0 where either is constant.

    >>> best_correlation(np.array([0, 0, 10, 20, 10, 0]), np.array([80, 160, 80]))
    (256, 2)
    """
    n = len(template)
    windows = np.lib.stride_tricks.sliding_window_view(samples, n)
    covariances = n * (windows @ template) - windows.sum(axis=1) * template.sum()
    place = int(covariances.argmax())
    own, covariance = windows[place], int(covariances[place])
    variance = int(n * (own @ own) - own.sum() ** 2)
    variance *= int(n * (template @ template) - template.sum() ** 2)
    # All but the root of the variance fits in 32 bits.
    whole = min(ONE, (abs(covariance) << 4) // max(1, isqrt(variance) >> 4))
    return (whole if covariance >= 0 else -whole), place
