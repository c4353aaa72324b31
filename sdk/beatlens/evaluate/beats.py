"""Runs networks over whole recordings and measures what they say of beats, after EC57.

A `BeatRun` is what one network said of the beats of some recordings: logits without offsets. What
wins, after offsets that are chosen on validation patients, is compared with the annotations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from beatlens.calibration import Calibration
from beatlens.evaluate.bootstrap import interval, ratio_statistic
from beatlens.evaluate.calibration import fitted_calibration
from beatlens.evaluate.ec57 import BeatCounts, Rate
from beatlens.evaluate.strips import Explaining
from beatlens.geometry import Geometry, beat_columns
from beatlens.integer.graph import IntegerGraph
from beatlens.integer.litert import Kernels, run_litert
from beatlens.integer.tflite_write import write_tflite
from beatlens.tasks.beats.labels import AFTER, BEFORE, BeatTrack
from beatlens.tasks.beats.rule import BeatRule
from beatlens.tasks.beats.sampling import CROP_SPAN
from beatlens.tasks.windows.labels import to_millivolts

Windows = NDArray[np.int8]
RunWindows = Callable[[Windows], NDArray[Any]]
BATCH = 64
MEASURES = ("qrs", "veb", "sveb")
CLOSE_SHARE, UNFAMILIAR_SHARE = 0.05, 0.01
"""Of right decisions on validation patients that get a warning."""


def recording_evidence(run: RunWindows, geometry: Geometry, x: NDArray[np.int8]) -> NDArray[Any]:
    """Evidence `[C, T]` of a whole recording, its edges held, in windows of `CROP_SPAN` samples.

    Args:
        run: takes windows int8 `[W, N]`, gives evidence `[W, C, CROP_SPAN / stride]`.
        geometry: of the network.
        x: int8 `[n]`.
    """
    columns = len(x) // geometry.stride
    windows = -(-columns * geometry.stride // CROP_SPAN)
    right = geometry.right + windows * CROP_SPAN - len(x)
    padded = np.pad(x, (geometry.left, max(0, right)), mode="edge")
    length = CROP_SPAN + geometry.left + geometry.right
    cut = np.lib.stride_tricks.sliding_window_view(padded, length)[::CROP_SPAN][:windows]
    parts = [run(np.ascontiguousarray(cut[i : i + BATCH])) for i in range(0, windows, BATCH)]
    evidence = np.concatenate(parts).transpose(1, 0, 2)
    return np.ascontiguousarray(evidence.reshape(len(evidence), -1)[:, :columns])


def network_windows(net: Explaining) -> RunWindows:
    """Evidence float32 of a torch network, in `eval()` mode."""

    @torch.no_grad()
    def run(windows: Windows) -> NDArray[Any]:
        found = net.evidence(torch.from_numpy(to_millivolts(windows)).unsqueeze(1))
        return np.asarray(found.float().numpy())

    return run


def integer_windows(graph: IntegerGraph, kernels: Kernels = "reference") -> RunWindows:
    """Evidence int8 of an int8 model of `CROP_SPAN` samples, run by LiteRT itself."""
    model = write_tflite(graph)

    def run(windows: Windows) -> NDArray[Any]:
        return run_litert(model, windows[:, :, None], kernels)["evidence"].transpose(0, 2, 1)

    return run


@dataclass(frozen=True)
class BeatRun:
    """What a network said of recordings, one entry per track.

    Args:
        tracks: the recordings.
        evidence: `[C, T]` in logit units.
        logits: float64 `[b, C]`: mean evidence of each beat's span plus its contexts' worth.
    """

    tracks: Sequence[BeatTrack]
    evidence: Sequence[NDArray[np.float32]]
    logits: Sequence[NDArray[np.float64]]

    def beats(self) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.str_]]:
        """Logits, labels and databases of all beats whose class is known."""
        labels = np.concatenate([track.labels for track in self.tracks])
        databases = [np.full(len(track.labels), track.database) for track in self.tracks]
        known = labels >= 0
        return np.concatenate(self.logits)[known], labels[known], np.concatenate(databases)[known]


def run_beats(
    net: Explaining, tables: NDArray[np.floating], tracks: Sequence[BeatTrack]
) -> BeatRun:
    """Run a torch network, float or fake-quantised, with lookup tables `[8, BINS, C]`."""
    stride = net.geometry.stride
    evidence, logits = [], []
    for track in tracks:
        found = recording_evidence(network_windows(net), net.geometry, track.x)
        evidence.append(found)
        means = beat_means(found, track.peaks, stride)
        logits.append(means + sum(t[track.contexts[:, i]] for i, t in enumerate(tables)))
    return BeatRun(tracks, evidence, logits)


def run_graph(
    run: RunWindows,
    graph: IntegerGraph,
    geometry: Geometry,
    tables: NDArray[np.floating],
    tracks: Sequence[BeatTrack],
) -> BeatRun:
    """As `run_beats`, of an int8 model as it is shipped; see `integer_windows`.

    Gives what `run_beats` gives of the network before it was exported, up to the rounding of
    floats.
    """
    quantization = graph.tensors[graph.outputs["evidence"]].quantization
    evidence, logits = [], []
    for track in tracks:
        steps = recording_evidence(run, geometry, track.x).astype(np.float32)
        found = (steps - np.float32(quantization.zero_point)) * np.float32(quantization.scale)
        evidence.append(found)
        means = beat_means(found, track.peaks, geometry.stride)
        logits.append(means + sum(t[track.contexts[:, i]] for i, t in enumerate(tables)))
    return BeatRun(tracks, evidence, logits)


def beat_means(
    evidence: NDArray[np.floating], peaks: NDArray[np.int64], stride: int
) -> NDArray[np.float64]:
    """Mean evidence `[b, C]` over the beats' spans, of evidence `[C, T]`."""
    before, after = BEFORE // stride, AFTER // stride
    first = beat_columns(peaks, stride, before, after, evidence.shape[1])
    upto = np.pad(evidence.astype(np.float64).cumsum(axis=1), ((0, 0), (1, 0)))
    return np.asarray((upto[:, first + before + after] - upto[:, first]).T / (before + after))


