"""Random training crops of recordings: a long piece of a recording, its beats, its label.

Crop number `i` depends on the seed and on `i` only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from beatlens.errors import DataError, RecipeError
from beatlens.signals.frontend import LSB_MV, MODEL_RATE_HZ
from beatlens.tasks.common.crops import Augmentation
from beatlens.tasks.recordings.labels import RecordingTrack, rr_shares

CROP_CONTEXT = 256
"""Samples of context on both sides, for networks of receptive fields up to 4 s."""
SPAN_GRID = 16
"""A crop's span is a multiple of this many samples: whole columns of strides up to 16."""

RecordingBatch = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class CropDraw:
    """How crops are drawn.

    Args:
        seconds: most of a recording that a crop holds; of longer ones a random piece is taken.
        shortest: seconds; pieces are of random lengths between this and the whole crop's. The same
            as `seconds`: always as long as can be.
        flips: share of the crops turned upside down, as a hand-held device held the other way.
        weights: how often recordings of a class are drawn, 1 if not said.
        augmentation: None for none.

    Raises:
        RecipeError: lengths or shares out of range.
    """

    seconds: float
    shortest: float
    flips: float = 0.0
    weights: Mapping[str, float] | None = None
    augmentation: Augmentation | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.shortest <= self.seconds or not 0 <= self.flips <= 1:
            raise RecipeError(
                f"crops of {self.shortest:g} to {self.seconds:g} s, a share of {self.flips:g} "
                "turned over; expected 1 s <= shortest <= longest, and a share from 0 to 1"
            )

    @property
    def span(self) -> int:
        """Samples of a crop's span."""
        return round(self.seconds * MODEL_RATE_HZ / SPAN_GRID) * SPAN_GRID


class RecordingSampler:
    """Draws labelled, augmented crops of recordings.

    Args:
        tracks: training recordings.
        classes: names of the classes, in their order.
        seed: seed of everything random.
        draw: how.

    Raises:
        DataError: there is no recording, or none that would be drawn.
    """

    def __init__(
        self,
        tracks: Sequence[RecordingTrack],
        classes: Sequence[str],
        seed: int,
        draw: CropDraw,
    ) -> None:
        if not tracks:
            raise DataError("there is no training recording, expected at least one")
        self._tracks, self._seed, self._draw = tracks, seed, draw
        weights = draw.weights or {}
        weigh = np.array([weights.get(classes[track.label], 1.0) for track in tracks])
        if not weigh.sum() > 0:
            raise DataError(
                f"class weights are {dict(weights)}, and no training recording is of a class with "
                "a weight above 0: expected at least one"
            )
        self._chances = weigh / weigh.sum()

    @property
    def span(self) -> int:
        """Samples of a crop's span."""
        return self._draw.span

    def batch(self, first: int, size: int) -> RecordingBatch:
        """Crops `first .. first + size - 1`.

        Returns:
            windows: float32 `[B, CROP_CONTEXT + span + CROP_CONTEXT]` in mV; a recording that is
                shorter than the span lies at its start, and its last value is held after it.
            lengths: samples of the span that are of the recording, int64 `[B]`.
            labels: class numbers, int64 `[B]`.
            rr: shares float32 `[B, 6, BINS]` of its beats (see `rr_shares`).
        """
        crops = [self.crop(index) for index in range(first, first + size)]
        windows, lengths, labels, rr = (np.stack(parts) for parts in zip(*crops, strict=True))
        return windows, lengths, labels, rr

    def crop(self, index: int) -> RecordingBatch:
        """Crop number `index`; as `batch`, without the first dimension."""
        rng = np.random.default_rng([self._seed, index])
        draw = self._draw
        track = self._tracks[rng.choice(len(self._tracks), p=self._chances)]
        length = int(rng.uniform(draw.shortest, draw.seconds) * MODEL_RATE_HZ)
        length = min(max(length, SPAN_GRID), draw.span, len(track.x))
        start = int(rng.integers(0, len(track.x) - length + 1))
        # What the crop leaves out counts as not recorded: its edge is held, as at a recording's.
        piece = track.x[start : start + length]
        at = np.arange(-CROP_CONTEXT, draw.span + CROP_CONTEXT).clip(0, length - 1)
        window = piece[at].astype(np.float32) * np.float32(LSB_MV)
        if rng.uniform() < draw.flips:
            window = -window
        if draw.augmentation is not None:
            window = draw.augmentation.apply(window, rng)
        inside = (track.peaks >= start) & (track.peaks < start + length)
        rr = rr_shares(track.features[inside])
        return window, np.array(length), np.array(track.label), rr
