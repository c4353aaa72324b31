"""`python -m benchmarks compress-tries`: recipes for one budget, on validation patients.

`python -m benchmarks compress` compares methods, each with a training short enough for hundreds of
cells. What is released is chosen here, among recipes of full length whose steps may follow each
other. All students have the same teacher and are trained on the same crops, and no test patient is
looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from beatlens.compression.distill import TeacherCache
from beatlens.compression.int8_graph import build_graph
from beatlens.compression.size import weight_account
from beatlens.errors import RecipeError
from beatlens.integer.account import size_account
from beatlens.nets.teacher import Teacher
from beatlens.pipeline.compress import Validate, compress, make_cache, make_validation
from beatlens.pipeline.folder import claim
from beatlens.tasks.windows.data import PreparedWindows
from beatlens.tasks.windows.labels import SPAN
from beatlens.tasks.windows.recipe import WindowRecipe
from beatlens.training.loop import Report

SHARED = ("seed", "task", "data", "sampling", "teacher")
"""Sections in which recipes that are compared must agree; besides, in the size of the cache."""


@dataclass
class Tries:
    """Makes recipes small, one after the other.

    Args:
        recipes: of one teacher.
        prepared: tracks.
        teacher: the network they are held against.
        folder: run folder, one sub-folder per recipe; what is there is not made again.
        report: progress.

    Raises:
        RecipeError: recipes differ in what they must share.
    """

    recipes: Sequence[WindowRecipe]
    prepared: PreparedWindows
    teacher: Teacher
    folder: Path
    report: Report | None = None

    def __post_init__(self) -> None:
        first = self.recipes[0]
        for other in self.recipes[1:]:
            differ = [name for name in SHARED if getattr(first, name) != getattr(other, name)]
            differ += [] if first.distill.cache == other.distill.cache else ["distill.cache"]
            if differ:
                raise RecipeError(
                    f"{other.name} and {first.name} differ in {', '.join(differ)}, expected the "
                    "same: recipes are compared with one teacher and the same crops"
                )

    @cached_property
    def cache(self) -> TeacherCache:
        """The crops that students of all recipes are trained on."""
        return make_cache(self.recipes[0], self.prepared, self.teacher, activations=True)

    @cached_property
    def validate(self) -> Validate:
        """Measures a network on validation patients."""
        return make_validation(self.recipes[0], self.prepared, self.teacher)

    def row(self, recipe: WindowRecipe) -> dict[str, Any]:
        """Make one recipe's network, or load it, and measure it."""
        folder = claim(self.folder / recipe.name, recipe)

        _, quantized = compress(
            recipe, self.prepared, self.teacher, folder, self.report,
            teacher_cache=self.cache, validate=self.validate,
        )  # fmt: skip
        account = size_account(build_graph(quantized, SPAN))
        found = self.validate(quantized)
        return {
            "recipe": recipe.name,
            "steps": ", ".join(step.method for step in recipe.compress.steps),
            "budget": recipe.compress.packed_bytes,
            "seed": recipe.seed,
            "weights": weight_account(quantized).weights,
            "packed_bytes": account.packed_bytes,
            "file_bytes": account.file_bytes,
            "macs": account.macs,
            **found,
        }
