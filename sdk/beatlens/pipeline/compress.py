"""The network made small: by default a student distilled with matched maps, then int8."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

from torch import nn

from beatlens.attribution.matching import build_matching
from beatlens.compression.contract import Retraining
from beatlens.compression.distill import TeacherCache
from beatlens.compression.quantize import QuantizedEvidenceNet
from beatlens.compression.quantized_files import load_quantized, save_quantized
from beatlens.errors import ModelError, RecipeError
from beatlens.nets.backbones import read_spec
from beatlens.nets.evidence import EvidenceNet
from beatlens.nets.files import load_net, save_net
from beatlens.nets.teacher import Teacher
from beatlens.pipeline.steps import Steps
from beatlens.recipe import Recipe, StepSection
from beatlens.tasks.common.runs import Explaining
from beatlens.tasks.contract import Prepared
from beatlens.tasks.registry import find_training
from beatlens.training.loop import Report, Schedule, world

CACHE_SEED = 7_000
"""Added to a recipe's seed, for the crops that students are trained on."""
STUDENT_FILE, QUANTIZED_FILE = "student.pt", "quantized.pt"
Validate = Callable[[nn.Module], dict[str, float]]


def compress(
    recipe: Recipe,
    prepared: Prepared,
    teacher: Teacher,
    folder: Path,
    report: Report | None = None,
    progress: Callable[[int, int], None] | None = None,
    teacher_cache: TeacherCache | None = None,
    validate: Validate | None = None,
) -> tuple[EvidenceNet, QuantizedEvidenceNet]:
    """Run the compression steps of a recipe; returns the last float network and the int8 one.

    Without steps of its own a recipe distils its student and quantises it. Writes `student.pt` and
    `quantized.pt`, and every step's network into `steps/`; what is there is loaded.

    Args:
        recipe, prepared: of the teacher.
        teacher: what is made small.
        folder: run folder.
        report, progress: of the training, and of the teacher's run over the crops.
        teacher_cache, validate: as for `make_steps`.

    Raises:
        RecipeError: started under torchrun.
        ModelError: a step cannot handle the network, or cannot reach the budget.
    """
    if world()[1] > 1:
        raise RecipeError(
            f"compress was started on {world()[1]} processes, expected 1: students are small, "
            "start it without torchrun"
        )
    student_path, quantized_path = folder / STUDENT_FILE, folder / QUANTIZED_FILE
    if student_path.exists() and quantized_path.exists():
        student = load_net(student_path)[0]
        return student, load_quantized(quantized_path, student)
    student, quantized = make_steps(
        recipe, prepared, teacher, folder, report, progress, teacher_cache, validate
    ).run()
    save_net(student_path, student, read_spec(student))
    save_quantized(quantized_path, quantized)
    return student, quantized


def make_steps(
    recipe: Recipe,
    prepared: Prepared,
    teacher: Teacher,
    folder: Path,
    report: Report | None = None,
    progress: Callable[[int, int], None] | None = None,
    teacher_cache: TeacherCache | None = None,
    validate: Validate | None = None,
) -> Steps:
    """A recipe's compression steps, ready to run.

    Args:
        recipe, prepared, teacher, folder, report, progress: as for `compress`.
        teacher_cache: the teacher's evidence on crops; None: it is made here.
        validate: measures a student; None: `make_validation`.
    """
    kind = find_training(recipe.task.kind)
    cached = teacher_cache or make_cache(recipe, prepared, teacher, progress)
    measure = validate or make_validation(recipe, prepared, teacher)

    def build_retraining(one: Recipe, schedule: Schedule) -> Retraining:
        return kind.retraining(cached, teacher, one, schedule, measure)

    return Steps(recipe, teacher.net, build_retraining, folder, report)


def make_cache(
    recipe: Recipe,
    prepared: Prepared,
    teacher: Teacher,
    progress: Callable[[int, int], None] | None = None,
    activations: bool | None = None,
) -> TeacherCache:
    """Run the teacher once over the crops that its students are trained on.

    `activations`: keep its activations too; None: if a step of the recipe needs them.
    """
    if activations is None:
        activations = any(_needs_activations(recipe, step) for step in recipe.compress.steps)
    kind = find_training(recipe.task.kind)
    return TeacherCache(
        teacher.net,
        kind.student_crops(recipe, prepared, teacher, CACHE_SEED + recipe.seed),
        recipe.distill.cache,
        span=kind.crop_span(recipe),
        activations=activations,
        seed=recipe.seed,
        noise=recipe.distill.noise,
        progress=progress,
    )


def make_validation(recipe: Recipe, prepared: Prepared, teacher: Teacher) -> Validate:
    """What measures students on validation recordings; the teacher runs at the first call."""
    kind = find_training(recipe.task.kind)

    @cache
    def agreement() -> Callable[[Explaining], dict[str, float]]:
        return kind.agreement(recipe, prepared, teacher)

    return lambda net: agreement()(net)  # type: ignore[arg-type]  # a retraining has nets only


def load_compressed(folder: Path) -> tuple[EvidenceNet, QuantizedEvidenceNet]:
    """The student of a run folder, float and int8; `ModelError` where it was not made yet."""
    path = folder / STUDENT_FILE
    if not path.exists():
        raise ModelError(f"{path} is not there: run `beatlens compress` first")
    student = load_net(path)[0]
    return student, load_quantized(folder / QUANTIZED_FILE, student)


def _needs_activations(recipe: Recipe, step: StepSection) -> bool:
    matching = build_matching(step.matching or recipe.distill.matching)
    return matching is not None and matching.needs_activations
