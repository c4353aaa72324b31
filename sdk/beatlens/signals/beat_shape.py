"""What a reader measures of one beat: width, steepness, size, T and P, in integers.

Each beat's samples, from 37 before its R peak to 47 after it at 128 Hz, are measured; size, T and P
are held against the patient's usual beat (`beatlens.signals.beat_clusters`), width and steepness are
not: a ventricular run that lasts for minutes becomes usual, and stays wide.

| measure | of | step |
|---|---|---|
| `qrs_width` | first to last sample, from 16 before the R peak to 19 after it, at half of the largest deflection from the baseline or more | 1 sample |
| `qrs_steepness` | largest difference of neighbours there, by that deflection | 1/32 |
| `qrs_area` | deflections from 12 samples before the R peak to 15 after it, by the usual beat's | 1/8 |
| `t_wave` | largest deflection from 16 to 47 samples after the R peak, positive where it points as the QRS complex does, by that of the QRS complex, less the usual beat's; 16 is the same | 1/16 |
| `p_wave` | correlation of the samples from 34 to 9 before the R peak, moved by up to 3, with the usual beat's | 1/16, 16 is none |

The baseline is the median of the six samples from 20 before the R peak on. Needs numpy only.
"""  # noqa: E501

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from beatlens.signals.beat_clusters import best_correlation
from beatlens.signals.rr_features import BINS

BEFORE, AFTER = 37, 48
"""Samples of a beat before its R peak, and from that on."""
SEGMENT = BEFORE + AFTER
BASELINE = slice(BEFORE - 20, BEFORE - 14)
QRS = slice(BEFORE - 16, BEFORE + 20)
AREA = slice(BEFORE - 12, BEFORE + 16)
T_WAVE = slice(BEFORE + 16, BEFORE + 48)
P_LENGTH, P_SHIFT = 26, 3
P_WAVE = slice(0, P_LENGTH + 2 * P_SHIFT)
P_SCALE = 16
"""Steps of the usual P wave in a step of the samples."""
MIDDLE = 16
"""Bin of a T wave as the usual one, and of a P wave that correlates with nothing."""
MEMORY = 4
"""The usual beat's measures move by 1 / 2^MEMORY of the difference a beat."""
FRACTION = 4
"""Bits after the point of the usual beat's area and T wave."""


@dataclass(frozen=True)
class Measures:
    """One beat, measured.

    Attributes:
        width: in samples.
        steepness: bin.
        area: in steps of the samples.
        t_wave: in 16ths of the QRS complex.
        p_wave: samples `[P_LENGTH + 2 P_SHIFT]`.
    """

    width: int
    steepness: int
    area: int
    t_wave: int
    p_wave: NDArray[np.int64]


def measure(segment: NDArray[np.int64]) -> Measures:
    """Measure a beat, int64 `[SEGMENT]`, whose R peak is at sample `BEFORE`.

    >>> beat = np.zeros(SEGMENT, np.int64)
    >>> beat[BEFORE - 2 : BEFORE + 3] = 40, 80, 120, 80, 40
    >>> beat[BEFORE + 30] = -30
    >>> found = measure(beat)
    >>> found.width, found.steepness, found.area, found.t_wave
    (3, 10, 360, -4)
    """
    deflection = segment - int(np.sort(segment[BASELINE])[3])
    qrs = np.abs(deflection[QRS])
    largest = int(qrs.max())
    high = np.flatnonzero(2 * qrs >= largest)
    steepest = int(np.abs(np.diff(segment[QRS])).max())
    t_wave = deflection[T_WAVE]
    t_peak = int(t_wave[np.abs(t_wave).argmax()])
    points_down = deflection[QRS][qrs.argmax()] < 0
    t_steps = 16 * abs(t_peak) // max(1, largest)
    return Measures(
        width=min(BINS - 1, int(high[-1] - high[0]) + 1),
        steepness=min(BINS - 1, 32 * steepest // max(1, largest)),
        area=int(np.abs(deflection[AREA]).sum()),
        t_wave=-t_steps if (t_peak < 0) != points_down else t_steps,
        p_wave=segment[P_WAVE],
    )


class UsualBeat:
    """Means of the measures of one cluster's beats.

    Attributes:
        area, t_wave: times 2^FRACTION.
        p_wave: int64 `[P_LENGTH]`, times `P_SCALE`.
    """

    def __init__(self, first: Measures) -> None:
        self.area, self.t_wave = first.area << FRACTION, first.t_wave << FRACTION
        self.p_wave = P_SCALE * first.p_wave[P_SHIFT : P_SHIFT + P_LENGTH]

    def compare(self, beat: Measures) -> tuple[int, int, int]:
        """Bins of `qrs_area`, `t_wave` and `p_wave` of a beat."""
        area = (8 * beat.area << FRACTION) // max(1, self.area)
        t_wave = MIDDLE + beat.t_wave - (self.t_wave >> FRACTION)
        p_wave = (best_correlation(beat.p_wave, self.p_wave)[0] + 256) >> 4
        return min(BINS - 1, area), max(0, min(BINS - 1, t_wave)), min(BINS - 1, p_wave)

    def add(self, beat: Measures) -> None:
        """Move towards a beat of the cluster."""
        self.area += ((beat.area << FRACTION) - self.area) >> MEMORY
        self.t_wave += ((beat.t_wave << FRACTION) - self.t_wave) >> MEMORY
        own = P_SCALE * beat.p_wave[P_SHIFT : P_SHIFT + P_LENGTH]
        self.p_wave += (own - self.p_wave) >> MEMORY
