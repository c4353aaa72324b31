"""Made tracks with known beats and rhythms, and real ECG where there is any."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from beatlens.errors import DataError
from beatlens.recipe import SourceSection
from beatlens.signals import simulate
from beatlens.signals.databases import find_database
from beatlens.tasks.common.sources import Source
from beatlens.tasks.common.workers import ALONE
from beatlens.tasks.windows.labels import SPAN, WindowTrack
from beatlens.tasks.windows.tracks import MakeTrack, annotated_track, beat_intervals, check_labels

from .recipes import window_recipe

Progress = Callable[[str, int, int], None]
NO_SPANS = np.zeros((0, 2), np.int64)


DECLARED = window_recipe().task.classes
CLASSES = tuple(DECLARED)


def load_tracks(
    name: str,
    records: Iterable[str] | None = None,
    data: Path | None = None,
    progress: Progress | None = None,
    assume: Sequence[str] = (),
) -> list[WindowTrack]:
    """Tracks of a database's records, all of them if none are named, with the built-in classes."""
    section = SourceSection.model_validate(
        {"database": name, "split": "train", "assume": tuple(assume)}
    )
    source = Source(section, find_database(name, data).folder)
    check_labels(source, DECLARED)
    named = [(source, r) for r in (source.database.records() if records is None else records)]
    shown = None if progress is None else partial(progress, name)
    made = ALONE.map(MakeTrack(tuple(DECLARED.items())), named, shown)
    return [track for track in made if track is not None]


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
) -> WindowTrack:
    """A track with beats `(sample, symbol)` at 128 Hz; `x` is its signal, or one value of it."""
    peaks = np.array([sample for sample, _ in beats], np.int64)
    symbols = np.array([symbol for _, symbol in beats], "<U1")
    if x is None:
        x = np.random.default_rng(0).integers(-60, 60, samples).astype(np.int8)
    elif isinstance(x, int):
        x = np.full(samples, x, np.int8)
    return WindowTrack(
        record=record,
        database=database,
        patient=patient or record,
        x=x,
        usable=np.ones(len(x), bool),
        known=np.array([name in set(known) for name in CLASSES]),
        intervals=tuple(
            beat_intervals(peaks, symbols, one.beats) if one.beats else spans_of(afib)
            for one in DECLARED.values()
        ),
        unknown=spans_of(unknown),
        beats=peaks,
        symbols=symbols,
        by_beats=np.array([bool(one.beats) for one in DECLARED.values()]),
        occasional=np.array([one.is_occasional for one in DECLARED.values()]),
    )


def ecg(
    records: Sequence[str] = ("200", "213", "222", "232"),
) -> tuple[list[WindowTrack], bool]:
    """Tracks of mitdb records and true, or of simulated patients and false where there is none."""
    try:
        return load_tracks("mitdb", records), True
    except DataError:
        settings = ({"pvc_per_minute": 10.0}, {"rhythm": "paroxysmal"}, {"conduction": "lbbb"})
        patients = [simulate.simulate_patient(n, 120.0, **s) for n, s in enumerate(settings)]
        return [
            annotated_track(p.recording, p.annotations, simulate.LEAD, DECLARED, CLASSES)
            for p in patients
        ], False
