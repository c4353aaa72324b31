"""Sections on networks: their layers, how they are trained, distilled and made small."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Literal, Self

from pydantic import Field

from beatlens.attribution.matching import build_matching
from beatlens.compression.distill import DistillWeights
from beatlens.compression.methods import AFTER_INT8, build_method, runs_after_int8
from beatlens.compression.training_noise import LEAST_MV, TrainingNoise
from beatlens.errors import RecipeError
from beatlens.nets.backbones import NetworkSpec
from beatlens.recipe.section import Positive, Section, Share
from beatlens.training.loop import Schedule


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
    """What the student learns from its teacher; see `beatlens.compression.distill`.

    `cache` is the number of crops the teacher runs on, once. The student is trained on noisy copies
    of a `noise_share` of them, with noise of up to `noise_mv` (see
    `beatlens.compression.training_noise`).
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
    """One compression step; see `beatlens.compression.methods` for methods and their settings.

    `matching`, `schedule` and `packed_bytes` replace, for this step, the distill section's matching
    loss, the schedule a step has otherwise (the student's for a first `distill`, the quantisation's
    for `quantize`, `compress.retrain_schedule` for the others) and the budget: pruned to twice the
    bytes, then held on 4 bits, say.
    """

    method: str
    settings: Mapping[str, bool | int | float | str | list[int]] = Field(default={})
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
