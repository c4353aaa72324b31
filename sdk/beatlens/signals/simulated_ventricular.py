"""Shapes of simulated wide beats: ventricular ones, bundle branch block, and their fusion.

A wide QRS is one of `PATTERNS`, sums of two or three Gaussian waves of drawn heights, stretched to
120-200 ms (see `simulated_beats` on durations). Its T wave is discordant in nine of ten shapes and
up to three quarters as high, as in recorded ventricular runs, where QRS and T often make one swing.

>>> import numpy as np
>>> qrs, t = draw_ventricular(np.random.default_rng(1), sinus_mv=1.0)
>>> 0.11 < qrs.offset - qrs.onset < 0.21, t.height.size
(True, 1)
"""

from __future__ import annotations

import numpy as np

from beatlens.signals.simulated_beats import Waves, render, waves

Row = tuple[tuple[float, float], float, tuple[float, float]]
"""Range of heights, centre, range of widths; the largest wave is 1 high, the QRS 1 long."""

PATTERNS: dict[str, tuple[Row, ...]] = {
    "R": (((1, 1), 0.0, (0.15, 0.21)), ((0.0, 0.4), -0.26, (0.07, 0.11))),
    "notched R": (((0.7, 1.0), -0.15, (0.11, 0.15)), ((0.6, 1.0), 0.17, (0.11, 0.15))),
    "Rs": (((1, 1), -0.11, (0.11, 0.15)), ((-0.9, -0.3), 0.25, (0.08, 0.12))),
    "qR": (((-0.5, -0.15), -0.30, (0.06, 0.10)), ((1, 1), 0.08, (0.12, 0.16))),
    "RSR": (
        ((0.4, 0.9), -0.29, (0.07, 0.10)),
        ((-0.7, -0.2), -0.03, (0.06, 0.09)),
        ((0.8, 1.0), 0.23, (0.09, 0.13)),
    ),
    "QS": (((-1, -1), 0.0, (0.15, 0.21)), ((-0.4, 0.0), 0.26, (0.07, 0.11))),
    "notched QS": (((-1.0, -0.7), -0.15, (0.11, 0.15)), ((-1.0, -0.6), 0.17, (0.11, 0.15))),
    "rS": (((0.1, 0.6), -0.29, (0.06, 0.10)), ((-1, -1), 0.06, (0.12, 0.16))),
}
"""Patterns of wide QRS complexes in one lead."""

_DISCORDANT = 0.9
_LARGEST_MV, _SMALLEST_MV = 5.0, 0.3


def draw_ventricular(
    rng: np.random.Generator,
    sinus_mv: float,
    gain: tuple[float, float] = (0.5, 3.0),
    duration_s: tuple[float, float] = (0.12, 0.20),
) -> tuple[Waves, Waves]:
    """Draw a wide QRS complex and its T wave.

    Args:
        rng: where they are drawn from.
        sinus_mv: height of the patient's sinus beats.
        gain: range of the height over that of sinus beats, drawn evenly on a logarithmic scale; 0.3
            to 5 mV remain.
        duration_s: range of the duration.

    Returns:
        QRS with its largest deflection at 0 s; T centred on 0 s, as `Shapes.t` has it.
    """
    draw = rng.uniform
    rows = PATTERNS[str(rng.choice(list(PATTERNS)))]
    shape = waves(
        *((draw(*height), centre + draw(-0.03, 0.03), draw(*width), draw(*width))
          for height, centre, width in rows)
    )  # fmt: skip
    shape = shape.stretched(draw(*duration_s) / (shape.offset - shape.onset))
    height = float(np.clip(sinus_mv * np.exp(draw(*np.log(gain))), _SMALLEST_MV, _LARGEST_MV))
    shape = shape._replace(centre=shape.centre - shape.peak)
    shape = scaled(shape, height / height_mv(shape))
    area = float(np.sign(np.dot(shape.height, shape.left + shape.right)))
    against = -area * height * draw(0.2, 0.75)
    if rng.random() > _DISCORDANT:
        against *= -0.4
    return shape, waves((against, 0.0, draw(0.055, 0.095), draw(0.038, 0.060)))


def fuse(narrow: Waves, wide: Waves, share: float) -> Waves:
    """A fusion of two complexes (or of their T waves): `share` of the wide one, the rest narrow.

    >>> fuse(waves((1.0, 0.0, 0.01, 0.01)), waves((-2.0, 0.0, 0.03, 0.03)), 0.5).height.tolist()
    [0.5, -1.0]
    """
    parts = zip(scaled(narrow, 1 - share), scaled(wide, share), strict=True)
    return Waves(*(np.concatenate(columns) for columns in parts))


def scaled(shape: Waves, factor: float) -> Waves:
    """The same waves, `factor` times as high."""
    return shape._replace(height=factor * shape.height)


def height_mv(shape: Waves) -> float:
    """Size of the largest deflection, mV."""
    moved = shape._replace(centre=shape.centre - shape.onset)
    length = max(round(1000 * (shape.offset - shape.onset)), 1)
    return float(np.abs(render(moved, length, 1000)).max())
