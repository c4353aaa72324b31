"""Recipes small enough for a test: every step is real, every size is tiny, the ECG simulated."""

from __future__ import annotations

from typing import Any

from beatlens.recipe import (
    DistillSection,
    NetworkSection,
    ScheduleSection,
    TeacherSection,
    read_toml,
)
from beatlens.tasks.registry import default_recipe, find_training
from beatlens.tasks.windows.recipe import WindowRecipe

from ..seeds import seed_offset

SHORT = {"steps": 12, "batch": 8, "learning_rate": 3e-3, "validate_every": 12, "keep": "last"}
NETWORK = {"kind": "dense", "channels": [6, 6, 6], "kernels": [8, 8, 8], "strides": [2, 2, 2]}
TINY: dict[str, Any] = {
    "name": "tiny",
    "teacher": NETWORK,
    "student": {**NETWORK, "channels": [4, 4, 4]},
    "teacher_schedule": SHORT,
    "student_schedule": SHORT,
    "quantize_schedule": SHORT,
}


def document_of(kind: str) -> dict[str, Any]:
    """The plain content of a kind's built-in recipe."""
    return read_toml(find_training(kind).default_recipe)


def tiny_recipe(**changes: object) -> WindowRecipe:
    """A recipe of windows."""
    recipe = default_recipe("windows")
    data = {"source": "simulated", "simulated_patients": 15, "simulated_seconds": 60}
    tiny = {
        "name": "tiny",
        "seed": seed_offset(),
        "data": recipe.data.model_copy(update=data),
        "teacher": TeacherSection(
            kind="residual", channels=(8, 8, 12), kernels=(16, 9, 9), strides=(2, 2, 2)
        ),
        "teacher_schedule": ScheduleSection(
            steps=200, batch=16, learning_rate=1e-2, validate_every=100
        ),
        "student": NetworkSection(
            kind="dense", channels=(4, 6, 8), kernels=(8, 8, 8), strides=(2, 2, 2)
        ),
        "student_schedule": ScheduleSection(
            steps=30, batch=8, learning_rate=6e-3, validate_every=15
        ),
        "quantize_schedule": ScheduleSection(
            steps=10, batch=8, learning_rate=1e-3, validate_every=10
        ),
        "distill": DistillSection(cache=64),
    }
    found = recipe.model_copy(update={**tiny, **changes})
    assert isinstance(found, WindowRecipe)
    return found


TINY_BEATS: dict[str, Any] = {
    **document_of("beats"),
    **TINY,
    "data": {"source": "simulated", "simulated_patients": 12, "simulated_seconds": 60},
    "distill": {"cache": 128},
}
"""Plain content of a recipe of beats."""
