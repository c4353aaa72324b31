"""The compression steps of a recipe, one after the other, each kept in the run folder."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from beatlens.compression.contract import Budget, LogRow, Retraining
from beatlens.compression.methods import build_method
from beatlens.compression.quantize import QuantizedEvidenceNet
from beatlens.compression.quantized_files import load_quantized, save_quantized
from beatlens.nets.backbones import build, read_spec
from beatlens.nets.evidence import EvidenceNet
from beatlens.nets.files import load_net, save_net
from beatlens.output import write_whole
from beatlens.recipe import Recipe, StepSection
from beatlens.training.history import write_history
from beatlens.training.loop import Report, Schedule
from beatlens.training.losses import seed_everything

BuildRetraining = Callable[[Recipe, Schedule], Retraining]
"""Makes what a network is trained on, for a recipe and a schedule."""


@dataclass(frozen=True)
class Steps:
    """Runs a recipe's steps.

    Args:
        recipe: says the steps.
        teacher: the network that a recipe may start from.
        build_retraining: makes what a step trains a network on.
        folder: run folder; every step's network and log are kept in `steps/`.
        report: progress.
    """

    recipe: Recipe
    teacher: EvidenceNet
    build_retraining: BuildRetraining
    folder: Path
    report: Report | None = None

    def path(self, number: int) -> Path:
        """File of the network that step `number`, 1 and up, leaves; its log is beside it."""
        method = self.recipe.compress.steps[number - 1].method
        return self.folder / "steps" / f"{number}-{method}.pt"

    def run(self) -> tuple[EvidenceNet, QuantizedEvidenceNet]:
        """Run what is not in the folder yet; returns the last float network and the int8 one.

        Raises:
            ModelError: a step cannot handle the network, or cannot reach the budget.
        """
        last_float, net = self.run_first(len(self.recipe.compress.steps))
        if not isinstance(net, QuantizedEvidenceNet):
            raise TypeError(f"steps ended with a {type(net).__name__}")  # the recipe forbids it
        return last_float, net

    def run_first(self, count: int) -> tuple[EvidenceNet, nn.Module]:
        """As `run`, of the first `count` steps; returns the last float network and the last one."""
        section = self.recipe.compress
        last_float = deepcopy(self.teacher).requires_grad_(True)
        if section.start == "student":
            seed_everything(self.recipe.seed)
            last_float = build(self.recipe.student.spec, self.teacher.classes)
        net: nn.Module = last_float
        for number, step in enumerate(section.steps[:count], start=1):
            path = self.path(number)
            path.parent.mkdir(parents=True, exist_ok=True)
            if number == 1 and section.start == "student":
                net = self._distilled(step, last_float, path)
            else:
                net = self._step(step, net, last_float, path)
            last_float = net if isinstance(net, EvidenceNet) else last_float
        return last_float, net

    def _distilled(self, step: StepSection, student: EvidenceNet, path: Path) -> EvidenceNet:
        """Distil a new student, beside a checkpoint, or load the one that is there."""
        if path.exists():
            return load_net(path)[0]
        schedule = (step.schedule or self.recipe.student_schedule).schedule
        retraining = self.build_retraining(self._recipe_for(step), schedule)
        checkpoint = path.with_suffix(".checkpoint")
        history = retraining.run(student, checkpoint=checkpoint, report=self.report)
        save_net(path, student, self.recipe.student.spec)
        write_history(path.with_suffix(".json"), history)
        checkpoint.unlink(missing_ok=True)
        return student

    def _step(
        self, step: StepSection, net: nn.Module, last_float: EvidenceNet, path: Path
    ) -> nn.Module:
        """Run one step, or load what it left."""
        recipe = self._recipe_for(step)
        if path.exists():
            if step.method == "quantize" or isinstance(net, QuantizedEvidenceNet):
                return load_quantized(path, last_float)
            return load_net(path)[0]
        method = build_method(step.method, step.settings)
        method.check(net)
        budget = Budget(step.packed_bytes or recipe.compress.packed_bytes or sys.maxsize)
        section = recipe.quantize_schedule if step.method == "quantize" else None
        schedule = (step.schedule or section or recipe.compress.retrain_schedule).schedule
        retraining = self.build_retraining(recipe, schedule)
        done = method(net, retraining, budget, self.report)
        _save(path, done.net, done.log)
        return done.net

    def _recipe_for(self, step: StepSection) -> Recipe:
        """The recipe with the step's own matching loss, if it has one."""
        if step.matching is None:
            return self.recipe
        distill = self.recipe.distill.model_copy(update={"matching": step.matching})
        return self.recipe.model_copy(update={"distill": distill})


def _save(path: Path, net: nn.Module, log: list[LogRow]) -> None:
    """Write a step's network and, beside it, its log."""
    text = json.dumps(log, indent=1, default=float) + "\n"  # a method may log numpy's numbers
    write_whole(path.with_suffix(".json"), text.encode())
    if isinstance(net, QuantizedEvidenceNet):
        save_quantized(path, net)
    elif isinstance(net, EvidenceNet):
        save_net(path, net, read_spec(net))
