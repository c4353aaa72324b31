"""Recipes: one TOML file that describes a model from data to device.

Every verb of the command line takes one. Unknown keys are refused, so a misspelt setting cannot be
silently ignored; every number has its unit in its name or in its text.

>>> recipe = Recipe()
>>> recipe.student.kind, recipe.distill.matching
('dense', 'classwise')
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from beatlens.attribution.matching import build_matching
from beatlens.compress.distill import DistillWeights
from beatlens.compress.methods import AFTER_INT8, build_method, runs_after_int8
from beatlens.compress.training_noise import LEAST_MV, TrainingNoise
from beatlens.errors import DataError, RecipeError
from beatlens.nets.backbones import STUDENTS, TEACHER, NetworkSpec
from beatlens.renamed_keys import refuse_renamed
from beatlens.signals.databases import database_type
from beatlens.tasks.windows.labels import CLASSES
from beatlens.tasks.windows.sampling import Augmentation, Excerpts
from beatlens.tasks.windows.tracks import labels_strips
from beatlens.training.loop import Schedule

Positive = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0)]
Chance = Annotated[float, Field(gt=0, lt=1)]
NAME = r"^[a-z0-9][a-z0-9-]*$"


def known_database(name: str) -> str:
    """The name, if a database is called so; else ValueError."""
    try:
        return database_type(name).published.name
    except DataError as error:
        raise ValueError(str(error)) from error


def known_source(name: str) -> str:
    """The name of a database, or `simulated`; else ValueError."""
    return name if name == "simulated" else known_database(name)


def _labels_strips(name: str) -> str:
    if not labels_strips(name):
        raise ValueError("the database has no labels for strips, expected one that has")
    return name


DatabaseName = Annotated[str, AfterValidator(known_database)]
SourceName = Annotated[str, AfterValidator(known_source)]
StripsDatabase = Annotated[DatabaseName, AfterValidator(_labels_strips)]


class Section(BaseModel):
    """A part of a recipe: unknown keys are errors, nothing changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DataSection(Section):
    """Where training crops come from.

    Training adds `databases` to MIT-BIH's training records (DS1 without the validation records);
    validation and test are always MIT-BIH's. With `source = "simulated"` nothing is read.

    `final_fit` trains on the validation records too (but 201, whose patient is in the test set):
    for a recipe whose settings are chosen already, by `python -m benchmarks crossval` over all of
    DS1. Nothing is then left to choose on, so weights must be the last ones and `[decision]` must
    say the thresholds. `normal_has_no_ectopy` takes cinc2017's recordings labelled normal as free
    of ectopic beats; `ludb_ectopy` takes ludb's extrasystoles from its diagnoses, and then leaves
    paced hearts out.
    """

    source: Literal["auto", "real", "simulated"] = "auto"
    databases: tuple[StripsDatabase, ...] = ("mitdb", "svdb", "cinc2017", "ludb")
    final_fit: bool = False
    normal_has_no_ectopy: bool = False
    ludb_ectopy: bool = True
    simulated_patients: Annotated[int, Field(ge=12)] = 60
    simulated_seconds: Annotated[int, Field(ge=60)] = 120


