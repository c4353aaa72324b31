"""The St Petersburg INCART 12-lead Arrhythmia Database."""

from __future__ import annotations

import re

from beatlens.errors import DataError
from beatlens.signals.databases.contract import ECTOPIC, ODC_BY, Codes, Published
from beatlens.signals.databases.wfdb_database import WfdbDatabase
from beatlens.signals.recording import Recorded
from beatlens.signals.wfdb_header import Expected

_PATIENT = re.compile(r"^#\s*patient\s+(\d+)\s*$", re.MULTILINE | re.IGNORECASE)


class Incartdb(WfdbDatabase):
    """75 half-hour records of 32 patients, 12 leads, 257 Hz; beats are annotated, rhythms are not.

    The front end does not read 257 Hz yet: records and annotations are read, but no model is
    trained or run on them.
    """

    published = Published(
        name="incartdb",
        slug="incartdb",
        version="1.0.0",
        title="St Petersburg INCART 12-lead Arrhythmia Database",
        records=75,
        patients=32,
        citation="Tihonenko V, Khaustov A, Ivanov S, Rivin A, Yakushenko E. St Petersburg INCART "
        "12-lead Arrhythmia Database. PhysioNet, 2008",
        licence=ODC_BY,
        # A checksum of 0 counts as none given: its files are held against SHA256SUMS.txt.
        expected=Expected(rate_hz=257, leads=12, checksums=False),
        annotators=("atr",),
    )
    annotated = Codes.of(ECTOPIC)

    def find_patient(self, record: str) -> str:
        """The patient of the header's comment `patient N`; without one the record is its own."""
        path = self.record_folder(record) / f"{record}.hea"
        try:
            text = path.read_text(encoding="latin-1")
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror})") from error
        match = _PATIENT.search(text)
        return super().find_patient(record) if match is None else f"incartdb/patient {match[1]}"

    def lead(self, recording: Recorded) -> str:
        """Lead II."""
        return "II"
