"""Step 2: the teacher, the uncompressed network whose explanations are to be kept."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from beatlens.checked_read import checked_read
from beatlens.errors import ModelError, RecipeError
from beatlens.evaluate.prediction import average_precision
from beatlens.evaluate.strips import Explaining, run_network
from beatlens.nets.backbones import NetworkSpec, build
from beatlens.nets.ensemble import ensemble
from beatlens.nets.evidence import EvidenceNet
from beatlens.nets.files import load_net, save_net
from beatlens.nets.lookup_tables import TABLES_FILE, load_tables, save_tables
from beatlens.output import write_whole
from beatlens.pipeline.data import Prepared
from beatlens.pipeline.members import members_of
from beatlens.recipe import ModelRecipe, Recipe
from beatlens.signals import beat_features, rr_features
from beatlens.tasks.beats import labels as beats
from beatlens.tasks.recordings import labels as wearable
from beatlens.tasks.windows.labels import CLASSES, StripSet, cut_strips
from beatlens.training.loop import History, Report, Schedule, fit, world
from beatlens.training.objective import TaskObjective, crops_of, seed_everything

CLASSES_OF = {"strips": CLASSES, "beats": beats.CLASSES, "wearable": wearable.CLASSES}
CONTEXTS_OF = {"beats": len(beat_features.TRAINED), "wearable": len(rr_features.FEATURES)}
"""Of the tables that a task's teacher has beside it, if it has any."""


def macro_ap(net: Explaining, strips: StripSet) -> dict[str, float]:
    """Average precision per class and its mean, of a network on strips."""
    figures = average_precision(strips.labels, run_network(net, strips).logits)
    named = {f"ap_{name}": float(v) for name, v in zip(CLASSES, figures, strict=True)}
    return {**named, "macro_ap": float(np.nanmean(figures))}


def train_teacher(
    recipe: Recipe, prepared: Prepared, folder: Path, report: Report | None = None
) -> EvidenceNet:
    """Train the teacher of a recipe, or load it where the run folder has it already.

    Writes `teacher.pt` and `teacher.json` (how training went); an interrupted training goes on from
    `teacher.checkpoint`. A schedule that keeps the best weights takes those of the largest macro
    average precision on validation patients.
    """
    return train_network(
        recipe.teacher.spec,
        recipe.teacher_schedule.schedule,
        recipe,
        prepared,
        folder / "teacher.pt",
        report,
    )


def taken_teacher(path: Path, recipe: ModelRecipe) -> EvidenceNet:
    """A teacher that was trained elsewhere, read from its file.

    Raises `ModelError` where that is no network, or one of other layers than the recipe's teacher
    or for other classes than its task's.
    """
    teacher, spec = load_net(path)
    classes = CLASSES_OF[recipe.task]
    if spec != recipe.teacher.spec or teacher.classes != classes:
        raise ModelError(
            f"{path}: a network of {spec.as_dict()} that tells {', '.join(teacher.classes)}; "
            f"expected the recipe's teacher, {recipe.teacher.spec.as_dict()} that tells "
            f"{', '.join(classes)}"
        )
    return teacher


def keep_teacher(path: Path, recipe: ModelRecipe, folder: Path) -> None:
    """Make a teacher that was trained elsewhere the run folder's own.

    Tasks that know a beat's rhythm have tables beside the network, in `tables.pt`; they come along.

    Raises:
        ModelError: see `taken_teacher`; or there are no tables beside it.
        RecipeError: the run folder has another teacher already.
    """
    teacher, kept = taken_teacher(path, recipe), folder / "teacher.pt"
    contexts = CONTEXTS_OF.get(recipe.task)
    tables = None if contexts is None else load_tables(path.with_name(TABLES_FILE), contexts)
    folder.mkdir(parents=True, exist_ok=True)
    if not kept.exists():
        if tables is not None:
            save_tables(folder / TABLES_FILE, tables)
        save_net(kept, teacher, recipe.teacher.spec)
        return
    present, given = load_net(kept)[0].state_dict(), teacher.state_dict()
    same = all(torch.equal(tensor, present[name]) for name, tensor in given.items())
    if tables is not None and contexts is not None:
        present_tables = load_tables(folder / TABLES_FILE, contexts)
        same &= torch.equal(tables.values, present_tables.values)
    if not same:
        raise RecipeError(
            f"{kept} is another teacher than the one given; use another run folder (--run)"
        )


def train_network(
    spec: NetworkSpec,
    schedule: Schedule,
    recipe: Recipe,
    prepared: Prepared,
    path: Path,
    report: Report | None = None,
) -> EvidenceNet:
    """Train one network, or the members of one, on labels alone into `path`.

    See `train_teacher` and `beatlens.pipeline.members`.
    """
    if path.exists():
        return load_net(path)[0]
    if spec.members > 1:
        members = [
            train_network(spec.member, schedule, one, prepared, where / path.name, report)
            for one, where in members_of(recipe, path.parent)
        ]
        net = ensemble([member.eval() for member in members])
        if world()[0] == 0:
            save_net(path, net, spec)
        return net
    path.parent.mkdir(parents=True, exist_ok=True)
    seed_everything(recipe.seed)
    net = build(spec, CLASSES)
    validation = cut_strips(prepared.validation)
    history = fit(
        TaskObjective(net),
        net,
        crops_of(prepared.sampler(recipe, recipe.seed)),
        schedule,
        lambda: macro_ap(net, validation),
        score="macro_ap",
        checkpoint=path.with_suffix(".checkpoint"),
        report=report,
    )
    if world()[0] == 0:
        save_net(path, net, spec)
        write_history(path.with_suffix(".json"), history)
        path.with_suffix(".checkpoint").unlink(missing_ok=True)
    return net


def write_history(path: Path, history: History) -> None:
    """Write how a training went as JSON."""
    rows = {"best_step": history.best_step, "best_score": history.best_score, "rows": history.rows}
    write_whole(path, (json.dumps(rows, indent=1) + "\n").encode())


def read_history(path: Path) -> list[dict[str, float]]:
    """The validations of a training, as `write_history` wrote them.

    Raises `DataError` where the file is something else.
    """
    with checked_read(path, "a training's history", "delete it: a report does without"):
        rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
        return [{name: float(value) for name, value in row.items()} for row in rows]
