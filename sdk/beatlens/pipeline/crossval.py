"""`beatlens bench crossval`: a teacher's recipe judged on every patient of DS1, out of fold.

Five validation patients cannot tell one teacher's recipe from another: a seed moves their figures
more than a setting does. Here every record of DS1 is predicted by a network that was trained on the
others; figures are of all of them together, and so are the thresholds with the best F1, which a
final fit on all of DS1 takes over.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from beatlens.errors import DataError
from beatlens.evaluate.bootstrap import (
    average_precision_statistic,
    interval,
    macro_average_precision_statistic,
)
from beatlens.evaluate.prediction import prediction
from beatlens.evaluate.strips import run_network, usable_thresholds
from beatlens.pipeline.data import Prepared
from beatlens.pipeline.train import train_network
from beatlens.recipe import Recipe
from beatlens.signals import splits
from beatlens.tasks.strips import CLASSES, Track, cut_strips
from beatlens.training.loop import Report


@dataclass(frozen=True)
class OutOfFold:
    """What networks said of patients they were not trained on, strip by strip.

    `labels` and `logits` `[S, C]`, `records` `[S]`.
    """

    labels: np.ndarray
    logits: np.ndarray
    records: np.ndarray

    def row(self, replicates: int = 1000) -> dict[str, float]:
        """Average precision per class and macro, with intervals by record, thresholds and F1."""
        statistics = {"macro_ap": macro_average_precision_statistic(self.labels, self.logits)}
        for c, name in enumerate(CLASSES):
            statistics[f"ap_{name}"] = average_precision_statistic(
                self.labels[:, c], self.logits[:, c]
            )
        row: dict[str, float] = {}
        for key, statistic in statistics.items():
            found = interval(statistic, self.records, n=replicates)
            row |= {key: found.estimate, f"{key}_lo": found.lo, f"{key}_hi": found.hi}
        limits = usable_thresholds(self.labels, self.logits, self.records)
        scored = prediction(self.labels, self.logits, limits)
        for c, name in enumerate(CLASSES):
            row[f"threshold_{name}"] = float(1 / (1 + np.exp(-limits[c])))
            row[f"f1_{name}"] = float(scored.f1[c])
        return row


def out_of_fold(
    recipe: Recipe,
    prepared: Prepared,
    folder: Path,
    folds: Sequence[int],
    count: int = 5,
    report: Report | None = None,
    say: Callable[[str], None] = print,
) -> OutOfFold:
    """Train the teacher of a recipe once per fold of DS1; returns what was said of the held-out.

    Record 201, whose patient is in the test set, is predicted but never trained on.

    Args:
        recipe: of the teacher; its last weights are taken.
        prepared: tracks; those of mitdb in `train` and `validation` are DS1.
        folder: where every fold's predictions are kept, to go on from.
        folds: which of the `count` folds to train or load.
        count: number of folds.
        report, say: progress.

    Raises:
        DataError: the tracks are not those of MIT-BIH's DS1.
    """
    found = {t.record for t in prepared.train + prepared.validation if t.database == "mitdb"}
    if missing := sorted(set(splits.DS1) - found):
        raise DataError(
            f"cross-validation needs every record of MIT-BIH's DS1, {missing[0]} is missing "
            f"(of {len(missing)}); get it with `beatlens data get mitdb`"
        )
    schedule = recipe.teacher_schedule.model_copy(update={"keep": "last"}).schedule
    parts = []
    for number in folds:
        path = folder / f"seed-{recipe.seed}-fold-{number}.npz"
        if not path.exists():
            say(f"{recipe.name}, seed {recipe.seed}: fold {number + 1} of {count}")
            fold = _fold(prepared, splits.folds(count)[number])
            strips = cut_strips(fold.validation)
            network = train_network(recipe.teacher.spec, schedule, recipe, fold,
                                    path.with_suffix(".pt"), report)  # fmt: skip
            part = path.with_suffix(".part.npz")
            np.savez(part, labels=strips.labels, logits=run_network(network, strips).logits,
                     records=strips.records)  # fmt: skip
            part.replace(path)
        with np.load(path) as archive:
            parts.append({key: archive[key] for key in ("labels", "logits", "records")})
    return OutOfFold(**{key: np.concatenate([p[key] for p in parts]) for key in parts[0]})


def _fold(prepared: Prepared, held_out: tuple[str, ...]) -> Prepared:
    """The same tracks, with one fold of DS1 as validation patients."""
    everyone = prepared.train + prepared.validation
    ours = sorted((t for t in everyone if t.database == "mitdb"), key=lambda t: t.record)
    others = [t for t in everyone if t.database != "mitdb"]

    def trains(track: Track) -> bool:
        return track.record not in held_out + splits.WATCHED

    return replace(
        prepared,
        train=[t for t in ours if trains(t)] + others,
        validation=[t for t in ours if t.record in held_out],
        test=[],
    )


def row_of(recipe: Recipe, found: OutOfFold) -> dict[str, Any]:
    """A row of docs/figures/crossval.json."""
    about = {"recipe": recipe.name, "seed": recipe.seed, "steps": recipe.teacher_schedule.steps}
    return {**about, "records": len(set(found.records.tolist())), **found.row()}
