"""`beatlens.stream`: samples in, findings out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from beatlens.runtime.bundle import Bundle
from beatlens.runtime.stream import Stream


def stream(
    bundle: Bundle | Path | str, rate_hz: int, counts_per_mv: float | None = None, **options: Any
) -> Stream:
    """A stream of one lead of one sensor, for a model of any kind of span.

    Args:
        bundle: the model, its folder, or the name of a released one.
        rate_hz: the sensor's rate.
        counts_per_mv: its gain, for integer counts (`push`); None for samples in millivolt
            (`push_millivolts`).
        options: `rails`, `hop_s`, `engine`, `limits` of `Bundle.stream`.

    Raises:
        ModelError: there is no such model, or no interpreter is installed.
        SignalError: rate, gain or rails are not supported.

    >>> import numpy as np
    >>> from beatlens.signals.simulate import simulate_patient
    >>> counts = simulate_patient(seed=1, duration_s=30).recording.counts[0]
    >>> beats = stream("beats", rate_hz=360, counts_per_mv=200, engine="simulator")
    >>> findings = [*beats.push(counts), *beats.flush()]
    >>> {finding.predicted for finding in findings} <= {("n",), ("s",), ("v",), ("f",), ()}
    True
    """
    model = bundle if isinstance(bundle, Bundle) else Bundle.load(bundle)
    return model.stream(rate_hz, counts_per_mv, **options)
