"""Simulated patients with runs of ventricular beats; nothing of them is on disk."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, NoReturn

from beatlens.errors import DataError
from beatlens.signals import simulated_runs
from beatlens.signals.annotations import Annotations
from beatlens.signals.databases.contract import (
    BLOCKED,
    ECTOPIC,
    Assumptions,
    Codes,
    Published,
    Splits,
    Statement,
)
from beatlens.signals.recording import Recorded, Recording
from beatlens.signals.wfdb_header import Expected, Header
from beatlens.signals.wfdb_pieces import Progress

TRAIN = tuple(f"train{number:02d}" for number in range(60))
TEST = tuple(f"test{number:02d}" for number in range(40))
SECONDS = MappingProxyType({"train": 300, "test": 900})
"""Length of records by role; of those to test on, EC57 counts the last two thirds."""
SEEDS = MappingProxyType({"train": 10_000, "test": 20_000})
"""Of the first record of each role; the others follow one by one."""
RATE_HZ = 250


@dataclass(frozen=True)
class SimulatedRuns:
    """100 simulated patients, kinds of `beatlens.signals.simulated_runs.KINDS` in turns.

    60 records of 5 minutes to train on, 40 of 15 minutes to test on. They are made when they are
    opened, the same each time; `fingerprint` changes where what is made changes.

    >>> database = SimulatedRuns(Path())
    >>> database.read("test00").duration_s, database.annotations("test00").beats.symbol[:2].tolist()
    (900.0, ['N', 'N'])
    """

    folder: Path

    published: ClassVar[Published] = Published(
        name="simulated-runs",
        title="Simulated ventricular runs",
        records=len(TRAIN) + len(TEST),
        patients=len(TRAIN) + len(TEST),
        citation="Simulated by beatlens, see beatlens.signals.simulated_runs",
        licence="as beatlens",
        expected=Expected(rate_hz=RATE_HZ, leads=1),
        extensions=(),
        annotators=("atr",),
        simulated=True,
    )
    annotated: ClassVar[Codes] = Codes.of(ECTOPIC + BLOCKED)
    labels: ClassVar[tuple[str, ...]] = ()
    labels_recordings: ClassVar[bool] = False
    splits: ClassVar[Splits] = MappingProxyType({"train": TRAIN, "test": TEST})
    looks_fibrillating: ClassVar[tuple[str, ...]] = ()

    @property
    def name(self) -> str:
        """beatlens's name of the database."""
        return self.published.name

    @property
    def complete(self) -> bool:
        """All records are there, always."""
        return True

    @cached_property
    def fingerprint(self) -> str:
        """Digest of one record of each kind, 12 hexadecimal digits."""
        digest = hashlib.sha256(repr((SECONDS, SEEDS, TRAIN, TEST)).encode())
        for record in TRAIN[: len(simulated_runs.KINDS)]:
            made = _made(record)
            for part in (made.recording.counts, made.annotations.sample, made.annotations.symbol):
                digest.update(part.tobytes())
        return digest.hexdigest()[:12]

    def check_whole(self) -> None:
        """All records are there, always."""

    def records(self) -> tuple[str, ...]:
        """Names of the records."""
        return TRAIN + TEST

    def patient(self, record: str) -> str:
        """Each record is a patient of its own."""
        _number(record)
        return f"{self.name}/{record}"

    def lead(self, recording: Recorded) -> str:
        """The only lead."""
        return recording.lead_names[0]

    def record_folder(self, record: str) -> NoReturn:
        """Raises DataError: there are no files."""
        _number(record)
        raise DataError(
            f"{self.name}/{record} has no files: it is made when a recipe trains or is measured on "
            f'it; expected a record on disk, or a recipe with a source database = "{self.name}"'
        )

    def header(self, record: str) -> Header:
        """Raises DataError: there are no files."""
        self.record_folder(record)

    def open(self, record: str, progress: Progress | None = None) -> Recording:
        """One record, in memory; DataError as `read`."""
        return self.read(record)

    def read(self, record: str) -> Recording:
        """Make one record; DataError: there is none of that name."""
        return _made(record).recording

    def annotations(self, record: str, annotator: str | None = None) -> Annotations:
        """All beats of one record; DataError: there is no such record or annotator."""
        if annotator not in (None, *self.published.annotators):
            raise DataError(f"{self.name} has no annotator {annotator!r}, expected atr")
        return _made(record).annotations

    def label(self, record: str) -> str:
        """Raises DataError: recordings have no labels."""
        raise DataError(f"{self.name} has no labels")

    def statement(self, record: str, assumed: Assumptions) -> Statement | None:
        """Raises DataError: recordings have no labels."""
        raise DataError(f"{self.name} has no labels")


def _number(record: str) -> tuple[str, int]:
    """Role and number of a record."""
    for role, records in (("train", TRAIN), ("test", TEST)):
        if record in records:
            return role, records.index(record)
    raise DataError(
        f"simulated-runs has no record {record!r}; its records are {TRAIN[0]} to {TRAIN[-1]} and "
        f"{TEST[0]} to {TEST[-1]}"
    )


@lru_cache(maxsize=2)
def _made(record: str) -> simulated_runs.SimulatedRuns:
    """A record and its annotations, asked for one after the other."""
    role, number = _number(record)
    kinds = tuple(simulated_runs.KINDS)
    return simulated_runs.simulate_runs(
        SEEDS[role] + number,
        SECONDS[role],
        kinds[number % len(kinds)],
        RATE_HZ,
        name=record,
        database=SimulatedRuns.published.name,
    )
