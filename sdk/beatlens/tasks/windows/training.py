"""Training and compression of networks that decide on windows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from beatlens.attribution.fidelity import fidelity
from beatlens.attribution.matching import build_matching
from beatlens.compression.contract import Retraining
from beatlens.compression.distill import TeacherCache
from beatlens.compression.retraining import build_retraining
from beatlens.evaluate.prediction import average_precision
from beatlens.nets.evidence import EvidenceNet
from beatlens.nets.teacher import Teacher
from beatlens.runtime.bundle import Bundle
from beatlens.tasks.common.runs import Explaining
from beatlens.tasks.common.workers import Workers
from beatlens.tasks.contract import (
    Evaluation,
    Int8Model,
    KindTraining,
    MakeCrops,
    Networks,
    Progress,
)
from beatlens.tasks.windows import episodes, evaluation, report
from beatlens.tasks.windows.data import PreparedWindows, prepare_windows
from beatlens.tasks.windows.labels import SPAN, WindowSet, cut_windows
from beatlens.tasks.windows.metrics import Reference, Run, run_network
from beatlens.tasks.windows.objective import WindowObjective
from beatlens.tasks.windows.recipe import WindowRecipe
from beatlens.tasks.windows.rule import WindowRule, window_rule
from beatlens.tasks.windows.sampling import WindowSampler
from beatlens.training.crops import Crops
from beatlens.training.loop import Schedule
from beatlens.training.model import TabledNet


class WindowTraining(KindTraining[WindowRecipe, PreparedWindows]):
    """Windows, as training and measuring see them."""

    name = "windows"
    recipe_type = WindowRecipe
    default_recipe = Path(__file__).with_name("default.toml")
    score = "macro_ap"
    model_span = SPAN

    def prepare(
        self,
        recipe: WindowRecipe,
        folder: Path,
        data: Path | None,
        progress: Progress | None,
        workers: Workers,
        roles: Sequence[str],
    ) -> PreparedWindows:
        """See `KindTraining.prepare`."""
        return prepare_windows(recipe, folder, data, progress, workers, roles)

    def teacher_crops(
        self, recipe: WindowRecipe, prepared: PreparedWindows
    ) -> MakeCrops[WindowRecipe]:
        """Crops with the recipe's excerpts."""
        return lambda one, before: prepared.sampler(one, one.seed, excerpts=True)

    def objective(self, recipe: WindowRecipe, model: TabledNet, crops: Crops) -> nn.Module:
        """Binary cross entropy over the known labels."""
        return WindowObjective(model.net)

    def validate_teacher(
        self, recipe: WindowRecipe, model: TabledNet, prepared: PreparedWindows
    ) -> dict[str, float]:
        """Average precision of each class on the validation windows, and its mean `macro_ap`."""
        return macro_ap(model.net, cut_windows(prepared.validation), recipe.classes)

    def student_crops(
        self, recipe: WindowRecipe, prepared: PreparedWindows, teacher: Teacher, seed: int
    ) -> WindowSampler:
        """Crops without excerpts."""
        return prepared.sampler(recipe, seed, excerpts=False)

    def crop_span(self, recipe: WindowRecipe) -> int:
        """A window."""
        return SPAN

    def agreement(
        self, recipe: WindowRecipe, prepared: PreparedWindows, teacher: Teacher
    ) -> Agreement:
        """Agreement with the teacher on the validation windows."""
        windows = cut_windows(prepared.validation)
        run = run_network(teacher.net, windows)
        return Agreement(windows, run, evaluation.choose_limits(recipe, prepared, windows, run))

    def retraining(
        self,
        cache: TeacherCache,
        teacher: Teacher,
        recipe: WindowRecipe,
        schedule: Schedule,
        validate: Callable[[nn.Module], dict[str, float]],
    ) -> Retraining:
        """Labels, decisions and maps of the teacher."""
        weights, matching = recipe.distill.weights, build_matching(recipe.distill.matching)
        return build_retraining(cache, weights, matching, schedule, validate)

    def choose_rule(
        self,
        recipe: WindowRecipe,
        prepared: PreparedWindows,
        teacher: Teacher,
        model: Int8Model,
        folds: Sequence[EvidenceNet] = (),
    ) -> WindowRule:
        """The threshold of each class."""
        return evaluation.choose_rule(recipe, prepared, teacher, model)

    def evaluate(
        self,
        recipe: WindowRecipe,
        prepared: PreparedWindows,
        networks: Networks,
        rule: Any | None = None,
    ) -> Evaluation:
        """See `KindTraining.evaluate`."""
        return evaluation.evaluate_windows(recipe, prepared, networks, rule)

    def describe_rule(self, bundle: Bundle) -> str:
        """The thresholds."""
        thresholds = window_rule(bundle).thresholds
        return ", ".join(f"{name} {value:.3f}" for name, value in thresholds.items())

    def read_rule(self, bundle: Bundle) -> evaluation.DeviceRule:
        """The thresholds and tables of a bundle, in logits."""
        return evaluation.DeviceRule.read(bundle)

    def check_ec57(self, recipe: WindowRecipe) -> None:
        """EC57 counts episodes of atrial fibrillation."""
        episodes.find_fibrillation(recipe)

    def evaluate_ec57(
        self,
        recipe: WindowRecipe,
        prepared: PreparedWindows,
        networks: Networks,
        rule: Any | None,
    ) -> Evaluation:
        """Episodes of atrial fibrillation."""
        return episodes.evaluate_episodes(recipe, prepared, networks, rule)

    def bundle_figures(self, figures: Mapping[str, Any]) -> dict[str, Any]:
        """The int8 model's figures on test patients."""
        return evaluation.bundle_figures(figures)

    def write_report(
        self,
        recipe: WindowRecipe,
        prepared: PreparedWindows,
        found: Evaluation,
        folder: Path,
    ) -> Path:
        """`report.html`: test windows with the evidence of teacher and device."""
        return report.make_report(recipe, prepared, found, folder)


class Agreement:
    """Validates a student: agreement with its teacher, and accuracy, on validation windows.

    Called with a network, returns `spearman`, `macro_ap` and their mean `score`, by which schedules
    that keep the best weights choose (a student that explains the wrong decision well is no use).
    """

    def __init__(self, windows: WindowSet, teacher: Run, thresholds: np.ndarray) -> None:
        self._windows = windows
        reference = Reference(teacher, thresholds)
        self._maps = teacher.evidence
        # A teacher that predicts nothing on these patients is still held against, on every map.
        every = np.ones_like(reference.predicted)
        self._predicted = reference.predicted if reference.predicted.any() else every

    def __call__(self, net: Explaining) -> dict[str, float]:
        """Measure one network."""
        run = run_network(net, self._windows)
        pairs = fidelity(self._maps, run.evidence, self._predicted)
        spearman = pairs.summary()["spearman"]
        macro = float(np.nanmean(average_precision(self._windows.labels, run.logits)))
        return {"spearman": spearman, "macro_ap": macro, "score": (spearman + macro) / 2}


def macro_ap(net: Explaining, windows: WindowSet, classes: Sequence[str]) -> dict[str, float]:
    """Average precision of each class, `ap_CLASS`, and its mean, of a network on windows."""
    figures = average_precision(windows.labels, run_network(net, windows).logits)
    named = {f"ap_{name}": float(v) for name, v in zip(classes, figures, strict=True)}
    return {**named, "macro_ap": float(np.nanmean(figures))}


TRAINING = WindowTraining()
