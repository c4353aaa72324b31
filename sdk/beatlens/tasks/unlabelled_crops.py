"""Crops of patients whom nobody labelled: what a teacher says of them, its students learn too.

A student agrees with its teacher most on the patients that it learnt from. More patients cost
nothing here: decisions and evidence are the teacher's, only labels are missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from beatlens.tasks.beat_sampling import BeatBatch, BeatSampler, stacked
from beatlens.tasks.beats import UNKNOWN, BeatTrack


def placed_by(
    tracks: Sequence[BeatTrack], decided: Sequence[NDArray[np.integer]]
) -> list[BeatTrack]:
    """Tracks with a teacher's decisions, class numbers `[b]` each, where their labels would be.

    A sampler then finds rare beats in them; `MixedCrops` takes the decisions away again.
    """
    return [
        replace(track, labels=np.asarray(numbers, np.int64))
        for track, numbers in zip(tracks, decided, strict=True)
    ]


class MixedCrops:
    """Crops of labelled recordings, and of others a fixed share, evenly between them.

    Crop `i` depends on the samplers' seeds and on `i` only.

    Args:
        labelled: draws crops with labels.
        unlabelled: draws crops of which no label is given on.
        share: of the crops that are not labelled, 0 to 1.
    """

    def __init__(self, labelled: BeatSampler, unlabelled: BeatSampler, share: float) -> None:
        self._labelled, self._unlabelled, self._share = labelled, unlabelled, share

    def batch(self, first: int, size: int) -> BeatBatch:
        """Crops `first .. first + size - 1`; as `BeatSampler.batch`."""
        return stacked([self.crop(index) for index in range(first, first + size)])

    def crop(self, index: int) -> BeatBatch:
        """Crop number `index`."""
        if int((index + 1) * self._share) == int(index * self._share):
            return self._labelled.crop(index)
        window, peaks, labels, contexts = self._unlabelled.crop(index)
        return window, peaks, np.full_like(labels, UNKNOWN), contexts
