"""A recording of given counts, without files."""

from __future__ import annotations

import numpy as np

from beatlens.signals.recording import Recording


def make_recording(counts: np.ndarray, missing: np.ndarray | None = None) -> Recording:
    """Counts of lead MLII at 360 Hz, 200 a millivolt, beside a flat lead V1."""
    return Recording(
        name="made",
        database="made",
        patient="someone",
        rate_hz=360,
        lead_names=("V1", "MLII"),
        counts=np.stack([np.zeros_like(counts), counts]).astype(np.int32),
        counts_per_mv=(100.0, 200.0),
        rails=((-1024, 1023), (-1024, 1023)),
        missing=None if missing is None else np.stack([np.zeros_like(missing), missing]),
    )
