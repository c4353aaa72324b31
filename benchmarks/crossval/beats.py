"""`python -m benchmarks beats-crossval`: a recipe for beats, on every patient of DS1 and svdb.

Most S beats of the validation records are of one patient, and figures on them promise too much.
Here every recording is classified by a network that was trained on others: all patients but those
of the test, in folds of whole recordings, and with them recordings in atrial fibrillation, of which
there are hardly any in DS1 and svdb. It is the small network that is trained, without a teacher,
since that takes a minute; what helps it is tried on the teacher then. Where the teacher's last
members are trained on recordings whose beats nobody labelled, so is a second small network, and the
mean of both is measured.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from beatlens.checked_read import checked_read
from beatlens.evaluate.bootstrap import average_precision_statistic, interval, mean_statistic
from beatlens.nets.teacher import TEACHER_FILE, Teacher, mean_teacher
from beatlens.output import writing
from beatlens.pipeline.train import train_network
from beatlens.tasks.beats.crops import label_unlabelled, member_crops
from beatlens.tasks.beats.data import PreparedBeats
from beatlens.tasks.beats.labels import ABSENT, BeatTrack, add_set_entries
from beatlens.tasks.beats.metrics import BeatRun, run_beats
from beatlens.tasks.beats.recipe import BeatRecipe
from beatlens.training.crops import Crops
from beatlens.training.loop import Report

FOLDS = 4
AT_SENSITIVITY = {"s": 0.65, "v": 0.93}
"""Sensitivities at which predictivity is given: what a detector has to reach."""
Logits = Sequence[NDArray[np.float64]]


@dataclass(frozen=True)
class OutOfFold:
    """Logits of recordings by networks that were not trained on them.

    Attributes:
        labelled: of DS1 and svdb.
        fibrillating: in atrial fibrillation; no tracks where there are none.
    """

    labelled: BeatRun
    fibrillating: BeatRun


def out_of_fold(
    recipe: BeatRecipe,
    prepared: PreparedBeats,
    folder: Path,
    folds: Sequence[int] = range(FOLDS),
    report: Report | None = None,
    say: Callable[[str], None] = print,
) -> OutOfFold:
    """Train the recipe's student once or twice per fold; returns the logits of the held-out.

    Args:
        recipe: its student section's network is trained by its student schedule.
        prepared: tracks; those of training and validation are cut into folds, and so are those
            without labels of beats that are in fibrillation.
        folder: where every fold's networks and logits are kept, to go on from.
        folds: which of the `FOLDS` to train or load.
        report, say: progress.
    """
    everyone = sorted(prepared.train + prepared.validation, key=lambda t: (t.database, t.record))
    unlabelled = prepared.unlabelled
    fibrillating = [track for track in unlabelled if (track.labels == ABSENT).any()]
    classified: list[tuple[BeatTrack, NDArray[np.float64]]] = []
    folder.mkdir(parents=True, exist_ok=True)
    for number in folds:
        in_fibrillation = fibrillating[number::FOLDS]
        names = {track.record for track in in_fibrillation}
        others = [track for track in unlabelled if track.record not in names]
        held_out = [*everyone[number::FOLDS], *in_fibrillation]
        path = folder / f"seed-{recipe.seed}-fold-{number}-of-{len(held_out)}.npz"
        if not path.exists():
            say(f"{recipe.name}, seed {recipe.seed}: fold {number + 1} of {FOLDS}")
            rest = [track for track in everyone if track not in held_out]
            fold = replace(prepared, train=rest, validation=[], unlabelled=others)
            logits = _classify(recipe, fold, held_out, path.with_suffix(""), report)
            part = path.with_suffix(".part.npz")
            with writing(path):
                np.savez(part, *logits)
                part.replace(path)
        with (
            checked_read(path, "a fold's logits", "delete it, and they are made again"),
            np.load(path) as archive,
        ):
            classified += [(track, archive[f"arr_{i}"]) for i, track in enumerate(held_out)]

    def join_run(in_fibrillation: bool) -> BeatRun:
        chosen = [
            pair for pair in classified if bool((pair[0].labels == ABSENT).any()) == in_fibrillation
        ]
        return BeatRun([track for track, _ in chosen], [], [logits for _, logits in chosen])

    return OutOfFold(join_run(in_fibrillation=False), join_run(in_fibrillation=True))


def _classify(
    recipe: BeatRecipe,
    fold: PreparedBeats,
    held_out: Sequence[BeatTrack],
    folder: Path,
    report: Report | None,
) -> Logits:
    """Logits of the beats of each held-out recording, by networks that are trained here."""
    schedule = recipe.student_schedule.model_copy(update={"keep": "last"}).schedule

    def train(one: BeatRecipe, crops: Crops, name: str) -> Teacher:
        path = folder / name / TEACHER_FILE
        return train_network(one, fold, crops, one.student.spec, schedule, path, report)

    first, last = recipe.of_member(0), recipe.of_member(recipe.teacher.members - 1)
    members = [train(first, fold.sampler(first, first.seed), "first")]
    if recipe.unlabelled.members:
        labelled = label_unlabelled(recipe, fold.unlabelled, members[0])
        members.append(train(last, member_crops(last, fold, labelled), "last"))
    mean = mean_teacher(members)
    tables = add_set_entries(mean.table_values, recipe.task.classes)
    with torch.no_grad():
        return run_beats(mean.net.eval(), tables, held_out).logits


def build_row(recipe: BeatRecipe, predicted: OutOfFold) -> dict[str, Any]:
    """A row of docs/figures/beats_crossval.json.

    `ap_s_DATABASE`, `ap_v_DATABASE` with intervals by recording, and `predictivity_...`: that of
    the class, in percent, where its sensitivity is that of `AT_SENSITIVITY`. `s_in_fibrillation`:
    percent of the beats in fibrillation that are called S where so many S beats are found, of all
    databases together.
    """
    found, classes = predicted.labelled, recipe.classes
    row: dict[str, Any] = {
        "recipe": recipe.name,
        "seed": recipe.seed,
        "steps": recipe.student_schedule.steps,
        "recordings": len(found.tracks),
    }
    logits, labels, databases = found.beats()
    records = np.concatenate([np.full(len(t.labels), f"{t.database}/{t.record}")
                              for t in found.tracks])  # fmt: skip
    records = records[np.concatenate([t.labels for t in found.tracks]) >= 0]
    chances = _chances(logits)
    for database in sorted(set(databases)):
        there = databases == database
        for name, sensitivity in AT_SENSITIVITY.items():
            number = classes.index(name)
            truth, score = labels[there] == number, chances[there, number]
            statistic = average_precision_statistic(truth.astype(float), score)
            ends = interval(statistic, records[there], n=200)
            key = f"{name}_{database}"
            row |= {f"ap_{key}": ends.estimate, f"ap_{key}_lo": ends.lo, f"ap_{key}_hi": ends.hi}
            row[f"predictivity_{key}"] = 100 * _predictivity(truth, score, sensitivity)
    s = classes.index("s")
    level = np.quantile(chances[labels == s, s], 1 - AT_SENSITIVITY["s"])
    called = [100 * (_chances(each)[:, s] >= level) for each in predicted.fibrillating.logits]
    row["fibrillating"] = len(called)
    if len(called) > 1:
        groups = np.repeat(np.arange(len(called)), [len(each) for each in called])
        ends = interval(mean_statistic(np.concatenate(called)), groups, n=200)
        key = "s_in_fibrillation"
        row |= {key: ends.estimate, f"{key}_lo": ends.lo, f"{key}_hi": ends.hi}
    return row


def _chances(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def _predictivity(truth: NDArray[np.bool_], score: NDArray[np.float64], share: float) -> float:
    """Share of right ones among those scored so high that `share` of the true ones are."""
    claimed = score >= np.quantile(score[truth], 1 - share)
    return float(np.sum(claimed & truth) / np.sum(claimed))
