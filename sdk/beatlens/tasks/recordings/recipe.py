"""Recipes of recordings: which class a whole recording is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from beatlens.errors import RecipeError
from beatlens.nets.backbones import STUDENTS, NetworkSpec
from beatlens.recipe import (
    AugmentationSection,
    ClassName,
    ClassSection,
    DistillSection,
    NetworkSection,
    Recipe,
    ScheduleSection,
    Share,
    TaskSection,
    TeacherSection,
    Weight,
)
from beatlens.tasks.common.crops import Augmentation
from beatlens.tasks.common.recipes import check_names
from beatlens.tasks.recordings.sampling import CropDraw

TEACHER = NetworkSpec("residual", (12, 20, 28, 36, 48, 48), (16, 7, 7, 7, 7, 7), (2, 2, 2, 1, 1, 1))


class RecordingClass(ClassSection):
    """A class of recordings, made by labels of whole recordings.

    Attributes
    ----------
    scored: whether its F1 counts in the mean that is reported; CinC 2017 leaves noise out.
    offset: what is added to the class's logit before the largest wins: for whoever wants to miss
        less of a class, or expects it more often than in training.
    """

    scored: bool = True
    offset: Annotated[float, Field(ge=-10, le=10)] = 0.0

    @model_validator(mode="after")
    def _made_by_labels(self) -> Self:
        if not self.labels:
            raise ValueError("a class of recordings has no labels, expected some")
        return self


class RecordingTask(TaskSection):
    """What is decided on every recording: one of the classes."""

    kind: Literal["recordings"] = "recordings"
    classes: Annotated[Mapping[ClassName, RecordingClass], Field(min_length=2, max_length=32)]

    @model_validator(mode="after")
    def _labels_of_one_class(self) -> Self:
        seen: dict[str, str] = {}
        for name, one in self.classes.items():
            for label in one.labels:
                if label in seen:
                    raise ValueError(
                        f"classes {seen[label]} and {name} both have the label {label}, expected "
                        "each label in one class"
                    )
                seen[label] = name
        if not any(one.scored for one in self.classes.values()):
            raise ValueError("no class is scored, expected one at least")
        return self

    @property
    def numbers(self) -> dict[str, int]:
        """Number of the class of each label."""
        return {
            label: number
            for number, one in enumerate(self.classes.values())
            for label in one.labels
        }

    @property
    def offsets(self) -> np.ndarray:
        """What is added to the logits `[C]`."""
        return np.array([one.offset for one in self.classes.values()])

    @property
    def scored(self) -> tuple[int, ...]:
        """Numbers of the classes whose F1 counts."""
        return tuple(n for n, one in enumerate(self.classes.values()) if one.scored)


class RecordingSampling(AugmentationSection):
    """How crops are drawn; see `beatlens.tasks.recordings.sampling.CropDraw`."""

    seconds: Annotated[float, Field(ge=5, le=61)] = 30.0
    shortest: Annotated[float, Field(ge=5)] = 30.0
    flips: Share = 0.5
    noise_mv: Annotated[float, Field(ge=0)] = 0.05
    class_weights: Mapping[ClassName, Weight] = Field(default={})

    @model_validator(mode="after")
    def _fits(self) -> Self:
        try:
            _ = self.draw
        except RecipeError as error:
            raise ValueError(str(error)) from error
        return self

    @property
    def draw(self) -> CropDraw:
        """What a sampler is given."""
        augmentation = Augmentation(self.gain, self.wander_mv, noise_mv=self.noise_mv)
        return CropDraw(
            self.seconds, self.shortest, self.flips, dict(self.class_weights), augmentation
        )


class RecordingRecipe(Recipe):
    """A model of recordings."""

    task: RecordingTask
    sampling: RecordingSampling = RecordingSampling()
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

    @model_validator(mode="after")
    def _names_its_classes(self) -> Self:
        check_names(self.sampling.class_weights, self.task.classes, "sampling.class_weights")
        for source in self.data.sources:
            if source.path is not None and source.labels is None:
                raise ValueError(
                    f"source {source.path} has no labels, expected the name of a CSV file with "
                    "columns record and label"
                )
        return self
