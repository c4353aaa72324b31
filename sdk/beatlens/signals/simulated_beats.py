"""Shapes of simulated heart beats in lead II: sums of Gaussian waves, drawn anew for each patient.

A beat is a sum of Gaussian waves around its R peak, as in P. E. McSharry, G. D. Clifford, L.
Tarassenko and L. A. Smith, "A dynamical model for generating synthetic electrocardiogram
signals", IEEE Trans. Biomed. Eng. 50 (2003) 289-294. Each wave has its own width on either side
(a T wave rises slower than it falls), and P and wide QRS complexes are sums of two or more, which
gives notches.

A wave is taken to last from 2.25 widths before to 2.25 widths after its centre: there it has 8 %
of its height. Durations of drawn shapes follow the textbook: P 80-110 ms, PR 120-200 ms, QRS
80-100 ms, with bundle branch block 120-160 ms, of ventricular beats 140-200 ms.

>>> import numpy as np
>>> wave = Waves(*(np.array([v]) for v in (1.0, 0.5, 0.01, 0.01)))
>>> signal = render(wave, samples=360, rate_hz=360)
>>> int(signal.argmax()), round(float(signal.max()), 3)
(180, 1.0)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

REACH = 2.25
"""A wave's visible half duration in units of its width."""

_RENDERED = 4.0  # widths a wave is rendered to: what is cut off is 0.03 % of its height
_CHUNK = 4096  # waves rendered at once: bounds memory on long recordings

NARROW_QRS_S = 0.09
"""QRS duration for which a patient's QTc holds; what is wider lengthens QT by the difference."""


class Waves(NamedTuple):
    """Gaussian waves, one entry each: height in mV; centre and widths (sigma) in s."""

    height: Floats
    centre: Floats
    left: Floats
    right: Floats

    @property
    def onset(self) -> float:
        """Where the first wave begins, s."""
        return float((self.centre - REACH * self.left).min())

    @property
    def offset(self) -> float:
        """Where the last wave ends, s."""
        return float((self.centre + REACH * self.right).max())

    @property
    def peak(self) -> float:
        """Where the largest deflection is, to the millisecond, s."""
        first = round(1000 * self.onset)
        moved = self._replace(centre=self.centre - first / 1000)
        length = round(1000 * (self.offset - self.onset))
        return (first + int(np.abs(render(moved, length, 1000)).argmax())) / 1000

    def stretched(self, factor: float) -> Waves:
        """Return the same waves with all times multiplied by `factor`."""
        return Waves(self.height, *(factor * times for times in self[1:]))

    def repeated(self, times: Floats, gains: Floats | float = 1.0) -> Waves:
        """Return a copy at each of `times` (s), heights multiplied by `gains`: all in one."""
        gains = np.broadcast_to(gains, times.shape)
        return Waves(
            np.outer(gains, self.height).ravel(),
            np.add.outer(times, self.centre).ravel(),
            np.tile(self.left, times.size),
            np.tile(self.right, times.size),
        )


def waves(*rows: tuple[float, float, float, float]) -> Waves:
    """Return waves from rows of (height mV, centre s, left width s, right width s)."""
    table = np.array(rows, dtype=np.float64).reshape(-1, 4)
    return Waves(*table.T.copy())


