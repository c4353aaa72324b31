"""From databases to tracks: which lead, which annotations, and which labels each database decides.

| database | lead | decides |
|---|---|---|
| mitdb | MLII, by name | all four classes |
| svdb | ECG1 | ectopic beats; rhythm and conduction are not annotated |
| qtdb | the first | as svdb; to measure on, no recipe trains on it |
| cinc2017 | the only one | atrial fibrillation: recordings labelled A against those labelled N |
| ludb | ii | fibrillation or flutter, and *complete* bundle branch block, from the diagnoses |

Where asked for (`Assumptions`), cinc2017's N also means: no ectopic beat, and ludb's diagnoses also
decide ectopic beats. Where a database does not decide a class
its label is unknown (NaN) and the loss leaves it out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from beatlens.errors import RecipeError
from beatlens.signals.annotations import Annotations, rhythm_mask
from beatlens.signals.databases import Database, database_in, find_database
from beatlens.signals.frontend import MODEL_RATE_HZ, Conditioned, FrontEnd
from beatlens.signals.recording import Recorded
from beatlens.tasks.strips import (
    BEAT_AFTER,
    BEAT_BEFORE,
    BEAT_SYMBOLS,
    CLASSES,
    SPAN,
    Track,
)
from beatlens.tasks.workers import ALONE, Workers

AF_RHYTHMS = ("AFIB", "AFL")
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
    """Stretches where a mask is true, as int64 `[k, 2]` at 128 Hz."""
    edges = np.flatnonzero(np.diff(mask.astype(np.int8), prepend=0, append=0))
    return to_model_rate(edges, rate_hz).reshape(-1, 2)


def beat_track(
    recording: Recorded, annotations: Annotations, lead: str, known: Iterable[str]
) -> Track:
    """A track whose truth comes from beat and rhythm annotations (mitdb, svdb, simulated ECG)."""
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


@dataclass(frozen=True)
class Assumptions:
    """What labels of whole recordings are taken to say beyond their word.

    Args:
        normal_has_no_ectopy: cinc2017's recordings labelled normal are free of ectopic beats (those
            with them are labelled "other rhythm"; nobody has looked beat by beat).
        ludb_ectopy: a ludb recording has an ectopic beat if and only if its diagnoses name an
            extrasystole; recordings of paced hearts, whose beats look ventricular, are left out.
    """

    normal_has_no_ectopy: bool = False
    ludb_ectopy: bool = False


def _ludb_labels(diagnoses: Mapping[str, tuple[str, ...]], *, ectopy: bool) -> dict[str, bool]:
    """What LUDB's diagnoses decide; conduction that is disturbed in another way stays unknown."""
    rhythms, conduction, extra = (
        " ".join(diagnoses[column]).lower()
        for column in ("Rhythms", "Conduction abnormalities", "Extrasystolies")
    )
    labels = {"afib": "fibrillation" in rhythms or "flutter" in rhythms}
    if ectopy:
        labels["pvc"] = "ventricular extrasystole" in extra
        labels["sve"] = "atrial extrasystole" in extra
    complete = conduction.replace("incomplete", "").count("complete") > 0
    unclear = ("incomplete", "delay", "iii degree")
    if complete or not any(word in conduction for word in unclear):
        labels["bbb"] = complete
    return labels


def _load_one(database: Database, record: str, assumed: Assumptions) -> Track | None:
    recording = database.open(record)
    if database.name == "mitdb":
        return beat_track(recording, database.annotations(record), "MLII", CLASSES)
    if database.name in ("svdb", "qtdb"):
        lead = recording.lead_names[0]
        return beat_track(recording, database.annotations(record), lead, ("pvc", "sve"))
    if database.name == "cinc2017":
        label = database.label(record)
        if label not in "AN":
            return None
        labels = {"afib": label == "A"}
        if label == "N" and assumed.normal_has_no_ectopy:
            labels |= {"pvc": False, "sve": False}
        return whole_track(recording, recording.lead_names[0], labels)
    if database.name == "ludb":
        diagnoses = database.diagnoses(record)
        if assumed.ludb_ectopy and any(diagnoses["Cardiac pacing"]):
            return None
        return whole_track(recording, "ii", _ludb_labels(diagnoses, ectopy=assumed.ludb_ectopy))
    raise RecipeError(
        f"database {database.name!r} has no labels for the strips task, "
        "expected mitdb, svdb, qtdb, cinc2017 or ludb"
    )


@dataclass(frozen=True)
class TrackOf:
    """Reads, conditions and labels one record of a database, wherever it is called.

    A record is read piece by piece, so that what it needs in memory is its one lead at 128 Hz, of 8
    bits a sample. Called with a record's name, returns None for a recording shorter than one strip
    and one whose label decides nothing.
    """

    database: str
    folder: Path
    assumed: Assumptions = Assumptions()

    def __call__(self, record: str) -> Track | None:
        """The track of one record."""
        track = _load_one(database_in(self.database, self.folder), record, self.assumed)
        return track if track is not None and len(track.x) >= SPAN else None


def tracks_of(
    name: str,
    records: Iterable[str] | None = None,
    data: Path | None = None,
    progress: Progress | None = None,
    assumed: Assumptions = Assumptions(),
    workers: Workers = ALONE,
) -> Iterator[Track]:
    """Read, condition and label recordings of one database, one after the other or many at once.

    Args:
        name: mitdb, svdb, qtdb, cinc2017 or ludb.
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
