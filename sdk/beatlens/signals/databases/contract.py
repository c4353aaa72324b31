"""The protocol of a database, and the words in which one says what its annotations decide.

A class that follows `Database` is added to beatlens in its own file here and one line of
`registry.py`, or in another package by an entry point of the group `beatlens.databases`. Most are
short: `WfdbDatabase` implements the protocol for records in WFDB's format.

>>> class Ward(WfdbDatabase):  # doctest: +SKIP
...     published = Published(name="ward", title="Records of a ward", records=3)
...     annotated = Codes.of(beats=ECTOPIC)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Protocol

from beatlens.signals.annotations import Annotations
from beatlens.signals.recording import Recorded, Recording
from beatlens.signals.wfdb_header import Expected, Header
from beatlens.signals.wfdb_pieces import Progress

SUPRAVENTRICULAR, VENTRICULAR = "AaJS", "VE"
ECTOPIC = SUPRAVENTRICULAR + VENTRICULAR + "F"
"""Codes of ectopic beats, and of their fusion with normal ones."""
BLOCKED = "LR"
"""Codes of beats with left and right bundle branch block."""
FIBRILLATION_AND_FLUTTER = ("AFIB", "AFL")
"""Labels of rhythms: the atria fibrillate or flutter."""
ODC_BY = "Open Data Commons Attribution License 1.0"


Splits = Mapping[str, tuple[str, ...]]
"""Records by role."""


@dataclass(frozen=True)
class Published:
    """A database as it is published, by PhysioNet at `physionet.org/files/SLUG/VERSION/`.

    Attributes
    ----------
    name: beatlens's name for it, also its folder.
    title: its full name.
    records: how many there are with signals.
    slug, version: where PhysioNet has it; empty if PhysioNet does not.
    citation: the publication to cite.
    licence: its name.
    patients: how many there are; None if it is not known.
    expected: what every record must hold.
    extensions: files that every record has.
    annotators: extensions of its annotation files; the first one's beats and rhythms are read
        where no other is asked for.
    annotated: whether every record has the first annotator's file.
    records_in: sub-folder in which `RECORDS` and the records lie.
    table: a table beside the records, empty if none is read.
    label_counts: how many records of each label the published set has; empty where recordings have
        no label of one word.
    without_signals: records of its list that have a header and annotations, but no signal.
    simulated: whether its records are made when they are opened, so that no folder is looked for.
    """

    name: str
    title: str
    records: int
    slug: str = ""
    version: str = ""
    citation: str = ""
    licence: str = ""
    patients: int | None = None
    expected: Expected = field(default_factory=Expected)
    extensions: tuple[str, ...] = ("hea", "dat")
    annotators: tuple[str, ...] = ()
    annotated: bool = True
    records_in: str = ""
    table: str = ""
    label_counts: Mapping[str, int] = field(default_factory=dict)
    without_signals: tuple[str, ...] = ()
    simulated: bool = False

    @property
    def annotator(self) -> str | None:
        """The annotator read where no other is asked for; None if there are no annotations."""
        return self.annotators[0] if self.annotators else None


@dataclass(frozen=True)
class Codes:
    """Codes of beats (one letter) and labels of rhythms, as WFDB annotations write them.

    >>> Codes.of("VEF", ["VT"]).covers(Codes.of("VE")), Codes.of("V").meets(Codes.of("VE"))
    (True, True)
    """

    beats: frozenset[str] = frozenset()
    rhythms: frozenset[str] = frozenset()

    @classmethod
    def of(cls, beats: Iterable[str] = "", rhythms: Iterable[str] = ()) -> Codes:
        """The codes in a text or list, and the labels in a list."""
        return cls(frozenset(beats), frozenset(rhythms))

    def covers(self, other: Codes) -> bool:
        """Whether all codes of `other` are among these."""
        return self.beats >= other.beats and self.rhythms >= other.rhythms

    def meets(self, other: Codes) -> bool:
        """Whether any code of `other` is among these."""
        return bool(self.beats & other.beats or self.rhythms & other.rhythms)


@dataclass(frozen=True)
class Statement:
    """What the label of a whole recording says: codes that occur in it, and codes that do not.

    >>> normal = Statement(absent=Codes.of(rhythms=["AFIB", "AFL"]))
    >>> normal.decides(Codes.of(rhythms=["AFIB"])), normal.decides(Codes.of("V"))
    (False, None)
    """

    present: Codes = Codes()
    absent: Codes = Codes()

    def decides(self, wanted: Codes) -> bool | None:
        """Whether any of the codes occurs; None where the label does not decide that."""
        if self.present.meets(wanted):
            return True
        return False if self.absent.covers(wanted) else None


@dataclass(frozen=True)
class Assumptions:
    """What labels of whole recordings are taken to say beyond their word.

    Args:
        normal_has_no_ectopy: cinc2017's recordings labelled normal are free of ectopic beats (those
            with them are labelled "other rhythm"; nobody has looked beat by beat).
        ectopy_by_diagnosis: a recording has an ectopic beat if and only if its diagnoses name an
            extrasystole; recordings of paced hearts, whose beats look ventricular, are left out.
        other_has_no_fibrillation: cinc2017's recordings labelled other rhythm are free of
            fibrillation and flutter (a recording has one label; flutter may be among them).
        no_fibrillation: records of a database that annotates no rhythm are free of fibrillation and
            flutter, but for those that the database says look like it (`looks_fibrillating`).
    """

    normal_has_no_ectopy: bool = False
    ectopy_by_diagnosis: bool = False
    other_has_no_fibrillation: bool = False
    no_fibrillation: bool = False


ITS_WORD = Assumptions()
"""Labels say no more than their word."""


class Database(Protocol):
    """One database on disk; records are read when asked for. Its class is called with `folder`.

    Attributes
    ----------
    published: what is known of it without its files.
    annotated: beats and rhythms that its annotations decide: where one occurs it is annotated.
    labels: what `label` answers; empty where recordings have no label of one word.
    labels_recordings: whether `statement` says what a recording holds as a whole. The strips task
        then asks it, not the annotations.
    splits: records by role (`train`, `validation`, `test`) where there is a standard. Records in
        none of them are trained on.
    looks_fibrillating: records without annotated rhythms that seem to be in atrial fibrillation.
    folder: where its records lie.
    """

    published: ClassVar[Published]
    annotated: ClassVar[Codes]
    labels: ClassVar[tuple[str, ...]]
    labels_recordings: ClassVar[bool]
    splits: ClassVar[Splits]
    looks_fibrillating: ClassVar[tuple[str, ...]]

    def __init__(self, folder: Path) -> None: ...

    @property
    def folder(self) -> Path: ...  # noqa: D102 (documented above)

    @property
    def name(self) -> str:
        """beatlens's name of the database."""
        ...

    @property
    def complete(self) -> bool:
        """Whether as many records are on disk as were published."""
        ...

    @property
    def fingerprint(self) -> str:
        """Text that changes where a file of the database changes."""
        ...

    def check_whole(self) -> None:
        """Raise DataError if a record of the database's own list is not there."""
        ...

    def records(self) -> tuple[str, ...]:
        """Names of the records on disk."""
        ...

    def patient(self, record: str) -> str:
        """Who the record is of, unique over all databases; DataError if there is no such record."""
        ...

    def lead(self, recording: Recorded) -> str:
        """Name of the lead that models are trained and measured on."""
        ...

    def record_folder(self, record: str) -> Path:
        """The folder of a record's files; DataError if there is no such record."""
        ...

    def header(self, record: str) -> Header:
        """The checked header of one record; DataError as `read`."""
        ...

    def open(self, record: str, progress: Progress | None = None) -> Recorded:
        """One record, to be read piece by piece; DataError as `read`."""
        ...

    def read(self, record: str) -> Recording:
        """Samples of one record; DataError if there is no such record, or it is damaged."""
        ...

    def annotations(self, record: str, annotator: str | None = None) -> Annotations:
        """Beats and rhythms of one record; DataError if it has none or they are damaged.

        Without `annotator`, those of the first annotator of `published`.
        """
        ...

    def label(self, record: str) -> str:
        """The record's label, one of `labels`; DataError if there is none."""
        ...

    def statement(self, record: str, assumed: Assumptions) -> Statement | None:
        """What the record's label says; None for a recording that is to be left out.

        DataError if recordings of this database have no label.
        """
        ...
