"""From recordings to window tracks: one lead at 128 Hz, with the labels that its source decides.

A class is made by codes of beats, labels of rhythms, labels of whole recordings, or own intervals
(`beatlens.tasks.windows.recipe.WindowClass`). A database decides a class if its annotations cover
all of its codes, or if its labels of whole recordings do: see `beatlens.signals.databases`. Where a
source does not decide a class its label is unknown (NaN) and the loss leaves it out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from beatlens.errors import DataError, RecipeError
from beatlens.signals.annotations import Annotations, Interval, rhythm_mask
from beatlens.signals.databases import Database
from beatlens.signals.databases.contract import FIBRILLATION_AND_FLUTTER, Codes
from beatlens.signals.databases.own_records import OwnRecords
from beatlens.signals.recording import Recorded
from beatlens.tasks.common.sources import Source
from beatlens.tasks.common.tracks import condition, to_model_rate
from beatlens.tasks.windows.labels import BEAT_AFTER, BEAT_BEFORE, SPAN, WindowTrack
from beatlens.tasks.windows.recipe import WindowClass

Classes = Mapping[str, WindowClass]
NONE = np.zeros((0, 2), np.int64)
FLUTTER = frozenset({"VFL", "VF", "VFIB"})
"""Labels of rhythms in which beats cannot be told apart."""


def beat_intervals(beats: np.ndarray, symbols: np.ndarray, codes: str) -> np.ndarray:
    """R - 0.25 s to R + 0.35 s of every beat whose symbol is in `codes`, int64 `[k, 2]`."""
    peaks = beats[np.isin(symbols, list(codes))]
    return np.stack([peaks - BEAT_BEFORE, peaks + BEAT_AFTER], axis=1).astype(np.int64)


def _find_runs(mask: np.ndarray, rate_hz: int) -> np.ndarray:
    """Where a mask is true, as int64 `[k, 2]` at 128 Hz."""
    edges = np.flatnonzero(np.diff(mask.astype(np.int8), prepend=0, append=0))
    return to_model_rate(edges, rate_hz).reshape(-1, 2)


def annotated_track(
    recording: Recorded,
    annotations: Annotations,
    lead: str,
    classes: Classes,
    known: Iterable[str],
    intervals: Sequence[Interval] = (),
) -> WindowTrack:
    """A track whose truth comes from annotations of beats and rhythms, and from own intervals.

    Args:
        recording: of any rate.
        annotations: of it.
        lead: name of the lead.
        classes: of the task.
        known: names of those that the annotations decide.
        intervals: own ones, in samples of the recording.
    """
    out = condition(recording, lead)
    rate_hz, known = recording.rate_hz, set(known)
    beats = to_model_rate(annotations.beats.sample, rate_hz)
    symbols = annotations.beats.symbol

    def find_intervals(one: WindowClass) -> np.ndarray:
        if one.beats:
            return beat_intervals(beats, symbols, one.beats)
        if one.rhythms:
            return _find_runs(rhythm_mask(annotations, one.rhythms), rate_hz)
        edges = [[i.start, i.end] for i in intervals if i.label in one.intervals]
        return to_model_rate(np.array(edges, np.int64).reshape(-1, 2), rate_hz)

    flutter = [[f.start, f.end] for f in annotations.flutter]
    if any(FLUTTER & set(one.rhythms) for one in classes.values()):
        flutter = []  # A class of the task: its episodes are labelled, not left out.
    return WindowTrack(
        record=recording.name,
        database=recording.database,
        patient=recording.patient,
        x=out.x,
        usable=out.usable,
        known=np.array([name in known for name in classes]),
        intervals=tuple(
            find_intervals(one) if name in known else NONE for name, one in classes.items()
        ),
        unknown=to_model_rate(np.array(flutter, np.int64).reshape(-1, 2), rate_hz),
        beats=beats,
        symbols=symbols,
        by_beats=np.array([bool(one.beats) for one in classes.values()]),
        occasional=np.array([one.is_occasional for one in classes.values()]),
    )


def whole_track(
    recording: Recorded, lead: str, classes: Classes, labels: Mapping[str, bool]
) -> WindowTrack:
    """A track labelled as a whole: each class in `labels` is everywhere or nowhere in it."""
    out = condition(recording, lead)
    everywhere = np.array([[0, len(out.x)]], np.int64)
    return WindowTrack(
        record=recording.name,
        database=recording.database,
        patient=recording.patient,
        x=out.x,
        usable=out.usable,
        known=np.array([name in labels for name in classes]),
        intervals=tuple(everywhere if labels.get(name) else NONE for name in classes),
        unknown=NONE,
        beats=np.zeros(0, np.int64),
        symbols=np.zeros(0, "<U1"),
        by_beats=np.array([bool(one.beats) for one in classes.values()]),
        occasional=np.array([one.is_occasional for one in classes.values()]),
    )


def decided_classes(database: Database, classes: Classes) -> tuple[str, ...]:
    """Names of the classes that a database's annotations decide."""
    return tuple(
        name
        for name, one in classes.items()
        if (one.beats or one.rhythms) and database.annotated.covers(one.codes)
    )


