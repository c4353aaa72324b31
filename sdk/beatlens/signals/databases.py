"""The public databases beatlens trains and tests on, read from PhysioNet's own layout.

`find_database` looks in a folder given by the caller (`--data`) or named by `BEATLENS_DATA`, else
in `../shared/data` next to a checkout, else in the cache that `beatlens data get NAME` fills. Each
of these holds one sub-folder per database, named as in `PUBLISHED` or as on PhysioNet, with or
without a folder for the version inside.

>>> database = find_database("mitdb")  # doctest: +SKIP
>>> recording = database.read("114")  # doctest: +SKIP
>>> recording.lead("MLII"), database.annotations("114").beats.symbol[:2]  # doctest: +SKIP
(1, array(['N', 'N'], dtype='<U1'))
"""

import csv
import hashlib
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from types import MappingProxyType

from beatlens.errors import DataError
from beatlens.signals.annotations import Annotations, read_annotations
from beatlens.signals.boundaries import Boundaries, boundaries_of
from beatlens.signals.data_folders import DATA_VARIABLE, data_roots, is_folder, named_folder
from beatlens.signals.published import LUDB_LEADS, PUBLISHED, Published
from beatlens.signals.recording import Recording
from beatlens.signals.splits import mitdb_patient
from beatlens.signals.wfdb_files import read_recording
from beatlens.signals.wfdb_header import Header, read_header
from beatlens.signals.wfdb_pieces import Progress, RecordingFile, open_record

CINC2017_LABELS = ("N", "A", "O", "~")
"""Labels of cinc2017: normal, atrial fibrillation, other rhythm, too noisy."""

_CINC2017_VERSION_3 = {"N": 5076, "A": 758, "O": 2415, "~": 279}

