"""The Long-Term AF Database."""

from __future__ import annotations

from beatlens.signals.databases.contract import ECTOPIC, ODC_BY, Codes, Published
from beatlens.signals.databases.wfdb_database import WfdbDatabase
from beatlens.signals.wfdb_header import Expected

RHYTHMS = ("AB", "AFIB", "B", "IVR", "N", "SBR", "SVTA", "T", "VT")
"""Labels of its rhythms. Flutter is not among them, so it decides no class that flutter is in."""


class Ltafdb(WfdbDatabase):
    """84 records of about a day, two leads, with paroxysmal or sustained atrial fibrillation.

    `atr` holds beats and rhythms that people reviewed, `qrs` beats that a program found.
    """

    published = Published(
        name="ltafdb",
        slug="ltafdb",
        version="1.0.0",
        title="Long-Term AF Database",
        records=84,
        citation="Petrutiu S, Sahakian AV, Swiryn S. Abrupt changes in fibrillatory wave "
        "characteristics at the termination of paroxysmal atrial fibrillation in humans. Europace "
        "9:466-470, 2007",
        licence=ODC_BY,
        # A checksum of 0 counts as none given: its files are held against SHA256SUMS.txt.
        expected=Expected(rate_hz=128, leads=2, checksums=False, uncalibrated=True),
        annotators=("atr", "qrs"),
    )
    annotated = Codes.of(ECTOPIC, RHYTHMS)
