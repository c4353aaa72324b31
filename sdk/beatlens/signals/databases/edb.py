"""The European ST-T Database."""

from __future__ import annotations

from beatlens.signals.databases.contract import ECTOPIC, ODC_BY, Codes, Published
from beatlens.signals.databases.wfdb_database import WfdbDatabase
from beatlens.signals.wfdb_header import Expected


class Edb(WfdbDatabase):
    """90 records of two hours of 79 patients, two leads; beats and changes of ST and T.

    Which records share a patient is not in its files: each counts as its own, so a split of this
    database by records is not one by patients. Excerpts of 33 of them are in qtdb.
    """

    published = Published(
        name="edb",
        slug="edb",
        version="1.0.0",
        title="European ST-T Database",
        records=90,
        patients=79,
        citation="Taddei A, Distante G, Emdin M, Pisani P, Moody GB, Zeelenberg C, Marchesi C. "
        "The European ST-T Database: standard for evaluating systems for the analysis of ST-T "
        "changes in ambulatory electrocardiography. European Heart Journal 13:1164-1172, 1992",
        licence=ODC_BY,
        # A checksum of 0 counts as none given: its files are held against SHA256SUMS.txt.
        expected=Expected(rate_hz=250, leads=2, checksums=False, uncalibrated=True),
        annotators=("atr",),
    )
    # Rhythms are annotated as well; which labels of them are complete was not checked.
    annotated = Codes.of(ECTOPIC)
