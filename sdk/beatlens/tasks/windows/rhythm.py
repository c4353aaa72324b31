"""Lookup tables of the rhythm, as a recipe of windows sets them.

Sinus rhythm with premature beats is irregular, and a network that sees ten seconds calls it atrial
fibrillation. So a recipe may set what regular RR intervals add to a class's score, a negative
number for fibrillation: `WindowClass.regular` where intervals are alike once early beats and their
pauses are left out, `WindowClass.alternating` where every second one is. That is set, not trained:
databases with many premature beats have no labels of the rhythm.

>>> from beatlens.tasks.windows.recipe import WindowClass
>>> classes = {"afib": WindowClass(rhythms=["AFIB"], regular=-4.0, alternating=-2.0)}
>>> tables = build_tables(classes)
>>> tables[FEATURES.index("sinus_irregularity"), [0, 8, 12, 16, 31], 0].tolist()
[-4.0, -4.0, -2.0, 0.0, 0.0]
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from beatlens.signals.rhythm_features import FEATURES
from beatlens.signals.rr_features import BINS
from beatlens.tasks.windows.recipe import WindowClass

REGULAR = 8, 16
"""Steps of `sinus_irregularity`, 3.1 and 6.3 %: up to the first one RR intervals are regular, from
the second one on as irregular as in atrial fibrillation; in between proportionally."""
ALTERNATING = 6, 12
"""Likewise of `alternate_irregularity`: 2.3 and 4.7 %."""


def build_tables(classes: Mapping[str, WindowClass]) -> NDArray[np.float64] | None:
    """Tables `[2, BINS, C]` in logits; None where no class sets anything."""
    regular = [one.regular for one in classes.values()]
    alternating = [one.alternating for one in classes.values()]
    if not any(regular) and not any(alternating):
        return None
    tables = np.zeros((len(FEATURES), BINS, len(classes)))
    tables[FEATURES.index("sinus_irregularity")] = np.outer(_share(*REGULAR), regular)
    tables[FEATURES.index("alternate_irregularity")] = np.outer(_share(*ALTERNATING), alternating)
    return tables


def add_up(
    tables: NDArray[np.floating] | None, rhythm: NDArray[np.integer] | None
) -> NDArray[np.float64] | None:
    """What tables `[2, BINS, C]` add in windows with the features `[S, 2]`: `[S, C]`."""
    if tables is None or rhythm is None:
        return None
    return np.asarray(tables[np.arange(len(FEATURES)), rhythm].sum(axis=1), np.float64)


def _share(regular: int, irregular: int) -> NDArray[np.float64]:
    """1 in regular steps, 0 in irregular ones, `[BINS]`."""
    return np.clip((irregular - np.arange(BINS)) / (irregular - regular), 0, 1)
