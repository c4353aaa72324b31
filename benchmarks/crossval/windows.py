"""`python -m benchmarks crossval`: a teacher's recipe on every patient of DS1, out of fold.

Five validation patients are too few to compare recipes of a teacher: a seed moves their figures
more than a setting does. Here every record of DS1 is predicted by a network that was trained on the
others; figures are of all of them together, what is found and where, and so are the thresholds with
the best F1, which a final fit on all of DS1 takes over.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from beatlens.attribution.localisation import localisation
from beatlens.errors import DataError
from beatlens.evaluate.bootstrap import (
    Statistic,
    average_precision_statistic,
    interval,
    macro_average_precision_statistic,
    mean_statistic,
)
from beatlens.evaluate.prediction import prediction
from beatlens.pipeline.train import train_network
from beatlens.signals.databases import mitdb
from beatlens.tasks.windows.data import PreparedWindows
from beatlens.tasks.windows.labels import WindowSet, WindowTrack, cut_windows
from beatlens.tasks.windows.metrics import Run, run_network, usable_thresholds
from beatlens.tasks.windows.recipe import WindowRecipe
from beatlens.tasks.windows.tracks import Classes
from beatlens.training.loop import Report


@dataclass(frozen=True)
class OutOfFold:
    """Windows and their evidence, of patients that the networks were not trained on."""

    classes: Classes
    strips: WindowSet
    run: Run

    def row(self, replicates: int = 1000) -> dict[str, float]:
        """Average precision, localisation where found, with intervals by record; thresholds, F1."""
        labels, logits, records = self.strips.labels, self.run.logits, self.strips.records
        limits = usable_thresholds(labels, logits, records)
        row: dict[str, float] = {}
        for key, statistic in self._statistics(limits).items():
            found = interval(statistic, records, n=replicates)
            row |= {key: found.estimate, f"{key}_lo": found.lo, f"{key}_hi": found.hi}
        scored = prediction(labels, logits, limits)
        for c, name in enumerate(self.classes):
            row[f"threshold_{name}"] = float(1 / (1 + np.exp(-limits[c])))
            row[f"f1_{name}"] = float(scored.f1[c])
        return row

    def _statistics(self, limits: np.ndarray) -> dict[str, Statistic]:
        labels, logits = self.strips.labels, self.run.logits
        statistics = {"macro_ap": macro_average_precision_statistic(labels, logits)}
        for c, name in enumerate(self.classes):
            statistics[f"ap_{name}"] = average_precision_statistic(labels[:, c], logits[:, c])
        located = localisation(
            self.run.evidence, self.strips.masks, labels == 1, logits >= limits
        ).where_detected()
        for c, (name, one) in enumerate(self.classes.items()):
            if not one.is_occasional:
                continue
            statistics[f"loc_auc_{name}"] = mean_statistic(located.auc[:, c])
            statistics[f"point_{name}"] = mean_statistic(located.pointing[:, c])
        return statistics


def out_of_fold(
    recipe: WindowRecipe,
    prepared: PreparedWindows,
    folder: Path,
    folds: Sequence[int],
    count: int = 5,
    report: Report | None = None,
    say: Callable[[str], None] = print,
) -> OutOfFold:
    """Train the teacher of a recipe once per fold of DS1; returns the predictions on the held-out.

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
    if missing := sorted(set(mitdb.DS1) - found):
        raise DataError(
            f"cross-validation needs every record of MIT-BIH's DS1, {missing[0]} is missing "
            f"(of {len(missing)}); get it with `beatlens data get mitdb`"
        )
    schedule = recipe.teacher_schedule.model_copy(update={"keep": "last"}).schedule
    cut: list[WindowSet] = []
    runs: list[Run] = []
    for number in folds:
        path = folder / f"seed-{recipe.seed}-fold-{number}.npz"
        fold = _fold(prepared, mitdb.folds(count)[number])
        cut.append(cut_windows(fold.validation))
        if not path.exists():
            say(f"{recipe.name}, seed {recipe.seed}: fold {number + 1} of {count}")
            crops, file = fold.sampler(recipe, recipe.seed, excerpts=True), path.with_suffix(".pt")
            teacher = train_network(
                recipe, fold, crops, recipe.teacher.spec, schedule, file, report
            )
            run_network(teacher.net, cut[-1]).save(path)
        runs.append(Run.load(path))
    evidence = np.concatenate([run.evidence for run in runs])
    return OutOfFold(recipe.task.classes, WindowSet.joined(cut), Run(evidence))


def _fold(prepared: PreparedWindows, held_out: tuple[str, ...]) -> PreparedWindows:
    """The same tracks, with one fold of DS1 as validation patients."""
    everyone = prepared.train + prepared.validation
    of_mitdb = sorted((t for t in everyone if t.database == "mitdb"), key=lambda t: t.record)
    others = [t for t in everyone if t.database != "mitdb"]

    def trains(track: WindowTrack) -> bool:
        return track.record not in held_out + mitdb.WATCHED

    return replace(
        prepared,
        train=[t for t in of_mitdb if trains(t)] + others,
        validation=[t for t in of_mitdb if t.record in held_out],
        test=[],
    )


def build_row(recipe: WindowRecipe, found: OutOfFold) -> dict[str, Any]:
    """A row of docs/figures/crossval.json."""
    about = {"recipe": recipe.name, "seed": recipe.seed, "steps": recipe.teacher_schedule.steps}
    return {**about, "records": len(set(found.strips.records.tolist())), **found.row()}
