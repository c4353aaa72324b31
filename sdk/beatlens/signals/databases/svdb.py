"""The MIT-BIH Supraventricular Arrhythmia Database."""

from __future__ import annotations

from types import MappingProxyType
from typing import ClassVar

from beatlens.signals.databases.contract import ECTOPIC, ODC_BY, Codes, Published, Splits
from beatlens.signals.databases.wfdb_database import WfdbDatabase
from beatlens.signals.wfdb_header import Expected

# fmt: off
VALIDATION = (
    "801", "807", "820", "826", "842", "848", "854", "860", "866", "872", "878", "884", "890",
)
# fmt: on
"""Records that choices about beats are made on: DS1's validation records have most of their
supraventricular beats in one patient. Every fourth of those that were at hand."""


class Svdb(WfdbDatabase):
    """78 half-hour records, two leads. Beats are annotated, rhythms and conduction are not."""

    published = Published(
        name="svdb",
        slug="svdb",
        version="1.0.0",
        title="MIT-BIH Supraventricular Arrhythmia Database",
        records=78,
        citation="Greenwald SD. Improved detection and classification of arrhythmias in "
        "noise-corrupted electrocardiograms using contextual information. PhD thesis, "
        "Harvard-MIT Division of Health Sciences and Technology, 1990",
        licence=ODC_BY,
        # About half of its headers say that the gain is not known (record 820 is the first).
        expected=Expected(rate_hz=128, leads=2, uncalibrated=True),
        annotators=("atr",),
    )
    annotated = Codes.of(ECTOPIC)
    splits: ClassVar[Splits] = MappingProxyType({"validation": VALIDATION})
    looks_fibrillating: ClassVar[tuple[str, ...]] = ("804", "893")
    """No supraventricular beat among 2,000, all intervals irregular throughout."""
