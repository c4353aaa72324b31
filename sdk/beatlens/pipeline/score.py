"""Running a bundle over recordings: one, as `beatlens explain` does, or very many.

`beatlens score` writes what a model finds in each recording as lines of JSON, a file per recording,
by as many workers as there are. A file that is there is not made again.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from beatlens.errors import DataError, RecipeError
from beatlens.runtime.beat_finding import BeatFinding
from beatlens.runtime.beat_stream import explain_beat_pieces
from beatlens.runtime.bundle import Bundle
from beatlens.runtime.engines import EngineKind, StreamEngine
from beatlens.runtime.finding import Finding
from beatlens.runtime.folder import SUMS
from beatlens.runtime.recording_finding import RecordingFinding
from beatlens.runtime.recording_stream import explain_whole_pieces
from beatlens.runtime.stream import Piece, explain_pieces
from beatlens.signals.databases import database_in, find_database
from beatlens.signals.wfdb_pieces import Progress, RecordingFile, open_record

AnyFinding = Finding | BeatFinding | RecordingFinding
ABOUT = "about.json"
USUAL_LEADS = ("MLII", "II")


def opened_record(
    record: str, data: Path | None = None, progress: Progress | None = None
) -> RecordingFile:
    """A record by its path without extension, or as DATABASE/RECORD.

    Raises `DataError` where there is none, or it is not as its header says.
    """
    path = Path(record)
    if path.with_suffix(".hea").exists():
        return open_record(path.parent, path.name, progress=progress)
    database, _, name = record.partition("/")
    if not name:
        raise DataError(
            f"record {record!r} is neither a WFDB record on disk ({path.with_suffix('.hea')} is "
            "not there) nor DATABASE/RECORD such as mitdb/119"
        )
    return find_database(database, data).open(name, progress)


def lead_of(recording: RecordingFile, name: str | None = None) -> int:
    """Row of the lead called `name`; None: of MLII or II, else the first."""
    if name is not None:
        return recording.lead(name)
    known = [n for n in recording.lead_names if n.upper() in USUAL_LEADS]
    return recording.lead(known[0]) if known else 0


def findings_in(
    model: Bundle,
    recording: RecordingFile,
    row: int,
    pieces: Iterable[Piece] | None = None,
    *,
    every: float | None = 10.0,
    engine: str = "auto",
) -> Iterator[AnyFinding]:
    """What a bundle finds in one lead: on spans, on beats or on the whole of it, as it decides.

    Args:
        model: what is run.
        recording: read piece by piece.
        row: of the lead.
        pieces: of the lead, if they are watched on the way.
        every: seconds between findings on spans.
        engine: what computes, see `beatlens explain --help`.
    """
    options: dict[str, Any] = {
        "rate_hz": recording.rate_hz,
        "counts_per_mv": recording.counts_per_mv[row],
        "rails": recording.rails[row],
    }
    given = recording.pieces(row) if pieces is None else pieces
    if model.recording is not None:
        yield explain_whole_pieces(model, given, engine=cast(EngineKind, engine), **options)
        return
    options["engine"] = cast(StreamEngine, engine)
    if model.beats is not None:
        yield from explain_beat_pieces(model, given, **options)
    else:
        yield from explain_pieces(model, given, hop_s=every, **options)


def records_named(
    names: Sequence[str], data: Path | None = None
) -> tuple[list[str], tuple[tuple[str, Path], ...]]:
    """Records, of which a name may stand for a whole database, and the databases' folders.

    Raises `DataError` where a name is no record's path, and no database's.
    """
    found: list[str] = []
    folders: dict[str, Path] = {}
    for name in names:
        if Path(name).with_suffix(".hea").exists():
            found.append(name)
            continue
        database, _, record = name.partition("/")
        there = find_database(database, data)
        folders[database] = there.folder.resolve()
        found += [name] if record else [f"{database}/{record}" for record in there.records()]
    return list(dict.fromkeys(found)), tuple(folders.items())


@lru_cache(maxsize=1)
def _bundle(folder: Path) -> Bundle:
    """A worker scores many recordings with one bundle."""
    return Bundle.load(folder)


@dataclass(frozen=True)
class ScoreOf:
    """Scores one record into a file of its own, wherever it is called.

    Args:
        bundle: folder of the model.
        out: folder of the findings.
        folders: of databases, with their names; records of others are paths.
        every: seconds between findings on spans.
        engine: what computes.

    Called with a record's name, returns its row of the summary (`summary_of`).
    """

    bundle: Path
    out: Path
    folders: tuple[tuple[str, Path], ...] = ()
    every: float | None = 10.0
    engine: str = "auto"

    def __call__(self, record: str) -> dict[str, Any]:
        """Findings of one record as lines of JSON, written whole or not at all."""
        path = self.out / f"{record.strip('/').replace('/', '_')}.jsonl"
        if not path.exists():
            recording = self._opened(record)
            row = lead_of(recording)
            found = findings_in(
                _bundle(self.bundle), recording, row, every=self.every, engine=self.engine
            )
            head = {
                "record": record,
                "lead": recording.lead_names[row],
                "seconds": recording.samples / recording.rate_hz,
            }
            part = path.with_suffix(".part")
            with part.open("w", encoding="utf-8") as file:
                for line in (head, *(finding.as_dict() for finding in found)):
                    file.write(json.dumps(line) + "\n")
            part.replace(path)
        return summary_of(path)

    def _opened(self, record: str) -> RecordingFile:
        database, _, name = record.partition("/")
        if folder := dict(self.folders).get(database):
            return database_in(database, folder).open(name)
        return opened_record(record)


def summary_of(path: Path) -> dict[str, Any]:
    """Counts of a file of findings: in all, undecided, doubted, and of each class decided on.

    Raises `DataError` where it is damaged.
    """
    counts: Counter[str] = Counter()
    try:
        with path.open(encoding="utf-8") as file:
            head = json.loads(next(file))
            for line in file:
                counts.update(_counted(json.loads(line)))
    except (OSError, ValueError, KeyError, StopIteration) as error:
        raise DataError(f"{path}: not a file of findings ({error!r}); delete it") from error
    usual = {name: counts.pop(name, 0) for name in ("findings", "undecided", "doubted")}
    return {**head, **usual, **{f"class {name}": n for name, n in sorted(counts.items())}}


def _counted(finding: dict[str, Any]) -> list[str]:
    """What one finding adds to: spans have decisions for each class, others one class."""
    said = [name for name, yes in (finding.get("decisions") or {}).items() if yes]
    said += [finding["class"]] if finding.get("class") else []
    undecided = [] if finding["assessable"] else ["undecided"]
    return ["findings", *undecided, *(["doubted"] if finding["doubts"] else []), *said]


def claim_scores(out: Path, bundle: Path, every: float | None) -> None:
    """Make a folder of findings, or check that one that is there is of this bundle and hop.

    Raises `RecipeError` where it is of another.
    """
    model = Bundle.load(bundle)
    wanted = {
        "bundle": model.name,
        "checksums": (bundle / SUMS).read_text(encoding="utf-8"),
        "every_s": every if model.decides_on.startswith("spans") else None,
    }
    path = out / ABOUT
    if not path.exists():
        out.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(wanted, indent=1) + "\n", encoding="utf-8")
    elif json.loads(path.read_text(encoding="utf-8")) != wanted:
        raise RecipeError(
            f"{out} has findings of another bundle, or at other times, than {bundle} every "
            f"{every} s; use another folder (--out)"
        )
