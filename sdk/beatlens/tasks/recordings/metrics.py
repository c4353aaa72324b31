"""Runs networks over whole recordings and scores them as the CinC 2017 challenge does.

The score is the mean of the F1 of the scored classes, each `2 * right / (labelled + claimed)`; in
the challenge these are normal, atrial fibrillation and other rhythm, while noise can be claimed and
has no F1 of its own (Clifford et al., Computing in Cardiology 2017).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from beatlens.calibration import Calibration
from beatlens.evaluate.bootstrap import Statistic
from beatlens.evaluate.calibration import fitted_calibration
from beatlens.geometry import Geometry
from beatlens.integer.graph import IntegerGraph
from beatlens.tasks.common.runs import (
    Explaining,
    RunWindows,
    network_windows,
    recording_evidence,
)
from beatlens.tasks.recordings.labels import RecordingTrack
from beatlens.tasks.recordings.rule import RecordingRule


@dataclass(frozen=True)
class RecordingRun:
    """What a network said of recordings.

    Args:
        tracks: the recordings.
        evidence: of each, `[C, T]` in logit units.
        logits: float64 `[n, C]`: mean evidence plus the mean contribution of the beats.
    """

    tracks: Sequence[RecordingTrack]
    evidence: Sequence[NDArray[np.float32]]
    logits: NDArray[np.float64]

    @property
    def labels(self) -> NDArray[np.int64]:
        """Class numbers `[n]`."""
        return np.array([track.label for track in self.tracks], np.int64)


def run_recordings(
    net: Explaining, tables: NDArray[np.floating], tracks: Sequence[RecordingTrack]
) -> RecordingRun:
    """Run a torch network, float or fake-quantised, with lookup tables `[6, BINS, C]`."""
    run = network_windows(net)
    evidence = [recording_evidence(run, net.geometry, track.x) for track in tracks]
    means = np.array([found.mean(axis=1, dtype=np.float64) for found in evidence])
    added = np.array([np.einsum("ks,ksc->c", track.rr_shares, tables) for track in tracks])
    return RecordingRun(tracks, evidence, (means + added).reshape(-1, tables.shape[2]))


def run_integer_recordings(
    run: RunWindows,
    graph: IntegerGraph,
    geometry: Geometry,
    rule: RecordingRule,
    tracks: Sequence[RecordingTrack],
) -> tuple[RecordingRun, NDArray[np.int64]]:
    """Run an int8 model; returns its run, and its decisions, class numbers `[n]`.

    Args:
        run: see `beatlens.tasks.common.runs.integer_windows`.
        graph, geometry: of the model.
        rule: decides, in whole numbers.
        tracks: the recordings.
    """
    quantization = graph.tensors[graph.outputs["evidence"]].quantization
    evidence, logits, decided = [], [], []
    for track in tracks:
        found = recording_evidence(run, geometry, track.x)
        sums = rule.sums(found, track.features)
        logits.append(rule.logits(sums))
        decided.append(rule.decide(sums))
        steps = found.astype(np.float32) - np.float32(quantization.zero_point)
        evidence.append(steps * np.float32(quantization.scale))
    return RecordingRun(tracks, evidence, np.array(logits)), np.array(decided, np.int64)


def f1_by_class(
    decided: NDArray[np.integer],
    labels: NDArray[np.integer],
    classes: int,
    weights: NDArray[np.floating] | None = None,
) -> NDArray[np.float64]:
    """F1 of each class, `[C]`, or `[R, C]` for weights `[R, n]`; NaN for one that is nowhere.

    Args:
        decided, labels: class numbers `[n]`.
        classes: C.
        weights: how much each recording counts, `[n]` or `[R, n]`; 1 if None.

    >>> f1_by_class(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 2]), 4)[:3].round(2).tolist()
    [0.67, 0.67, 1.0]
    """
    weigh = np.ones(len(labels)) if weights is None else np.asarray(weights, np.float64)
    named = np.arange(classes)
    claimed = (np.asarray(decided)[:, None] == named).astype(np.float64)
    there = (np.asarray(labels)[:, None] == named).astype(np.float64)
    either = weigh @ (claimed + there)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(either > 0, 2 * (weigh @ (claimed * there)) / either, np.nan))


@dataclass(frozen=True)
class ChallengeScore:
    """The mean F1 of the scored classes.

    Args:
        classes: how many there are.
        scored: numbers of those that count.

    >>> score = ChallengeScore(4, (0, 1, 2))
    >>> float(score(np.array([0, 1, 2, 2]), np.array([0, 1, 2, 3])).round(3))
    0.889
    """

    classes: int
    scored: tuple[int, ...]

    def __call__(
        self,
        decided: NDArray[np.integer],
        labels: NDArray[np.integer],
        weights: NDArray[np.floating] | None = None,
    ) -> NDArray[np.float64]:
        """The score of class numbers `[n]`, as `f1_by_class`: one number, or `[R]`."""
        found = f1_by_class(decided, labels, self.classes, weights)
        return np.asarray(found[..., list(self.scored)].mean(axis=-1))


def weigh_as_published(
    labels: NDArray[np.integer], published: Sequence[int]
) -> NDArray[np.float64]:
    """Weights `[n]` that make a part of the recordings count as the whole published set would.

    Args:
        labels: class numbers `[n]`.
        published: recordings of each class in the whole set, `[C]`.
    """
    whole = np.array(published, np.float64)
    counts = np.bincount(labels, minlength=len(whole))
    share = np.divide(whole, counts, out=np.zeros_like(whole), where=counts > 0)
    return np.asarray(share[labels])


def published_prior(labels: NDArray[np.integer], published: Sequence[int]) -> NDArray[np.float64]:
    """What to add to logits, `[C]`, so that classes are expected as often as in the whole set.

    Args:
        labels: of the recordings that a network was trained among, whose shares it has learnt.
        published: recordings of each class in the whole set, `[C]`.
    """
    whole = np.array(published, np.float64)
    counts = np.bincount(labels, minlength=len(whole)).clip(min=1)
    return np.asarray(np.log(whole / whole.sum()) - np.log(counts / counts.sum()))


def score_statistic(
    measure: Callable[..., NDArray[np.float64]],
    decided: NDArray[np.integer],
    labels: NDArray[np.integer],
    weights: NDArray[np.floating] | None = None,
) -> Statistic:
    """A figure of decisions for `beatlens.evaluate.bootstrap.interval`.

    Args:
        measure: a `ChallengeScore`, or a function of the same arguments.
        decided, labels: class numbers `[n]`.
        weights: how much each recording counts, `[n]`.
    """
    weigh = np.ones(len(labels)) if weights is None else weights
    return lambda drawn: measure(decided, labels, drawn * weigh)


def calibrate_recordings(run: RecordingRun) -> Calibration:
    """Temperature and bias that make the labels of validation recordings likeliest."""
    return fitted_calibration(run.logits, run.labels, np.ones(len(run.tracks)))