def check_labels(source: Source, classes: Classes) -> None:
    """Raise `RecipeError` where a source decides none of the classes."""
    database = source.database
    if source.section.path is not None or database.labels_recordings:
        return
    labelled = database.labels and any(one.labels for one in classes.values())
    if not labelled and not decided_classes(database, classes):
        raise RecipeError(
            f"database {source.name!r} decides none of the classes {', '.join(classes)}: its "
            "annotations do not cover the beats or rhythms that make them; leave it out"
        )


@dataclass(frozen=True)
class MakeTrack:
    """Reads, conditions and labels one record of a source, wherever it is called.

    A record is read piece by piece, so that what it needs in memory is its one lead at 128 Hz, of 8
    bits a sample. Called with a source and a record's name, returns None for a recording shorter
    than one window and one whose label decides nothing.
    """

    classes: tuple[tuple[str, WindowClass], ...]

    def __call__(self, named: tuple[Source, str]) -> WindowTrack | None:
        """The track of one record."""
        source, record = named
        classes = dict(self.classes)
        make = _own_track if isinstance(source.database, OwnRecords) else _database_track
        track = make(source, record, classes)
        return track if track is not None and len(track.x) >= SPAN else None


def _database_track(source: Source, record: str, classes: Classes) -> WindowTrack | None:
    database = source.database
    if database.labels_recordings:
        labels = _said_of_whole(source, record, classes)
        if not labels:
            return None
        recording = database.open(record)
        return whole_track(recording, source.lead(recording), classes, labels)
    recording = database.open(record)
    known = decided_classes(database, classes)
    if source.section.assumptions.no_fibrillation and not database.annotated.rhythms:
        known += _free_of_fibrillation(database, record, classes)
    return annotated_track(
        recording, source.annotations(record), source.lead(recording), classes, known
    )


def _free_of_fibrillation(database: Database, record: str, classes: Classes) -> tuple[str, ...]:
    """Classes of fibrillation and flutter, which a record is assumed to be free of."""
    if record in database.looks_fibrillating:
        return ()
    absent = Codes.of(rhythms=FIBRILLATION_AND_FLUTTER)
    return tuple(n for n, one in classes.items() if one.rhythms and absent.covers(one.codes))


def _said_of_whole(source: Source, record: str, classes: Classes) -> dict[str, bool]:
    """What a label of a whole recording says of the classes; of the others it says nothing."""
    database = source.database
    labels = {
        name: database.label(record) in one.labels
        for name, one in classes.items()
        if one.labels and database.labels
    }
    statement = database.statement(record, source.section.assumptions)
    if statement is None:
        return labels
    said = {
        name: statement.decides(one.codes)
        for name, one in classes.items()
        if one.beats or one.rhythms
    }
    return labels | {name: value for name, value in said.items() if value is not None}


def _own_track(source: Source, record: str, classes: Classes) -> WindowTrack:
    """A track of own records: by their annotations, their labels, and their intervals."""
    database, section = source.database, source.section
    if not isinstance(database, OwnRecords):
        raise TypeError(f"{source.name} is no folder of own records")
    known = set(classes if section.decides is None else section.decides)
    for what, given in (("labels", section.labels), ("intervals", section.intervals)):
        lacking = [n for n, one in classes.items() if n in known and getattr(one, what)]
        if lacking and given is None:
            if section.decides is not None:
                raise DataError(
                    f"{section.path}: decides names the class {lacking[0]}, which {what} make, but "
                    f"the source has no `{what}`: expected the name of a CSV file"
                )
            known -= set(lacking)
    if not known:
        raise DataError(
            f"{section.path}: the source decides none of the classes {', '.join(classes)}, "
            "expected `labels` or `intervals`, the name of a CSV file"
        )
    recording = database.open(record)
    lead = source.lead(recording)
    if all(classes[name].labels for name in known):
        label = database.label(record)
        return whole_track(
            recording, lead, classes, {name: label in classes[name].labels for name in known}
        )
    annotated = [name for name in known if classes[name].beats or classes[name].rhythms]
    nothing = Annotations(
        record, recording.samples, np.zeros(0, np.int64), np.zeros(0, "<U1"),
        np.zeros(0, np.int64), (),
    )  # fmt: skip
    annotations = source.annotations(record) if annotated else nothing
    intervals = database.intervals(record) if section.intervals is not None else ()
    placed = [name for name in known if not classes[name].labels]
    return annotated_track(recording, annotations, lead, classes, placed, intervals)
