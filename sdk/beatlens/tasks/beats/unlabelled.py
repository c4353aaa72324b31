"""Crops of patients whose beats nobody labelled, among those of others.

The labels of their beats are what networks predict that were trained on labelled beats; of patients
in atrial fibrillation it is known that no beat is supraventricular
(`beatlens.tasks.beats.labels.ABSENT`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from beatlens.tasks.beats.labels import UNKNOWN, BeatTrack
from beatlens.tasks.beats.sampling import BeatBatch, stacked

OF_SOURCES = 1
"""Tells the draw of a source from the sources' own, whose first draw is where to place a crop: of
the same seed they would be the same number, and the rest would be placed by what is left of it."""


class CropSource(Protocol):
    """Draws crops by their numbers, as `BeatSampler` does."""

    def crop(self, index: int) -> BeatBatch:
        """Crop number `index`, without the first dimension of a batch."""


def label_by_predictions(
    tracks: Sequence[BeatTrack], decided: Sequence[NDArray[np.integer]]
) -> list[BeatTrack]:
    """Tracks with a network's decisions, class numbers `[b]` each, as their labels."""
    return [
        replace(track, labels=np.asarray(numbers, np.int64))
        for track, numbers in zip(tracks, decided, strict=True)
    ]


class HiddenLabels:
    """Crops placed by labels that are then hidden from the loss.

    Args:
        source: draws them.
    """

    def __init__(self, source: CropSource) -> None:
        self._source = source

    def crop(self, index: int) -> BeatBatch:
        """Crop number `index`, all of whose labels are `UNKNOWN`."""
        window, peaks, labels, features = self._source.crop(index)
        return window, peaks, np.full_like(labels, UNKNOWN), features


class MixedCrops:
    """Crops of several sources, each drawn with its share.

    Crop `i` depends on the sources, on the seed, and on `i` only.

    Args:
        rest: where crops are from that are of none of the others.
        others: sources and their shares, 0 to 1 together.
        seed: of the draw.
    """

    def __init__(
        self, rest: CropSource, others: Sequence[tuple[CropSource, float]], seed: int
    ) -> None:
        self._rest, self._others, self._seed = rest, tuple(others), seed

    def batch(self, first: int, size: int) -> BeatBatch:
        """Crops `first .. first + size - 1`; as `BeatSampler.batch`."""
        return stacked([self.crop(index) for index in range(first, first + size)])

    def crop(self, index: int) -> BeatBatch:
        """Crop number `index`."""
        pick = np.random.default_rng([self._seed, index, OF_SOURCES]).uniform()
        for source, share in self._others:
            pick -= share
            if pick < 0:
                return source.crop(index)
        return self._rest.crop(index)
