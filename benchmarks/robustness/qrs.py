"""`python -m benchmarks qrs`: the integer detector of R peaks, beat by beat after EC57.

On the records of mitdb's DS1 and DS2, on svdb, on the records of qtdb that are of no patient of
mitdb or svdb, and on mitdb with muscle noise and electrode motion of nstdb
(`benchmarks.robustness.noise_stress`). Sets whose database is not at hand are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from beatlens.errors import DataError
from beatlens.evaluate.bootstrap import interval, ratio_statistic
from beatlens.evaluate.ec57 import BeatCounts, compare_beats
from beatlens.signals.annotations import Annotations, read_annotations
from beatlens.signals.databases import Database, find_database
from beatlens.signals.databases.mitdb import DS1, DS2, DS2_WITHOUT_202
from beatlens.signals.frontend import MODEL_RATE_HZ, FrontEnd
from beatlens.signals.qrs import DETECTOR, detect_qrs
from beatlens.signals.recording import Recording
from benchmarks.robustness.noise_stress import NOISES, read_noise, with_noise

LEADS = ("MLII", "V5")
"""The first of them that a record has, else its first lead: of mitdb all but 102 and 104 have
MLII."""
DEVELOPED = "DS1 (developed on)"
SPLITS: Mapping[str, Sequence[str]] = {
    DEVELOPED: DS1,
    "DS2": DS2,
    "DS2 without 202": DS2_WITHOUT_202,
}
NOISY = (("ma", 12), ("ma", 6), ("em", 12), ("em", 6))
"""Kind of noise, and signal-to-noise ratio in decibel. DS1, which is developed on, has the noise of
nstdb's second lead, DS2 that of the first."""
ANNOTATORS = ("atr", "ari")
"""Of qtdb, the first that a record has: audited beats, or unaudited ones."""
_MEASURED = ("mitdb", "svdb")
"""Databases whose patients are measured already: excerpts of theirs in qtdb are left out."""
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Noise:
    """Noise of nstdb that is put into a record: its samples, their rate, and how strong."""

    values: np.ndarray
    rate_hz: int
    snr_db: int


@dataclass(frozen=True)
class Group:
    """Records of a database that make a row."""

    name: str
    database: Database
    records: Sequence[str]
    noise: Noise | None = None


def peaks_as_annotations(
    recording: Recording, lead: str, counts: np.ndarray | None = None
) -> Annotations:
    """R peaks of a lead as beats `N`, in samples of the recording.

    Args:
        recording: of any rate.
        lead: its name.
        counts: `[n]`, looked at instead of the lead's own.
    """
    row = recording.lead(lead)
    frontend = FrontEnd(recording.rate_hz, recording.counts_per_mv[row], recording.rails[row])
    chosen = recording.counts[row] if counts is None else counts
    peaks = detect_qrs(frontend.run(chosen.astype(np.int16)).x)
    at = np.round(peaks * recording.rate_hz / MODEL_RATE_HZ).astype(np.int64)
    at = at[at < recording.samples]
    none = np.zeros(len(at), np.int64)
    labels = np.full(len(at), "N")
    return Annotations(recording.name, recording.samples, at, labels, none, ("",) * len(at))


def count_beats(database: Database, record: str, noise: Noise | None = None) -> BeatCounts:
    """Counts of one record, after 5:00.

    Raises:
        DataError: the record cannot be read, or the noise is at another rate.
    """
    recording = database.read(record)
    reference = read_reference(database, record)
    names = recording.lead_names
    lead = next((name for name in LEADS if name in names), names[0])
    counts = None
    if noise is not None:
        if noise.rate_hz != recording.rate_hz:
            raise DataError(
                f"the noise is at {noise.rate_hz} Hz, record {record} at {recording.rate_hz} Hz; "
                "expected the same rate"
            )
        counts = with_noise(recording, lead, reference, noise.values, noise.snr_db)
    found = peaks_as_annotations(recording, lead, counts)
    return compare_beats(reference, found, recording.rate_hz)


def read_reference(database: Database, record: str) -> Annotations:
    """Beats of a record; of qtdb those of the first annotator that it has."""
    if database.name != "qtdb":
        return database.annotations(record)
    annotator = next(name for name in ANNOTATORS if _annotated(database, record, name))
    return read_annotations(database.folder, record, annotator, database.read(record).samples)


def _annotated(database: Database, record: str, annotator: str) -> bool:
    return (database.folder / f"{record}.{annotator}").is_file()


def other_groups(data: Path | None) -> list[Group]:
    """svdb, qtdb and noise, as far as they are at hand."""
    mitdb, groups = find_database("mitdb", data), []
    if (svdb := _at_hand("svdb", data)) is not None:
        groups.append(Group("svdb", svdb, svdb.records()))
    if (qtdb := _at_hand("qtdb", data)) is not None:
        chosen = [
            record
            for record in qtdb.records()
            if qtdb.patient(record).partition("/")[0] not in _MEASURED
            and any(_annotated(qtdb, record, name) for name in ANNOTATORS)
        ]
        groups.append(Group("qtdb", qtdb, chosen))
    if (nstdb := _at_hand("nstdb", data)) is not None:
        for split, records, lead in (("DS1", DS1, 1), ("DS2", DS2, 0)):
            for kind, level in NOISY:
                noise = Noise(*read_noise(nstdb, kind, lead), level)
                groups.append(Group(f"{split}, {NOISES[kind]} {level} dB", mitdb, records, noise))
    return groups


def _at_hand(name: str, data: Path | None) -> Database | None:
    try:
        return find_database(name, data)
    except DataError:
        return None


def qrs_rows(database: Database) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of mitdb's splits, gross with intervals by record and average; and of each record.

    Rates are in percent. Raises `DataError` where a record is missing.
    """
    counts = {record: count_beats(database, record) for record in (*DS1, *DS2)}
    records = [{"record": record, **_percent(found)} for record, found in counts.items()]
    return [_row(name, [counts[r] for r in chosen]) for name, chosen in SPLITS.items()], records


def group_rows(
    groups: Sequence[Group], progress: Progress | None = None
) -> Iterator[dict[str, Any]]:
    """A row for each group, as those of `qrs_rows`.

    Raises:
        DataError: a record cannot be read.
    """
    for group in groups:
        counts = []
        for index, record in enumerate(group.records):
            if progress is not None:
                progress(group.name, index, len(group.records))
            counts.append(count_beats(group.database, record, group.noise))
        yield _row(group.name, counts)


def _percent(found: BeatCounts) -> dict[str, Any]:
    rate = found.qrs
    return {
        "beats": rate.found + rate.missed,
        "missed": rate.missed,
        "wrong": rate.wrong,
        "sensitivity": 100 * rate.sensitivity,
        "predictivity": 100 * rate.predictivity,
    }


def _row(name: str, counts: Sequence[BeatCounts]) -> dict[str, Any]:
    rates = [found.qrs for found in counts]
    row: dict[str, Any] = {"detector": DETECTOR, "split": name, "records": len(counts)}
    row |= _percent(sum(counts, start=BeatCounts({})))
    right = np.array([rate.found for rate in rates])
    for key, rest in (("sensitivity", "missed"), ("predictivity", "wrong")):
        whole = right + [getattr(rate, rest) for rate in rates]
        ends = interval(ratio_statistic(right, whole), np.arange(len(rates)))
        row |= {f"{key}_lo": 100 * ends.lo, f"{key}_hi": 100 * ends.hi}
        row[f"average_{key}"] = 100 * float(np.mean([getattr(rate, key) for rate in rates]))
    return row