class SamplingSection(Section):
    """How crops are drawn: shares placed on each class, weights of databases for the rest.

    `excerpts` parts of each crop, `excerpt_seconds` long, get labels of their own when a teacher is
    trained (see `beatlens.tasks.windows.sampling.Excerpts`); 0 for none.
    """

    pvc: Share = 0.3
    sve: Share = 0.3
    afib: Share = 0.1
    bbb: Share = 0.1
    database_weights: dict[SourceName, Weight] = {
        "mitdb": 4.0,
        "svdb": 2.0,
        "cinc2017": 0.1,
        "ludb": 0.25,
    }
    gain: tuple[float, float] = (0.5, 1.5)
    wander_mv: Annotated[float, Field(ge=0)] = 0.1
    noise_mv: Annotated[float, Field(ge=0)] = 0.12
    excerpts: Annotated[int, Field(ge=0)] = 6
    excerpt_seconds: tuple[float, float] = (2.0, 5.0)

    @model_validator(mode="after")
    def _fits(self) -> SamplingSection:
        total = sum(self.shares.values())
        if total > 1 + 1e-9:
            raise ValueError(f"shares pvc, sve, afib and bbb add up to {total:g}, expected <= 1")
        if not 0 < self.gain[0] <= self.gain[1]:
            raise ValueError(f"gain is {self.gain}, expected lowest and highest factor, above 0")
        try:
            _ = self.drawn_excerpts
        except RecipeError as error:
            raise ValueError(str(error)) from error
        return self

    @property
    def shares(self) -> dict[str, float]:
        """Share of the crops placed on each class."""
        return {"pvc": self.pvc, "sve": self.sve, "afib": self.afib, "bbb": self.bbb}

    @property
    def augmentation(self) -> Augmentation:
        """Random changes made to every crop."""
        return Augmentation(gain=self.gain, wander_mv=self.wander_mv, noise_mv=self.noise_mv)

    @property
    def drawn_excerpts(self) -> Excerpts | None:
        """Parts of every crop with labels of their own; None for none."""
        return Excerpts(self.excerpts, self.excerpt_seconds) if self.excerpts else None


class NetworkSection(Section):
    """A backbone, layer by layer; see `beatlens.nets.backbones.NetworkSpec`."""

    kind: Literal["residual", "dense", "depthwise"]
    channels: tuple[Positive, ...]
    kernels: tuple[Positive, ...]
    strides: tuple[Positive, ...]

    @classmethod
    def of(cls, spec: NetworkSpec) -> Self:
        """The section that describes a specification."""
        return cls.model_validate(spec.as_dict())

    @property
    def spec(self) -> NetworkSpec:
        """The specification that builds it."""
        return NetworkSpec(self.kind, self.channels, self.kernels, self.strides)


class TeacherSection(NetworkSection):
    """The teacher: the mean of `members` networks, each trained from another seed."""

    members: Positive = 1

    @property
    def spec(self) -> NetworkSpec:
        """The specification that builds it."""
        return replace(super().spec, members=self.members)


class ScheduleSection(Section):
    """Length and speed of one training; see `beatlens.training.loop.Schedule`."""

    steps: Positive
    batch: Positive = 24
    learning_rate: Annotated[float, Field(gt=0, le=1)]
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    validate_every: Positive = 250
    patience: Annotated[int, Field(ge=0)] = 0
    keep: Literal["best", "last"] = "best"
    precision: Literal["float32", "bfloat16"] = "float32"

    @property
    def schedule(self) -> Schedule:
        """The schedule the training loop takes."""
        return Schedule(**self.model_dump())


class DistillSection(Section):
    """What the student learns from its teacher; see `beatlens.compress.distill`.

    `cache` is the number of crops the teacher runs on, once. The student is trained on noisy copies
    of a `noise_share` of them, with noise of up to `noise_mv` (see
    `beatlens.compress.training_noise`).
    """

    matching: str = "classwise"
    kd: Share = 0.9
    matching_weight: Annotated[float, Field(ge=0)] = 8.0
    temperature: Annotated[float, Field(gt=0)] = 4.0
    cache: Positive = 12_000
    noise_mv: Annotated[float, Field(ge=LEAST_MV)] = 0.2
    noise_share: Share = 0.0

    @property
    def noise(self) -> TrainingNoise | None:
        """The noise a student is trained on; None for none."""
        return TrainingNoise(self.noise_mv, self.noise_share) if self.noise_share else None

    @property
    def weights(self) -> DistillWeights:
        """Weights of the loss terms."""
        return DistillWeights(self.kd, self.matching_weight, self.temperature)


