"""Students of the folds: small networks, each of which never saw some of the patients.

A kind whose rule is fitted out of fold (`KindTraining.folds`) has one for each fold, distilled from
the teacher's member that did not see those patients either. They are made only to say what a
network like the released one says of new patients.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from beatlens.errors import ModelError
from beatlens.nets.backbones import read_spec
from beatlens.nets.evidence import EvidenceNet
from beatlens.nets.files import load_net, save_net
from beatlens.nets.teacher import TEACHER_FILE, Teacher
from beatlens.pipeline.compress import make_steps
from beatlens.recipe import Recipe
from beatlens.tasks.contract import Prepared
from beatlens.tasks.registry import find_training
from beatlens.training.loop import Report

FOLDS, STUDENT_FILE = "folds", "student.pt"


def train_folds(
    recipe: Recipe,
    prepared: Prepared,
    folder: Path,
    report: Report | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[EvidenceNet]:
    """One float student for each fold; what is in the run folder is loaded.

    Args:
        recipe, prepared: of the teacher.
        folder: run folder, with the teacher's members.
        report, progress: of the training, and of a member's run over its crops.

    Raises:
        ModelError: a member of the teacher is not there.
    """
    kind = find_training(recipe.task.kind)
    for fold in range(kind.folds(recipe)):
        where = folder / FOLDS / str(fold)
        if (where / STUDENT_FILE).exists():
            continue
        member = folder / "members" / str(fold) / TEACHER_FILE
        if not member.exists():
            raise ModelError(
                f"{member} is not there: a rule that is fitted out of fold needs the teacher's "
                "members; run `beatlens train` in this run folder"
            )
        teacher, part = Teacher.load(member, kind.features), kind.hold_out(recipe, prepared, fold)
        steps = make_steps(recipe, part, teacher, where, report, progress)
        methods = [step.method for step in recipe.compress.steps]
        student, _ = steps.run_first(methods.index("quantize"))
        save_net(where / STUDENT_FILE, student, read_spec(student))
    return load_folds(recipe, folder)


def load_folds(recipe: Recipe, folder: Path) -> list[EvidenceNet]:
    """The students of a run folder's folds; `ModelError` where one was not made yet."""
    found = []
    for fold in range(find_training(recipe.task.kind).folds(recipe)):
        path = folder / FOLDS / str(fold) / STUDENT_FILE
        if not path.exists():
            raise ModelError(f"{path} is not there: run `beatlens compress` first")
        found.append(load_net(path)[0].eval())
    return found
