"""Recipes of beats: which class each R peak is.

>>> from beatlens.tasks.registry import default_recipe
>>> recipe = default_recipe("beats")
>>> recipe.classes, recipe.sampling.shares["s"]
(('n', 's', 'v', 'f'), 0.4)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from beatlens.nets.backbones import STUDENTS
from beatlens.recipe import (
    AugmentationSection,
    ClassName,
    ClassSection,
    DatabaseName,
    DistillSection,
    NetworkSection,
    Recipe,
    ScheduleSection,
    Section,
    Share,
    TaskSection,
    Weight,
)
from beatlens.signals.annotation_types import BEAT_SYMBOLS
from beatlens.tasks.common.crops import Augmentation
from beatlens.tasks.common.recipes import check_names

Logits = Annotated[float, Field(ge=-10, le=10)]


class BeatClass(ClassSection):
    """A class of beats.

    Attributes
    ----------
    symbol: WFDB's code that decided beats are written with; None: the first of `beats`.
    loss_weight: how much its beats count in training.
    beta: weight of sensitivity against predictivity in the F score by which offsets are chosen
        (F-beta: 2 counts a missed beat four times a false one); None: the class does not count.
    fusion_with: another class; beats of this one that are decided as that one count neither way.
    never_if_clipped: whether a beat with many clipped samples is never decided to be of this class.
    absent_in_fibrillation: whether no beat of a recording in atrial fibrillation is of this class.
    features: of the rule that is fitted out of fold: `all` features may speak for the class, or
        `rhythm`, those of RR intervals and the share of beats of the same shape.
    cost: of the rule that is fitted out of fold: what missing a beat of the class costs, by what a
        false one costs; the class is decided on where its probability times this is largest.
    shared: whether the beats of one shape share their evidence of the class
        (`beatlens.tasks.beats.sharing`); one class at most.
    irregular: what is added, in logits, to the class's score where RR intervals are as irregular as
        in atrial fibrillation.
    on_time: what is added where a beat is not premature, in logits, once by the intervals before it
        and once by the next one.
    """

    symbol: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    loss_weight: Weight = 1.0
    beta: Annotated[float, Field(gt=0, le=10)] | None = 1.0
    fusion_with: ClassName | None = None
    never_if_clipped: bool = False
    absent_in_fibrillation: bool = False
    features: Literal["all", "rhythm"] = "all"
    cost: Annotated[float, Field(ge=0.01, le=100)] = 1.0
    shared: bool = False
    irregular: Logits = 0.0
    on_time: Logits = 0.0

    @model_validator(mode="after")
    def _made_by_beats(self) -> Self:
        if not self.beats:
            raise ValueError("a class of beats has no beats, expected WFDB's codes of beats")
        if self.symbol is not None and self.symbol not in BEAT_SYMBOLS:
            raise ValueError(
                f"symbol is {self.symbol!r}, expected one of WFDB's codes of beats: {BEAT_SYMBOLS}"
            )
        return self

    @property
    def written(self) -> str:
        """The code that decided beats are written with."""
        return self.symbol or self.beats[0]


class BeatTask(TaskSection):
    """What is decided at every R peak: one of the classes. The first is what most beats are."""

    kind: Literal["beats"] = "beats"
    classes: Annotated[Mapping[ClassName, BeatClass], Field(min_length=2, max_length=32)]

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        seen: dict[str, str] = {}
        for name, one in self.classes.items():
            for code in one.beats:
                if code in seen:
                    raise ValueError(
                        f"classes {seen[code]} and {name} both have beats {code}, expected each "
                        "code in one class"
                    )
                seen[code] = name
            if one.fusion_with is not None and one.fusion_with not in self.classes:
                raise ValueError(
                    f"class {name} has fusion_with {one.fusion_with!r}, expected one of "
                    f"{', '.join(self.classes)}"
                )
        absent = [name for name, one in self.classes.items() if one.absent_in_fibrillation]
        if len(absent) > 1:
            raise ValueError(
                f"classes {' and '.join(absent)} have absent_in_fibrillation, expected one at most"
            )
        shared = [name for name, one in self.classes.items() if one.shared]
        if len(shared) > 1 or shared == list(self.classes)[:1]:
            raise ValueError(
                f"shared is said of {' and '.join(shared)}, expected one class at most, and not "
                "the first"
            )
        if all(one.never_if_clipped for one in self.classes.values()):
            raise ValueError(
                "all classes have never_if_clipped, expected one at least that has not"
            )
        return self

    @property
    def symbols(self) -> tuple[str, ...]:
        """The codes that decided beats are written with, in the order of the classes."""
        return tuple(one.written for one in self.classes.values())

    @property
    def codes(self) -> tuple[str, ...]:
        """WFDB's codes of each class, the one that decided beats are written with first."""
        return tuple(
            one.written + one.beats.replace(one.written, "") for one in self.classes.values()
        )

    @property
    def absent_in_fibrillation(self) -> int | None:
        """Number of the class that no beat in atrial fibrillation is of; None: there is none."""
        for number, one in enumerate(self.classes.values()):
            if one.absent_in_fibrillation:
                return number
        return None

    @property
    def shared(self) -> int | None:
        """Number of the class whose evidence beats of one shape share; None: there is none."""
        found = [n for n, one in enumerate(self.classes.values()) if one.shared]
        return found[0] if found else None

    @property
    def never_if_clipped(self) -> tuple[int, ...]:
        """Numbers of the classes that a clipped beat is never decided to be of."""
        return tuple(n for n, one in enumerate(self.classes.values()) if one.never_if_clipped)


