"""`python -m benchmarks warnings`: warnings of a beats model, on signals it was not made for.

The records of DS2 as they are, and upside down; records of patients with a pacemaker, whose beats
no class is right for; and svdb's validation records, on which the thresholds of warnings were
chosen. From 5:00 on, by the firmware's C.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beatlens.errors import RecipeError
from beatlens.evaluate.ec57 import START_S
from beatlens.runtime.bundle import Bundle
from beatlens.runtime.finding import Finding
from beatlens.runtime.warning_bits import WARNINGS
from beatlens.signals.databases import Database
from beatlens.signals.databases.mitdb import DS2, PACED
from beatlens.signals.databases.svdb import VALIDATION as SVDB_VALIDATION
from beatlens.signals.frontend import MODEL_RATE_HZ
from benchmarks.robustness.outcomes import BeatOutcome, beat_outcome, shares

LEADS = ("MLII", "V5", "ECG1")
"""The first of them that a record has: 102 and 104 have no MLII, svdb has ECG1."""
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Group:
    """Records that make a row; `sign` is -1 for a lead that is upside down."""

    what: str
    database: Database
    records: Sequence[str]
    sign: int = 1


def groups(mitdb: Database, svdb: Database) -> list[Group]:
    """What is looked at."""
    return [
        Group("DS2", mitdb, DS2),
        Group("DS2, upside down", mitdb, DS2, -1),
        Group("paced", mitdb, PACED),
        Group("svdb, validation", svdb, SVDB_VALIDATION),
    ]


def warning_rows(
    bundle: Bundle, chosen: Sequence[Group], progress: Progress | None = None
) -> list[dict[str, Any]]:
    """A row per group: beats, shares of them, in percent, that are wrong and that have a warning.

    `noisy`, `low_margin` and `out_of_distribution` are the shares with that warning; intervals are
    by record.

    Raises:
        RecipeError: the bundle does not decide on beats.
        DataError: a record is not at hand.
    """
    if bundle.kind_name != "beats":
        raise RecipeError(f"bundle {bundle.name!r} decides on spans, expected one of beats")
    rows = []
    for group in chosen:
        found = list(_outcomes(bundle, group, progress))
        outcomes = [outcome for outcome, _ in found]
        row = {"model": bundle.name, "what": group.what, "records": len(outcomes)}
        row["beats"] = sum(outcome.found for outcome in outcomes)
        row |= shares(outcomes)
        decided = sum(outcome.decided for outcome in outcomes)
        for name in WARNINGS:
            count = sum(name in b.warnings for _, beats in found for b in beats)
            row[name] = 100 * count / max(1, decided)
        rows.append(row)
    return rows


def _outcomes(
    bundle: Bundle, group: Group, progress: Progress | None
) -> Iterator[tuple[BeatOutcome, list[Finding]]]:
    column_s = bundle.geometry.stride / MODEL_RATE_HZ
    for index, record in enumerate(group.records):
        if progress is not None:
            progress(group.what, index, len(group.records))
        recording, reference = group.database.read(record), group.database.annotations(record)
        row = recording.lead(next(name for name in LEADS if name in recording.lead_names))
        counts, rails = _turned(recording.counts[row], recording.rails[row], group.sign)
        rate, gain = recording.rate_hz, recording.counts_per_mv[row]
        beats = list(bundle.explain(counts, rate, gain, rails=rails, engine="c"))
        segment = (round(START_S * rate), recording.samples)
        outcome = beat_outcome(beats, reference, rate, [segment], column_s)
        yield outcome, [beat for beat in beats if beat.assessable and beat.time_s >= START_S]


def _turned(
    counts: NDArray[np.int32], rails: tuple[int, int], sign: int
) -> tuple[NDArray[np.int16], tuple[int, int]]:
    """Counts and rails of a lead, upside down for a sign of -1."""
    ends = sorted((sign * rails[0], sign * rails[1]))
    return (sign * counts).astype(np.int16), (ends[0], ends[1])
