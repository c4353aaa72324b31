"""Sections on data: the classes, the sources of recordings, and how they are split.

>>> source = SourceSection(path="~/holter", lead=("II", "MLII"))
>>> source.name, source.split
('holter', ShareSplit(by='patient', validation=0.15, test=0.2, seed=0))
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from beatlens.errors import DataError
from beatlens.recipe.section import ClassName, Section, Share, Weight
from beatlens.signals.annotation_types import BEAT_SYMBOLS
from beatlens.signals.databases import Assumptions, Codes, database_type


def check_database(name: str) -> str:
    """The name, if a database is called so; else ValueError."""
    try:
        return database_type(name).published.name
    except DataError as error:
        raise ValueError(str(error)) from error


DatabaseName = Annotated[str, AfterValidator(check_database)]


class TaskSection(Section):
    """What is decided, and on which spans: the kind of span and the classes, in their order."""

    kind: str
    classes: Mapping[ClassName, ClassSection]


class ClassSection(Section):
    """One class of a task: its title, and the annotations that make it.

    `beats` are WFDB's codes of beats, one letter each; `rhythms` labels of rhythms as WFDB
    annotations write them, without the bracket; `labels` words or letters that label a whole
    recording; `intervals` labels of the intervals in a source's own CSV file. A class is made by
    one of the four.
    """

    title: Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]{0,100}$")] = ""
    beats: str = ""
    rhythms: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    intervals: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _made_by_one(self) -> Self:
        made_by = [name for name in ("beats", "rhythms", "labels", "intervals")
                   if getattr(self, name)]  # fmt: skip
        if len(made_by) != 1:
            raise ValueError(
                f"a class is made by {' and '.join(made_by) or 'nothing'}, expected exactly one of "
                "beats, rhythms, labels, intervals"
            )
        unknown = sorted(set(self.beats) - set(BEAT_SYMBOLS))
        if unknown:
            raise ValueError(
                f"beats has {' '.join(unknown)}, expected WFDB's codes of beats: {BEAT_SYMBOLS}"
            )
        bracketed = [label for label in self.rhythms if label.startswith("(")]
        if bracketed:
            raise ValueError(
                f"rhythms has {bracketed[0]!r}, expected labels without the bracket: "
                f"{bracketed[0][1:]!r}"
            )
        return self

    @property
    def codes(self) -> Codes:
        """The codes of beats and labels of rhythms that make the class."""
        return Codes.of(self.beats, self.rhythms)


class ShareSplit(Section):
    """A split by patient: shares of the patients, drawn at random by `seed`.

    The rest is trained on. Every share above 0 gets at least one patient.
    """

    by: Literal["patient"] = "patient"
    validation: Annotated[float, Field(ge=0, lt=1)] = 0.15
    test: Annotated[float, Field(ge=0, lt=1)] = 0.2
    seed: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _leaves_some(self) -> Self:
        if self.validation + self.test >= 1:
            raise ValueError(
                f"validation {self.validation:g} and test {self.test:g} add up to "
                f"{self.validation + self.test:g}, expected less than 1: the rest is trained on"
            )
        return self


class PartSplit(Section):
    """A split of recordings, each one a patient, into `parts` with equal shares of every class.

    Part `test_part`, if any, is tested on; a share `validation` of the others, of every class
    alike, is validated on. The rest is trained on.
    """

    parts: Annotated[int, Field(ge=2, le=100)] = 5
    test_part: Annotated[int, Field(ge=0)] | None = None
    validation: Annotated[float, Field(ge=0.05, le=0.5)] = 0.15

    @model_validator(mode="after")
    def _is_a_part(self) -> Self:
        if self.test_part is not None and self.test_part >= self.parts:
            raise ValueError(f"test_part is {self.test_part}, expected 0 to {self.parts - 1}")
        return self


class ListSplit(Section):
    """A split by lists of records. Without `train`, all records in no other list are trained on."""

    train: tuple[str, ...] | None = None
    validation: tuple[str, ...] = ()
    test: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _in_one_list(self) -> Self:
        named = [*(self.train or ()), *self.validation, *self.test]
        again = sorted({record for record in named if named.count(record) > 1})
        if again:
            raise ValueError(f"record {again[0]} is listed more than once, expected once")
        return self


def find_split_kind(split: object) -> str:
    """Which kind of split plain data are, so that an error speaks of that kind alone.

    >>> find_split_kind("published"), find_split_kind({"parts": 5}), find_split_kind({"test": []})
    ('name', 'parts', 'lists')
    """
    if isinstance(split, ShareSplit | PartSplit | ListSplit):
        return {ShareSplit: "patients", PartSplit: "parts", ListSplit: "lists"}[type(split)]
    if not isinstance(split, Mapping):
        return "name"
    if "parts" in split or "test_part" in split:
        return "parts"
    lists = any(isinstance(value, list | tuple) for value in split.values())
    return "lists" if lists or "train" in split else "patients"


Split = Annotated[
    Annotated[Literal["published", "train", "validation", "test"], Tag("name")]
    | Annotated[ShareSplit, Tag("patients")]
    | Annotated[PartSplit, Tag("parts")]
    | Annotated[ListSplit, Tag("lists")],
    Discriminator(find_split_kind),
]


class HeaderPatient(Section):
    """The patient is what follows `header` in a comment line of the record's header."""

    header: Annotated[str, Field(min_length=1)]


