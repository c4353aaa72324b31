"""Random training crops from tracks: balanced over classes and patients, augmented, reproducible.

The crop number `i` of a sampler depends on the seed and on `i` only, so that training resumes
exactly, and that workers of a distributed run draw different crops without talking to each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from beatlens.errors import DataError, RecipeError
from beatlens.signals.frontend import LSB_MV, MODEL_RATE_HZ
from beatlens.tasks.common.crops import Augmentation
from beatlens.tasks.windows.labels import CONTEXT, SPAN, WindowTrack

EXCERPT_GRID = 16
"""Excerpts begin and end on multiples of this many samples, whole columns of strides up to 16."""


@dataclass(frozen=True)
class Excerpts:
    """Random parts of each crop's span that get labels of their own.

    The label of a window does not say where in it the evidence belongs: with a receptive field
    of seconds, any column within seconds of a beat can. The label of an excerpt says whether there
    is a beat whose R peak lies between two random edges, so evidence has to be where the beat is.
    Only occasional beats are labelled so: a rhythm or a block lasts, and needs seconds to be seen.

    Args:
        count: excerpts per crop.
        seconds: their shortest and longest length.
    """

    count: int = 6
    seconds: tuple[float, float] = (2.0, 5.0)

    def __post_init__(self) -> None:
        low, high = self.seconds
        longest = SPAN / MODEL_RATE_HZ
        if self.count < 1 or not EXCERPT_GRID / MODEL_RATE_HZ <= low <= high <= longest:
            raise RecipeError(
                f"{self.count} excerpts of {low:g} to {high:g} s: expected at least 1, and "
                f"{EXCERPT_GRID / MODEL_RATE_HZ:g} s <= shortest <= longest <= {longest:g} s"
            )

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """First and last sample (exclusive) in the span, int64 `[count, 2]`."""
        low, high = (round(s * MODEL_RATE_HZ / EXCERPT_GRID) for s in self.seconds)
        lengths = rng.integers(low, high + 1, self.count)
        first = rng.integers(0, SPAN // EXCERPT_GRID - lengths + 1)
        return np.stack([first, first + lengths], axis=1) * EXCERPT_GRID


class WindowSampler:
    """Draws labelled, augmented crops.

    Args:
        tracks: training recordings.
        classes: names of the classes, in their order.
        seed: seed of everything random.
        shares: share of the crops placed on each class; the rest is placed anywhere. A class's
            crops come from its patients in equal parts, whatever the length of their recordings.
        weights: how often a database's recordings are drawn for crops placed anywhere.
        augmentation: None for none.
        excerpts: None for none.
    """

    def __init__(
        self,
        tracks: Sequence[WindowTrack],
        classes: Sequence[str],
        seed: int,
        shares: Mapping[str, float],
        weights: Mapping[str, float] | None = None,
        augmentation: Augmentation | None = None,
        excerpts: Excerpts | None = None,
    ) -> None:
        self._tracks = [t for t in tracks if len(t.x) >= SPAN]
        if not self._tracks:
            raise DataError("no training recording is as long as one window (10 s)")
        self._seed = seed
        self._augmentation = augmentation
        self.excerpts = excerpts
        weight = np.array([(weights or {}).get(t.database, 1.0) for t in self._tracks])
        self._weight = weight / weight.sum()
        self._numbers = {name: number for number, name in enumerate(classes)}
        self._holders = {name: self._patients_with(c) for name, c in self._numbers.items()}
        self._shares = {n: s for n, s in shares.items() if s > 0 and self._holders[n]}

    def crop(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Crop number `index`: float32 window `[CONTEXT + SPAN + CONTEXT]` in mV, labels `[C]`."""
        rng, track, start = self._choose(index)
        window = track.window(start).astype(np.float32) * np.float32(LSB_MV)
        if self._augmentation is not None:
            window = self._augmentation.apply(window, rng)
        return window, track.labels(start)

    def crop_excerpts(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Excerpts of crop number `index`: samples int64 `[E, 2]`, and labels float32 `[E, C]`.

        Labels are those of `WindowTrack.labels` for occasional beats, NaN for all other classes.
        Raises `RecipeError` where the sampler was made without `excerpts`.
        """
        if self.excerpts is None:
            raise RecipeError("excerpts of a crop are asked for, but the sampler has none to draw")
        _, track, start = self._choose(index)
        bounds = self.excerpts.draw(np.random.default_rng([self._seed, index, 1]))
        labels = np.stack([track.labels(start + int(a), int(b - a)) for a, b in bounds])
        labels[:, ~track.occasional] = np.nan
        return bounds, labels

    def _choose(self, index: int) -> tuple[np.random.Generator, WindowTrack, int]:
        """Where crop number `index` is, and the generator to go on with."""
        rng = np.random.default_rng([self._seed, index])
        for _ in range(100):
            track, start = self._place(rng)
            if not track.overlaps_unknown(start):
                break
        return rng, track, start

    def batch(self, first: int, size: int) -> tuple[np.ndarray, ...]:
        """Crops `first .. first + size - 1`: windows `[size, n]` float32 and labels `[size, C]`.

        With excerpts, besides: `excerpt_batch`.
        """
        windows, labels = self.labelled_batch(first, size)
        return windows, labels, *(self.excerpt_batch(first, size) if self.excerpts else ())

    def labelled_batch(self, first: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Windows and labels as `batch` gives them, without excerpts."""
        crops = [self.crop(index) for index in range(first, first + size)]
        return np.stack([w for w, _ in crops]), np.stack([label for _, label in crops])

    def excerpt_batch(self, first: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Excerpts of the same crops: samples int64 `[size, E, 2]`, labels `[size, E, C]`."""
        parts = [self.crop_excerpts(index) for index in range(first, first + size)]
        return np.stack([bounds for bounds, _ in parts]), np.stack([label for _, label in parts])

    def _patients_with(self, label: int) -> list[list[WindowTrack]]:
        """The recordings that hold class number `label`, patient by patient."""
        patients: dict[str, list[WindowTrack]] = {}
        for track in self._tracks:
            if track.known[label] and len(track.intervals[label]):
                patients.setdefault(track.patient, []).append(track)
        return list(patients.values())

    def _place(self, rng: np.random.Generator) -> tuple[WindowTrack, int]:
        """Choose a recording and the first sample of a span in it."""
        pick = rng.uniform()
        for name, share in self._shares.items():
            pick -= share
            if pick < 0:
                return self._place_on(name, rng)
        track = self._tracks[rng.choice(len(self._tracks), p=self._weight)]
        return track, int(rng.integers(0, len(track.x) - SPAN + 1))

    def _place_on(self, name: str, rng: np.random.Generator) -> tuple[WindowTrack, int]:
        """A span holding a random piece of class `name`, patients being equally likely."""
        recordings = self._holders[name][rng.integers(len(self._holders[name]))]
        track = recordings[rng.integers(len(recordings))]
        spans = track.intervals[self._numbers[name]]
        first, last = spans[rng.integers(len(spans))]
        middle = int(rng.integers(first, last))
        start = middle - int(rng.integers(MODEL_RATE_HZ // 2, SPAN - MODEL_RATE_HZ // 2))
        return track, int(np.clip(start, 0, len(track.x) - SPAN))


WINDOW = CONTEXT + SPAN + CONTEXT
