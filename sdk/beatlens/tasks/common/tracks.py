"""From a recording's counts to the samples that a network takes: one lead through the front end."""

from __future__ import annotations

import numpy as np

from beatlens.signals.frontend import LSB_MV, MODEL_RATE_HZ, Conditioned, FrontEnd
from beatlens.signals.recording import Recorded


def condition(recording: Recorded, lead: str, lsb_mv: float = LSB_MV) -> Conditioned:
    """Run the front end over one lead of a recording, piece by piece as it comes.

    Samples that the file marks as missing count as saturated: nothing was measured there. `lsb_mv`
    is the step of the samples, see `FrontEnd`.
    """
    row = recording.lead(lead)
    rails = recording.rails[row]
    stream = FrontEnd(recording.rate_hz, recording.counts_per_mv[row], rails, lsb_mv).stream()
    parts = []
    for counts, missing in recording.pieces(row):
        counts = np.clip(counts, -(1 << 15), (1 << 15) - 1)
        if missing is not None:
            counts = np.where(missing, rails[1], counts)
        parts.append(stream.push(counts))
    return Conditioned.concatenate([*parts, stream.flush()])


def to_model_rate(samples: np.ndarray, rate_hz: int) -> np.ndarray:
    """Sample numbers at `rate_hz` as the nearest sample numbers at 128 Hz, int64."""
    return (np.asarray(samples, np.int64) * (2 * MODEL_RATE_HZ) + rate_hz) // (2 * rate_hz)


def to_millivolts(windows: np.ndarray) -> np.ndarray:
    """int8 front end samples to float32 millivolt."""
    return windows.astype(np.float32) * np.float32(LSB_MV)
