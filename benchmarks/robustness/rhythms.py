"""`python -m benchmarks rhythms`: rules of rhythms on annotated beats, against annotated rhythms.

The rules get the beats and classes of the reference, so that no model takes part: of mitdb's DS1,
whose rhythms are annotated too, and of svdb, which has no rhythms to compare with. A break is where
both leads are unreadable, or in ventricular flutter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from beatlens.signals.annotations import Annotations
from beatlens.signals.databases import Database
from beatlens.signals.frontend import MODEL_RATE_HZ
from beatlens.tasks.beats.beat_codes import role_of
from beatlens.tasks.beats.rhythm_kinds import KINDS, MINUTE, RhythmEvent
from beatlens.tasks.beats.rhythms import RhythmWatch

LABELS: Mapping[str, tuple[str, ...]] = {
    "ventricular_bigeminy": ("B",),
    "ventricular_trigeminy": ("T",),
    "ventricular_tachycardia": ("VT",),
    "idioventricular_rhythm": ("IVR",),
    "supraventricular_tachycardia": ("SVTA",),
    "supraventricular_bigeminy": ("AB",),
    "bradycardia": ("SBR",),
}
"""Labels of rhythms in mitdb that mean a kind of rhythm."""
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Marked:
    """A record's rhythms, by the rules and by its annotators: spans in samples at 128 Hz."""

    events: Sequence[RhythmEvent]
    labels: Sequence[tuple[str, float, float]]


def find_marked(annotations: Annotations, rate_hz: float) -> Marked:
    """Rhythms by the rules, of the annotated beats, and the annotated rhythms."""
    scale = MODEL_RATE_HZ / rate_hz
    breaks = [
        (span.start * scale, span.end * scale)
        for span in (*annotations.flutter, *annotations.shutdown)
    ]
    watch, last = RhythmWatch(), -1
    events: list[RhythmEvent] = []
    beats = annotations.beats
    for sample, code in zip(beats.sample, beats.symbol, strict=True):
        peak = int(np.floor(sample * scale + 0.5))
        if peak <= last:
            continue
        hidden = any(start < peak and end > last for start, end in breaks)
        rr = 0 if last < 0 or hidden else peak - last
        events += watch.push(peak, rr, role_of(str(code)))
        last = peak
    labels = [(one.label, one.start * scale, one.end * scale) for one in annotations.rhythms]
    return Marked(events + watch.end(), labels)


def rhythm_rows(
    databases: Iterable[tuple[str, Database, Sequence[str]]], progress: Progress | None = None
) -> list[dict[str, Any]]:
    """A row for each set of records and kind of rhythm that was found or annotated.

    Keys: how many rhythms there are by the rules (`found`), in how many records, their seconds;
    of annotated rhythms of that name how many (`annotated`), their seconds, and how many of them
    touch one that was found (`touched`); and how many of the found touch an annotated one
    (`right`). None where the database's labels have no such name.

    Raises:
        DataError: a record cannot be read.
    """
    rows = []
    for name, database, records in databases:
        marked = []
        for index, record in enumerate(records):
            if progress is not None:
                progress(name, index, len(records))
            rate_hz = database.read(record).rate_hz
            marked.append(find_marked(database.annotations(record), rate_hz))
        named = {label for one in marked for label, _, _ in one.labels}
        rows += [_row(name, kind, marked, named) for kind in KINDS if kind != MINUTE]
    return rows


def _row(name: str, kind: str, marked: Sequence[Marked], named: set[str]) -> dict[str, Any]:
    mine = [[event for event in one.events if event.kind == kind] for one in marked]
    row: dict[str, Any] = {
        "split": name,
        "kind": kind,
        "found": sum(map(len, mine)),
        "records": sum(bool(events) for events in mine),
        "seconds": round(sum(event.seconds for events in mine for event in events), 1),
    }
    wanted = set(LABELS.get(kind, ())) & named
    if not wanted:
        return row | dict.fromkeys(("annotated", "annotated_seconds", "touched", "right"))
    theirs = [[s for s in one.labels if s[0] in wanted] for one in marked]
    touched = right = 0
    for events, spans in zip(mine, theirs, strict=True):
        touched += sum(any(_touch(e, s) for e in events) for s in spans)
        right += sum(any(_touch(e, s) for s in spans) for e in events)
    seconds = sum(end - start for spans in theirs for _, start, end in spans) / MODEL_RATE_HZ
    return row | {
        "annotated": sum(map(len, theirs)),
        "annotated_seconds": round(seconds, 1),
        "touched": touched,
        "right": right,
    }


def _touch(event: RhythmEvent, span: tuple[str, float, float]) -> bool:
    """Whether a rhythm and an annotated one have a time in common."""
    return event.start < span[2] and event.end > span[1]