class CsvPatient(Section):
    """The patient is in a CSV file with columns `record` and `patient`, beside the records."""

    csv: Annotated[str, Field(min_length=1)]


Role = Literal["train", "validation", "test"]
Assumption = Literal[
    "normal_has_no_ectopy", "ectopy_by_diagnosis", "other_has_no_fibrillation", "no_fibrillation"
]


class SourceSection(Section):
    """One source of recordings: a database by its name, or a folder of own records by its path.

    Attributes
    ----------
    database: name of a database.
    path: folder of WFDB records; `~` is the home folder.
    annotator: extension of the annotation files that are read; a database's own first one, and
        `atr` for own records, if none is named.
    lead: names of leads, the first that a recording has is taken. Empty: the database's lead, of
        own records the first. Recordings without any are an error.
    patient: of own records: the `folder` a record lies in, the `record` itself, or as `header` or
        `csv` say.
    labels: of own records: a CSV file with columns `record` and `label`, beside the records.
    intervals: of own records: a CSV file with columns `record`, `start_s`, `end_s` and `label`.
    decides: names of the classes that own annotations decide: where one occurs it is annotated.
        None: all.
    split: `published` is the database's own split, whose remaining records are trained on; a role
        gives all records that role; else shares of patients, parts, or lists of records.
    weight: how often its recordings are drawn for crops placed anywhere.
    optional: whether a database that is not there is left out; else it is an error.
    assume: what labels of whole recordings are taken to say beyond their word, see
        `beatlens.signals.databases.Assumptions`.
    """

    database: DatabaseName | None = None
    path: Annotated[str, Field(min_length=1)] | None = None
    annotator: Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+$")] | None = None
    lead: tuple[str, ...] = ()
    patient: Literal["folder", "record"] | HeaderPatient | CsvPatient = "record"
    labels: str | None = None
    intervals: str | None = None
    decides: tuple[str, ...] | None = None
    split: Split
    weight: Weight = 1.0
    optional: bool = False
    assume: tuple[Assumption, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _split_of_its_own(cls, data: Any) -> Any:
        """Databases have a published split, own records are split by patient, if none is given."""
        if isinstance(data, Mapping) and "split" not in data:
            return {**data, "split": "published" if data.get("database") else ShareSplit()}
        return data

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.database is None) == (self.path is None):
            raise ValueError("a source has a database or a path, expected exactly one of the two")
        own = {
            "labels": self.labels is not None,
            "intervals": self.intervals is not None,
            "decides": self.decides is not None,
            "patient": self.patient != "record",
        }
        if self.database is not None:
            given = [name for name, there in own.items() if there]
            if given:
                raise ValueError(
                    f"{given[0]} is given for database {self.database}, expected it with path only"
                )
        elif self.assume or self.split == "published":
            wrong = "assume" if self.assume else 'split = "published"'
            raise ValueError(f"{wrong} is given for {self.path}, expected it with database only")
        return self

    @property
    def name(self) -> str:
        """The database's name, or that of the folder."""
        return self.database or Path(self.path or "").expanduser().name

    @property
    def assumptions(self) -> Assumptions:
        """What labels of whole recordings are taken to say."""
        return Assumptions(**dict.fromkeys(self.assume, True))


class DataSection(Section):
    """Where recordings come from.

    With `source = "simulated"` nothing is read; with `auto` ECG is simulated only where no folder
    of databases was asked for and none of the databases is found. `final_fit` trains on the
    validation records too, but for those of a patient in the test set: for a recipe whose settings
    are chosen already. Nothing is then left to choose on, so weights must be the last ones and
    thresholds must be given.
    """

    source: Literal["auto", "real", "simulated"] = "auto"
    sources: tuple[SourceSection, ...] = ()
    final_fit: bool = False
    simulated_patients: Annotated[int, Field(ge=12)] = 60
    simulated_seconds: Annotated[int, Field(ge=10)] = 120

    @model_validator(mode="after")
    def _has_sources(self) -> Self:
        if not self.sources and self.source != "simulated":
            raise ValueError(
                'sources is empty, expected at least one [[data.sources]], or source = "simulated"'
            )
        names = [source.name for source in self.sources]
        again = sorted({name for name in names if names.count(name) > 1})
        if again:
            raise ValueError(f"sources has {again[0]} more than once, expected each name once")
        return self


class AugmentationSection(Section):
    """Random changes made to every crop; see `beatlens.tasks.common.crops.Augmentation`."""

    gain: tuple[float, float] = (0.5, 1.5)
    wander_mv: Annotated[float, Field(ge=0)] = 0.1
    noise_mv: Annotated[float, Field(ge=0)] = 0.03
    flips: Share = 0.0

    @model_validator(mode="after")
    def _gain_is_a_range(self) -> Self:
        if not 0 < self.gain[0] <= self.gain[1]:
            raise ValueError(f"gain is {self.gain}, expected lowest and highest factor, above 0")
        return self
