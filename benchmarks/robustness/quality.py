"""`python -m benchmarks quality`: how soon a bad lead is flagged, and how often a good one is.

A lead that comes off, or an amplifier that saturates, is put into clean recordings at random
places. The front end runs as a stream: what counts is a flag that came out of it in time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beatlens.signals.databases import Database
from beatlens.signals.databases.mitdb import DS2
from beatlens.signals.frontend import Conditioned, FrontEnd
from beatlens.signals.recording import Recording

WITHIN_S = 2.0
BEFORE_S = 10
PLACES = 20
LEAD = "MLII"
Counts = NDArray[np.int16]
Defect = Callable[[Counts, tuple[int, int], np.random.Generator], Counts]


def _held(clean: Counts, rails: tuple[int, int], rng: np.random.Generator) -> Counts:
    return np.full_like(clean, clean[0])


def _dithered(clean: Counts, rails: tuple[int, int], rng: np.random.Generator) -> Counts:
    return (_held(clean, rails, rng) + rng.integers(0, 2, len(clean))).astype(np.int16)


def _at_rail(side: int) -> Defect:
    return lambda clean, rails, rng: np.full_like(clean, rails[side])


DEFECTS: Mapping[str, tuple[str, Defect]] = {
    "lead off: a constant": ("flat", _held),
    "lead off: one count of noise": ("flat", _dithered),
    "saturated: highest count": ("saturated", _at_rail(1)),
    "saturated: lowest count": ("saturated", _at_rail(0)),
}
"""What is put in, and the flag it has to raise."""


def quality_rows(database: Database, seed: int = 0) -> list[dict[str, Any]]:
    """A row per defect: how many of the places were flagged in time, in percent; and a row of what
    was flagged in the clean recordings, in percent of their time.

    Raises:
        DataError: a record of DS2 is missing.
    """
    rng = np.random.default_rng(seed)
    found = dict.fromkeys(DEFECTS, 0)
    flagged = samples = 0
    for record in DS2:
        recording = database.read(record)
        row = recording.lead(LEAD)
        frontend = FrontEnd(recording.rate_hz, recording.counts_per_mv[row], recording.rails[row])
        counts = recording.counts[row].astype(np.int16)
        clean = frontend.run(counts)
        flagged += int((clean.flat | clean.saturated).sum())
        samples += len(clean.x)
        for name, (flag, defect) in DEFECTS.items():
            for start in _places(recording, rng):
                out = _with_defect(frontend, counts, start, defect, rng)
                found[name] += bool(getattr(out, flag).any())
    trials = PLACES * len(DS2)
    rows: list[dict[str, Any]] = [
        {"what": name, "trials": trials, "found": 100 * count / trials}
        for name, count in found.items()
    ]
    hours = samples / 128 / 3600
    return [*rows, {"what": "clean recordings", "hours": hours, "false": 100 * flagged / samples}]


def _places(recording: Recording, rng: np.random.Generator) -> list[int]:
    rate = recording.rate_hz
    last = recording.samples - round(WITHIN_S * rate)
    return [int(place) for place in rng.integers(BEFORE_S * rate, last, PLACES)]


def _with_defect(
    frontend: FrontEnd, counts: Counts, start: int, defect: Defect, rng: np.random.Generator
) -> Conditioned:
    """What came out of the front end until `WITHIN_S` after a defect began."""
    rate = frontend.rate_hz
    stream = frontend.stream()
    stream.push(counts[start - BEFORE_S * rate : start])
    piece = counts[start : start + round(WITHIN_S * rate)]
    return stream.push(defect(piece, frontend.rails, rng))
