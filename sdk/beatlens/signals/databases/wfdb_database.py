"""A database of records in WFDB's format, in a folder laid out as PhysioNet does."""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

from beatlens.errors import DataError
from beatlens.signals.annotations import Annotations, read_annotations
from beatlens.signals.boundaries import Boundaries
from beatlens.signals.databases.contract import (
    Assumptions,
    Codes,
    Published,
    Splits,
    Statement,
)
from beatlens.signals.recording import Recorded, Recording
from beatlens.signals.wfdb_files import read_recording
from beatlens.signals.wfdb_header import Header, read_header
from beatlens.signals.wfdb_pieces import Progress, RecordingFile, open_record

# A record, perhaps in a sub-folder; nothing that could lead out of the database's folder.
_ENTRY = re.compile(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*")
_MAX_DEPTH = 4


@dataclass(frozen=True)
class WfdbDatabase:
    """One database on disk, see `contract.Database`; a subclass says what is known of it.

    Attributes
    ----------
    folder: where its records lie.
    """

    published: ClassVar[Published]
    annotated: ClassVar[Codes] = Codes()
    labels: ClassVar[tuple[str, ...]] = ()
    labels_recordings: ClassVar[bool] = False
    splits: ClassVar[Splits] = MappingProxyType({})
    looks_fibrillating: ClassVar[tuple[str, ...]] = ()

    folder: Path

    @property
    def name(self) -> str:
        """beatlens's name of the database."""
        return self.published.name

    @cached_property
    def _stems(self) -> dict[str, Path]:
        return record_stems(self.folder, self.published.without_signals)

    def records(self) -> tuple[str, ...]:
        """Names of the records on disk, in the published order (`RECORDS`)."""
        return tuple(self._stems)

    @property
    def complete(self) -> bool:
        """Whether as many records are on disk as were published."""
        return len(self._stems) >= self.published.records

    def check_whole(self) -> None:
        """Raise DataError if a record of the database's own list is not there.

        A copy of some of the records, with a list of those, is whole.
        """
        listed = listed_records(self.folder)
        there = {*self._stems, *self.published.without_signals}
        lost = [entry for entry in listed if entry.rpartition("/")[2] not in there]
        if lost:
            raise DataError(
                f"{self.folder}: {len(lost)} of the {len(listed)} records in its list RECORDS are "
                f"not there, the first is {lost[0]}; `beatlens data get {self.name}` fetches what "
                "is missing"
            )

    @property
    def fingerprint(self) -> str:
        """Changes where a file of the database is changed, added or taken away: a digest of their
        names, sizes and times, 12 hexadecimal digits."""
        files = {path for path in self.folder.rglob("*") if path.is_file()}
        if self.published.table:
            files.add(self.table)
        digest = hashlib.sha256(self.name.encode())
        for path in sorted(files):
            about = path.stat()
            digest.update(f"{path} {about.st_size} {about.st_mtime_ns}\n".encode())
        return digest.hexdigest()[:12]

    def patient(self, record: str) -> str:
        """Who the record is of, unique over all databases; DataError if there is no such record."""
        self._stem(record)
        return self.find_patient(record)

    def find_patient(self, record: str) -> str:
        """The patient of a record that is there; each record is its own where nobody says more."""
        return f"{self.name}/{record}"

    def lead(self, recording: Recorded) -> str:
        """Name of the lead that models are trained and measured on: the first."""
        return recording.lead_names[0]

    def read(self, record: str) -> Recording:
        """Samples of one record.

        Raises
        ------
        DataError: no such record, or its files are damaged; see `wfdb_files.read_recording`.
        """
        return read_recording(
            self._stem(record).parent,
            record,
            database=self.name,
            patient=self.patient(record),
            expected=self.published.expected,
        )

    def record_folder(self, record: str) -> Path:
        """The folder of a record's files; DataError if there is no such record."""
        return self._stem(record).parent

    def header(self, record: str) -> Header:
        """The checked header of one record; DataError as `read`."""
        return read_header(self.record_folder(record), record, self.published.expected)

    def open(self, record: str, progress: Progress | None = None) -> RecordingFile:
        """One record, to be read piece by piece; as `read`, and `wfdb_pieces.open_record`."""
        return open_record(
            self._stem(record).parent,
            record,
            database=self.name,
            patient=self.patient(record),
            expected=self.published.expected,
            progress=progress,
        )

    def annotations(self, record: str, annotator: str | None = None) -> Annotations:
        """Beats and rhythms of one record, of the first annotator or the one asked for.

        Raises
        ------
        DataError: no such record, the database has no beat annotations or no such annotator, or
            the file is missing or damaged.
        """
        known = self.published.annotators
        if not known:
            raise DataError(
                f"{self.name} has no beat annotations; what it has are labels of whole recordings"
            )
        if annotator is not None and annotator not in known:
            raise DataError(
                f"{self.name} has no annotator {annotator!r}, expected one of {', '.join(known)}"
            )
        return self.read_annotator(record, annotator or known[0])

    def read_annotator(self, record: str, annotator: str) -> Annotations:
        """The annotations in the record's file of that extension; DataError as `annotations`."""
        header = self.header(record)
        return read_annotations(
            header.path.parent, record, annotator, header.samples, rate_hz=header.rate_hz
        )

    def label(self, record: str) -> str:
        """The record's label, one of `labels`; DataError: recordings have none here."""
        raise DataError(f"{self.name} has no labels")

    def statement(self, record: str, assumed: Assumptions) -> Statement | None:
        """What the record's label says; DataError: recordings have none here."""
        raise DataError(f"{self.name} has no labels")

    def diagnoses(self, record: str) -> Mapping[str, tuple[str, ...]]:
        """A table's diagnoses of the record; DataError: there are none here."""
        raise DataError(f"{self.name} has no diagnoses")

    def boundaries(self, record: str, lead: str) -> Boundaries:
        """Boundaries of waves that people marked; DataError: there are none here."""
        raise DataError(f"{self.name} has no wave boundaries")

    def _stem(self, record: str) -> Path:
        if record not in self._stems:
            raise DataError(
                f"{self.name} has no record {record!r} in {self.folder}: "
                f"{len(self._stems)} of {self.published.records} records are there"
                + (f"; {self.how_to_get}" if self.published.slug else "")
            )
        return self._stems[record]

    @property
    def how_to_get(self) -> str:
        """What to do where something is missing."""
        return f"`beatlens data get {self.name}` fetches what PhysioNet has"

    @cached_property
    def table(self) -> Path:
        """The database's table: beside the records, or above them; DataError if it is missing."""
        name = self.published.table
        candidates = [self.folder / name]
        if self.folder.name == self.published.records_in:
            candidates.append(self.folder.parent / name)
        # A copy may have its labels under this name. PhysioNet's own training/REFERENCE.csv is of
        # an older version, so it comes last, and a whole set is held against version 3's counts.
        candidates.append(self.folder / "REFERENCE.csv")
        for path in candidates:
            if path.is_file():
                return path
        raise DataError(
            f"{self.folder}: no {name}; `beatlens data get {self.name}` fetches it from PhysioNet"
        )


def record_stems(folder: Path, without: tuple[str, ...] = ()) -> dict[str, Path]:
    """Record name to path without extension, for the listed records whose header is there.

    Args:
        folder: of the database.
        without: names that are left out.
    """
    stems: dict[str, Path] = {}
    for entry in listed_records(folder):
        stem = folder / entry
        if stem.name not in without and stem.with_name(f"{stem.name}.hea").is_file():
            stems[stem.name] = stem
    return stems


def listed_records(folder: Path) -> tuple[str, ...]:
    """Entries of a folder's `RECORDS`; without one, the headers there, by name.

    An entry that ends with `/` is a sub-folder with a list of its own; where that list is missing,
    the sub-folder has no records.

    Raises
    ------
    DataError: an entry is no record name, or leads out of the folder.
    """
    path = folder / "RECORDS"
    if not _is_file(path):
        try:
            return tuple(sorted(header.stem for header in folder.glob("*.hea")))
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    return tuple(_entries(folder, path, ""))


def list_entries(path: Path) -> list[str]:
    """Entries of one list of records, those of sub-folders ending with `/`; DataError as above."""
    try:
        entries = path.read_text(encoding="ascii", errors="replace").split()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    for entry in entries:
        if not _ENTRY.fullmatch(entry.removesuffix("/")):
            raise DataError(
                f"{path}: entry is {entry!r}, expected a record inside {path.parent}; "
                "fetch the file again"
            )
    return entries


def _entries(folder: Path, path: Path, inside: str) -> list[str]:
    found: list[str] = []
    for entry in list_entries(path):
        if not entry.endswith("/"):
            found.append(inside + entry)
            continue
        below = inside + entry
        if below.count("/") > _MAX_DEPTH:
            raise DataError(
                f"{path}: entry is {entry!r}, {below.count('/')} folders below {folder}, expected "
                f"at most {_MAX_DEPTH}; fetch the file again"
            )
        if _is_file(folder / below / "RECORDS"):
            found += _entries(folder, folder / below / "RECORDS", below)
    return found


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error


def csv_rows(path: Path, otherwise: str = "fetch it again") -> list[list[str]]:
    """Rows of a table that are not empty; DataError, with what to do, if it cannot be read."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return [row for row in csv.reader(file) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as a table: {error}; {otherwise}") from error
