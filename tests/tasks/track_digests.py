"""Digests of what networks are trained on: tracks of a few records of each database, every field.

`track_digests.json` is written by this module: `python -m tests.tasks.track_digests
FOLDER_OF_DATABASES`. It was first written before each database had a file of its own, and anew when
samples became steps of 0.05 mV and beats got 17 features; tracks of windows and of recordings with
samples in steps of 0.025 mV were still those of before.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import numpy as np

from beatlens.recipe import SourceSection
from beatlens.signals.databases import find_database
from beatlens.tasks.beats.data import MakeBeatTrack, make_unlabelled_track
from beatlens.tasks.common.sources import Source
from beatlens.tasks.recordings.data import MakeRecordingTrack
from beatlens.tasks.windows.tracks import MakeTrack

from .recipes import beat_recipe, recording_recipe, window_recipe

DIGESTS = Path(__file__).with_suffix(".json")
ASSUMED = ("normal_has_no_ectopy", "ectopy_by_diagnosis")
DECLARED = ("by_beats", "occasional")
"""Fields that say what a recipe declares, and nothing of the recording."""
RECORDS = {
    "mitdb": ("114", "201", "207"),  # MLII comes second; a patient of two records; flutter
    "svdb": ("800", "820"),  # calibrated and not
    "qtdb": ("sele0106", "sel301"),
    "cinc2017": ("A00004", "A00005", "A00008", "A00015", "A00022", "A00025", "A00034"),
    "ludb": ("4", "7", "8", "12", "27", "90", "111"),
}
BEATS = ("mitdb", "svdb", "qtdb")
"""Databases whose beats are annotated."""


def digest(track: object) -> str:
    """The track's patient, and 16 digits of the SHA-256 of all its fields; "none" for no track."""
    if track is None:
        return "none"
    total = hashlib.sha256()
    for field in fields(track):  # type: ignore[arg-type]
        if field.name == "patient" or field.name in DECLARED:
            continue
        value = getattr(track, field.name)
        for part in value if isinstance(value, tuple) else (value,):
            array = np.asarray(part)
            about = f"{field.name} {array.dtype.str} {array.shape} "
            total.update(about.encode() + np.ascontiguousarray(array).tobytes())
    return f"{getattr(track, 'patient', '')} {total.hexdigest()[:16]}".strip()


def digests(data: Path, name: str) -> Iterator[tuple[str, str]]:
    """Kind of track, database and record, with the digest, of one database below `data`."""
    folder = find_database(name, data).folder
    plain, assumed = (
        Source(
            SourceSection.model_validate({"database": name, "split": "train", "assume": assume}),
            folder,
        )
        for assume in ((), ASSUMED)
    )
    make_window = MakeTrack(tuple(window_recipe().task.classes.items()))
    make_beats = MakeBeatTrack(tuple(one.beats for one in beat_recipe().task.classes.values()))
    make_recording = MakeRecordingTrack(tuple(recording_recipe().task.numbers.items()))
    for record in RECORDS[name]:
        yield f"windows/{name}/{record}", digest(make_window((plain, record)))
        yield f"windows, assumed/{name}/{record}", digest(make_window((assumed, record)))
        if name in BEATS:
            yield f"beats/{name}/{record}", digest(make_beats((plain, record)))
        else:
            yield f"unlabelled/{name}/{record}", digest(make_unlabelled_track((plain, record)))
        if name == "cinc2017":
            yield f"recordings/{name}/{record}", digest(make_recording((plain, record)))


if __name__ == "__main__":
    found: dict[str, str] = {}
    for each in RECORDS:
        found |= dict(digests(Path(sys.argv[1]), each))
    DIGESTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