# A record, perhaps in a sub-folder; nothing that could lead out of the database's folder.
_ENTRY = re.compile(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*")


class DatabaseNotFoundError(DataError):
    """None of the places that are looked in has a database."""


@dataclass(frozen=True)
class Database:
    """One database on disk; records are read when asked for.

    Attributes
    ----------
    published: what PhysioNet says of it.
    folder: where its records lie.
    """

    published: Published
    folder: Path

    @property
    def name(self) -> str:
        """beatlens's name of the database."""
        return self.published.name

    @cached_property
    def _stems(self) -> dict[str, Path]:
        return record_stems(self.folder)

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
        lost = [entry for entry in listed if entry.rpartition("/")[2] not in self._stems]
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
            files.add(self._table)
        digest = hashlib.sha256(self.name.encode())
        for path in sorted(files):
            about = path.stat()
            digest.update(f"{path} {about.st_size} {about.st_mtime_ns}\n".encode())
        return digest.hexdigest()[:12]

    def patient(self, record: str) -> str:
        """Who the record is of, unique over all databases; DataError if there is no such record.

        Records of nstdb made from mitdb's 118 and 119 are of those patients. cinc2017 does not say
        which records share a patient: each counts as its own.
        """
        self._stem(record)
        if self.name == "mitdb":
            return mitdb_patient(record)
        if self.name == "nstdb" and record[:3] in ("118", "119"):
            return mitdb_patient(record[:3])
        return f"{self.name}/{record}"

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

    def annotations(self, record: str) -> Annotations:
        """Beats and rhythms of one record (mitdb, svdb, nstdb).

        Raises
        ------
        DataError: no such record, the database has no beat annotations, or the file is damaged.
        """
        if self.published.annotator is None:
            raise DataError(
                f"{self.name} has no beat annotations; use label (cinc2017), boundaries or "
                "diagnoses (ludb)"
            )
        return self._annotations(record, self.published.annotator)

    def label(self, record: str) -> str:
        """Label of a record of cinc2017, one of `CINC2017_LABELS`; DataError if it has none."""
        self._only("cinc2017", "labels")
        self._stem(record)
        if record not in self._labels:
            raise DataError(f"{self._table}: no label for record {record}; fetch the file again")
        return self._labels[record]

    def diagnoses(self, record: str) -> Mapping[str, tuple[str, ...]]:
        """What ludb.csv says of a record: column name to its entries, in the table's words.

        >>> ludb.diagnoses("4")["Conduction abnormalities"]  # doctest: +SKIP
        ('Incomplete right bundle branch block',)
        """
        self._only("ludb", "diagnoses")
        self._stem(record)
        if record not in self._diagnoses:
            raise DataError(f"{self._table}: no row with ID {record}; fetch the file again")
        return self._diagnoses[record]

    def boundaries(self, record: str, lead: str) -> Boundaries:
        """Onsets, peaks and ends of P, QRS and T in one lead of a record of ludb."""
        self._only("ludb", "wave boundaries")
        if lead.lower() not in LUDB_LEADS:
            raise DataError(f"ludb has no lead {lead!r}; its leads are {', '.join(LUDB_LEADS)}")
        return boundaries_of(self._annotations(record, lead.lower()))

    def _annotations(self, record: str, annotator: str) -> Annotations:
        header = self.header(record)
        return read_annotations(
            header.path.parent, record, annotator, header.samples, rate_hz=header.rate_hz
        )

    def _stem(self, record: str) -> Path:
        if record not in self._stems:
            raise DataError(
                f"{self.name} has no record {record!r} in {self.folder}: "
                f"{len(self._stems)} of {self.published.records} records are there; "
                f"`beatlens data get {self.name}` fetches what PhysioNet has"
            )
        return self._stems[record]

    def _only(self, name: str, what: str) -> None:
        if self.name != name:
            raise DataError(f"{self.name} has no {what}; only {name} has")

    @cached_property
    def _table(self) -> Path:
        """The database's table: beside the records, or (cinc2017) above them."""
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

    @cached_property
    def _labels(self) -> dict[str, str]:
        labels = {}
        for number, row in enumerate(_csv_rows(self._table), start=1):
            if len(row) != 2 or row[1] not in CINC2017_LABELS:
                raise DataError(
                    f"{self._table}: row {number} is {row}, expected a record and one of "
                    f"{' '.join(CINC2017_LABELS)}; fetch the file again"
                )
            labels[row[0].rpartition("/")[2]] = row[1]
        found = Counter(labels.values())
        if len(labels) == self.published.records and found != _CINC2017_VERSION_3:
            raise DataError(
                f"{self._table}: labels count {dict(found)}, expected {_CINC2017_VERSION_3}, "
                "version 3; `beatlens data get cinc2017` fetches REFERENCE-v3.csv"
            )
        return labels

    @cached_property
    def _diagnoses(self) -> dict[str, Mapping[str, tuple[str, ...]]]:
        rows = _csv_rows(self._table)
        if not rows or rows[0][0] != "ID":
            raise DataError(f"{self._table}: first row is {rows[:1]}, expected columns from ID on")
        header, *rows = rows
        table: dict[str, Mapping[str, tuple[str, ...]]] = {}
        for row in rows:
            if len(row) != len(header):
                raise DataError(
                    f"{self._table}: row {row[0]!r} has {len(row)} columns, expected "
                    f"{len(header)}; fetch the file again"
                )
            entries = {
                column: tuple(line.strip() for line in cell.splitlines() if line.strip())
                for column, cell in zip(header, row, strict=True)
            }
            table[row[0].strip()] = MappingProxyType(entries)
        return table


def find_database(name: str, data: Path | str | None = None) -> Database:
    """The database called `name`, from the first place that has it (see the module's top).

    Parameters
    ----------
    name: a key of `PUBLISHED`.
    data: a folder of databases, looked in first; it must exist.

    Raises
    ------
    DatabaseNotFoundError: none of the places has it.
    DataError: no such database; the folder named does not exist or holds no database at all; or
        the first place that has the database has none of its records, or a damaged list of them.
    """
    published = published_as(name)
    named_folder(data)
    roots = data_roots(data)
    for root in roots:
        parts = [root / part for part in dict.fromkeys((name, published.slug))]
        for part in parts:
            for version in ("", published.version):
                for inner in dict.fromkeys(("", published.records_in)):
                    folder = part / version / inner
                    if record_stems(folder):
                        return Database(published, folder)
        if empty := [part for part in parts if is_folder(part)]:
            raise DataError(
                f"{empty[0]}: is there, but has none of the {published.records} records of {name}; "
                f"`beatlens data get {name}` goes on where it stopped, or delete the folder"
            )
    looked = ", ".join(str(root / name) for root in roots)
    raise DatabaseNotFoundError(
        f"{name} ({published.title}) is not there; looked for {looked}. "
        f"`beatlens data get {name}` fetches it from PhysioNet; if you have it, name the folder "
        f"above it by --data or {DATA_VARIABLE}"
    )


@lru_cache(maxsize=16)
def database_in(name: str, folder: Path) -> Database:
    """The database called `name` whose records lie in `folder`, as `find_database` found it.

    For workers that are called record by record: its list of records is read once.
    """
    return Database(published_as(name), folder)


def published_as(name: str) -> Published:
    """The entry of `PUBLISHED` called `name`; DataError if there is none."""
    if name not in PUBLISHED:
        raise DataError(f"no database is called {name!r}; there are {', '.join(PUBLISHED)}")
    return PUBLISHED[name]


def record_stems(folder: Path) -> dict[str, Path]:
    """Record name to path without extension, for the listed records whose header is there."""
    stems: dict[str, Path] = {}
    for entry in listed_records(folder):
        stem = folder / entry
        if stem.with_name(f"{stem.name}.hea").is_file():
            stems[stem.name] = stem
    return stems


def listed_records(folder: Path) -> tuple[str, ...]:
    """Entries of a folder's `RECORDS`; without one, the headers there, by name.

    Raises
    ------
    DataError: an entry is no record name, or leads out of the folder.
    """
    path = folder / "RECORDS"
    try:
        if not path.is_file():
            return tuple(sorted(header.stem for header in folder.glob("*.hea")))
        entries = path.read_text(encoding="ascii", errors="replace").split()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    for entry in entries:
        if not _ENTRY.fullmatch(entry):
            raise DataError(
                f"{path}: entry is {entry!r}, expected a record inside {folder}; "
                "fetch the file again"
            )
    return tuple(entries)


def _csv_rows(path: Path) -> list[list[str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return [row for row in csv.reader(file) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as a table: {error}; fetch it again") from error
