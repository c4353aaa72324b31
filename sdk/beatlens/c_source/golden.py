"""Golden vectors of whole chains as C: the ECG they are of, and their form."""

from __future__ import annotations

from math import ceil

import numpy as np
from numpy.typing import NDArray

from beatlens.c_source.text import CSource, guarded
from beatlens.signals.frontend import MODEL_RATE_HZ, FrontEnd


def golden_counts(
    inputs: NDArray[np.int8], frontend: FrontEnd, seconds: float
) -> NDArray[np.int16]:
    """Counts `[n]` of a sensor: the ECG of a bundle's golden inputs, one behind the other.

    Inputs are samples at 128 Hz, and each is held until the next one, so that the front end's
    filter has steps to smooth. They are repeated where they are shorter than `seconds`.
    """
    wanted = round(seconds * frontend.rate_hz)
    samples = np.resize(inputs, ceil(seconds * MODEL_RATE_HZ))
    millivolts = samples[np.arange(wanted) * MODEL_RATE_HZ // frontend.rate_hz] * frontend.lsb_mv
    counts = np.rint(millivolts * frontend.counts_per_mv)
    return np.asarray(np.clip(counts, *frontend.rails), np.int16)


def golden_source(
    name: str, kind: str, needs: list[str], parts: list[str], include: str
) -> CSource:
    """C that defines `const KIND NAME`, a type of the header `include`, out of parts; it includes
    the headers of what it needs."""
    header = guarded(name, f'#include "{include}"\n', f"extern const {kind} {name};\n")
    includes = "".join(f'#include "{header}.h"\n' for header in (name, *needs))
    return CSource(header, "\n".join([f"/* Made by beatlens. */\n{includes}", *parts]))
