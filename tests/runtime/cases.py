"""ECG-like counts, and a whole-recording oracle that shares no code with the stream."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from beatlens.integer.simulate import simulate
from beatlens.integer.tflite_read import read_tflite
from beatlens.runtime.bundle import Bundle
from beatlens.runtime.finding import Finding
from beatlens.runtime.stream import Stream
from beatlens.signals.frontend import FrontEnd
from beatlens.tasks.windows.rule import WindowRule, build_rule

RATE = 360
GAIN = 200.0
TITLES = {
    "pvc": "premature ventricular beat",
    "sve": "supraventricular ectopic beat",
    "afib": "atrial fibrillation or flutter",
    "bbb": "bundle branch block",
}


def window_rule(tflite: bytes, thresholds: Mapping[str, float] | None = None) -> WindowRule:
    """The rule of windows, with thresholds of 0.5 for the classes of `TITLES` if not given."""
    chosen = dict.fromkeys(TITLES, 0.5) if thresholds is None else thresholds
    return build_rule(read_tflite(tflite), chosen)


def ecg_counts(seconds: float, rate_hz: int = RATE, seed: int = 0) -> np.ndarray:
    """Spikes about once a second on a wandering baseline with noise, int16 at 200 counts/mV."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    beats = np.cumsum(rng.uniform(0.5, 1.2, math.ceil(seconds / 0.5) + 1))
    phase = t - beats[np.clip(np.searchsorted(beats, t), 0, len(beats) - 1)]
    millivolts = 1.3 * np.exp(-((phase / 0.02) ** 2)) + 0.2 * np.exp(-(((phase + 0.2) / 0.05) ** 2))
    millivolts += 0.3 * np.sin(0.7 * t) + rng.normal(0, 0.03, len(t))
    return np.round(millivolts * GAIN).astype(np.int16)


def whole_columns(bundle: Bundle, counts: np.ndarray, rate_hz: int = RATE) -> np.ndarray:
    """Evidence int8 `[T, C]` of a whole recording, in one run of the simulator."""
    x = FrontEnd(rate_hz, GAIN).run(counts).x
    geometry = bundle.geometry
    columns = len(x) // geometry.stride
    start = -geometry.left
    index = np.arange(start, start + geometry.input_length(columns))
    padded = x[np.clip(index, 0, len(x) - 1)]
    graph = read_tflite(bundle.tflite).with_input_length(len(padded))
    return simulate(graph, padded[None, :, None])["evidence"][0]


@dataclass(frozen=True)
class Decision:
    """What the oracle says of one span."""

    start_s: float
    evidence: np.ndarray
    probabilities: list[float]


def whole_decisions(
    bundle: Bundle, counts: np.ndarray, rate_hz: int = RATE, hop: int = 16
) -> list[Decision]:
    """The decisions on all spans of a recording of good quality."""
    evidence = whole_columns(bundle, counts, rate_hz)
    span, q = bundle.span_columns, bundle.tensors["evidence"]
    found = []
    for start in range(0, len(evidence) - span + 1, hop):
        part = evidence[start : start + span].astype(int)
        logits = q.scale * (part.sum(axis=0) / span - q.zero_point)
        real = (part.astype(np.float32) - np.float32(q.zero_point)) * np.float32(q.scale)
        found.append(
            Decision(
                start * bundle.geometry.stride / 128, real.T, (1 / (1 + np.exp(-logits))).tolist()
            )
        )
    return found


def assert_same(found: list[Finding], expected: list[Finding]) -> None:
    """Equal findings, bit for bit."""
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        for name in ("start_s", "end_s", "assessable", "quality_notes", "quality", "warnings"):
            assert getattr(a, name) == getattr(b, name), name
        assert a.probabilities == b.probabilities
        assert a.predicted == b.predicted
        for name in ("evidence", "usable", "padded"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


def run(stream: Stream, pieces: Iterable[Any]) -> list[Finding]:
    """Push pieces (arrays) and gaps (numbers); all findings."""
    found = []
    for piece in pieces:
        found += stream.gap(piece) if isinstance(piece, int) else stream.push(piece)
    return found + stream.flush()


def touching(findings: list[Finding], start_s: float, end_s: float) -> list[Finding]:
    """Those whose span overlaps start_s..end_s."""
    return [f for f in findings if f.start_s < end_s and f.end_s > start_s]
