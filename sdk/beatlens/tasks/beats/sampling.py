"""Random training crops of beats: balanced over classes and recordings, reproducible.

Crop number `i` depends on the seed and on `i` only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from beatlens.errors import DataError
from beatlens.signals.frontend import LSB_MV
from beatlens.tasks.beats.labels import AFTER, BEFORE, UNKNOWN, BeatTrack
from beatlens.tasks.common.crops import Augmentation
from beatlens.tasks.common.runs import CROP_SPAN

CROP_CONTEXT = 256
"""Samples of context on both sides, for networks of receptive fields up to 4 s."""
MAX_BEATS = 32
"""Beats of a crop; more than 256 a minute are left out."""

BeatBatch = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


class BeatSampler:
    """Draws labelled, augmented crops with the beats in them.

    Args:
        tracks: training recordings.
        classes: names of the classes, in their order.
        seed: seed of everything random.
        shares: share of the crops placed around a beat of each class; the rest is placed anywhere.
            A class's recordings are drawn by the square root of how many such beats they have: a
            patient with thousands of them counts less than thousands of patients.
        weights: how often a database's recordings are drawn; 1 if not said.
        augmentation: None for none.
    """

    def __init__(
        self,
        tracks: Sequence[BeatTrack],
        classes: Sequence[str],
        seed: int,
        shares: Mapping[str, float],
        weights: Mapping[str, float] | None = None,
        augmentation: Augmentation | None = None,
    ) -> None:
        self._tracks = [t for t in tracks if len(t.x) >= CROP_SPAN]
        if not self._tracks:
            raise DataError("no training recording is as long as one crop (7.5 s)")
        self._seed, self._augmentation = seed, augmentation
        weigh = np.array([(weights or {}).get(t.database, 1.0) for t in self._tracks])
        self._anywhere = _normalised(weigh * [len(t.x) for t in self._tracks])
        self._placed = {}
        for number, name in enumerate(classes):
            counts = np.array([np.sum(t.labels == number) for t in self._tracks])
            share = shares.get(name, 0.0)
            if share > 0 and counts.any():
                self._placed[number] = (share, _normalised(weigh * np.sqrt(counts)))

    def batch(self, first: int, size: int) -> BeatBatch:
        """Crops `first .. first + size - 1`.

        Returns:
            windows: float32 `[B, CROP_CONTEXT + CROP_SPAN + CROP_CONTEXT]` in mV.
            peaks: R peaks in samples of the span, int64 `[B, MAX_BEATS]`, -1 where there is none.
            labels: class numbers, int64 `[B, MAX_BEATS]`, or `UNKNOWN`.
            features: of the beats, int64 `[B, MAX_BEATS, 17]`.
        """
        return stacked([self.crop(index) for index in range(first, first + size)])

    def crop(self, index: int) -> BeatBatch:
        """Crop number `index`; as `batch`, without the first dimension."""
        rng = np.random.default_rng([self._seed, index])
        track, start = self._place(rng)
        at = np.arange(start - CROP_CONTEXT, start + CROP_SPAN + CROP_CONTEXT)
        window = track.x[np.clip(at, 0, len(track.x) - 1)].astype(np.float32) * np.float32(LSB_MV)
        if self._augmentation is not None:
            window = self._augmentation.apply(window, rng)
        return window, *_find_beats(track, start)

    def _place(self, rng: np.random.Generator) -> tuple[BeatTrack, int]:
        """Choose a recording and the first sample of a span in it."""
        pick = rng.uniform()
        for number, (share, chances) in self._placed.items():
            pick -= share
            if pick < 0:
                track = self._tracks[rng.choice(len(self._tracks), p=chances)]
                peaks = track.peaks[track.labels == number]
                margin = BEFORE + AFTER
                before = rng.integers(margin, CROP_SPAN - margin)
                start = int(peaks[rng.integers(len(peaks))] - before)
                return track, int(np.clip(start, 0, len(track.x) - CROP_SPAN))
        track = self._tracks[rng.choice(len(self._tracks), p=self._anywhere)]
        return track, int(rng.integers(0, len(track.x) - CROP_SPAN + 1))


def stacked(crops: Sequence[BeatBatch]) -> BeatBatch:
    """Crops, each without the first dimension of a batch, as a batch."""
    windows, peaks, labels, features = (np.stack(parts) for parts in zip(*crops, strict=True))
    return windows, peaks, labels, features


def _find_beats(track: BeatTrack, start: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Peaks, labels and features of the beats whose spans lie in a crop's, filled up with -1."""
    inside = (track.peaks >= start + BEFORE) & (track.peaks < start + CROP_SPAN - AFTER)
    chosen = np.flatnonzero(inside)[:MAX_BEATS]
    peaks = np.full(MAX_BEATS, -1, np.int64)
    labels = np.full(MAX_BEATS, UNKNOWN, np.int64)
    features = np.zeros((MAX_BEATS, track.features.shape[1]), np.int64)
    peaks[: len(chosen)] = track.peaks[chosen] - start
    labels[: len(chosen)] = track.labels[chosen]
    features[: len(chosen)] = track.features[chosen]
    return peaks, labels, features


def _normalised(weights: np.ndarray) -> np.ndarray:
    return np.asarray(weights / weights.sum())
