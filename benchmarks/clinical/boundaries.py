"""`python -m benchmarks delineation`: boundaries of waves by algorithms, and people's in ludb."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beatlens.signals.databases import Database, as_ludb
from beatlens.signals.frontend import MODEL_RATE_HZ
from benchmarks.clinical.data import LEAD, fine_samples, ludb_track
from benchmarks.clinical.delineation import (
    NONE,
    BeatWaves,
    delineate,
    marked_waves,
    neurokit_waves,
)

Waves = NDArray[np.int64]
WIDE_MS = 120
METHODS: Mapping[str, Callable[[NDArray[np.int8], NDArray[np.int64]], BeatWaves]] = {
    "used here": delineate,
    "neurokit2 prominence": lambda x, peaks: neurokit_waves(x, peaks, "prominence"),
    "neurokit2 dwt": lambda x, peaks: neurokit_waves(x, peaks, "dwt"),
}


def delineation_rows(database: Database) -> list[dict[str, Any]]:
    """A row per method and wave, QRS narrow and from 120 ms on wide, on lead II of ludb.

    Keys: `method`, `wave`, `beats` where people marked it; `found`, percent of them where the
    method does too; `onset_ms`, `end_ms` median of its boundary less the people's, and `_abs` of
    the distance; `found_none`, percent of the marked beats without this wave where it finds one.

    Raises:
        DataError: files are missing or damaged.
    """
    people, found = [], {name: [] for name in METHODS}  # type: ignore[var-annotated]
    ludb = as_ludb(database)
    for record in ludb.records():
        recording = ludb.read(record)
        track = ludb_track(recording)
        marked = marked_waves(ludb.boundaries(record, LEAD), recording.rate_hz, track.peaks)
        beats = (marked.qrs != NONE).all(axis=1)
        people.append(marked[beats])
        for name, method in METHODS.items():
            found[name].append(method(fine_samples(recording), track.peaks)[beats])
    return [{"method": name, **row} for name, each in found.items() for row in _rows(people, each)]


def _rows(people: list[BeatWaves], found: list[BeatWaves]) -> list[dict[str, Any]]:
    rows = []
    for wave in ("p", "qrs", "t"):
        true, own = (np.concatenate([getattr(w, wave) for w in each]) for each in (people, found))
        there = (true != NONE).all(axis=1)
        wide = 1000 * (true[:, 1] - true[:, 0]) >= WIDE_MS * MODEL_RATE_HZ
        parts = {wave: there}
        if wave == "qrs":
            parts = {"qrs, narrow": there & ~wide, "qrs, wide": there & wide}
        rows += [{"wave": name, **_row(true[kept], own[kept])} for name, kept in parts.items()]
        if not there.all():
            rows[-1]["found_none"] = 100 * float((own[~there] != NONE).all(axis=1).mean())
    return rows


def _row(true: Waves, own: Waves) -> dict[str, Any]:
    both = (own != NONE).all(axis=1)
    row: dict[str, Any] = {"beats": len(true), "found": 100 * float(both.mean())}
    error = (own[both] - true[both]) * 1000 / MODEL_RATE_HZ
    for side, name in enumerate(("onset", "end")):
        row[f"{name}_ms"] = float(np.median(error[:, side]))
        row[f"{name}_ms_abs"] = float(np.median(np.abs(error[:, side])))
    return row
