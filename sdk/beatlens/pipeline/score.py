"""Running a bundle over recordings: one, as `beatlens explain` does, or very many.

`beatlens score` writes what a model finds in each recording as lines of JSON, a file per recording,
by as many workers as there are. A file of findings is kept while the record, the bundle and the
options are the same, byte for byte, and made again otherwise; see `result_files`.
"""

from __future__ import annotations

import csv
import hashlib
import json
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, cast

from beatlens.errors import (
    BeatlensError,
    DataError,
    ModelError,
    OutputError,
    RecipeError,
    SignalError,
)
from beatlens.pipeline.result_files import (
    FORMAT,
    digests,
    read_result,
    result_name,
    states,
    write_result,
)
from beatlens.pipeline.whole_files import WholeFile, remove_parts, write_first
from beatlens.runtime.bundle import Bundle
from beatlens.runtime.engines import StreamEngine
from beatlens.runtime.finding import Finding
from beatlens.runtime.folder import SUMS
from beatlens.runtime.released import find_bundle
from beatlens.runtime.stream import Piece
from beatlens.signals.frontend import MODEL_RATE_HZ
from beatlens.signals.leads import usual_lead
from beatlens.signals.record_names import RecordPlace, find_record
from beatlens.signals.wfdb_files import check_signal_files
from beatlens.signals.wfdb_pieces import Progress, RecordingFile
from beatlens.tasks.beats.rhythm_log import RhythmLog
from beatlens.version import __version__

ABOUT, SUMMARY = "about.json", "summary.csv"
PARTS_S = 24 * 3600.0
"""Age in seconds at which a file that is not whole has no process any more that writes it."""
FORMULA_SIGNS = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
"""What a formula begins with in a spreadsheet, half and full width."""


def open_record(
    record: str, data: Path | None = None, progress: Progress | None = None
) -> RecordingFile:
    """A record by its path, with or without extension, or as DATABASE/RECORD; see `find_record`.

    Raises `DataError` where there is none, or it is not as its header describes it.
    """
    return find_record(record, data).open(progress)


def choose_lead(recording: RecordingFile, name: str | None = None) -> int:
    """Row of the lead called `name`; None: the one of `signals.leads.usual_lead`."""
    if name is not None:
        return recording.lead(name)
    return usual_lead(recording.lead_names)


def findings_in(
    model: Bundle,
    recording: RecordingFile,
    row: int,
    pieces: Iterable[Piece] | None = None,
    *,
    every: float | None = 10.0,
    engine: str = "auto",
) -> Iterator[Finding]:
    """What a bundle finds in one lead.

    Args:
        model: what is run.
        recording: read piece by piece.
        row: of the lead.
        pieces: of the lead, if they are watched on the way.
        every: seconds between findings on spans.
        engine: what computes, see `beatlens explain --help`.
    """
    given = recording.pieces(row) if pieces is None else iter(pieces)
    return model.explain(
        given,
        recording.rate_hz,
        recording.counts_per_mv[row],
        rails=recording.rails[row],
        hop_s=every if model.kind.hops else None,
        engine=cast(StreamEngine, engine),
    )


@lru_cache(maxsize=1)
def _bundle(folder: Path, sha256: str) -> Bundle:
    """A worker scores many recordings with one bundle."""
    model, found = Bundle.load(folder), bundle_digest(folder)
    if found != sha256:
        raise ModelError(
            f"{folder}: SHA-256 of {SUMS} is {found[:12]}..., expected {sha256[:12]}... as when "
            "scoring began; score with a bundle that nobody changes, under the same path everywhere"
        )
    return model


def bundle_digest(folder: Path) -> str:
    """SHA-256 of a bundle's list of checksums: the same for the same bundle."""
    return hashlib.sha256((folder / SUMS).read_bytes()).hexdigest()


Row = dict[str, Any]
"""A recording's row of the summary. `error` is empty, or why there are no findings."""


@dataclass(frozen=True)
class ScoreOf:
    """Scores one record into a file of its own, wherever it is called.

    Args:
        bundle: folder of the model.
        sha256: what `bundle_digest` gives.
        out: folder of the findings.
        every: seconds between findings on spans; None for models that decide on something else.
        engine: what computes; all give the same findings.
        run: names the files of this call that are not whole yet, see `remove_parts`.

    Called with a record's place, returns its row of the summary. A record that cannot be scored is
    a row with the reason. `OutputError`, `ModelError` and `RecipeError` are raised: what is wrong
    there is wrong for all records.
    """

    bundle: Path
    sha256: str
    out: Path
    every: float | None = 10.0
    engine: str = "auto"
    run: str = ""

    def __call__(self, place: RecordPlace) -> Row:
        """Score one record, or find that it has been."""
        try:
            return self._row(place)
        except (DataError, SignalError) as error:
            return refused_row(place.label, str(error))
        except BeatlensError:
            raise
        except OSError as error:
            name = error.filename or place.label
            return refused_row(place.label, f"{name}: cannot be read ({error.strerror or error})")
        except Exception as error:  # a fault of beatlens must not end a batch of thousands
            return refused_row(place.label, f"a fault in beatlens, please report it: {error!r}")

    def _row(self, place: RecordPlace) -> Row:
        header = place.header()
        check_signal_files(header)
        before = states(header.files)
        lead = usual_lead(header.lead_names)
        model = _bundle(self.bundle, self.sha256)
        head = {
            "format": FORMAT,
            "beatlens": __version__,
            "record": place.label,
            "lead": header.lead_names[lead],
            "seconds": header.samples / header.rate_hz,
            "bundle": model.name,
            "bundle_sha256": self.sha256,
            "every_s": self.every,
            "files": digests(header.files),
        }
        path = self.out / result_name(place.label, place.key, bool(place.database))
        counts = read_result(path, head)
        if counts is None:
            found = findings_in(model, place.open(), lead, every=self.every, engine=self.engine)
            rhythms = RhythmLog.of(model)
            with WholeFile(path, run=self.run) as file:
                counts = write_result(
                    file,
                    head,
                    (finding.as_dict() for finding in _logged(found, rhythms)),
                    None if rhythms is None else partial(_end_rhythms, rhythms),
                )
                if states(header.files) != before:
                    raise DataError(
                        f"{place.label}: changed while it was read; score it again when it is whole"
                    )
        usual = {"findings": counts.findings, "undecided": counts.undecided}
        classes = {f"class {name}": number for name, number in counts.classes.items()}
        row = {"record": place.label, "file": path.name, "lead": head["lead"]}
        row |= {"seconds": head["seconds"], **usual, "warned": counts.warned, "error": ""}
        return row | classes | counts.rhythms


