"""The demo's recipe: the main job at a size that finishes in minutes on two cores."""

from __future__ import annotations

from beatlens.recipe import (
    DataSection,
    DistillSection,
    Recipe,
    ScheduleSection,
    TeacherSection,
)


def demo_recipe(*, simulated: bool = False) -> Recipe:
    """A smaller teacher and shorter trainings than the built-in recipe's; else the same job."""
    return Recipe(
        name="demo",
        data=DataSection(source="simulated" if simulated else "auto"),
        teacher=TeacherSection(
            kind="residual",
            channels=(24, 32, 48, 64, 96),
            kernels=(16, 7, 7, 9, 11),
            strides=(2, 2, 2, 1, 1),
        ),
        teacher_schedule=ScheduleSection(
            steps=700, learning_rate=3e-3, precision="bfloat16", validate_every=350
        ),
        student_schedule=ScheduleSection(
            steps=1500, learning_rate=6e-3, batch=32, validate_every=500
        ),
        quantize_schedule=ScheduleSection(
            steps=300, learning_rate=1e-3, batch=32, validate_every=150
        ),
        distill=DistillSection(cache=4000),
    )
