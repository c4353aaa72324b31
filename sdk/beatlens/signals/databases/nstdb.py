"""The MIT-BIH Noise Stress Test Database."""

from __future__ import annotations

from beatlens.signals.databases.contract import ODC_BY, Published
from beatlens.signals.databases.mitdb import mitdb_patient
from beatlens.signals.databases.wfdb_database import WfdbDatabase
from beatlens.signals.wfdb_header import Expected


class Nstdb(WfdbDatabase):
    """Three records of noise, and records 118 and 119 of mitdb with noise added.

    It is measured on, never trained on: its annotations decide no class.
    """

    published = Published(
        name="nstdb",
        slug="nstdb",
        version="1.0.0",
        title="MIT-BIH Noise Stress Test Database",
        records=15,
        citation="Moody GB, Muldrow WE, Mark RG. A noise stress test for arrhythmia detectors. "
        "Computers in Cardiology 11:381-384, 1984",
        licence=ODC_BY,
        # The noise records bw, em and ma are not calibrated and have no beats.
        expected=Expected(rate_hz=360, leads=2, uncalibrated=True),
        annotators=("atr",),
        annotated=False,
    )

    def find_patient(self, record: str) -> str:
        """Records made from mitdb's 118 and 119 are of those patients."""
        if record[:3] in ("118", "119"):
            return mitdb_patient(record[:3])
        return super().find_patient(record)
