"""The compression steps of a recipe, one after the other, each kept in the run folder."""

from __future__ import annotations

import json
import sys
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from beatlens.compress.contract import Budget, LogRow
from beatlens.compress.distill import TeacherPool
from beatlens.compress.methods import method_of
from beatlens.compress.quantize import QuantizedEvidenceNet
from beatlens.nets.backbones import build, spec_of
from beatlens.nets.evidence import EvidenceNet
from beatlens.nets.files import load_net, save_net
from beatlens.pipeline.student import (
    Agreement,
    distill_student,
    lesson_of,
    load_quantized,
    save_quantized,
)
from beatlens.recipe import Recipe, StepSection
from beatlens.tasks.strips import CLASSES
from beatlens.training.loop import Report


@dataclass(frozen=True)
class Steps:
    """Runs a recipe's steps.

    Args:
        recipe: says the steps.
        pool: the teacher and its crops.
        agreement: validates networks.
        folder: run folder; every step's network and log are kept in `steps/`.
        report: progress.
    """

    recipe: Recipe
    pool: TeacherPool
    agreement: Agreement
    folder: Path
    report: Report | None = None

    def run(self) -> tuple[EvidenceNet, QuantizedEvidenceNet]:
        """Run what is not in the folder yet; returns the last float network and the int8 one.

        Raises:
            ModelError: a step cannot handle the network, or cannot reach the budget.
        """
        section = self.recipe.compress
        last_float = build(self.recipe.student.spec, CLASSES)
        if section.start == "teacher":
            last_float = deepcopy(self.pool.teacher).requires_grad_(True)
        net: nn.Module = last_float
        for number, step in enumerate(section.steps, start=1):
            path = self.folder / "steps" / f"{number}-{step.method}.pt"
            path.parent.mkdir(parents=True, exist_ok=True)
            net = self._step(step, net, last_float, path, first=number == 1)
            last_float = net if isinstance(net, EvidenceNet) else last_float
        if not isinstance(net, QuantizedEvidenceNet):
            raise TypeError(f"steps ended with a {type(net).__name__}")  # the recipe forbids it
        return last_float, net

    def _step(
        self, step: StepSection, net: nn.Module, last_float: EvidenceNet, path: Path, *, first: bool
    ) -> nn.Module:
        """Run one step, or load what it left."""
        recipe = self._recipe_of(step)
        if step.method == "distill" and first and recipe.compress.start == "student":
            return distill_student(recipe, self.pool, self.agreement, path, self.report)
        if path.exists():
            if step.method == "quantize" or isinstance(net, QuantizedEvidenceNet):
                return load_quantized(path, last_float)
            return load_net(path)[0]
        method = method_of(step.method, step.settings)
        method.check(net)
        budget = Budget(recipe.compress.packed_bytes or sys.maxsize)
        section = recipe.quantize_schedule if step.method == "quantize" else None
        schedule = (step.schedule or section or recipe.compress.retrain_schedule).schedule
        lesson = lesson_of(recipe, self.pool, self.agreement, schedule)
        done = method(net, lesson, budget, self.report)
        _save(path, done.net, done.log)
        return done.net

    def _recipe_of(self, step: StepSection) -> Recipe:
        """The recipe with what a step replaces in it."""
        update: dict[str, object] = {}
        if step.matching is not None:
            update["distill"] = self.recipe.distill.model_copy(update={"matching": step.matching})
        if step.schedule is not None and step.method == "distill":
            update["student_schedule"] = step.schedule
        return self.recipe.model_copy(update=update)


def _save(path: Path, net: nn.Module, log: list[LogRow]) -> None:
    """Write a step's network and, beside it, its log."""
    path.with_suffix(".json").write_text(json.dumps(log, indent=1) + "\n", encoding="utf-8")
    if isinstance(net, QuantizedEvidenceNet):
        save_quantized(path, net)
    elif isinstance(net, EvidenceNet):
        save_net(path, net, spec_of(net))