def _logged(found: Iterable[Finding], rhythms: RhythmLog | None) -> Iterator[Finding]:
    """Findings, passed on to the log of rhythms if there is one."""
    for finding in found:
        if rhythms is not None:
            rhythms.take(finding)
        yield finding


def _end_rhythms(log: RhythmLog) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """All rhythms of a recording, and figures of them."""
    log.end()
    return [event.as_dict() for event in log.events], log.summary().as_dict()


def refused_row(label: str, reason: str) -> Row:
    """The row of a record without findings."""
    return {"record": label, "error": " ".join(reason.split())}


def score_job(
    out: Path, bundle: Path | str, every: float, engine: str = "auto", *, here: bool = True
) -> ScoreOf:
    """What scores records into the folder `out`, which is made or found to be of the same model.

    Args:
        out: the folder.
        bundle: folder of the model, or the name of a released one.
        every: seconds between findings on spans.
        engine: what computes.
        here: whether this machine computes, so that the engine must be here.

    Raises:
        RecipeError: the folder has findings of another bundle or hop, or files of something else;
            or the hop is not one of the model.
        OutputError: the folder cannot be made.
        ModelError: there is no such bundle or engine.
    """
    folder = find_bundle(bundle)
    model = Bundle.load(folder)
    hop_s = every if model.kind.hops else None
    tried = cast(StreamEngine, engine if here else "simulator")
    model.stream(MODEL_RATE_HZ, 200.0, hop_s=hop_s, engine=tried)
    job = ScoreOf(
        folder.resolve(),
        bundle_digest(folder),
        out.absolute(),
        hop_s,
        engine,
        uuid.uuid4().hex[:8],
    )
    _claim(out, {"format": FORMAT, "bundle": model.name, "bundle_sha256": job.sha256,
                 "every_s": job.every})  # fmt: skip
    return job


def _claim(out: Path, wanted: dict[str, Any]) -> None:
    """Make a folder of findings, or check that one that is there is of the same."""
    about = out / ABOUT
    try:
        out.mkdir(parents=True, exist_ok=True)
        names = [] if about.exists() else sorted(each.name for each in out.iterdir())
    except OSError as error:
        raise OutputError(
            f"{out}: cannot be the folder of findings ({error.strerror}), expected a folder, or a "
            "new name (--out)"
        ) from error
    remove_parts(out, older_than_s=PARTS_S)
    others = [name for name in names if name.endswith(".jsonl") or name == SUMMARY]
    if not write_first(about, json.dumps(wanted, indent=1) + "\n"):
        _check_claim(about, wanted)
    elif others:
        about.unlink(missing_ok=True)
        raise RecipeError(
            f"{out}: holds {others[0]} but no {ABOUT}, so it is no folder of findings; use another "
            "folder (--out)"
        )


def _check_claim(path: Path, wanted: dict[str, Any]) -> None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RecipeError(
            f"{path}: damaged ({error}); use another folder (--out), or delete this one"
        ) from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise RecipeError(
            f"{path}: not of a folder of findings as this version of beatlens writes them; use "
            "another folder (--out)"
        )
    for name, value in wanted.items():
        if found.get(name) != value:
            raise RecipeError(
                f"{path.parent} has findings with {name} {found.get(name)!r}, these are with "
                f"{value!r}; use another folder (--out)"
            )


def write_summary(path: Path, rows: Sequence[Row]) -> None:
    """One line a recording. A class that a recording has none of is 0; of a refused one, empty.

    Text that a spreadsheet would run as a formula gets an apostrophe before it.

    Raises `OutputError` where the disk refuses.
    """
    usual = ("record", "file", "lead", "seconds", "findings", "undecided", "warned", "error")
    classes = sorted({name for row in rows for name in row} - set(usual))
    with WholeFile(path, newline="", errors="backslashreplace") as file:
        writer = csv.writer(file)
        writer.writerow([*usual, *map(cell, classes)])
        for row in rows:
            none = "" if row["error"] else 0
            writer.writerow(cell(row.get(name, none)) for name in (*usual, *classes))


def cell(value: Any) -> Any:
    """A value for a table; text that would be a formula is marked as text.

    >>> cell("=1+1"), cell("\t@x"), cell("MLII"), cell(-3)
    ("'=1+1", "'\\t@x", 'MLII', -3)
    """
    if not isinstance(value, str):
        return value
    risky = value.startswith(("\t", "\r", "\n")) or value.lstrip().startswith(FORMULA_SIGNS)
    return f"'{value}" if risky else value