class PlacedShares(Section):
    """Share of the crops placed around a beat of each class; the rest is placed anywhere."""

    shares: Mapping[ClassName, Share] = Field(default={})

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        total = sum(self.shares.values())
        if total > 1 + 1e-9:
            raise ValueError(f"shares add up to {total:g}, expected <= 1")
        return self


class BeatSampling(AugmentationSection, PlacedShares):
    """How crops are drawn: shares placed around beats of each class, and random changes.

    A share `spliced_runs` of the crops is of recordings into which runs of their own beats of the
    class with `shared` are spliced (`beatlens.tasks.beats.spliced_runs`), two thirds of them around
    such a beat.
    """

    spliced_runs: Share = 0.0

    @property
    def augmentation(self) -> Augmentation:
        """Random changes made to every crop."""
        return Augmentation(self.gain, self.wander_mv, noise_mv=self.noise_mv, flips=self.flips)


class UnlabelledSection(Section):
    """Recordings whose beats nobody labelled, and what is trained on them.

    Students, in a `student_share` of their crops, by the teacher's decisions and evidence. And the
    last `members` of the teacher's members (`beatlens.tasks.beats.crops`): a `fibrillation_share`
    of their crops is in recordings that are labelled atrial fibrillation, where no beat is of the
    class with `absent_in_fibrillation`; an `other_share` in the others, whose labels are what the
    members before them predict. Of both, the crops of labelled patients are placed as `labelled`
    says, if it says, else as those of the other members.
    """

    databases: tuple[DatabaseName, ...] = ()
    student_share: Share = 0.4
    members: Annotated[int, Field(ge=0)] = 0
    fibrillation_share: Share = 0.25
    other_share: Share = 0.25
    labelled: PlacedShares | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        total = self.fibrillation_share + self.other_share
        if total > 1 + 1e-9:
            raise ValueError(
                f"fibrillation_share and other_share add up to {total:g}, expected <= 1"
            )
        if self.members and not self.databases:
            raise ValueError(f"members is {self.members}, but there are no databases for them")
        return self


class OutOfFoldSection(Section):
    """How the rule is fitted: its tables, calibration and warnings.

    With `folds` of 0 the tables are those that were trained with the teacher, and the rest is
    chosen on validation patients. Else labelled patients, those of validation too, are dealt into
    so many folds, and all is fitted on what networks say of patients that they never saw: for each
    fold one of the teacher's first members and a student of it are trained on the others. The
    other members and the released student are trained on all of them.
    """

    folds: Annotated[int, Field(ge=0, le=10)] = 0

    @model_validator(mode="after")
    def _more_than_one(self) -> Self:
        if self.folds == 1:
            raise ValueError("folds is 1, expected 0, or 2 and more")
        return self


class BeatRecipe(Recipe):
    """A model of beats."""

    task: BeatTask
    sampling: BeatSampling = BeatSampling()
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
    out_of_fold: OutOfFoldSection = OutOfFoldSection()
    quantize_schedule: ScheduleSection = ScheduleSection(
        steps=2000, learning_rate=1e-3, batch=32, validate_every=2000, keep="last"
    )

    @model_validator(mode="after")
    def _names_its_classes(self) -> Self:
        check_names(self.sampling.shares, self.task.classes, "sampling.shares")
        labelled = self.unlabelled.labelled
        if labelled is not None:
            check_names(labelled.shares, self.task.classes, "unlabelled.labelled.shares")
        for source in self.data.sources:
            if source.intervals or source.labels or source.decides:
                given = (
                    "intervals" if source.intervals else "labels" if source.labels else "decides"
                )
                raise ValueError(
                    f"source {source.name} has {given}, expected none: classes of beats are made "
                    "by annotations of beats"
                )
        return self

    @model_validator(mode="after")
    def _has_runs_of_a_class(self) -> Self:
        if self.sampling.spliced_runs and self.task.shared is None:
            raise ValueError(
                f"sampling.spliced_runs is {self.sampling.spliced_runs}, expected 0: no class has "
                "`shared`, so there are no beats to make runs of"
            )
        return self

    @model_validator(mode="after")
    def _has_a_member_for_each_fold(self) -> Self:
        free = self.teacher.members - self.unlabelled.members
        if self.out_of_fold.folds > free:
            raise ValueError(
                f"out_of_fold.folds is {self.out_of_fold.folds}, expected at most the {free} "
                "members of the teacher that are trained on labelled patients alone"
            )
        if self.out_of_fold.folds and self.compress.start != "student":
            raise ValueError(
                'out_of_fold.folds is above 0 and compress.start "teacher", expected "student": '
                "a student is distilled for each fold"
            )
        return self

    @model_validator(mode="after")
    def _has_first_members(self) -> Self:
        trained, members = self.unlabelled.members, self.teacher.members
        if trained and trained >= members:
            raise ValueError(
                f"unlabelled.members is {trained}, expected less than the {members} of the "
                "teacher: the first ones make the labels that the others are trained on"
            )
        return self
