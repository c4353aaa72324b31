"""Digests of what networks are trained on: tracks of a few records of each database, every field.

`track_digests.json` was written by this module with the code of commit 30ab437, before each
database had a file of its own: `python -m tests.tasks.track_digests FOLDER_OF_DATABASES`. One thing
was changed by hand since: the patient of qtdb's sele0106, which is an excerpt of edb's e0106.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import numpy as np

from beatlens.recipe import DataSection
from beatlens.signals.databases import find_database
from beatlens.tasks.beats.data import BeatTrackOf
from beatlens.tasks.beats.recipe import BeatDataSection
from beatlens.tasks.recordings.data import WearableTrackOf
from beatlens.tasks.recordings.recipe import WearableDataSection
from beatlens.tasks.windows.tracks import Assumptions, TrackOf

DIGESTS = Path(__file__).with_suffix(".json")
STRIPS = {
    "mitdb": ("114", "201", "207"),  # MLII comes second; a patient of two records; flutter
    "svdb": ("800", "820"),  # calibrated and not
    "qtdb": ("sele0106", "sel301"),
    "cinc2017": ("A00004", "A00005", "A00008", "A00015", "A00022", "A00025", "A00034"),
    "ludb": ("4", "7", "8", "12", "27", "90", "111"),
}
BEATS = {name: STRIPS[name] for name in ("mitdb", "svdb", "qtdb")}
UNLABELLED = {name: STRIPS[name] for name in ("cinc2017", "ludb")}


def digest(track: object) -> str:
    """The track's patient, and 16 digits of the SHA-256 of all its fields; "none" for no track."""
    if track is None:
        return "none"
    total = hashlib.sha256()
    for field in fields(track):  # type: ignore[arg-type]
        if field.name == "patient":
            continue
        value = getattr(track, field.name)
        for part in value if isinstance(value, tuple) else (value,):
            array = np.asarray(part)
            about = f"{field.name} {array.dtype.str} {array.shape} "
            total.update(about.encode() + np.ascontiguousarray(array).tobytes())
    return f"{getattr(track, 'patient', '')} {total.hexdigest()[:16]}".strip()


def sections() -> dict[str, str]:
    """The recipes' data sections as they go into the digest of tracks that are kept."""
    return {
        "sections/strips": DataSection().model_dump_json(),
        "sections/beats": BeatDataSection().model_dump_json(),
        "sections/wearable": WearableDataSection().model_dump_json(),
    }


def digests(data: Path, name: str) -> Iterator[tuple[str, str]]:
    """Kind of track, database and record, with the digest, of one database below `data`."""
    database = find_database(name, data)
    folder, records = database.folder, STRIPS[name]
    for record in records:
        for assumed in (Assumptions(), Assumptions(True, True)):
            kind = "strips, assumed" if assumed.ludb_ectopy else "strips"
            yield f"{kind}/{name}/{record}", digest(TrackOf(name, folder, assumed)(record))
        if name in BEATS:
            track = BeatTrackOf(((name, folder),))((name, record))
            yield f"beats/{name}/{record}", digest(track)
        else:
            track = BeatTrackOf(((name, folder),), labelled=False)((name, record))
            yield f"unlabelled/{name}/{record}", digest(track)
        if name == "cinc2017":
            yield f"wearable/{name}/{record}", digest(WearableTrackOf(folder)(record))


if __name__ == "__main__":
    found = sections()
    for each in STRIPS:
        found |= dict(digests(Path(sys.argv[1]), each))
    DIGESTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
