"""From databases to tracks: the lead that each database names, and the labels it decides.

A class is made by codes of beats or labels of rhythms (`CLASS_CODES`). A database decides it if its
annotations cover all of those, or if its labels of whole recordings do: see
`beatlens.signals.databases`. Where a database does not decide a class its label is unknown (NaN)
and the loss leaves it out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from beatlens.errors import RecipeError
from beatlens.signals.annotations import Annotations, rhythm_mask
from beatlens.signals.databases import (
    BUILT_IN,
    FIBRILLATION_AND_FLUTTER,
    ITS_WORD,
    Assumptions,
    Codes,
    Database,
    database_in,
    database_type,
    find_database,
)
from beatlens.signals.frontend import MODEL_RATE_HZ, Conditioned, FrontEnd
from beatlens.signals.recording import Recorded
from beatlens.tasks.common.workers import ALONE, Workers
from beatlens.tasks.windows.labels import (
    BEAT_AFTER,
    BEAT_BEFORE,
    BEAT_SYMBOLS,
    CLASSES,
    SPAN,
    Track,
)

AF_RHYTHMS = FIBRILLATION_AND_FLUTTER
CLASS_CODES = {
    name: Codes.of(BEAT_SYMBOLS[name]) if name in BEAT_SYMBOLS else Codes.of(rhythms=AF_RHYTHMS)
    for name in CLASSES
}
"""What makes a strip one of a class: any of these beats, or of these rhythms."""
NONE = np.zeros((0, 2), np.int64)
Progress = Callable[[str, int, int], None]


def condition(recording: Recorded, lead: str) -> Conditioned:
    """Run the front end over one lead of a recording, piece by piece as it comes.

    Samples that the file marks as missing count as saturated: nothing was measured there.
    """
    row = recording.lead(lead)
    rails = recording.rails[row]
    stream = FrontEnd(recording.rate_hz, recording.counts_per_mv[row], rails).stream()
    parts = []
    for counts, missing in recording.pieces(row):
        counts = np.clip(counts, -(1 << 15), (1 << 15) - 1)
        if missing is not None:
            counts = np.where(missing, rails[1], counts)
        parts.append(stream.push(counts))
    return Conditioned.concatenate([*parts, stream.flush()])


def to_model_rate(samples: np.ndarray, rate_hz: int) -> np.ndarray:
    """Sample numbers at `rate_hz` as the nearest sample numbers at 128 Hz, int64."""
    return (np.asarray(samples, np.int64) * (2 * MODEL_RATE_HZ) + rate_hz) // (2 * rate_hz)


def beat_intervals(beats: np.ndarray, symbols: np.ndarray, codes: str) -> np.ndarray:
    """R - 0.25 s to R + 0.35 s of every beat whose symbol is in `codes`, int64 `[k, 2]`."""
    peaks = beats[np.isin(symbols, list(codes))]
    return np.stack([peaks - BEAT_BEFORE, peaks + BEAT_AFTER], axis=1).astype(np.int64)


def _runs(mask: np.ndarray, rate_hz: int) -> np.ndarray:
    """Segments where a mask is true, as int64 `[k, 2]` at 128 Hz."""
    edges = np.flatnonzero(np.diff(mask.astype(np.int8), prepend=0, append=0))
    return to_model_rate(edges, rate_hz).reshape(-1, 2)


def beat_track(
    recording: Recorded, annotations: Annotations, lead: str, known: Iterable[str]
) -> Track:
    """A track whose truth comes from beat and rhythm annotations."""
    out = condition(recording, lead)
    beats = to_model_rate(annotations.beats.sample, recording.rate_hz)
    symbols = annotations.beats.symbol
    flutter = [[f.start, f.end] for f in annotations.flutter]
    known = set(known)
    rhythm = _runs(rhythm_mask(annotations, AF_RHYTHMS), recording.rate_hz)
    intervals = tuple(
        NONE
        if name not in known
        else beat_intervals(beats, symbols, BEAT_SYMBOLS[name])
        if name in BEAT_SYMBOLS
        else rhythm
        for name in CLASSES
    )
    return Track(
        record=recording.name,
        database=recording.database,
        patient=recording.patient,
        x=out.x,
        usable=out.usable,
        known=np.array([name in known for name in CLASSES]),
        intervals=intervals,
        unknown=to_model_rate(np.array(flutter, np.int64).reshape(-1, 2), recording.rate_hz),
        beats=beats,
        symbols=symbols,
    )


def whole_track(recording: Recorded, lead: str, labels: dict[str, bool]) -> Track:
    """A track labelled as a whole: each class in `labels` is everywhere or nowhere in it."""
    out = condition(recording, lead)
    everywhere = np.array([[0, len(out.x)]], np.int64)
    return Track(
        record=recording.name,
        database=recording.database,
        patient=recording.patient,
        x=out.x,
        usable=out.usable,
        known=np.array([name in labels for name in CLASSES]),
        intervals=tuple(everywhere if labels.get(name) else NONE for name in CLASSES),
        unknown=NONE,
        beats=np.zeros(0, np.int64),
        symbols=np.zeros(0, "<U1"),
    )


def labels_strips(name: str) -> bool:
    """Whether a database has labels for the strips task; DataError if there is no such database."""
    kind = database_type(name)
    return kind.labels_recordings or any(map(kind.annotated.covers, CLASS_CODES.values()))


def _load_one(database: Database, record: str, assumed: Assumptions) -> Track | None:
    if database.labels_recordings:
        statement = database.statement(record, assumed)
        if statement is None:
            return None
        said = {name: statement.decides(codes) for name, codes in CLASS_CODES.items()}
        labels = {name: value for name, value in said.items() if value is not None}
        recording = database.open(record)
        return whole_track(recording, database.lead(recording), labels)
    if not labels_strips(database.name):
        raise RecipeError(
            f"database {database.name!r} has no labels for the strips task, "
            f"expected one of {', '.join(filter(labels_strips, BUILT_IN))}"
        )
    known = [name for name, codes in CLASS_CODES.items() if database.annotated.covers(codes)]
    recording = database.open(record)
    return beat_track(recording, database.annotations(record), database.lead(recording), known)


@dataclass(frozen=True)
class TrackOf:
    """Reads, conditions and labels one record of a database, wherever it is called.

    A record is read piece by piece, so that what it needs in memory is its one lead at 128 Hz, of 8
    bits a sample. Called with a record's name, returns None for a recording shorter than one strip
    and one whose label decides nothing.
    """

    database: str
    folder: Path
    assumed: Assumptions = ITS_WORD

    def __call__(self, record: str) -> Track | None:
        """The track of one record."""
        track = _load_one(database_in(self.database, self.folder), record, self.assumed)
        return track if track is not None and len(track.x) >= SPAN else None


def tracks_of(
    name: str,
    records: Iterable[str] | None = None,
    data: Path | None = None,
    progress: Progress | None = None,
    assumed: Assumptions = ITS_WORD,
    workers: Workers = ALONE,
) -> Iterator[Track]:
    """Read, condition and label recordings of one database, one after the other or many at once.

    Args:
        name: of a database that has labels for strips.
        records: which; None for all there are. Recordings shorter than one strip, and those whose
            label decides nothing, are left out.
        data: folder of databases; None searches as `find_database` does.
        progress: called with (database, done, total).
        assumed: what labels of whole recordings are taken to say.
        workers: who does it.
    """
    database = find_database(name, data)
    wanted = tuple(database.records() if records is None else records)
    shown = None if progress is None else partial(progress, name)
    for track in workers.map(TrackOf(name, database.folder, assumed), wanted, shown):
        if track is not None:
            yield track
