"""Runs networks over whole recordings and measures their decisions on beats, after EC57.

A `BeatRun` is one network's evidence and logits, without offsets, on the beats of some recordings.
The largest class, after offsets that are chosen on validation patients, is compared with the
annotations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from beatlens.calibration import Calibration
from beatlens.evaluate.bootstrap import interval, ratio_statistic
from beatlens.evaluate.calibration import fitted_calibration
from beatlens.evaluate.ec57 import BeatCounts, Rate
from beatlens.geometry import Geometry, beat_columns
from beatlens.integer.graph import IntegerGraph
from beatlens.tasks.beats.labels import AFTER, BEFORE, BeatTrack
from beatlens.tasks.beats.rule import BEAT_LIMITS, BeatRule
from beatlens.tasks.common.runs import (
    Explaining,
    RunWindows,
    network_windows,
    recording_evidence,
)

MEASURES = ("qrs", "veb", "sveb")
LOW_MARGIN_SHARE, OUT_OF_DISTRIBUTION_SHARE = 0.05, 0.01
"""Shares of right decisions on validation patients that get a warning."""


@dataclass(frozen=True)
class BeatRun:
    """What a network said of recordings, one entry per track.

    Args:
        tracks: the recordings.
        evidence: `[C, T]` in logit units.
        logits: float64 `[b, C]`: mean evidence of each beat's span plus the contributions of its
            features.
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

    def select(self, places: Sequence[int]) -> BeatRun:
        """The run of some of the recordings, by their places; evidence may be missing of all."""
        return BeatRun(
            [self.tracks[place] for place in places],
            [self.evidence[place] for place in places] if self.evidence else [],
            [self.logits[place] for place in places],
        )


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
        logits.append(means + sum(t[track.features[:, i]] for i, t in enumerate(tables)))
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
        logits.append(means + sum(t[track.features[:, i]] for i, t in enumerate(tables)))
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


def choose_warnings(
    run: BeatRun, offsets: NDArray[np.float64], calibration: Calibration
) -> tuple[float, float]:
    """Below which lead a decision has a low margin, below which score it is out of distribution.

    Those that `LOW_MARGIN_SHARE` and `OUT_OF_DISTRIBUTION_SHARE` of the right decisions on
    validation patients stay below, the mean over the databases (see
    `beatlens.tasks.beats.rule.WarningRule`).
    """
    logits, labels, databases = run.beats()
    decided = (logits + offsets).argmax(axis=1)
    likely = logits + calibration.temperature * calibration.bias
    rows = np.arange(len(labels))
    chosen_one = likely[rows, decided]
    likely[rows, decided] = -np.inf
    lead, top = chosen_one - likely.max(axis=1), logits.max(axis=1)
    chosen = [(decided == labels) & (databases == name) for name in sorted(set(databases))]
    close = float(np.mean([np.quantile(lead[c], LOW_MARGIN_SHARE) for c in chosen]))
    return close, float(np.mean([np.quantile(top[c], OUT_OF_DISTRIBUTION_SHARE) for c in chosen]))


def run_integer_beats(
    run: RunWindows,
    graph: IntegerGraph,
    geometry: Geometry,
    rule: BeatRule,
    tracks: Sequence[BeatTrack],
) -> tuple[BeatRun, list[NDArray[np.int64]]]:
    """Run an int8 model; returns its run, and its decisions, class numbers `[b]` by track.

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
        scores = rule.scores(sums, track.features, _shared(rule, sums, track))
        decided.append(rule.decide(scores))
        logits.append(step * scores.astype(float))
        steps = found.astype(np.float32) - np.float32(quantization.zero_point)
        evidence.append(steps * np.float32(quantization.scale))
    return BeatRun(tracks, evidence, logits), decided


def _shared(rule: BeatRule, sums: NDArray[np.int64], track: BeatTrack) -> NDArray[np.int64]:
    """What clusters add to the score of the shared class, `[b]`; refused beats add nothing."""
    decided = np.ones(len(sums), bool)
    if len(track.defects):
        bad, clipped = track.defects.T
        span = BEFORE + AFTER
        decided = (bad <= BEAT_LIMITS.unusable * span) & (clipped <= BEAT_LIMITS.clipped * span)
    return rule.share(sums, track.features, track.clusters, track.begins, decided)


def ec57_row(
    counts: Mapping[str, BeatCounts], patients: Sequence[str] | None = None
) -> dict[str, float]:
    """Gross figures of records in percent with intervals by patient, and averages over records.

    Keys: `qrs`, `veb` and `sveb`, each with `_sensitivity` and `_predictivity`; with `_lo`, `_hi`
    after that, and with `average_` before it.

    Args:
        counts: by record.
        patients: who each record is of; None: each is its own. Ends are NaN for a single patient.
    """
    row: dict[str, float] = {}
    groups = list(counts) if patients is None else list(patients)
    one = len(set(groups)) < 2
    for measure in MEASURES:
        rates: list[Rate] = [getattr(found, measure) for found in counts.values()]
        right = np.array([rate.found for rate in rates])
        for key, rest in (("sensitivity", "missed"), ("predictivity", "wrong")):
            whole = right + [getattr(rate, rest) for rate in rates]
            ends = None if one else interval(ratio_statistic(right, whole), groups)
            rate_of_all = right.sum() / whole.sum() if whole.sum() else float("nan")
            each = [value for rate in rates if not np.isnan(value := getattr(rate, key))]
            average = 100 * float(np.mean(each)) if each else float("nan")
            name = f"{measure}_{key}"
            row[name] = 100 * float(rate_of_all)
            for end in ("lo", "hi"):
                row[f"{name}_{end}"] = 100 * getattr(ends, end) if ends else float("nan")
            row[f"average_{name}"] = average
    return row
