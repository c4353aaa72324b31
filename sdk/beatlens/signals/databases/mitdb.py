"""The MIT-BIH Arrhythmia Database, and its inter-patient split.

The split is that of de Chazal et al. 2004, section II. Records, not beats, are assigned, so that no
patient's beats are on both sides. One exception is in the published split itself: records 201 (DS1)
and 202 (DS2) are one patient. beatlens therefore never trains on 201, it is among the validation
records; figures on DS2 are also given without 202.

>>> patients_disjoint(TRAIN, DS2), patients_disjoint(TRAIN, VALIDATION)
(True, True)
>>> patients_disjoint(DS1, DS2)
False
"""

from __future__ import annotations

from collections.abc import Iterable
from types import MappingProxyType
from typing import ClassVar

from beatlens.signals.annotations import BEAT_SYMBOLS
from beatlens.signals.databases.contract import ODC_BY, Codes, Published, Splits
from beatlens.signals.databases.wfdb_database import WfdbDatabase
from beatlens.signals.recording import Recorded
from beatlens.signals.wfdb_header import Expected

RHYTHMS = (
    "AB", "AFIB", "AFL", "B", "BII", "IVR", "N", "NOD", "P", "PREX", "SBR", "SVTA", "T", "VFL",
    "VT",
)  # fmt: skip
"""Labels of its rhythms."""

PACED = ("102", "104", "107", "217")
"""Records with paced beats, left out by EC57."""

# fmt: off
DS1 = (
    "101", "106", "108", "109", "112", "114", "115", "116", "118", "119", "122",
    "124", "201", "203", "205", "207", "208", "209", "215", "220", "223", "230",
)
"""Records to develop on."""

DS2 = (
    "100", "103", "105", "111", "113", "117", "121", "123", "200", "202", "210",
    "212", "213", "214", "219", "221", "222", "228", "231", "232", "233", "234",
)
"""Records to test on, never used for a choice."""
# fmt: on

VALIDATION = ("114", "124", "201", "209", "223")
"""Records of DS1 that choices are made on: every class occurs (atrial fibrillation in 201, bundle
branch block in 124, supraventricular beats in all five, most in 209, ventricular ones in all), and
201 shares its patient with DS2's 202, so that it must not be trained on."""

TRAIN = tuple(record for record in DS1 if record not in VALIDATION)
"""Records of DS1 that networks are trained on."""

WATCHED = ("201",)
"""What a final fit on all of DS1 still leaves out: its patient is in DS2."""

DS2_WITHOUT_202 = tuple(record for record in DS2 if record != "202")
"""DS2 without the record whose patient also is in DS1."""

_SAME_PATIENT = {"202": "201"}


def mitdb_patient(record: str) -> str:
    """Who a record of mitdb is of: `"mitdb/201"` for both 201 and 202, else the record's name."""
    return f"mitdb/{_SAME_PATIENT.get(record, record)}"


def roles(*, final_fit: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Records of DS1 to train on, and those to choose (or, in a final fit, only to watch) on.

    >>> [len(records) for records in roles(final_fit=False) + roles(final_fit=True)]
    [17, 5, 21, 1]
    """
    held_out = WATCHED if final_fit else VALIDATION
    return tuple(record for record in DS1 if record not in held_out), held_out


def folds(count: int) -> list[tuple[str, ...]]:
    """DS1 in `count` folds for cross-validation, every `count`-th record in one.

    >>> [len(fold) for fold in folds(5)]
    [5, 5, 4, 4, 4]
    """
    return [DS1[first::count] for first in range(count)]


def patients_disjoint(left: Iterable[str], right: Iterable[str]) -> bool:
    """Whether two sets of mitdb records have no patient in common."""
    patients = {mitdb_patient(record) for record in left}
    return patients.isdisjoint(mitdb_patient(record) for record in right)


class Mitdb(WfdbDatabase):
    """48 half-hour records of 47 patients, two leads; every beat and rhythm is annotated."""

    published = Published(
        name="mitdb",
        slug="mitdb",
        version="1.0.0",
        title="MIT-BIH Arrhythmia Database",
        records=48,
        patients=47,
        citation="Moody GB, Mark RG. The impact of the MIT-BIH Arrhythmia Database. IEEE "
        "Engineering in Medicine and Biology 20(3):45-50, 2001",
        licence=ODC_BY,
        expected=Expected(rate_hz=360, leads=2),
        annotators=("atr",),
    )
    annotated = Codes.of(BEAT_SYMBOLS, RHYTHMS)
    splits: ClassVar[Splits] = MappingProxyType(
        {"train": TRAIN, "validation": VALIDATION, "test": DS2}
    )

    def find_patient(self, record: str) -> str:
        """Records 201 and 202 are one patient's."""
        return mitdb_patient(record)

    def lead(self, recording: Recorded) -> str:
        """MLII, by its name: in record 114 it comes second, 102 and 104 lack it."""
        return "MLII"
