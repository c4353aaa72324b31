"""A folder of own records, used as a database: who the patients are and what is labelled is given.

Records lie in the folder or below it, each with a header `NAME.hea`. A record is called by its
file's name; where two files have one name, by its path with `-` for `/`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

from beatlens.errors import DataError
from beatlens.signals.annotations import Annotations, Interval, read_annotations
from beatlens.signals.databases.contract import Assumptions, Published, Statement
from beatlens.signals.databases.wfdb_database import WfdbDatabase, csv_rows
from beatlens.signals.recording import Recorded, Recording
from beatlens.signals.wfdb_files import read_recording
from beatlens.signals.wfdb_header import Expected, Header, read_header
from beatlens.signals.wfdb_pieces import Progress, RecordingFile, open_record

PatientBy = Literal["folder", "record", "header", "csv"]


@dataclass(frozen=True)
class OwnRecords(WfdbDatabase):
    """Records of a folder and the folders below it; see `contract.Database`.

    Attributes
    ----------
    folder: where the records lie.
    annotator: extension of the annotation files.
    leads: names of leads, the first that a recording has is taken; empty: the recording's first.
    patient_by: what tells patients apart: the folder a record lies in, the record itself, a comment
        of its header that begins with `patient_key`, or the CSV file `patient_key` beside the
        records, with columns `record` and `patient`.
    patient_key: see there.
    labels_csv: file with columns `record` and `label`; empty: recordings have no labels.
    intervals_csv: file with columns `record`, `start_s`, `end_s`, `label`; empty: there is none.
    """

    annotator: str = "atr"
    leads: tuple[str, ...] = ()
    patient_by: PatientBy = "record"
    patient_key: str = ""
    labels_csv: str = ""
    intervals_csv: str = ""

    published = Published(
        name="own-records",
        title="Own records",
        records=0,
        expected=Expected(checksums=False, uncalibrated=True),
    )

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def complete(self) -> bool:
        """Nobody has published how many there are."""
        return True

    @cached_property
    def _stems(self) -> dict[str, Path]:
        if not self.folder.is_dir():
            raise DataError(f"{self.folder}: no such folder, expected one that holds WFDB records")
        stems = sorted(path.with_suffix("") for path in self.folder.rglob("*.hea"))
        if not stems:
            raise DataError(f"{self.folder}: no record in it or below, expected files NAME.hea")
        names = [stem.name for stem in stems]
        return {
            stem.name
            if names.count(stem.name) == 1
            else "-".join(stem.relative_to(self.folder).parts): stem
            for stem in stems
        }

    @property
    def how_to_get(self) -> str:
        """What to do where a record is missing."""
        return "expected the name of a file NAME.hea"

    def find_patient(self, record: str) -> str:
        """The patient of a record that is there, unique over all databases."""
        match self.patient_by:
            case "record":
                patient = record
            case "folder":
                inside = self._stem(record).parent.relative_to(self.folder)
                patient = "-".join(inside.parts) or record
            case "header":
                patient = self._patient_in_header(record)
            case "csv":
                patient = self._value(self._patients, record, self.patient_key, "patient")
        return f"{self.name}/{patient}"

    def lead(self, recording: Recorded) -> str:
        """The first lead of the list that the recording has; without a list its first one."""
        if not self.leads:
            return recording.lead_names[0]
        for lead in self.leads:
            for name in recording.lead_names:
                if name.casefold() == lead.casefold():
                    return name
        raise DataError(
            f"record {self.name}/{recording.name} has the leads {', '.join(recording.lead_names)}, "
            f"expected one of {', '.join(self.leads)}"
        )

    def header(self, record: str) -> Header:
        """The checked header of one record; DataError as `read`."""
        stem = self._stem(record)
        return read_header(stem.parent, stem.name, self.published.expected)

    def open(self, record: str, progress: Progress | None = None) -> RecordingFile:
        """One record, to be read piece by piece; DataError as `read`."""
        stem = self._stem(record)
        opened = open_record(
            stem.parent, stem.name, database=self.name, patient=self.patient(record),
            expected=self.published.expected, progress=progress,
        )  # fmt: skip
        return replace(opened, name=record)

    def read(self, record: str) -> Recording:
        """Samples of one record; DataError: there is none, or its files are damaged."""
        stem = self._stem(record)
        found = read_recording(
            stem.parent, stem.name, database=self.name, patient=self.patient(record),
            expected=self.published.expected,
        )  # fmt: skip
        return replace(found, name=record)

    def annotations(self, record: str, annotator: str | None = None) -> Annotations:
        """Beats and rhythms of one record; DataError: the file is missing or damaged."""
        stem = self._stem(record)
        header = self.header(record)
        found = read_annotations(
            stem.parent, stem.name, annotator or self.annotator, header.samples,
            rate_hz=header.rate_hz,
        )  # fmt: skip
        return replace(found, name=record)

    def label(self, record: str) -> str:
        """The record's label; DataError: there is none."""
        self._stem(record)
        if not self.labels_csv:
            raise DataError(
                f"{self.folder}: recordings have no labels, expected a CSV file that the source's "
                "`labels` names"
            )
        return self._value(self._labels, record, self.labels_csv, "label")

    def statement(self, record: str, assumed: Assumptions) -> Statement | None:
        """Labels of own recordings say nothing of beats or rhythms: None."""
        del assumed
        self.label(record)
        return None

    def intervals(self, record: str) -> tuple[Interval, ...]:
        """The record's intervals in the CSV file, in samples of the recording."""
        header = self.header(record)
        found = []
        for number, name, start, end, label in self._interval_rows:
            if name not in (record, self._path_name(record)):
                continue
            last = header.samples / header.rate_hz
            if end > last + 1 / header.rate_hz:
                raise DataError(
                    f"{self.folder / self.intervals_csv}: row {number} ends at {end:g} s, expected "
                    f"at most {last:g} s, the end of record {record}"
                )
            at = round(start * header.rate_hz), round(end * header.rate_hz)
            found.append(Interval(at[0], min(at[1], header.samples), label))
        return tuple(found)

    def _path_name(self, record: str) -> str:
        return self._stem(record).relative_to(self.folder).as_posix()

    def _patient_in_header(self, record: str) -> str:
        header = self.header(record).path
        for line in header.read_text(encoding="utf-8", errors="replace").splitlines():
            text = line.lstrip("#").strip()
            if line.startswith("#") and text.startswith(self.patient_key):
                patient = text.removeprefix(self.patient_key).strip(" :=\t")
                if patient:
                    return patient
        raise DataError(
            f"{header}: no comment line begins with {self.patient_key!r}, expected one that names "
            "the patient"
        )

    def _value(self, rows: dict[str, str], record: str, file: str, column: str) -> str:
        for name in (record, self._path_name(record)):
            if name in rows:
                return rows[name]
        raise DataError(f"{self.folder / file}: no {column} of record {record}, expected a row")

    @cached_property
    def _labels(self) -> dict[str, str]:
        return self._one_each(self.labels_csv, "label")

    @cached_property
    def _patients(self) -> dict[str, str]:
        return self._one_each(self.patient_key, "patient")

    def _one_each(self, file: str, column: str) -> dict[str, str]:
        """A value for each record, by the name that the file has for it."""
        path = self.folder / file
        values: dict[str, str] = {}
        for number, (name, value) in read_table(path, ("record", column)):
            self._check_name(path, number, name)
            if values.setdefault(name, value) != value:
                raise DataError(
                    f"{path}: row {number} gives record {name} the {column} {value!r}, a row "
                    f"before it {values[name]!r}; expected one"
                )
        return values

    def _check_name(self, path: Path, number: int, name: str) -> None:
        """Raise DataError where a row of a CSV file names a record that is not there."""
        if name not in self._names:
            raise DataError(
                f"{path}: row {number} names record {name!r}, which {self.folder} does not have; "
                f"its records are {', '.join(list(self._stems)[:5])}"
                f"{' ...' if len(self._stems) > 5 else ''}"
            )

    @cached_property
    def _names(self) -> frozenset[str]:
        """All that a CSV file may call a record: by its name here, or by its path."""
        return frozenset((*self._stems, *map(self._path_name, self._stems)))

    @cached_property
    def _interval_rows(self) -> list[tuple[int, str, float, float, str]]:
        path = self.folder / self.intervals_csv
        rows = []
        for number, (name, start, end, label) in read_table(
            path, ("record", "start_s", "end_s", "label")
        ):
            try:
                times = float(start), float(end)
            except ValueError:
                times = 1.0, 0.0
            if not 0 <= times[0] < times[1] < float("inf"):
                raise DataError(
                    f"{path}: row {number} is from {start!r} to {end!r}, expected seconds, the "
                    "start before the end"
                )
            self._check_name(path, number, name)
            rows.append((number, name, *times, label))
        return rows


def read_table(path: Path, columns: tuple[str, ...]) -> list[tuple[int, list[str]]]:
    """Rows of a CSV file with their numbers in the file, the cells in the order of `columns`.

    The first row names the columns; others than those asked for are passed over.

    Raises
    ------
    DataError: the file cannot be read, lacks a column, or a row has another number of cells.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file, expected a CSV file with {', '.join(columns)}")
    rows = csv_rows(path, "expected a CSV file in UTF-8")
    header = [cell.strip() for cell in rows[0]] if rows else []
    lacks = [column for column in columns if column not in header]
    if lacks:
        raise DataError(
            f"{path}: no column {lacks[0]}, expected the columns {','.join(columns)} in the first "
            f"row, which is {','.join(header)!r}"
        )
    at = [header.index(column) for column in columns]
    table = []
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(header):
            raise DataError(f"{path}: row {number} has {len(row)} cells, expected {len(header)}")
        table.append((number, [row[i].strip() for i in at]))
    return table
