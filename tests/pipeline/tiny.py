"""Recipes small enough for a test: every step is real, every size is tiny, the ECG simulated."""

from beatlens.recipe import (
    DataSection,
    DistillSection,
    NetworkSection,
    Recipe,
    ScheduleSection,
    TeacherSection,
)

from ..seeds import seed_offset


def tiny_recipe(**changes: object) -> Recipe:
    recipe = Recipe(
        name="tiny",
        seed=seed_offset(),
        data=DataSection(source="simulated", simulated_patients=15, simulated_seconds=60),
        teacher=TeacherSection(
            kind="residual", channels=(8, 8, 12), kernels=(16, 9, 9), strides=(2, 2, 2)
        ),
        teacher_schedule=ScheduleSection(
            steps=200, batch=16, learning_rate=1e-2, validate_every=100
        ),
        student=NetworkSection(kind="dense", channels=(4, 6, 8), kernels=(8, 8, 8),
                               strides=(2, 2, 2)),
        student_schedule=ScheduleSection(
            steps=30, batch=8, learning_rate=6e-3, validate_every=15
        ),
        quantize_schedule=ScheduleSection(
            steps=10, batch=8, learning_rate=1e-3, validate_every=10
        ),
        distill=DistillSection(cache=64),
    )  # fmt: skip
    return recipe.model_copy(update=changes)


SHORT = {"steps": 12, "batch": 8, "learning_rate": 3e-3, "validate_every": 12, "keep": "last"}
NETWORK = {"kind": "dense", "channels": [6, 6, 6], "kernels": [8, 8, 8], "strides": [2, 2, 2]}
TINY_BEATS = {
    "task": "beats",
    "name": "tiny",
    "data": {"source": "simulated", "simulated_patients": 12, "simulated_seconds": 60},
    "teacher": NETWORK,
    "student": {**NETWORK, "channels": [4, 4, 4]},
    "teacher_schedule": SHORT,
    "student_schedule": SHORT,
    "quantize_schedule": SHORT,
    "distill": {"cache": 128},
}
