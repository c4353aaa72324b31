"""The Lobachevsky University Database: 12 leads, diagnoses, and boundaries that people marked."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from types import MappingProxyType

from beatlens.errors import DataError
from beatlens.signals.boundaries import Boundaries, find_boundaries
from beatlens.signals.databases.contract import (
    BLOCKED,
    FIBRILLATION_AND_FLUTTER,
    ODC_BY,
    SUPRAVENTRICULAR,
    VENTRICULAR,
    Assumptions,
    Codes,
    Database,
    Published,
    Statement,
)
from beatlens.signals.databases.wfdb_database import WfdbDatabase, csv_rows
from beatlens.signals.recording import Recorded
from beatlens.signals.wfdb_header import Expected

LUDB_LEADS = ("i", "ii", "iii", "avr", "avl", "avf", "v1", "v2", "v3", "v4", "v5", "v6")
"""Leads of ludb, which are also the extensions of its annotation files."""


class Ludb(WfdbDatabase):
    """200 recordings of 10 s of as many people, with a table of diagnoses."""

    published = Published(
        name="ludb",
        slug="ludb",
        version="1.0.1",
        title="Lobachevsky University Electrocardiography Database",
        records=200,
        patients=200,
        citation="Kalyakulina AI, Yusipov II, Moskalenko VA, Nikolskiy AV, Kosonogov KA, Osipov "
        "GV, Zolotykh NYu, Ivanchenko MV. LUDB: A new open-access validation tool for "
        "electrocardiogram delineation algorithms. IEEE Access 8:186181-186190, 2020",
        licence=ODC_BY,
        expected=Expected(rate_hz=500, leads=12),
        extensions=("hea", "dat", *LUDB_LEADS),
        table="ludb.csv",
    )
    labels_recordings = True

    def lead(self, recording: Recorded) -> str:
        """Lead II."""
        return "ii"

    def statement(self, record: str, assumed: Assumptions) -> Statement | None:
        """What the diagnoses say; conduction that is disturbed in another way stays unknown.

        Complete bundle branch block is said of all beats. Ectopic beats are said where assumed, and
        paced hearts are then left out.
        """
        diagnoses = self.diagnoses(record)
        if assumed.ectopy_by_diagnosis and any(diagnoses["Cardiac pacing"]):
            return None
        return read_statement(diagnoses, ectopy=assumed.ectopy_by_diagnosis)

    def diagnoses(self, record: str) -> Mapping[str, tuple[str, ...]]:
        """What ludb.csv says of a record: column name to its entries, in the table's words.

        >>> ludb.diagnoses("4")["Conduction abnormalities"]  # doctest: +SKIP
        ('Incomplete right bundle branch block',)
        """
        self._stem(record)
        if record not in self._diagnoses:
            raise DataError(f"{self.table}: no row with ID {record}; fetch the file again")
        return self._diagnoses[record]

    def boundaries(self, record: str, lead: str) -> Boundaries:
        """Onsets, peaks and ends of P, QRS and T in one lead of a record."""
        if lead.lower() not in LUDB_LEADS:
            raise DataError(f"ludb has no lead {lead!r}; its leads are {', '.join(LUDB_LEADS)}")
        return find_boundaries(self.read_annotator(record, lead.lower()))

    @cached_property
    def _diagnoses(self) -> dict[str, Mapping[str, tuple[str, ...]]]:
        rows = csv_rows(self.table)
        if not rows or rows[0][0] != "ID":
            raise DataError(f"{self.table}: first row is {rows[:1]}, expected columns from ID on")
        header, *rows = rows
        table: dict[str, Mapping[str, tuple[str, ...]]] = {}
        for row in rows:
            if len(row) != len(header):
                raise DataError(
                    f"{self.table}: row {row[0]!r} has {len(row)} columns, expected "
                    f"{len(header)}; fetch the file again"
                )
            entries = {
                column: tuple(line.strip() for line in cell.splitlines() if line.strip())
                for column, cell in zip(header, row, strict=True)
            }
            table[row[0].strip()] = MappingProxyType(entries)
        return table


def as_ludb(database: Database) -> Ludb:
    """The database, if it is ludb, the only one with diagnoses and boundaries; else DataError."""
    if not isinstance(database, Ludb):
        raise DataError(f"database is {database.name}, expected ludb: only it has diagnoses")
    return database


def read_statement(diagnoses: Mapping[str, tuple[str, ...]], *, ectopy: bool) -> Statement:
    """What diagnoses say of a whole recording.

    Args:
        diagnoses: of `Ludb.diagnoses`.
        ectopy: whether they also decide ectopic beats.
    """
    rhythms, conduction, extra = (
        " ".join(diagnoses[column]).lower()
        for column in ("Rhythms", "Conduction abnormalities", "Extrasystolies")
    )
    words = zip(("fibrillation", "flutter"), FIBRILLATION_AND_FLUTTER, strict=True)
    present_rhythms = [label for word, label in words if word in rhythms]
    present, absent = "", ""
    if ectopy:
        kinds = (("ventricular", VENTRICULAR), ("atrial", SUPRAVENTRICULAR))
        for word, codes in kinds:
            if f"{word} extrasystole" in extra:
                present += codes[:1]
            else:
                absent += codes
    complete = conduction.replace("incomplete", "").count("complete") > 0
    unclear = ("incomplete", "delay", "iii degree")
    if complete:
        present += "R" if "right" in conduction else "L"
    elif not any(word in conduction for word in unclear):
        absent += BLOCKED
    absent_rhythms = () if present_rhythms else FIBRILLATION_AND_FLUTTER
    return Statement(Codes.of(present, present_rhythms), Codes.of(absent, absent_rhythms))