def together(parts: list[Waves]) -> Waves:
    """Return all waves of all parts."""
    return Waves(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def render(shape: Waves, samples: int, rate_hz: int) -> Floats:
    """Sum the waves at sample times `0, 1/rate, ...`: mV, float64 [samples]."""
    signal = np.zeros(samples)
    for first in range(0, shape.height.size, _CHUNK):
        height, centre, left, right = (column[first : first + _CHUNK, None] for column in shape)
        reach = int(np.ceil(_RENDERED * max(left.max(), right.max()) * rate_hz))
        index = np.rint(centre * rate_hz).astype(np.int64) + np.arange(-reach, reach + 1)
        away = index / rate_hz - centre
        value = height * np.exp(-0.5 * (away / np.where(away < 0, left, right)) ** 2)
        inside = (index >= 0) & (index < samples)
        signal += np.bincount(index[inside], weights=value[inside], minlength=samples)
    return signal


@dataclass(frozen=True)
class Shapes:
    """How one patient's beats look in lead II.

    Attributes
    ----------
    p, early_p: the P wave of a sinus beat and of a premature atrial beat, centred on 0 s.
    pr_s, early_pr_s: start of P to start of QRS for the two.
    qrs: QRS complex by name: `"narrow"`, `"lbbb"`, `"rbbb"`, `"pvc"`; the R peak, or the largest
        deflection, is near 0 s.
    t: T wave by the name of the QRS complex before it, centred on 0 s, for a QT of 0.36 s.
    qtc_s: QT of a narrow beat at 60 beats per minute.
    """

    p: Waves
    early_p: Waves
    pr_s: float
    early_pr_s: float
    qrs: dict[str, Waves]
    t: dict[str, Waves]
    qtc_s: float

    def p_centre(self, qrs: str, early: bool) -> float:
        """Centre of the P wave in s, relative to the R peak."""
        p, pr = (self.early_p, self.early_pr_s) if early else (self.p, self.pr_s)
        return self.qrs[qrs].onset - pr - p.onset

    def t_waves(self, qrs: str, times: Floats, mean_rr: Floats) -> Waves:
        """T waves of beats at `times` whose recent RR intervals had the mean `mean_rr` (both s).

        QT follows the square root of RR (H. C. Bazett, Heart 7 (1920) 353-370), and grows by what
        the QRS complex is wider than a narrow one.
        """
        complex_, shape = self.qrs[qrs], self.t[qrs]
        wider = complex_.offset - complex_.onset - NARROW_QRS_S
        qt = self.qtc_s * np.sqrt(mean_rr) + max(wider, 0.0)
        scale = np.clip(qt / 0.36, 0.8, 1.25)
        ends = times + complex_.onset + qt
        return Waves(
            np.repeat(shape.height, times.size),
            ends - REACH * shape.right * scale,
            shape.left * scale,
            shape.right * scale,
        )


def draw_shapes(rng: np.random.Generator) -> Shapes:
    """Draw the shapes of one patient."""
    draw = rng.uniform
    r = draw(0.7, 1.7)
    narrow = _lasting(
        waves(
            (-r * draw(0.06, 0.14), -0.027, 0.007, 0.007),
            (r, 0.0, 0.0105, 0.0105),
            (-r * draw(0.10, 0.30), 0.028, 0.008, 0.009),
        ),
        draw(0.082, 0.098),
    )
    rbbb = _lasting(
        waves(
            (-r * draw(0.06, 0.12), -0.027, 0.007, 0.007),
            (r * draw(0.8, 1.0), 0.0, 0.0105, 0.012),
            (-r * draw(0.30, 0.45), 0.046, 0.014, 0.022),
        ),
        draw(0.124, 0.148),
    )
    lbbb = _lasting(
        waves(
            (r * draw(0.60, 0.75), -0.020, 0.016, 0.016),
            (r * draw(0.70, 0.90), 0.027, 0.017, 0.017),
            (r * draw(0.15, 0.30), 0.058, 0.018, 0.020),
        ),
        draw(0.130, 0.160),
    )
    pvc = _draw_ventricular(rng)
    p_height, t_height = draw(0.09, 0.19), r * draw(0.16, 0.30)
    p = _lasting(
        waves((p_height, -0.014, 0.016, 0.016), (p_height * draw(0.6, 0.95), 0.015, 0.017, 0.017)),
        draw(0.084, 0.108),
    )
    # An ectopic focus low in the atrium inverts P in lead II, a high one flattens it.
    early_gain = -draw(0.6, 1.0) if rng.random() < 0.5 else draw(0.35, 0.65)
    early_p = Waves(p.height * early_gain, *p.stretched(draw(0.82, 0.95))[1:])
    # Where the ventricles are activated late, they recover in the opposite direction.
    pvc_area = float(np.sign(np.dot(pvc.height, pvc.left + pvc.right)))
    t = {
        "narrow": waves((t_height, 0.0, 0.052, 0.036)),
        "rbbb": waves((t_height, 0.0, 0.052, 0.036)),
        "lbbb": waves((-r * draw(0.18, 0.32), 0.0, 0.055, 0.036)),
        "pvc": waves((-pvc_area * np.abs(pvc.height).max() * draw(0.24, 0.38), 0.0, 0.062, 0.042)),
    }
    qrs = {"narrow": narrow, "lbbb": lbbb, "rbbb": rbbb, "pvc": pvc}
    return Shapes(p, early_p, draw(0.13, 0.19), draw(0.12, 0.17), qrs, t, draw(0.385, 0.43))


def _draw_ventricular(rng: np.random.Generator) -> Waves:
    """Draw a ventricular QRS: upright from a focus near the outflow tract, else negative."""
    draw = rng.uniform
    height = draw(1.1, 2.1)
    if rng.random() < 0.55:
        shape = waves(
            (height * draw(0.20, 0.45), -0.045, 0.018, 0.020),
            (height, 0.0, 0.026, 0.028),
            (height * draw(0.15, 0.40), 0.048, 0.020, 0.022),
        )
    else:
        shape = waves(
            (height * draw(0.08, 0.25), -0.062, 0.013, 0.013),
            (-height, 0.0, 0.026, 0.026),
            (-height * draw(0.15, 0.45), 0.045, 0.020, 0.024),
        )
    return _lasting(shape, draw(0.145, 0.19))


def _lasting(shape: Waves, duration_s: float) -> Waves:
    return shape.stretched(duration_s / (shape.offset - shape.onset))


def running_mean(rr: Floats) -> Floats:
    """Mean RR that QT follows: it adapts to a new rate within some ten beats, not at once."""
    mean = np.empty_like(rr)
    value = float(np.median(rr)) if rr.size else 0.0
    for i, interval in enumerate(rr):
        value += 0.12 * (float(interval) - value)
        mean[i] = value
    return mean
