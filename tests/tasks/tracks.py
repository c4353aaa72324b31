"""Made tracks with known beats and rhythms, and real ECG where there is any."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from beatlens.signals.databases import find_database
from beatlens.tasks.windows.labels import BEAT_SYMBOLS, CLASSES, SPAN, Track
from beatlens.tasks.windows.tracks import beat_intervals, tracks_of

NO_SPANS = np.zeros((0, 2), np.int64)


def load_tracks_of(*arguments: object, **more: object) -> list[Track]:
    return list(tracks_of(*arguments, **more))  # type: ignore[arg-type]


def spans_of(pairs: Iterable[Sequence[int]]) -> np.ndarray:
    return np.array(list(pairs), np.int64).reshape(-1, 2)


def make_track(
    beats: Sequence[tuple[int, str]] = (),
    *,
    samples: int = 3 * SPAN,
    x: np.ndarray | int | None = None,
    afib: Iterable[Sequence[int]] = (),
    unknown: Iterable[Sequence[int]] = (),
    known: Iterable[str] = CLASSES,
    record: str = "made",
    database: str = "made",
    patient: str | None = None,
) -> Track:
    """A track with beats `(sample, symbol)` at 128 Hz; `x` is its signal, or one value of it."""
    peaks = np.array([sample for sample, _ in beats], np.int64)
    symbols = np.array([symbol for _, symbol in beats], "<U1")
    if x is None:
        x = np.random.default_rng(0).integers(-60, 60, samples).astype(np.int8)
    elif isinstance(x, int):
        x = np.full(samples, x, np.int8)
    return Track(
        record=record,
        database=database,
        patient=patient or record,
        x=x,
        usable=np.ones(len(x), bool),
        known=np.array([name in set(known) for name in CLASSES]),
        intervals=tuple(
            beat_intervals(peaks, symbols, BEAT_SYMBOLS[name])
            if name in BEAT_SYMBOLS
            else spans_of(afib)
            for name in CLASSES
        ),
        unknown=spans_of(unknown),
        beats=peaks,
        symbols=symbols,
    )


def ecg(records: Sequence[str] = ("200", "213", "222", "232")) -> tuple[list[Track], bool]:
    """Tracks of mitdb records and true, or of simulated patients and false where there is none."""
    from beatlens.errors import DataError

    try:
        find_database("mitdb")
        return load_tracks_of("mitdb", records), True
    except DataError:
        from beatlens.signals import simulate
        from beatlens.tasks.windows.tracks import beat_track

        settings = ({"pvc_per_minute": 10.0}, {"rhythm": "paroxysmal"}, {"conduction": "lbbb"})
        patients = [simulate.simulate_patient(n, 120.0, **s) for n, s in enumerate(settings)]
        return [
            beat_track(p.recording, p.annotations, simulate.LEAD, CLASSES) for p in patients
        ], False
