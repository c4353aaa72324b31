"""Decisions on beats taken apart: evidence by column, each beat feature, and the offset.

What makes one class likelier than another is a sum, so parts of it can be counted without any
approximation: `Finding.explain` does so for one beat, this for thousands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from beatlens.errors import SignalError
from beatlens.geometry import beat_columns
from beatlens.tasks.beats.labels import AFTER, BEFORE
from beatlens.tasks.beats.metrics import BeatRun

Floats = NDArray[np.float64]
Classes = NDArray[np.int64]


@dataclass(frozen=True)
class Contrast:
    """What makes one class likelier than another, in logits; the sum of all is the difference.

    Args:
        columns: of each column of evidence, `[b, T]`.
        features: of each beat feature, `[b, F]`.
        offset: of the rule's offsets, `[b]`.
    """

    columns: Floats
    features: Floats
    offset: Floats

    @property
    def total(self) -> Floats:
        """Difference of the two scores, `[b]`."""
        return np.asarray(self.columns.sum(axis=1) + self.features.sum(axis=1) + self.offset)


@dataclass(frozen=True, eq=False)
class BeatContributions:
    """Decisions on beats and their summands.

    Args:
        record: name of each beat's recording, `[b]`.
        track: its number among the tracks, `[b]`.
        first: sample its span begins at, `[b]`.
        labels: class by annotation, `[b]`, or `UNKNOWN`.
        decided: class decided on, `[b]`.
        evidence: over the span, in logit units, `[b, C, T]`.
        features: contribution of each beat feature, in logits, `[b, F, C]`; where the rule shares
            evidence in clusters, what a cluster adds comes last, up to what all classes have.
        offsets: the rule's, `[C]`.
        stride: samples of a column.
    """

    record: NDArray[np.str_]
    track: NDArray[np.int64]
    first: NDArray[np.int64]
    labels: Classes
    decided: Classes
    evidence: NDArray[np.float32]
    features: Floats
    offsets: Floats
    stride: int

    def __len__(self) -> int:
        return len(self.decided)

    def __getitem__(self, kept: NDArray[np.generic]) -> BeatContributions:
        """Some of the beats: a mask or indices."""
        return BeatContributions(
            self.record[kept], self.track[kept], self.first[kept], self.labels[kept],
            self.decided[kept], self.evidence[kept], self.features[kept], self.offsets, self.stride,
        )  # fmt: skip

    def scores(self) -> Floats:
        """Scores `[b, C]`, of which the largest wins."""
        means = self.evidence.mean(axis=2, dtype=np.float64)
        return np.asarray(means + self.features.sum(axis=1) + self.offsets)

    def second(self) -> Classes:
        """The class that came second to the one decided on, `[b]`."""
        scores = self.scores()
        scores[np.arange(len(self)), self.decided] = -np.inf
        return np.asarray(scores.argmax(axis=1), np.int64)

    def contrast(self, decided: Classes | int, other: Classes | int) -> Contrast:
        """What makes class `decided` likelier than `other`: arrays, or one class for all beats."""
        rows = np.arange(len(self))
        columns = self.evidence[rows, decided].astype(np.float64) - self.evidence[rows, other]
        features = self.features[rows, :, decided] - self.features[rows, :, other]
        offset = np.broadcast_to(self.offsets[decided] - self.offsets[other], len(self))
        return Contrast(columns / columns.shape[1], features, np.asarray(offset))


def split_decisions(
    run: BeatRun,
    decided: Sequence[Classes],
    tables: Floats,
    offsets: Floats,
    stride: int,
    shares: bool = False,
) -> BeatContributions:
    """Take a run's decisions apart.

    Args:
        run: of a network over some tracks.
        decided: class of every beat, by track.
        tables: `[F, BINS, C]` in logits, as decided with: an int8 model's are rounded.
        offsets: `[C]` in logits, likewise.
        stride: of the network.
        shares: whether the rule shares evidence in clusters: then it is what is left of the scores.

    Raises:
        SignalError: there is no beat.
    """
    if not sum(len(each) for each in decided):
        raise SignalError("there is no beat to take apart, expected at least one R peak")
    before, after = BEFORE // stride, AFTER // stride
    parts: dict[str, list[NDArray[np.generic]]] = {}
    for number, (track, evidence) in enumerate(zip(run.tracks, run.evidence, strict=True)):
        first = beat_columns(track.peaks, stride, before, after, evidence.shape[1])
        spans = evidence[:, first[:, None] + np.arange(before + after)]
        features = [table[track.features[:, i]] for i, table in enumerate(tables)]
        if shares:
            means = spans.mean(axis=2, dtype=np.float64).T
            features.append(run.logits[number] - means - np.sum(features, axis=0))
        for name, part in {
            "record": np.full(len(first), track.record),
            "track": np.full(len(first), number),
            "first": first * stride,
            "labels": track.labels,
            "evidence": spans.transpose(1, 0, 2),
            "features": np.stack(features, axis=1),
        }.items():
            parts.setdefault(name, []).append(part)
    whole = {name: np.concatenate(part) for name, part in parts.items()}
    return BeatContributions(
        **whole,
        decided=np.concatenate(decided),
        offsets=offsets,
        stride=stride,
    )
