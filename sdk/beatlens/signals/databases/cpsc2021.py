"""The training set of the 4th China Physiological Signal Challenge, 2021."""

from __future__ import annotations

from beatlens.signals.databases.contract import FIBRILLATION_AND_FLUTTER, Codes, Published
from beatlens.signals.databases.wfdb_database import WfdbDatabase
from beatlens.signals.recording import Recorded
from beatlens.signals.wfdb_header import Expected


class Cpsc2021(WfdbDatabase):
    """Records of a worn device, leads I and II, with R peaks and onsets and ends of fibrillation.

    A record without a rhythm annotation has no fibrillation. Kinds of beats are marked in some
    records; whether everywhere is not known, so they decide nothing.
    """

    published = Published(
        name="cpsc2021",
        slug="cpsc2021",
        version="1.0.0",
        title="Paroxysmal Atrial Fibrillation Events Detection from Dynamic ECG Recordings, the "
        "4th China Physiological Signal Challenge 2021",
        records=1436,
        citation="Wang X, Ma C, Zhang X, Gao H, Clifford GD, Liu C. Paroxysmal atrial fibrillation "
        "events detection from dynamic ECG recordings: the 4th China Physiological Signal "
        "Challenge 2021. PhysioNet, 2021",
        licence="Creative Commons Attribution 4.0 International",
        # Its baselines are far outside the range of its samples: an offset of the conversion.
        expected=Expected(rate_hz=200, leads=2, baselines=False),
        annotators=("atr",),
    )
    annotated = Codes.of(rhythms=FIBRILLATION_AND_FLUTTER)

    def find_patient(self, record: str) -> str:
        """Record `data_P_S` is part S of patient P."""
        _, _, rest = record.partition("_")
        return f"cpsc2021/{rest.partition('_')[0] or record}"

    def lead(self, recording: Recorded) -> str:
        """Lead II."""
        return "II"
