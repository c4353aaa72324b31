"""Step 3: the network made small, by default a student distilled with matched maps, then int8."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from beatlens.attribution.matching import build_matching
from beatlens.compress.contract import Retraining
from beatlens.compress.distill import TeacherCache
from beatlens.compress.quantize import QuantizedEvidenceNet
from beatlens.errors import RecipeError
from beatlens.nets.backbones import read_spec
from beatlens.nets.evidence import EvidenceNet
from beatlens.nets.files import load_net, save_net
from beatlens.pipeline.data import Prepared
from beatlens.pipeline.steps import Steps
from beatlens.pipeline.student import (
    Agreement,
    build_cache,
    build_student_retraining,
    load_quantized,
    save_quantized,
)
from beatlens.recipe import ModelRecipe, Recipe, StepSection
from beatlens.tasks.windows.sampling import Crops
from beatlens.training.loop import Report, Schedule, world


def compress(
    recipe: Recipe,
    prepared: Prepared,
    teacher: EvidenceNet,
    folder: Path,
    report: Report | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[EvidenceNet, QuantizedEvidenceNet]:
    """Run the compression steps of a recipe; returns the last float network and the int8 one.

    Without steps of its own a recipe distils its student and quantises it. Writes `student.pt` and
    `quantized.pt`, and every step's network into `steps/`; what is there is loaded.

    Raises:
        RecipeError: started under torchrun.
        ModelError: a step cannot handle the network, or cannot reach the budget.
    """
    refuse_many_processes()
    student_path, quantized_path = folder / "student.pt", folder / "quantized.pt"
    if student_path.exists() and quantized_path.exists():
        student = load_net(student_path)[0]
        return student, load_quantized(quantized_path, student)
    keep = any(_needs_activations(recipe, step) for step in recipe.compress.steps)
    cache = build_cache(recipe, prepared, teacher, activations=keep, progress=progress)
    agreement = Agreement.of(recipe, prepared, teacher)

    def build_retraining(one: ModelRecipe, schedule: Schedule) -> Retraining:
        return build_student_retraining(one, cache, agreement, schedule)

    return run_steps_into(folder, Steps(recipe, teacher, build_retraining, folder, report))


@dataclass(frozen=True)
class Taught:
    """What a task's compression learns from.

    Args:
        recipe: says the steps.
        teacher: the network whose evidence is kept.
        crops: makes what draws the crops of the teacher's cache; called if there is none to load.
        span: samples of a crop's span.
        build_retraining: what is taught out of the cache, for a recipe and a schedule.
    """

    recipe: ModelRecipe
    teacher: EvidenceNet
    crops: Callable[[], Crops]
    span: int
    build_retraining: Callable[[TeacherCache, ModelRecipe, Schedule], Retraining]


def compress_from_cache(
    taught: Taught,
    folder: Path,
    report: Report | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[EvidenceNet, QuantizedEvidenceNet]:
    """As `compress`, for a task that is taught by a cache of its own."""
    refuse_many_processes()
    recipe = taught.recipe
    student_path, quantized_path = folder / "student.pt", folder / "quantized.pt"
    if student_path.exists() and quantized_path.exists():
        student = load_net(student_path)[0]
        return student, load_quantized(quantized_path, student)
    cache = TeacherCache(
        taught.teacher,
        taught.crops(),
        recipe.distill.cache,
        span=taught.span,
        activations=any(_needs_activations(recipe, step) for step in recipe.compress.steps),
        seed=recipe.seed,
        noise=recipe.distill.noise,
        progress=progress,
    )

    def build_retraining(one: ModelRecipe, schedule: Schedule) -> Retraining:
        return taught.build_retraining(cache, one, schedule)

    return run_steps_into(folder, Steps(recipe, taught.teacher, build_retraining, folder, report))


def run_steps_into(folder: Path, steps: Steps) -> tuple[EvidenceNet, QuantizedEvidenceNet]:
    """Run steps and write what they end with: `student.pt` and `quantized.pt`."""
    student, quantized = steps.run()
    save_net(folder / "student.pt", student, read_spec(student))
    save_quantized(folder / "quantized.pt", quantized)
    return student, quantized


def refuse_many_processes() -> None:
    """Raise `RecipeError` under torchrun with several processes."""
    if world()[1] > 1:
        raise RecipeError(
            f"compress was started on {world()[1]} processes, expected 1: students are small, "
            "start it without torchrun"
        )


def _needs_activations(recipe: ModelRecipe, step: StepSection) -> bool:
    matching = build_matching(step.matching or recipe.distill.matching)
    return matching is not None and matching.needs_activations
