"""How likely a class of beat has to be to be decided on: offsets, chosen on validation patients.

Few patients have most of the S beats, so what is best for all of them is what is best for one or
two. The best offsets of many random halves of the patients differ by a logit and more; their mean
does better on other patients than the best of all (bagging: Breiman, Machine Learning 24, 1996):
out of fold on DS1 and svdb by .008 to .010 of the score (docs/limits.md).
"""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray

from beatlens.tasks.beats.metrics import BeatRun
from beatlens.tasks.beats.labels import CLASSES

RANGE, STEP = 5.0, 0.25
FUSION = (-2.0, 0.0)
DRAWS, SEED = 100, 0
Counts = NDArray[np.int64]


def choose_offsets(run: BeatRun) -> NDArray[np.float64]:
    """Offsets `[C]` in logits; N has offset 0.

    S's and V's are the mean over random halves of each database's recordings of those that make
    `f_score` largest, the mean over the databases, on a grid; of several the smallest, as where a
    half has no such beats. Fusion beats are not looked at: hardly any patient has one.
    """
    steps = np.arange(-RANGE, RANGE + STEP, STEP)
    grid = np.array([(0.0, s, v, f) for s, v, f in product(steps, steps, FUSION)])
    grid = grid[np.argsort(np.abs(grid).sum(axis=1), kind="stable")]
    counts, databases = _counts_by_recording(run, grid)

    def best_of(chosen: NDArray[np.int64]) -> NDArray[np.float64]:
        scores = [
            f_of_counts(counts[chosen[databases[chosen] == name]].sum(axis=0))
            for name in sorted(set(databases))
        ]
        return np.asarray(grid[np.mean(scores, axis=0).argmax()])

    rng = np.random.default_rng(SEED)
    best = np.array([best_of(_half(databases, rng)) for _ in range(DRAWS)])
    f = best_of(np.arange(len(counts)))[CLASSES.index("f")]
    return np.append(best.mean(axis=0)[: CLASSES.index("f")], f)


def f_of_databases(run: BeatRun) -> float:
    """`f_score` of decisions without offsets, the mean over the databases."""
    logits, labels, databases = run.beats()
    decided = logits.argmax(axis=1)
    return float(np.mean([f_score(decided[databases == d], labels[databases == d])
                          for d in set(databases)]))  # fmt: skip


def f_score(decided: NDArray[np.int64], labels: NDArray[np.int64]) -> float:
    """Mean of V's F1 and S's F2; fusion beats called V count neither way, as in EC57.

    F2 counts a missed beat four times a false one (van Rijsbergen 1979, chapter 7). S beats are one
    in thirty; published detectors of them are set so, with a sensitivity of about 78 % at a
    predictivity of 40 to 50 %.

    Args:
        decided: class numbers `[b]`.
        labels: the same, or below 0 for beats that do not count.

    >>> round(f_score(np.array([0, 1, 1, 2]), np.array([0, 1, 0, 2])), 3)
    0.917
    """
    return float(f_of_counts(_counts(decided, labels)))


def f_of_counts(counts: Counts) -> NDArray[np.float64]:
    """The same, `[...]`, of counts `[..., 2, 3]` of S and V: right, claimed, there."""
    right, claimed, there = np.moveaxis(counts, -1, 0)
    weights = np.array([4.0, 1.0])
    scores = (1 + weights) * right / np.maximum(1, claimed + weights * there)
    return np.asarray(scores.mean(axis=-1))


def _counts(decided: NDArray[np.int64], labels: NDArray[np.int64]) -> Counts:
    s, v, f = (CLASSES.index(name) for name in ("s", "v", "f"))
    return np.array([
        [
            np.sum((decided == number) & (labels == number)),
            np.sum((decided == number) & counted),
            np.sum(labels == number),
        ]
        for number, counted in ((s, labels >= 0), (v, (labels >= 0) & (labels != f)))
    ])  # fmt: skip


def _counts_by_recording(
    run: BeatRun, grid: NDArray[np.float64]
) -> tuple[Counts, NDArray[np.str_]]:
    """Counts `[R, G, 2, 3]` of every recording at every point of the grid; databases `[R]`."""
    counts, databases = [], []
    for track, logits in zip(run.tracks, run.logits, strict=True):
        decided = ((logits + offsets).argmax(axis=1) for offsets in grid)
        counts.append([_counts(numbers, track.labels) for numbers in decided])
        databases.append(track.database)
    return np.array(counts), np.array(databases)


def _half(databases: NDArray[np.str_], rng: np.random.Generator) -> NDArray[np.int64]:
    """Numbers of a random half of each database's recordings, at least one."""
    halves = []
    for name in sorted(set(databases)):
        of = np.flatnonzero(databases == name)
        halves.append(rng.permutation(of)[: (len(of) + 1) // 2])
    return np.concatenate(halves)
