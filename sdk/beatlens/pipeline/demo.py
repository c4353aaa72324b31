"""The demo's recipe: the main job at a size that finishes in minutes on two cores."""

from __future__ import annotations

from beatlens.recipe import Recipe
from beatlens.tasks.registry import default_recipe

SETTINGS: dict[str, object] = {
    "teacher": {
        "kind": "residual",
        "channels": (24, 32, 48, 64, 96),
        "kernels": (16, 7, 7, 9, 11),
        "strides": (2, 2, 2, 1, 1),
    },
    "teacher_schedule": {
        "steps": 700, "learning_rate": 3e-3, "precision": "bfloat16", "validate_every": 350,
    },
    "student_schedule": {
        "steps": 1500, "learning_rate": 6e-3, "batch": 32, "validate_every": 500,
    },
    "quantize_schedule": {
        "steps": 300, "learning_rate": 1e-3, "batch": 32, "validate_every": 150,
    },
    "distill": {"cache": 4000},
}  # fmt: skip
"""A smaller teacher and shorter trainings than the built-in recipe's."""


def demo_recipe(*, simulated: bool = False) -> Recipe:
    """The built-in recipe of windows with the demo's settings; else the same job."""
    recipe = default_recipe("windows")
    data = recipe.data.model_dump() | {"source": "simulated" if simulated else "auto"}
    document = {**recipe.model_dump(include={"task", "sampling"}), "data": data, "name": "demo"}
    return type(recipe).parse({**document, **SETTINGS}, "the demo's recipe")
