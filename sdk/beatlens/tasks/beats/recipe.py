"""Recipes of the beats task, and the reading of a recipe of any task.

>>> recipe = BeatRecipe()
>>> recipe.task, recipe.sampling.shares["s"]
('beats', 0.4)
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from beatlens.errors import RecipeError
from beatlens.nets.backbones import STUDENTS, TEACHER
from beatlens.recipe import (
    NAME,
    DatabaseName,
    DistillSection,
    ModelRecipe,
    NetworkSection,
    Recipe,
    ScheduleSection,
    Section,
    Share,
    SourceName,
    TeacherSection,
    Weight,
    read_toml,
)
from beatlens.tasks.beats.labels import labels_beats
from beatlens.tasks.windows.sampling import Augmentation
from beatlens.tasks.recordings.recipe import RecordingRecipe


def _labels_beats(name: str) -> str:
    if not labels_beats(name):
        raise ValueError("the database has no labels of beats, expected one that has")
    return name


BeatDatabase = Annotated[DatabaseName, AfterValidator(_labels_beats)]


class BeatDataSection(Section):
    """Where beats come from.

    Training adds `databases`, those that are at hand, to MIT-BIH's training records; choices are
    made on validation records of all that have some; the test is MIT-BIH's DS2. With
    `source = "simulated"` nothing is read.
    """

    source: Literal["auto", "real", "simulated"] = "auto"
    databases: tuple[BeatDatabase, ...] = ("mitdb", "svdb")
    simulated_patients: Annotated[int, Field(ge=12)] = 60
    simulated_seconds: Annotated[int, Field(ge=60)] = 120


class PlacedShares(Section):
    """Share of the crops placed around a beat of each class; the rest is placed anywhere."""

    s: Share = 0.4
    v: Share = 0.25
    f: Share = 0.08

    @model_validator(mode="after")
    def _adds_up(self) -> PlacedShares:
        total = sum(self.shares.values())
        if total > 1 + 1e-9:
            raise ValueError(f"shares s, v and f add up to {total:g}, expected <= 1")
        return self

    @property
    def shares(self) -> dict[str, float]:
        """By the name of the class."""
        return {"s": self.s, "v": self.v, "f": self.f}


class BeatSamplingSection(PlacedShares):
    """How crops are drawn: shares placed around beats of each class, weights of databases."""

    database_weights: dict[SourceName, Weight] = Field(default={"mitdb": 2.0, "svdb": 1.0})
    gain: tuple[float, float] = (0.5, 1.5)
    wander_mv: Annotated[float, Field(ge=0)] = 0.1
    noise_mv: Annotated[float, Field(ge=0)] = 0.03
    flips: Share = 0.0

    @model_validator(mode="after")
    def _fits(self) -> BeatSamplingSection:
        if not 0 < self.gain[0] <= self.gain[1]:
            raise ValueError(f"gain is {self.gain}, expected lowest and highest factor, above 0")
        return self

    @property
    def augmentation(self) -> Augmentation:
        """Random changes made to every crop."""
        return Augmentation(
            gain=self.gain,
            wander_mv=self.wander_mv,
            noise_mv=self.noise_mv,
            flips=self.flips,
        )


class UnlabelledSection(Section):
    """Recordings whose beats nobody labelled, and who hears them (`beatlens.tasks.beats.crops`).

    Students, in a `student_share` of their crops: of those there are the teacher's decisions and
    evidence. And the last `members` of the teacher's members. A `fibrillation_share` of their crops
    is in recordings that are labelled atrial fibrillation, where no beat is S; an `other_share` in
    the others, whose beats are what the members before them say. Of both, the crops of labelled
    patients are placed as `labelled` says, if it says, else as those of the other members.
    """

    databases: tuple[DatabaseName, ...] = ()
    student_share: Share = 0.4
    members: Annotated[int, Field(ge=0)] = 0
    fibrillation_share: Share = 0.25
    other_share: Share = 0.25
    labelled: PlacedShares | None = None

    @model_validator(mode="after")
    def _fits(self) -> UnlabelledSection:
        total = self.fibrillation_share + self.other_share
        if total > 1 + 1e-9:
            raise ValueError(
                f"fibrillation_share and other_share add up to {total:g}, expected <= 1"
            )
        if self.members and not self.databases:
            raise ValueError(f"members is {self.members}, but there are no databases for them")
        return self


class BeatRecipe(ModelRecipe):
    """A model of the beats task. All sections have defaults; `task = "beats"` is a recipe."""

    task: Literal["beats"] = "beats"
    name: Annotated[str, Field(pattern=NAME)] = "beats"
    data: BeatDataSection = BeatDataSection()
    sampling: BeatSamplingSection = BeatSamplingSection()
    teacher: TeacherSection = TeacherSection.of(TEACHER)
    teacher_schedule: ScheduleSection = ScheduleSection(
        steps=5000, learning_rate=3e-3, precision="bfloat16", validate_every=5000, keep="last"
    )
    student: NetworkSection = NetworkSection.of(STUDENTS["dense-16k"])
    student_schedule: ScheduleSection = ScheduleSection(
        steps=4000,
        learning_rate=6e-3,
        batch=32,
        validate_every=4000,
        precision="bfloat16",
        keep="last",
    )
    distill: DistillSection = DistillSection(kd=0.7, temperature=3.0, matching_weight=4.0)
    unlabelled: UnlabelledSection = UnlabelledSection()
    quantize_schedule: ScheduleSection = ScheduleSection(
        steps=2000, learning_rate=1e-3, batch=32, validate_every=2000, keep="last"
    )

    @model_validator(mode="after")
    def _has_first_members(self) -> BeatRecipe:
        hearing, members = self.unlabelled.members, self.teacher.members
        if hearing and hearing >= members:
            raise ValueError(
                f"unlabelled.members is {hearing}, expected less than the {members} of the "
                "teacher: the first ones say what the others hear"
            )
        return self


AnyRecipe = Recipe | BeatRecipe | RecordingRecipe
RECIPES: dict[str, type[Recipe] | type[BeatRecipe] | type[RecordingRecipe]] = {
    "strips": Recipe,
    "beats": BeatRecipe,
    "wearable": RecordingRecipe,
}


def read_recipe(path: Path) -> AnyRecipe:
    """Read a recipe of any task; a file that does not say which is of the strips task.

    Raises `RecipeError` naming file, key, value and what was expected.
    """
    data = read_toml(path)
    task = data.get("task", "strips")
    if not isinstance(task, str) or task not in RECIPES:
        raise RecipeError(f"{path}: task is {task!r}, expected one of {', '.join(RECIPES)}")
    return RECIPES[task].parse(data, str(path))
