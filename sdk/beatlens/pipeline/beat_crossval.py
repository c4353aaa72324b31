"""`beatlens bench beats-crossval`: a recipe for beats judged on every patient of DS1 and svdb.

Most S beats of the validation records are of one patient, and figures on them promise too much.
Here every recording is told by a network that was trained on others: all patients but those of the
test, in folds of whole recordings. It is the small network that is trained, on labels alone, since
that takes a minute; what helps it is tried on the teacher then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from beatlens.beat_recipe import BeatRecipe
from beatlens.evaluate.beats import BeatRun, run_beats
from beatlens.evaluate.bootstrap import average_precision_statistic, interval
from beatlens.pipeline.beat_data import PreparedBeats
from beatlens.pipeline.beat_steps import train_beat_network
from beatlens.tasks.beats import CLASSES, UNKNOWN, BeatTrack, beat_tables
from beatlens.training.loop import Report

FOLDS = 4
AT_SENSITIVITY = {"s": 0.65, "v": 0.93}
"""Sensitivities at which predictivity is given: what a detector has to reach."""


def out_of_fold(
    recipe: BeatRecipe,
    prepared: PreparedBeats,
    folder: Path,
    folds: Sequence[int] = range(FOLDS),
    report: Report | None = None,
    say: Callable[[str], None] = print,
) -> BeatRun:
    """Train the recipe's student once per fold, on labels; returns what was said of the held-out.

    Args:
        recipe: its student section's network is trained by its student schedule.
        prepared: tracks; those of training and validation are cut into folds.
        folder: where every fold's logits are kept, to go on from.
        folds: which of the `FOLDS` to train or load.
        report, say: progress.
    """
    everyone = sorted(prepared.train + prepared.validation, key=lambda t: (t.database, t.record))
    told: list[tuple[BeatTrack, NDArray[np.float64]]] = []
    folder.mkdir(parents=True, exist_ok=True)
    for number in folds:
        held_out = everyone[number::FOLDS]
        path = folder / f"seed-{recipe.seed}-fold-{number}.npz"
        if not path.exists():
            say(f"{recipe.name}, seed {recipe.seed}: fold {number + 1} of {FOLDS}")
            rest = [track for track in everyone if track not in held_out]
            logits = _told(recipe, replace(prepared, train=rest), held_out, report)
            part = path.with_suffix(".part.npz")
            np.savez(part, *logits)
            part.replace(path)
        with np.load(path) as archive:
            kept = [archive[f"arr_{i}"] for i in range(len(held_out))]
        told += zip(held_out, kept, strict=True)
    tracks, logits = zip(*told, strict=True)
    return BeatRun(tracks, [], logits)


def _told(
    recipe: BeatRecipe, fold: PreparedBeats, held_out: Sequence[BeatTrack], report: Report | None
) -> Sequence[NDArray[np.float64]]:
    schedule = recipe.student_schedule.model_copy(update={"keep": "last"}).schedule
    both = train_beat_network(recipe.student.spec, schedule, recipe, fold, (), None, report)[0]
    with torch.no_grad():
        return run_beats(both.net.eval(), beat_tables(both.tables.array()), held_out).logits


def row_of(recipe: BeatRecipe, found: BeatRun) -> dict[str, Any]:
    """A row of docs/figures/beats_crossval.json.

    `ap_s_DATABASE`, `ap_v_DATABASE` with intervals by recording, and `predictivity_...`: that of
    the class, in percent, where its sensitivity is that of `AT_SENSITIVITY`.
    """
    row: dict[str, Any] = {
        "recipe": recipe.name,
        "seed": recipe.seed,
        "steps": recipe.student_schedule.steps,
        "recordings": len(found.tracks),
    }
    logits, labels, databases = found.beats()
    records = np.concatenate([np.full(len(t.labels), f"{t.database}/{t.record}")
                              for t in found.tracks])  # fmt: skip
    records = records[np.concatenate([t.labels for t in found.tracks]) != UNKNOWN]
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    chances = raised / raised.sum(axis=1, keepdims=True)
    for database in sorted(set(databases)):
        there = databases == database
        for name, sensitivity in AT_SENSITIVITY.items():
            number = CLASSES.index(name)
            truth, score = labels[there] == number, chances[there, number]
            statistic = average_precision_statistic(truth.astype(float), score)
            ends = interval(statistic, records[there], n=200)
            key = f"{name}_{database}"
            row |= {f"ap_{key}": ends.estimate, f"ap_{key}_lo": ends.lo, f"ap_{key}_hi": ends.hi}
            row[f"predictivity_{key}"] = 100 * _predictivity(truth, score, sensitivity)
    return row


def _predictivity(truth: NDArray[np.bool_], score: NDArray[np.float64], share: float) -> float:
    """Share of right ones among those scored so high that `share` of the true ones are."""
    claimed = score >= np.quantile(score[truth], 1 - share)
    return float(np.sum(claimed & truth) / np.sum(claimed))
