"""`beatlens bench qrs`: the integer detector of R peaks on MIT-BIH, after EC57."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from beatlens.evaluate.bootstrap import interval, ratio_statistic
from beatlens.evaluate.ec57 import BeatCounts, compare_beats
from beatlens.signals.annotations import Annotations
from beatlens.signals.databases import Database
from beatlens.signals.frontend import MODEL_RATE_HZ, FrontEnd
from beatlens.signals.qrs import detect_qrs
from beatlens.signals.recording import Recording
from beatlens.signals.splits import DS1, DS2, DS2_WITHOUT_202

LEADS = ("MLII", "V5")
"""The first of them that a record has: all but 102 and 104 have MLII."""
SPLITS: Mapping[str, Sequence[str]] = {
    "DS1 (developed on)": DS1,
    "DS2": DS2,
    "DS2 without 202": DS2_WITHOUT_202,
}


def peaks_as_annotations(recording: Recording, lead: str) -> Annotations:
    """R peaks of a lead as beats `N`, in samples of the recording."""
    row = recording.lead(lead)
    frontend = FrontEnd(recording.rate_hz, recording.counts_per_mv[row], recording.rails[row])
    peaks = detect_qrs(frontend.run(recording.counts[row].astype(np.int16)).x)
    at = np.round(peaks * recording.rate_hz / MODEL_RATE_HZ).astype(np.int64)
    at = at[at < recording.samples]
    none = np.zeros(len(at), np.int64)
    labels = np.full(len(at), "N")
    return Annotations(recording.name, recording.samples, at, labels, none, ("",) * len(at))


def count_beats(database: Database, record: str) -> BeatCounts:
    """Counts of one record, after 5:00."""
    recording = database.read(record)
    lead = next(name for name in LEADS if name in recording.lead_names)
    found = peaks_as_annotations(recording, lead)
    return compare_beats(database.annotations(record), found, recording.rate_hz)


def qrs_rows(database: Database) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of the splits, gross with intervals by record and average; and of each record.

    Rates are in percent. Raises `DataError` where a record is missing.
    """
    counts = {record: count_beats(database, record) for record in (*DS1, *DS2)}
    records = [{"record": record, **_percent(found)} for record, found in counts.items()]
    return [_row(name, [counts[r] for r in chosen]) for name, chosen in SPLITS.items()], records


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
    row: dict[str, Any] = {"split": name, "records": len(counts)}
    row |= _percent(sum(counts, start=BeatCounts({})))
    right = np.array([rate.found for rate in rates])
    for key, rest in (("sensitivity", "missed"), ("predictivity", "wrong")):
        whole = right + [getattr(rate, rest) for rate in rates]
        ends = interval(ratio_statistic(right, whole), np.arange(len(rates)))
        row |= {f"{key}_lo": 100 * ends.lo, f"{key}_hi": 100 * ends.hi}
        row[f"average_{key}"] = 100 * float(np.mean([getattr(rate, key) for rate in rates]))
    return row
