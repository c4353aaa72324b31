"""The QT Database: excerpts of other databases, with waves that people marked."""

from __future__ import annotations

import re
from typing import ClassVar

from beatlens.signals.annotations import Annotations
from beatlens.signals.databases.contract import ECTOPIC, ODC_BY, Codes, Published
from beatlens.signals.databases.mitdb import mitdb_patient
from beatlens.signals.databases.wfdb_database import WfdbDatabase
from beatlens.signals.wfdb_header import Expected

_SOURCES = re.compile(r"sel(?:(?P<mitdb>[12]\d\d)|(?P<svdb>8\d\d)|(?P<edb>e\d{4}))")
"""Names of the excerpts whose source beatlens reads too, each with the record it was cut from."""


class Qtdb(WfdbDatabase):
    """105 excerpts of 15 minutes, two leads.

    `atr` holds beats, in all but the records of sudden deaths; those have `ari`, beats of a program
    that nobody audited. `q1c`, `q2c` and `man` hold marks of P, QRS and T by people, in some beats
    and where they exist.
    """

    published = Published(
        name="qtdb",
        slug="qtdb",
        version="1.0.0",
        title="QT Database",
        records=105,
        citation="Laguna P, Mark RG, Goldberger AL, Moody GB. A database for evaluation of "
        "algorithms for measurement of QT and other waveform intervals in the ECG. Computers in "
        "Cardiology 24:673-676, 1997",
        licence=ODC_BY,
        # Some of its headers say that the gain is not known (sel14046 is the first).
        expected=Expected(rate_hz=250, leads=2, uncalibrated=True),
        annotators=("atr", "ari", "q1c", "q2c", "man"),
        annotated=False,
    )
    annotated = Codes.of(ECTOPIC)
    looks_fibrillating: ClassVar[tuple[str, ...]] = ("sel35", "sel36", "sel50")
    """Intervals irregular throughout, or for minutes."""

    def annotations(self, record: str, annotator: str | None = None) -> Annotations:
        """Of `atr`, or of `ari` where there is no `atr`, or of the annotator asked for."""
        if annotator is None and not (self.record_folder(record) / f"{record}.atr").is_file():
            annotator = "ari"
        return super().annotations(record, annotator)

    def find_patient(self, record: str) -> str:
        """Excerpts of mitdb, svdb and edb are of those patients."""
        match = _SOURCES.fullmatch(record)
        if match is None:
            return super().find_patient(record)
        source, name = next((key, text) for key, text in match.groupdict().items() if text)
        return mitdb_patient(name) if source == "mitdb" else f"{source}/{name}"
