"""How likely a class of beat has to be to be decided on: offsets, chosen on validation patients.

Few patients have most of the S beats, so what is best for all of them is what is best for one or
two. The best offsets of many random halves of the patients differ by a logit and more; their mean
does better on other patients than the best of all (bagging: Breiman, Machine Learning 24, 1996):
out of fold on DS1 and svdb by .008 to .010 of the score (docs/limits.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

import numpy as np
from numpy.typing import NDArray

from beatlens.tasks.beats.metrics import BeatRun
from beatlens.tasks.beats.recipe import BeatClass

RANGE, STEP = 5.0, 0.25
FUSION = (-2.0, 0.0)
"""Offsets that are tried for classes that are a fusion with another."""
FEW = 2
"""Scored classes that a whole grid is searched for; more are searched one after the other."""
DRAWS, SEED = 100, 0
Counts = NDArray[np.int64]
Classes = Mapping[str, BeatClass]


def choose_offsets(run: BeatRun, classes: Classes) -> NDArray[np.float64]:
    """Offsets `[C]` in logits; the first class has offset 0.

    Those of the scored classes are the mean over random halves of each database's recordings of
    those that make `f_score` largest, the mean over the databases, on a grid; of several the
    smallest, as where a half has no such beats. Of a fusion class the best of all recordings is
    taken: hardly any patient has such beats.
    """
    grid = _make_grid(classes)
    counts, databases = _count_by_recording(run, grid, classes)
    betas = _betas(classes)

    def find_best(chosen: NDArray[np.int64]) -> NDArray[np.float64]:
        scores = [
            score_counts(counts[chosen[databases[chosen] == name]].sum(axis=0), betas)
            for name in sorted(set(databases))
        ]
        return np.asarray(grid[np.mean(scores, axis=0).argmax()])

    rng = np.random.default_rng(SEED)
    best = np.array([find_best(_draw_half(databases, rng)) for _ in range(DRAWS)]).mean(axis=0)
    fusion = np.array([one.fusion_with is not None for one in classes.values()])
    return np.where(fusion, find_best(np.arange(len(counts))), best) if fusion.any() else best


def _make_grid(classes: Classes) -> NDArray[np.float64]:
    """Offsets to try `[G, C]`, those of the smallest sum first."""
    steps = np.arange(-RANGE, RANGE + STEP, STEP)
    scored = [name for name in list(classes)[1:] if is_scored(classes[name])]
    parts = []
    for number, (name, one) in enumerate(classes.items()):
        if one.fusion_with is not None:
            parts.append(np.array(FUSION))
        elif number == 0 or name not in scored:
            parts.append(np.zeros(1))
        else:
            parts.append(steps)
    if len(scored) <= FEW:
        grid = np.array(list(product(*parts)))
    else:  # One class at a time, the others at 0.
        lines = []
        for number, part in enumerate(parts):
            line = np.zeros((len(part), len(parts)))
            line[:, number] = part
            lines.append(line)
        grid = np.unique(np.concatenate(lines), axis=0)
    return grid[np.argsort(np.abs(grid).sum(axis=1), kind="stable")]


def is_scored(one: BeatClass) -> bool:
    """Whether a class counts in `f_score`."""
    return one.beta is not None and one.fusion_with is None


def _betas(classes: Classes) -> NDArray[np.float64]:
    """Beta of the scored classes but the first class."""
    found = [one.beta for one in list(classes.values())[1:] if is_scored(one)]
    return np.array([beta for beta in found if beta is not None])


def score_databases(run: BeatRun, classes: Classes) -> float:
    """`f_score` of decisions without offsets, the mean over the databases."""
    logits, labels, databases = run.beats()
    decided = logits.argmax(axis=1)
    return float(np.mean([f_score(decided[databases == d], labels[databases == d], classes)
                          for d in set(databases)]))  # fmt: skip


def f_score(decided: NDArray[np.int64], labels: NDArray[np.int64], classes: Classes) -> float:
    """Mean of the F-beta scores of the classes but the first (van Rijsbergen 1979, chapter 7).

    Beats of a fusion class that are decided as the class they are a fusion with count neither way,
    as in EC57.

    Args:
        decided: class numbers `[b]`.
        labels: the same, or below 0 for beats that do not count.
        classes: of the task.

    >>> classes = {"n": BeatClass(beats="N"), "s": BeatClass(beats="A", beta=2),
    ...            "v": BeatClass(beats="V")}
    >>> round(f_score(np.array([0, 1, 1, 2]), np.array([0, 1, 0, 2]), classes), 3)
    0.917
    """
    return float(score_counts(_count(decided, labels, classes), _betas(classes)))


def score_counts(counts: Counts, betas: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same, `[...]`, of counts `[..., K, 3]` of K classes: right, claimed, there."""
    right, claimed, there = np.moveaxis(counts, -1, 0)
    weights = betas**2
    scores = (1 + weights) * right / np.maximum(1, claimed + weights * there)
    return np.asarray(scores.mean(axis=-1))


def _count(decided: NDArray[np.int64], labels: NDArray[np.int64], classes: Classes) -> Counts:
    names = list(classes)
    counted = []
    for number, (name, one) in enumerate(classes.items()):
        if number == 0 or not is_scored(one):
            continue
        counts = labels >= 0
        for other, fused in enumerate(names):
            if classes[fused].fusion_with == name:
                counts &= labels != other
        is_class = labels == number
        counted.append([
            np.sum((decided == number) & is_class),
            np.sum((decided == number) & counts),
            np.sum(is_class),
        ])  # fmt: skip
    return np.array(counted)


def _count_by_recording(
    run: BeatRun, grid: NDArray[np.float64], classes: Classes
) -> tuple[Counts, NDArray[np.str_]]:
    """Counts `[R, G, K, 3]` of every recording at every point of the grid; databases `[R]`."""
    counts, databases = [], []
    for track, logits in zip(run.tracks, run.logits, strict=True):
        decided = ((logits + offsets).argmax(axis=1) for offsets in grid)
        counts.append([_count(numbers, track.labels, classes) for numbers in decided])
        databases.append(track.database)
    return np.array(counts), np.array(databases)


def _draw_half(databases: NDArray[np.str_], rng: np.random.Generator) -> NDArray[np.int64]:
    """Numbers of a random half of each database's recordings, at least one."""
    halves = []
    for name in sorted(set(databases)):
        of = np.flatnonzero(databases == name)
        halves.append(rng.permutation(of)[: (len(of) + 1) // 2])
    return np.concatenate(halves)
