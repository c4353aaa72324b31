"""Recipes of the wearable task.

>>> recipe = RecordingRecipe()
>>> recipe.task, recipe.data.test_fold
('wearable', None)
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from beatlens.errors import RecipeError
from beatlens.nets.backbones import STUDENTS, NetworkSpec
from beatlens.recipe import (
    NAME,
    DistillSection,
    ModelRecipe,
    NetworkSection,
    ScheduleSection,
    Section,
    Share,
    TeacherSection,
    Weight,
)
from beatlens.tasks.recordings.labels import CLASSES
from beatlens.tasks.recordings.sampling import CropDraw
from beatlens.tasks.windows.sampling import Augmentation

ClassName = Literal["normal", "afib", "other", "noise"]
FOLDS = 5
TEACHER = NetworkSpec("residual", (12, 20, 28, 36, 48, 48), (16, 7, 7, 7, 7, 7), (2, 2, 2, 1, 1, 1))


class WearableDataSection(Section):
    """Where recordings come from: cinc2017, in `FOLDS` parts with equal shares of every class.

    One part, `test_fold`, is left for the test; without it all recordings but those that choices
    are made on (`validation`, a share of the training parts) are trained on. Nobody knows which
    recordings are of one person. With `source = "simulated"` nothing is read.
    """

    source: Literal["auto", "real", "simulated"] = "auto"
    test_fold: Annotated[int, Field(ge=0, lt=FOLDS)] | None = None
    validation: Annotated[float, Field(ge=0.05, le=0.5)] = 0.15
    simulated_recordings: Annotated[int, Field(ge=80)] = 200
    simulated_seconds: Annotated[int, Field(ge=10, le=60)] = 30


class WearableSamplingSection(Section):
    """How crops are drawn; see `beatlens.tasks.recordings.sampling.CropDraw`."""

    seconds: Annotated[float, Field(ge=5, le=61)] = 30.0
    shortest: Annotated[float, Field(ge=5)] = 30.0
    flips: Share = 0.5
    class_weights: dict[ClassName, Weight] = Field(default={})
    gain: tuple[float, float] = (0.5, 1.5)
    wander_mv: Annotated[float, Field(ge=0)] = 0.1
    noise_mv: Annotated[float, Field(ge=0)] = 0.05

    @model_validator(mode="after")
    def _fits(self) -> WearableSamplingSection:
        if not 0 < self.gain[0] <= self.gain[1]:
            raise ValueError(f"gain is {self.gain}, expected lowest and highest factor, above 0")
        try:
            _ = self.draw
        except RecipeError as error:
            raise ValueError(str(error)) from error
        return self

    @property
    def draw(self) -> CropDraw:
        """What a sampler is given."""
        return CropDraw(
            self.seconds,
            self.shortest,
            self.flips,
            {str(name): weight for name, weight in self.class_weights.items()},
            Augmentation(gain=self.gain, wander_mv=self.wander_mv, noise_mv=self.noise_mv),
        )


class WearableDecisionSection(Section):
    """What is added to the classes' logits before the largest wins; none by default.

    For whoever wants to miss less of a class, or expects it more often than it was trained on.
    """

    offsets: dict[ClassName, Annotated[float, Field(ge=-10, le=10)]] = Field(default={})

    @property
    def by_class(self) -> np.ndarray:
        """The offsets `[C]`."""
        named = {str(name): value for name, value in self.offsets.items()}
        return np.array([named.get(name, 0.0) for name in CLASSES])


class RecordingRecipe(ModelRecipe):
    """A model of the wearable task. All sections have defaults; `task = "wearable"` is a recipe."""

    task: Literal["wearable"] = "wearable"
    name: Annotated[str, Field(pattern=NAME)] = "wearable-af"
    data: WearableDataSection = WearableDataSection()
    sampling: WearableSamplingSection = WearableSamplingSection()
    decision: WearableDecisionSection = WearableDecisionSection()
    teacher: TeacherSection = TeacherSection.of(TEACHER)
    teacher_schedule: ScheduleSection = ScheduleSection(
        steps=3200, learning_rate=3e-3, precision="bfloat16", validate_every=3200, keep="last"
    )
    student: NetworkSection = NetworkSection.of(STUDENTS["dense-16k"])
    student_schedule: ScheduleSection = ScheduleSection(
        steps=1200,
        learning_rate=6e-3,
        batch=32,
        validate_every=1200,
        precision="bfloat16",
        keep="last",
    )
    distill: DistillSection = DistillSection(
        kd=0.7, temperature=3.0, matching_weight=4.0, cache=4000
    )
    quantize_schedule: ScheduleSection = ScheduleSection(
        steps=250, learning_rate=1e-3, batch=32, validate_every=250, keep="last"
    )
