"""A bundle that decides on whole recordings, and an oracle that shares no code with its stream."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from math import gcd
from pathlib import Path
from typing import Any

import numpy as np

from beatlens.calibration import Calibration
from beatlens.integer.simulate import simulate
from beatlens.integer.tflite_read import read_tflite
from beatlens.runtime.bundle import Bundle
from beatlens.runtime.finding import Finding
from beatlens.runtime.stream import Stream
from beatlens.signals.frontend import FrontEnd
from beatlens.signals.qrs import detect_qrs
from beatlens.signals.rr_features import BINS, FEATURES, rr_features
from beatlens.tasks.recordings.rule import RecordingRule
from beatlens.tasks.registry import default_recipe

from .cases import GAIN, RATE
from .conftest import export

RECIPE = default_recipe("recordings")
CLASSES = RECIPE.classes
OFFSETS = (0.0, 0.2, -0.1, 0.05)


def random_rule(scale: float, seed: int = 7) -> RecordingRule:
    """Tables that matter as much as the evidence of a network with random weights."""
    rng = np.random.default_rng(seed)
    tables = rng.normal(0, 8 * scale, (len(FEATURES), BINS, len(CLASSES)))
    calibration = Calibration(1.3, np.array([0.0, 0.4, -0.2, 0.1]))
    return RecordingRule.from_logits(tables, np.array(OFFSETS), scale, calibration)


def make_recording_bundle(folder: Path, kind: str = "dense", **changes: Any) -> Bundle:
    """Write a bundle with random weights and a random rule."""
    tflite, windows = export(kind)
    graph = read_tflite(tflite)
    scale = graph.tensors[graph.outputs["evidence"]].quantization.scale
    options = {"kind": "recordings", "rule": random_rule(scale), "classes": RECIPE.titles} | changes
    return Bundle.create(
        folder, name=f"tiny-whole-{kind}", tflite=tflite, golden_inputs=windows[:2], **options
    )


@dataclass(frozen=True)
class Expected:
    """What the oracle says: evidence int8 `[C, T]`, where it is, beats and the exact scores."""

    evidence: np.ndarray
    there: np.ndarray
    peaks: list[int]
    features: np.ndarray
    scores: list[Fraction]
    without: list[Fraction]

    @property
    def class_name(self) -> str:
        return CLASSES[self.scores.index(max(self.scores))]


def expected_of(
    bundle: Bundle, pieces: Iterable[Any], rate_hz: int = RATE, gain: float = GAIN
) -> Expected:
    """The decision on pieces (counts) and gaps (numbers), each segment in one run.

    Scores are means of fractions, in steps of evidence; `without` leaves the offsets out.
    """
    rule, stride, classes = bundle.rule, bundle.geometry.stride, len(bundle.classes)
    columns: dict[int, np.ndarray] = {}
    peaks: list[int] = []
    features: list[np.ndarray] = []
    at = 0
    for counts, ended in _stretches(pieces):
        if isinstance(counts, int):
            at += counts
            continue
        grid = stride * rate_hz // gcd(128, stride * rate_hz)  # counts from column to column, whole
        skip = min(-at % grid, len(counts))
        first, kept = (at + skip) * 128 // (rate_hz * stride), counts[skip:]
        at += len(counts)
        if not len(kept):
            continue
        x = FrontEnd(rate_hz, gain).run(kept).x
        total = len(x) // stride if ended else at * 128 // (rate_hz * stride) - first
        if total > 0:
            for number, column in enumerate(_columns(bundle, x, total)):
                columns[first + number] = column
        found = detect_qrs(x)
        peaks += [first * stride + int(peak) for peak in found]
        features += list(rr_features(found))
    last = max([at * 128 // (rate_hz * stride), *(1 + c for c in columns)])
    evidence = np.zeros((classes, last), np.int8)
    there = np.zeros(last, bool)
    for number, column in columns.items():
        evidence[:, number], there[number] = column, True
    without = [
        Fraction(sum(int(c[k]) for c in columns.values()), max(1, len(columns)))
        + sum((Fraction(int(rule.tables[i, step, k]), 64) for beat in features
               for i, step in enumerate(beat)), Fraction(0)) / max(1, len(features))
        for k in range(classes)
    ]  # fmt: skip
    scores = [s + Fraction(int(o), 64) for s, o in zip(without, rule.offsets, strict=True)]
    return Expected(evidence, there, peaks, np.array(features).reshape(-1, 6), scores, without)


def _stretches(pieces: Iterable[Any]) -> list[tuple[Any, bool]]:
    """Consecutive counts joined, consecutive gaps too; whether the recording ends with it."""
    joined: list[Any] = []
    for piece in pieces:
        size = piece if isinstance(piece, int) else len(piece)
        if not size:
            continue
        if joined and isinstance(joined[-1], int) == isinstance(piece, int):
            joined[-1] = (
                joined[-1] + piece
                if isinstance(piece, int)
                else np.concatenate([joined[-1], piece])
            )
        else:
            joined.append(piece)
    return [(piece, number == len(joined) - 1) for number, piece in enumerate(joined)]


def _columns(bundle: Bundle, x: np.ndarray, total: int) -> np.ndarray:
    geometry = bundle.geometry
    index = np.arange(-geometry.left, -geometry.left + geometry.input_length(total))
    padded = x[np.clip(index, 0, len(x) - 1)]
    graph = read_tflite(bundle.tflite).with_input_length(len(padded))
    return simulate(graph, padded[None, :, None])["evidence"][0]


def explain_whole(bundle: Bundle, *recording: Any, **options: Any) -> Finding:
    """The one finding on a recording."""
    (found,) = bundle.explain(*recording, **options)
    return found


def run(stream: Stream, pieces: Iterable[Any]) -> list[Finding]:
    """Push pieces (arrays) and gaps (numbers); nothing may come before the end."""
    for piece in pieces:
        early = stream.gap(piece) if isinstance(piece, int) else stream.push(piece)
        assert early == []
    return stream.flush()


def assert_same(found: Finding, other: Finding) -> None:
    """Equal findings, bit for bit."""
    for name in ("start_s", "end_s", "assessable", "quality_notes", "quality", "shares", "warnings",
                 "predicted", "probabilities", "classes", "features"):  # fmt: skip
        assert getattr(found, name) == getattr(other, name), name
    for name in ("evidence", "present", "beat_times_s", "feature_contributions", "constants"):
        np.testing.assert_array_equal(getattr(found, name), getattr(other, name), err_msg=name)
