"""What is known of the public databases as PhysioNet publishes them: names, layout, figures.

>>> PUBLISHED["cinc2017"].slug, PUBLISHED["cinc2017"].expected.rate_hz
('challenge-2017', 300)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from beatlens.signals.wfdb_header import Expected

LUDB_LEADS = ("i", "ii", "iii", "avr", "avl", "avf", "v1", "v2", "v3", "v4", "v5", "v6")
"""Leads of ludb, which are also the extensions of its annotation files."""


@dataclass(frozen=True)
class Published:
    """One database as PhysioNet publishes it, `physionet.org/files/SLUG/VERSION/`.

    Attributes
    ----------
    name: beatlens's name for it, also its folder.
    slug, version: where PhysioNet has it.
    title: its full name.
    records: how many there are.
    expected: what every record must hold.
    extensions: files that every record has.
    annotator: extension of its beat annotations, None if it has none.
    annotated: whether every record has beat annotations.
    records_in: sub-folder in which `RECORDS` and the records lie.
    table: a table beside the records, empty if none is read.
    """

    name: str
    slug: str
    version: str
    title: str
    records: int
    expected: Expected
    extensions: tuple[str, ...] = ("hea", "dat")
    annotator: str | None = None
    annotated: bool = True
    records_in: str = ""
    table: str = ""


_ALL = (
    Published(
        name="mitdb",
        slug="mitdb",
        version="1.0.0",
        title="MIT-BIH Arrhythmia Database",
        records=48,
        expected=Expected(rate_hz=360, leads=2),
        annotator="atr",
    ),
    Published(
        name="svdb",
        slug="svdb",
        version="1.0.0",
        title="MIT-BIH Supraventricular Arrhythmia Database",
        records=78,
        # About half of its headers say that the gain is not known (record 820 is the first).
        expected=Expected(rate_hz=128, leads=2, uncalibrated=True),
        annotator="atr",
    ),
    Published(
        name="nstdb",
        slug="nstdb",
        version="1.0.0",
        title="MIT-BIH Noise Stress Test Database",
        records=15,
        # The noise records bw, em and ma are not calibrated and have no beats.
        expected=Expected(rate_hz=360, leads=2, uncalibrated=True),
        annotator="atr",
        annotated=False,
    ),
    Published(
        name="qtdb",
        slug="qtdb",
        version="1.0.0",
        title="QT Database",
        records=105,
        # Some of its headers say that the gain is not known (sel14046 is the first).
        expected=Expected(rate_hz=250, leads=2, uncalibrated=True),
        annotator="atr",
        annotated=False,
    ),
    Published(
        name="ludb",
        slug="ludb",
        version="1.0.1",
        title="Lobachevsky University Electrocardiography Database",
        records=200,
        expected=Expected(rate_hz=500, leads=12),
        extensions=("hea", "dat", *LUDB_LEADS),
        table="ludb.csv",
    ),
    Published(
        name="cinc2017",
        slug="challenge-2017",
        version="1.0.0",
        title="AF Classification from a Short Single Lead ECG, PhysioNet/CinC Challenge 2017",
        records=8528,
        # Checksums are 0 in all of its headers, and initial values are wrong in some.
        expected=Expected(rate_hz=300, leads=1, checksums=False),
        extensions=("hea", "mat"),
        records_in="training",
        table="REFERENCE-v3.csv",
    ),
)

PUBLISHED: Mapping[str, Published] = MappingProxyType(
    {database.name: database for database in _ALL}
)
"""The databases beatlens reads, by name."""
