"""`python -m benchmarks matching-weight`: the weight of each matching loss, on validation patients.

Every matching loss gets the same try: the same weights, the same short training, the same teacher
and crops. The benchmark then uses each loss at its own best weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from beatlens.pipeline.compress import make_cache, make_steps, make_validation
from beatlens.pipeline.train import train_teacher
from beatlens.tasks.windows.data import PreparedWindows
from beatlens.tasks.windows.recipe import WindowRecipe
from beatlens.training.loop import Report
from benchmarks.attribution.matching import MATCHING_WEIGHTS


def matching_weights(
    recipe: WindowRecipe,
    prepared: PreparedWindows,
    folder: Path,
    weights: Sequence[float],
    steps: int,
    report: Report | None = None,
) -> list[dict[str, Any]]:
    """Train a short student per matching loss and weight; rows measured on validation patients."""
    teacher = train_teacher(recipe, prepared, folder / f"seed-{recipe.seed}", report)
    cache = make_cache(recipe, prepared, teacher, activations=True)
    validate = make_validation(recipe, prepared, teacher)
    schedule = recipe.student_schedule.model_copy(update={"steps": steps})
    rows = []
    for matching in MATCHING_WEIGHTS:
        for weight in weights:
            section = recipe.distill.model_copy(
                update={"matching": matching, "matching_weight": weight}
            )
            tried = recipe.model_copy(update={"distill": section, "student_schedule": schedule})
            place = folder / "tuning" / f"{matching}-{weight:g}"
            made = make_steps(
                tried, prepared, teacher, place, report, teacher_cache=cache, validate=validate
            )
            student, _ = made.run_first(1)
            rows.append({"matching": matching, "weight": weight, "steps": steps,
                         "seed": recipe.seed, **validate(student)})  # fmt: skip
    return rows
