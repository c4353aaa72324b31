"""Wave boundaries of ludb: where P, QRS and T begin, peak and end in one lead."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from beatlens.signals.annotations import Annotations

_PEAKS = {"p": "p", "N": "qrs", "t": "t"}


@dataclass(frozen=True)
class Boundaries:
    """int64 [waves, 3] per kind of wave: onset, peak, end in samples; -1 where not annotated.

    The annotators left out the waves of the first and last cycle of each record.
    """

    p: NDArray[np.int64]
    qrs: NDArray[np.int64]
    t: NDArray[np.int64]


def find_boundaries(annotations: Annotations) -> Boundaries:
    """Group `( p )`, `( N )` and `( t )` into waves.

    An onset belongs to the peak that follows it at once, an end to the peak just before it; a
    bracket that has no peak beside it is left out, as some records have.
    """
    waves: dict[str, list[tuple[int, int, int]]] = {"p": [], "qrs": [], "t": []}
    symbols = ["", *annotations.symbol.tolist(), ""]
    samples = [-1, *annotations.sample.tolist(), -1]
    for at, symbol in enumerate(symbols):
        if symbol in _PEAKS:
            onset = samples[at - 1] if symbols[at - 1] == "(" else -1
            end = samples[at + 1] if symbols[at + 1] == ")" else -1
            waves[_PEAKS[symbol]].append((onset, samples[at], end))
    arrays = {kind: np.array(found, dtype=np.int64).reshape(-1, 3) for kind, found in waves.items()}
    return Boundaries(**arrays)