def calibrate(run: BeatRun) -> Calibration:
    """Temperature and bias that make the known beats of validation patients likeliest.

    See `beatlens.evaluate.calibration`. Databases count alike.
    """
    logits, labels, databases = run.beats()
    weights = np.zeros(len(labels))
    for name in set(databases):
        weights[databases == name] = 1 / np.sum(databases == name)
    return fitted_calibration(logits, labels, weights)


def choose_doubts(
    run: BeatRun, offsets: NDArray[np.float64], calibration: Calibration
) -> tuple[float, float]:
    """Below which lead a decision is close, and below which score unfamiliar; logit units.

    Those that `CLOSE_SHARE` and `UNFAMILIAR_SHARE` of the right decisions on validation patients
    stay below, the mean over the databases (see `beatlens.tasks.beats.rule.WarningRule`).
    """
    logits, labels, databases = run.beats()
    decided = (logits + offsets).argmax(axis=1)
    likely = logits + calibration.temperature * calibration.bias
    rows = np.arange(len(labels))
    mine = likely[rows, decided]
    likely[rows, decided] = -np.inf
    lead, top = mine - likely.max(axis=1), logits.max(axis=1)
    chosen = [(decided == labels) & (databases == name) for name in sorted(set(databases))]
    close = float(np.mean([np.quantile(lead[c], CLOSE_SHARE) for c in chosen]))
    return close, float(np.mean([np.quantile(top[c], UNFAMILIAR_SHARE) for c in chosen]))


def run_integer_beats(
    run: RunWindows,
    graph: IntegerGraph,
    geometry: Geometry,
    rule: BeatRule,
    tracks: Sequence[BeatTrack],
) -> tuple[BeatRun, list[NDArray[np.int64]]]:
    """Run an int8 model; returns what it said, and what it decides, class numbers `[b]` by track.

    Args:
        run: see `integer_windows`.
        graph, geometry: of the model.
        rule: decides, in whole numbers.
        tracks: the recordings.
    """
    quantization = graph.tensors[graph.outputs["evidence"]].quantization
    step = quantization.scale / (rule.before + rule.after)
    evidence, logits, decided = [], [], []
    for track in tracks:
        found = recording_evidence(run, geometry, track.x)
        sums = rule.sums(found, track.peaks, geometry.stride)
        decided.append(rule.decide(sums, track.contexts))
        logits.append(step * rule.scores(sums, track.contexts, offsets=False).astype(float))
        steps = found.astype(np.float32) - np.float32(quantization.zero_point)
        evidence.append(steps * np.float32(quantization.scale))
    return BeatRun(tracks, evidence, logits), decided


def ec57_row(counts: Mapping[str, BeatCounts]) -> dict[str, float]:
    """Gross figures of records in percent with intervals by record, and averages over records.

    Keys: `qrs`, `veb` and `sveb`, each with `_sensitivity` and `_predictivity`; with `_lo`, `_hi`
    after that, and with `average_` before it.
    """
    row: dict[str, float] = {}
    for measure in MEASURES:
        rates: list[Rate] = [getattr(found, measure) for found in counts.values()]
        right = np.array([rate.found for rate in rates])
        for key, rest in (("sensitivity", "missed"), ("predictivity", "wrong")):
            whole = right + [getattr(rate, rest) for rate in rates]
            ends = interval(ratio_statistic(right, whole), np.arange(len(rates)))
            each = [value for rate in rates if not np.isnan(value := getattr(rate, key))]
            average = 100 * float(np.mean(each)) if each else float("nan")
            name = f"{measure}_{key}"
            row |= {name: 100 * ends.estimate, f"{name}_lo": 100 * ends.lo}
            row |= {f"{name}_hi": 100 * ends.hi, f"average_{name}": average}
    return row
