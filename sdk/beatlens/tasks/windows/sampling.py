"""Random training crops from tracks: balanced over classes and patients, augmented, reproducible.

The crop number `i` of a sampler depends on the seed and on `i` only, so that training resumes
exactly, and that workers of a distributed run draw different crops without talking to each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from beatlens.errors import DataError, RecipeError
from beatlens.signals.frontend import LSB_MV, MODEL_RATE_HZ
from beatlens.tasks.windows.labels import CLASSES, CONTEXT, OCCASIONAL, SPAN, Track


class Crops(Protocol):
    """Where crops come from: a sampler of any task."""

    def batch(self, first: int, size: int) -> tuple[np.ndarray, ...]:
        """Crops `first .. first + size - 1`: windows float32 `[size, n]` in mV, and whatever the
        task's loss wants to know of them, arrays `[size, ...]`."""


@dataclass(frozen=True)
class Augmentation:
    """Ranges of the random changes made to a crop, in the units of the fields' names."""

    gain: tuple[float, float] = (0.5, 1.5)
    wander_mv: float = 0.1
    wander_hz: tuple[float, float] = (0.1, 0.6)
    noise_mv: float = 0.12
    flips: float = 0.0
    """Share of the crops that are turned upside down."""

    def apply(self, millivolts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return a changed copy of one window, float32 `[n]`, on the front end's int8 grid."""
        n = millivolts.shape[-1]
        t = np.arange(n, dtype=np.float32) / MODEL_RATE_HZ
        phase = 2 * np.pi * (rng.uniform(*self.wander_hz) * t + rng.uniform())
        factor = rng.uniform(*self.gain)
        if self.flips and rng.uniform() < self.flips:
            factor = -factor
        changed = millivolts * np.float32(factor)
        changed += np.float32(rng.uniform(0, self.wander_mv)) * np.sin(phase, dtype=np.float32)
        changed += np.float32(rng.uniform(0, self.noise_mv)) * rng.standard_normal(n, np.float32)
        lsb = np.float32(LSB_MV)
        return np.clip(np.round(changed / lsb), -127, 127) * lsb


EXCERPT_GRID = 16
"""Excerpts begin and end on multiples of this many samples, whole columns of strides up to 16."""


@dataclass(frozen=True)
class Excerpts:
    """Random parts of each crop's span that get labels of their own.

    A strip's label does not tell an evidence network where in it to speak: with a receptive field
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


class CropSampler:
    """Draws labelled, augmented crops.

    Args:
        tracks: training recordings.
        seed: seed of everything random.
        shares: share of the crops placed on each class; the rest is placed anywhere. A class's
            crops come from its patients in equal parts, whatever the length of their recordings.
        weights: how often a database's recordings are drawn for crops placed anywhere.
        augmentation: None for none.
        excerpts: None for none.
    """

    def __init__(
        self,
        tracks: list[Track],
        seed: int,
        shares: dict[str, float],
        weights: dict[str, float] | None = None,
        augmentation: Augmentation | None = None,
        excerpts: Excerpts | None = None,
    ) -> None:
        self._tracks = [t for t in tracks if len(t.x) >= SPAN]
        if not self._tracks:
            raise DataError("no training recording is as long as one strip (10 s)")
        self._seed = seed
        self._augmentation = augmentation
        self.excerpts = excerpts
        weight = np.array([(weights or {}).get(t.database, 1.0) for t in self._tracks])
        self._weight = weight / weight.sum()
        self._holders = {name: self._patients_with(c) for c, name in enumerate(CLASSES)}
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

        Labels are those of `Track.labels` for occasional beats, NaN for all other classes.
        Raises `RecipeError` where the sampler was made without `excerpts`.
        """
        if self.excerpts is None:
            raise RecipeError("excerpts of a crop are asked for, but the sampler has none to draw")
        _, track, start = self._choose(index)
        bounds = self.excerpts.draw(np.random.default_rng([self._seed, index, 1]))
        labels = np.stack([track.labels(start + int(a), int(b - a)) for a, b in bounds])
        labels[:, [name not in OCCASIONAL for name in CLASSES]] = np.nan
        return bounds, labels

    def _choose(self, index: int) -> tuple[np.random.Generator, Track, int]:
        """Where crop number `index` is, and the generator to go on with."""
        rng = np.random.default_rng([self._seed, index])
        for _ in range(100):
            track, start = self._place(rng)
            if not track.overlaps_unknown(start):
                break
        return rng, track, start

    def batch(self, first: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Crops `first .. first + size - 1`: windows `[size, n]` float32 and labels `[size, C]`."""
        crops = [self.crop(index) for index in range(first, first + size)]
        return np.stack([w for w, _ in crops]), np.stack([label for _, label in crops])

    def excerpt_batch(self, first: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Excerpts of the same crops: samples int64 `[size, E, 2]`, labels `[size, E, C]`."""
        parts = [self.crop_excerpts(index) for index in range(first, first + size)]
        return np.stack([bounds for bounds, _ in parts]), np.stack([label for _, label in parts])

    def _patients_with(self, label: int) -> list[list[Track]]:
        """The recordings that hold class number `label`, patient by patient."""
        patients: dict[str, list[Track]] = {}
        for track in self._tracks:
            if track.known[label] and len(track.intervals[label]):
                patients.setdefault(track.patient, []).append(track)
        return list(patients.values())

    def _place(self, rng: np.random.Generator) -> tuple[Track, int]:
        """Choose a recording and the first sample of a span in it."""
        pick = rng.uniform()
        for name, share in self._shares.items():
            pick -= share
            if pick < 0:
                return self._place_on(name, rng)
        track = self._tracks[rng.choice(len(self._tracks), p=self._weight)]
        return track, int(rng.integers(0, len(track.x) - SPAN + 1))

    def _place_on(self, name: str, rng: np.random.Generator) -> tuple[Track, int]:
        """A span holding a random piece of class `name`, patients being equally likely."""
        recordings = self._holders[name][rng.integers(len(self._holders[name]))]
        track = recordings[rng.integers(len(recordings))]
        spans = track.intervals[CLASSES.index(name)]
        first, last = spans[rng.integers(len(spans))]
        middle = int(rng.integers(first, last))
        start = middle - int(rng.integers(MODEL_RATE_HZ // 2, SPAN - MODEL_RATE_HZ // 2))
        return track, int(np.clip(start, 0, len(track.x) - SPAN))


WINDOW = CONTEXT + SPAN + CONTEXT
