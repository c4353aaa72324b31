"""Recipes of windows: classes decided independently in every 10 s of ECG."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from beatlens.errors import RecipeError
from beatlens.recipe import (
    AugmentationSection,
    Chance,
    ClassName,
    ClassSection,
    DataSection,
    Recipe,
    Share,
    TaskSection,
)
from beatlens.signals.annotation_types import LASTING_BEATS
from beatlens.tasks.common.crops import Augmentation
from beatlens.tasks.common.recipes import check_names
from beatlens.tasks.windows.sampling import Excerpts

Logits = Annotated[float, Field(ge=-10, le=10)]


class WindowClass(ClassSection):
    """A class of windows.

    Attributes
    ----------
    lasting: whether the class fills a recording wherever it occurs at all, as a bundle branch block
        does. Beats that come now and then (the default for all codes of beats but L and R) are
        also labelled in excerpts of a crop, and a label of a whole recording does not place them.
        Rhythms and intervals have their own times.
    threshold: probability from which on the class counts as found; None: chosen on validation
        patients.
    regular: what is added, in logits, to the class's score where RR intervals are regular, early
        beats and their pauses left out (`beatlens.signals.rhythm_features`): a negative number for
        atrial fibrillation.
    alternating: what is added where RR intervals are regular at every second look, as in bigeminy.
    """

    lasting: bool | None = None
    threshold: Chance | None = None
    regular: Logits = 0.0
    alternating: Logits = 0.0

    @property
    def is_occasional(self) -> bool:
        """Whether it is made of beats that come now and then."""
        lasting = set(self.beats) <= set(LASTING_BEATS) if self.lasting is None else self.lasting
        return bool(self.beats) and not lasting


class WindowTask(TaskSection):
    """What is decided in every window: each class by itself."""

    kind: Literal["windows"] = "windows"
    classes: Annotated[Mapping[ClassName, WindowClass], Field(min_length=1, max_length=32)]

    def threshold_logits(self) -> np.ndarray:
        """The thresholds as logits `[C]`; NaN where validation patients are to choose."""
        given = [one.threshold for one in self.classes.values()]
        chances = np.array([np.nan if chance is None else chance for chance in given])
        return np.asarray(np.log(chances / (1 - chances)))


class WindowSampling(AugmentationSection):
    """How crops are drawn.

    `shares` of the crops are placed on each class, the rest anywhere. `excerpts` parts of each
    crop, `excerpt_seconds` long, get labels of their own when a teacher is trained (see
    `beatlens.tasks.windows.sampling.Excerpts`); 0 for none.
    """

    shares: Mapping[ClassName, Share] = Field(default={})
    noise_mv: Annotated[float, Field(ge=0)] = 0.12
    excerpts: Annotated[int, Field(ge=0)] = 6
    excerpt_seconds: tuple[float, float] = (2.0, 5.0)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        total = sum(self.shares.values())
        if total > 1 + 1e-9:
            raise ValueError(f"shares add up to {total:g}, expected <= 1")
        try:
            _ = self.drawn_excerpts
        except RecipeError as error:
            raise ValueError(str(error)) from error
        return self

    @property
    def augmentation(self) -> Augmentation:
        """Random changes made to every crop."""
        return Augmentation(self.gain, self.wander_mv, noise_mv=self.noise_mv, flips=self.flips)

    @property
    def drawn_excerpts(self) -> Excerpts | None:
        """Parts of every crop with labels of their own; None for none."""
        return Excerpts(self.excerpts, self.excerpt_seconds) if self.excerpts else None


class WindowRecipe(Recipe):
    """A model of windows."""

    task: WindowTask
    data: DataSection
    sampling: WindowSampling = WindowSampling()

    @model_validator(mode="after")
    def _shares_are_of_classes(self) -> Self:
        check_names(self.sampling.shares, self.task.classes, "sampling.shares")
        for source in self.data.sources:
            check_names(source.decides or (), self.task.classes, "data.sources.decides")
        return self

    @model_validator(mode="after")
    def _nothing_chosen_on_training_patients(self) -> Self:
        schedules = ("teacher_schedule", "student_schedule", "quantize_schedule")
        choosing = [name for name in schedules if getattr(self, name).keep != "last"]
        if self.data.final_fit and (choosing or np.isnan(self.task.threshold_logits()).any()):
            lacks = f'{choosing[0]}.keep = "last"' if choosing else "a threshold for each class"
            raise ValueError(
                f"data.final_fit trains on the validation patients, so nothing can be chosen on "
                f"them: expected {lacks} (thresholds come from a cross-validation)"
            )
        return self
