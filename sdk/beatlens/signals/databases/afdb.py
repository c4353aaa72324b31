"""The MIT-BIH Atrial Fibrillation Database."""

from __future__ import annotations

from beatlens.signals.databases.contract import ODC_BY, Codes, Published
from beatlens.signals.databases.wfdb_database import WfdbDatabase
from beatlens.signals.wfdb_header import Expected

RHYTHMS = ("AFIB", "AFL", "J", "N")
"""Labels of its rhythms: fibrillation, flutter, junctional, and all others."""


class Afdb(WfdbDatabase):
    """Records of ten hours, two leads, most with paroxysmal fibrillation.

    `atr` holds rhythms only; `qrs` holds beats that a program found, all of them as `N`. Records
    00735 and 03665 have annotations but no signal, and are left out.
    """

    published = Published(
        name="afdb",
        slug="afdb",
        version="1.0.0",
        title="MIT-BIH Atrial Fibrillation Database",
        records=23,
        citation="Moody GB, Mark RG. A new method for detecting atrial fibrillation using R-R "
        "intervals. Computers in Cardiology 10:227-230, 1983",
        licence=ODC_BY,
        # A checksum of 0 counts as none given: its files are held against SHA256SUMS.txt.
        expected=Expected(rate_hz=250, leads=2, checksums=False, uncalibrated=True),
        annotators=("atr", "qrs"),
        without_signals=("00735", "03665"),
    )
    annotated = Codes.of(rhythms=RHYTHMS)
