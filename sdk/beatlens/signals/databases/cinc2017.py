"""The training set of the PhysioNet/CinC Challenge 2017: short recordings of a hand-held device."""

from __future__ import annotations

from collections import Counter
from functools import cached_property
from typing import ClassVar

from beatlens.errors import DataError
from beatlens.signals.databases.contract import (
    FIBRILLATION_AND_FLUTTER,
    ODC_BY,
    SUPRAVENTRICULAR,
    VENTRICULAR,
    Assumptions,
    Codes,
    Published,
    Statement,
)
from beatlens.signals.databases.wfdb_database import WfdbDatabase, csv_rows
from beatlens.signals.wfdb_header import Expected

CINC2017_LABELS: tuple[str, ...] = ("N", "A", "O", "~")
"""Labels of cinc2017: normal, atrial fibrillation, other rhythm, too noisy."""
_VERSION_3 = {"N": 5076, "A": 758, "O": 2415, "~": 279}


class Cinc2017(WfdbDatabase):
    """8528 recordings of one lead, each with one label.

    Nobody has published which recordings are of one person: each counts as its own.
    """

    published = Published(
        name="cinc2017",
        slug="challenge-2017",
        version="1.0.0",
        title="AF Classification from a Short Single Lead ECG, PhysioNet/CinC Challenge 2017",
        records=8528,
        citation="Clifford GD, Liu C, Moody B, Lehman LH, Silva I, Li Q, Johnson AE, Mark RG. AF "
        "classification from a short single lead ECG recording: the PhysioNet/Computing in "
        "Cardiology Challenge 2017. Computing in Cardiology 44, 2017",
        licence=ODC_BY,
        # Checksums are 0 in all of its headers, and initial values are wrong in some.
        expected=Expected(rate_hz=300, leads=1, checksums=False),
        extensions=("hea", "mat"),
        records_in="training",
        table="REFERENCE-v3.csv",
        label_counts=_VERSION_3,
    )
    labels: ClassVar[tuple[str, ...]] = CINC2017_LABELS
    labels_recordings = True

    def label(self, record: str) -> str:
        """Label of a record, one of `CINC2017_LABELS`; DataError if it has none."""
        self._stem(record)
        if record not in self._labels:
            raise DataError(f"{self.table}: no label for record {record}; fetch the file again")
        return self._labels[record]

    def statement(self, record: str, assumed: Assumptions) -> Statement | None:
        """`A` says fibrillation, `N` that there is none; others say neither and are left out.

        `O` says that there is none where that is assumed.
        """
        label = self.label(record)
        if label == "A":
            return Statement(present=Codes.of(rhythms=["AFIB"]))
        if label == "O" and assumed.other_has_no_fibrillation:
            return Statement(absent=Codes.of(rhythms=FIBRILLATION_AND_FLUTTER))
        if label != "N":
            return None
        none = SUPRAVENTRICULAR + VENTRICULAR if assumed.normal_has_no_ectopy else ""
        return Statement(absent=Codes.of(none, FIBRILLATION_AND_FLUTTER))

    @cached_property
    def _labels(self) -> dict[str, str]:
        labels = {}
        for number, row in enumerate(csv_rows(self.table), start=1):
            if len(row) != 2 or row[1] not in CINC2017_LABELS:
                raise DataError(
                    f"{self.table}: row {number} is {row}, expected a record and one of "
                    f"{' '.join(CINC2017_LABELS)}; fetch the file again"
                )
            labels[row[0].rpartition("/")[2]] = row[1]
        found = Counter(labels.values())
        if len(labels) == self.published.records and found != _VERSION_3:
            raise DataError(
                f"{self.table}: labels count {dict(found)}, expected {_VERSION_3}, "
                "version 3; `beatlens data get cinc2017` fetches REFERENCE-v3.csv"
            )
        return labels