class StepSection(Section):
    """One compression step; see `beatlens.compress.methods` for methods and their settings.

    `matching`, `schedule` and `packed_bytes` replace, for this step, the distill section's matching
    loss, the schedule a step has otherwise (the student's for a first `distill`, the quantisation's
    for `quantize`, `compress.retrain_schedule` for the others) and the budget: pruned to twice the
    bytes, then held on 4 bits, say.
    """

    method: str
    settings: dict[str, bool | int | float | str | list[int]] = {}
    matching: str | None = None
    schedule: ScheduleSection | None = None
    packed_bytes: Positive | None = None


class CompressSection(Section):
    """How the network becomes small: what it starts from, and the steps.

    `start = "student"` trains the student section's network by a first step `distill`;
    `start = "teacher"` makes the teacher itself smaller. `packed_bytes` is the budget of the
    methods that need one. One step is `quantize`; only heads may be fitted anew after it.
    """

    start: Literal["student", "teacher"] = "student"
    packed_bytes: Positive | None = None
    steps: tuple[StepSection, ...] = (StepSection(method="distill"), StepSection(method="quantize"))
    retrain_schedule: ScheduleSection = ScheduleSection(
        steps=1500, learning_rate=3e-3, batch=32, validate_every=500, precision="bfloat16"
    )

    def check(self) -> None:
        """Raise `RecipeError` where the steps cannot be run, or not in this order."""
        names = [step.method for step in self.steps]
        for step in self.steps:
            build_method(step.method, step.settings)
            build_matching(step.matching or "none")
        if names.count("quantize") != 1:
            raise RecipeError(f"compress.steps are {names}, expected `quantize` exactly once")
        late = [n for n in names[names.index("quantize") + 1 :] if not runs_after_int8(n)]
        if late:
            raise RecipeError(
                f"compress.steps: {late[0]} after quantize, expected only {', '.join(AFTER_INT8)} "
                "there: put it before"
            )
        if self.start == "student" and names[0] != "distill":
            raise RecipeError(
                f"compress.steps start with {names[0]}, expected distill: a student has to learn "
                'first (or set compress.start = "teacher")'
            )
        unbound = [step.method for step in self.steps if step.packed_bytes is None]
        kept = ("distill", "quantize")
        shrinking = [n for n in unbound if n not in kept and not runs_after_int8(n)]
        if shrinking and self.packed_bytes is None:
            raise RecipeError(
                f"compress.packed_bytes is not set, expected a number of bytes: {shrinking[0]} "
                "makes the network as small as that (a step may have packed_bytes of its own)"
            )


class DecisionSection(Section):
    """From which probability on a class counts as found; else chosen on validation patients.

    Thresholds are those of `python -m benchmarks crossval`: the best F1 out of fold, on all of DS1.
    """

    thresholds: dict[Literal["pvc", "sve", "afib", "bbb"], Chance] = {}

    @model_validator(mode="after")
    def _whole(self) -> DecisionSection:
        if self.thresholds and set(self.thresholds) != set(CLASSES):
            raise ValueError(f"thresholds are given for {sorted(self.thresholds)}, expected none "
                             f"or all of {', '.join(CLASSES)}")  # fmt: skip
        return self

    def logits(self) -> np.ndarray | None:
        """The thresholds as logits `[C]`; None where validation patients are to choose."""
        if not self.thresholds:
            return None
        by_name = dict[str, float](self.thresholds)  # type: ignore[arg-type]
        chances = np.array([by_name[name] for name in CLASSES])
        return np.log(chances / (1 - chances))


class ModelRecipe(Section):
    """What recipes of all tasks have: networks, how they are trained, and made small."""

    task: str
    name: Annotated[str, Field(pattern=NAME)]
    seed: Annotated[int, Field(ge=0)] = 0
    teacher: TeacherSection = TeacherSection.of(TEACHER)
    teacher_schedule: ScheduleSection = ScheduleSection(
        steps=2500, learning_rate=3e-3, precision="bfloat16", validate_every=500, keep="last"
    )
    student: NetworkSection = NetworkSection.of(STUDENTS["dense-26k"])
    student_schedule: ScheduleSection = ScheduleSection(
        steps=4000,
        learning_rate=6e-3,
        batch=32,
        validate_every=1000,
        precision="bfloat16",
        keep="last",
    )
    distill: DistillSection = DistillSection()
    quantize_schedule: ScheduleSection = ScheduleSection(
        steps=600, learning_rate=1e-3, batch=32, validate_every=200, keep="last"
    )
    compress: CompressSection = CompressSection()

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a TOML file. Raises `RecipeError` naming file, key, value and what was expected."""
        return cls.parse(read_toml(path), str(path))

    @classmethod
    def parse(cls, data: Mapping[str, object], where: str = "recipe") -> Self:
        """Check plain data, such as a TOML file's content; `where` names it in errors."""
        refuse_renamed(data, where)
        try:
            recipe = cls.model_validate(data)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"])
            message = first["msg"].removeprefix("Value error, ")
            found = f"{key} is {first['input']!r}: " if key else ""  # "" speaks of the whole
            raise RecipeError(f"{where}: {found}{message}") from error
        try:
            build_matching(recipe.distill.matching)
            _ = recipe.teacher.spec, recipe.student.spec
            recipe.compress.check()
            recipe.check_start()
        except RecipeError as error:
            raise RecipeError(f"{where}: {error}") from error
        return recipe

    def check_start(self) -> None:
        """Raise `RecipeError` where compression starts from a teacher of several members."""
        members = self.teacher.members
        if self.compress.start == "teacher" and members > 1:
            raise RecipeError(
                f'compress.start is "teacher", which is the mean of {members} networks; expected '
                "one that a device can have: set teacher.members = 1, or teach a student"
            )

    def of_member(self, number: int) -> Self:
        """The recipe of one of the teacher's members, `number` 0 and up: one network, own seed.

        >>> recipe = ModelRecipe(task="strips", name="a", seed=1)
        >>> recipe.of_member(0).seed, recipe.of_member(0).teacher.members
        (1, 1)
        """
        members = self.teacher.members
        teacher = self.teacher.model_copy(update={"members": 1})
        seed = self.seed * members + number
        return self.model_copy(update={"teacher": teacher, "seed": seed})


def read_toml(path: Path) -> dict[str, object]:
    """The content of a TOML file; `RecipeError` where it cannot be read or is none."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: not a TOML file: {error}") from error


def read_json(path: Path) -> dict[str, object]:
    """The object in a JSON file; `RecipeError` where it cannot be read or is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise RecipeError(f"{path}: not a JSON file: {error}") from error
    if not isinstance(found, dict):
        raise RecipeError(f"{path}: holds a {type(found).__name__}, expected an object")
    return found


class Recipe(ModelRecipe):
    """A model of the strips task. All sections have defaults; an empty file is a recipe."""

    task: Literal["strips"] = "strips"
    name: Annotated[str, Field(pattern=NAME)] = "strips"
    data: DataSection = DataSection()
    sampling: SamplingSection = SamplingSection()
    decision: DecisionSection = DecisionSection()

    @model_validator(mode="after")
    def _nothing_chosen_on_training_patients(self) -> Recipe:
        schedules = ("teacher_schedule", "student_schedule", "quantize_schedule")
        choosing = [name for name in schedules if getattr(self, name).keep != "last"]
        if self.data.final_fit and (choosing or not self.decision.thresholds):
            lacks = f'{choosing[0]}.keep = "last"' if choosing else "decision.thresholds"
            raise ValueError(
                f"data.final_fit trains on the validation patients, so nothing can be chosen on "
                f"them: expected {lacks} (thresholds come from `python -m benchmarks crossval`)"
            )
        return self
