"""`beatlens explain RECORD`: what the device model finds in a recording, and where."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from beatlens.errors import DataError
from beatlens.runtime.beat_finding import BeatFinding
from beatlens.runtime.beat_stream import explain_beat_pieces
from beatlens.runtime.bundle import Bundle
from beatlens.runtime.engines import StreamEngine
from beatlens.runtime.finding import Finding
from beatlens.runtime.stream import Piece, explain_pieces
from beatlens.signals.databases import find_database
from beatlens.signals.wfdb_pieces import Progress, RecordingFile, open_record
from beatlens.verbs.options import DataFolder, console, output_bar

EngineName = Annotated[
    str,
    typer.Option(
        "--engine",
        metavar="NAME",
        help="What computes: auto, litert, tflite-runtime, tensorflow, simulator, or c: the C of "
        "the firmware, compiled here, and the fastest. All give the same findings.",
    ),
]
BundleFolder = Annotated[
    Path, typer.Option("--bundle", metavar="DIR", help="Bundle of the model that explains.")
]


def explain(
    record: Annotated[
        str, typer.Argument(help="WFDB record: mitdb/119, or a path without extension")
    ],
    bundle: BundleFolder = Path("runs/strips/bundle"),
    data: DataFolder = None,
    lead: Annotated[
        str | None, typer.Option(help="Lead by name. (default: MLII or II, else the first)")
    ] = None,
    every: Annotated[float | None, typer.Option(min=1, help="Seconds between findings.")] = 10.0,
    engine: EngineName = "auto",
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a finding, all classes' segments.")
    ] = False,
) -> None:
    """Run the int8 model over a recording and print findings: time span, classes, where.

    Of a model that decides on beats: every beat that is not normal, and what speaks for that.
    Times are seconds from the start of the recording; evidence is in logits. A recording is read
    piece by piece, first to check it, so that long ones need no more memory.
    """
    model = Bundle.load(bundle)
    with output_bar() as progress:
        recording = _opened(record, data, partial(progress, "checking the record"))
        row = _lead(recording, lead)
        pieces = _watched(recording, row, partial(progress, "explaining"))
        options: dict[str, Any] = {
            "rate_hz": recording.rate_hz,
            "counts_per_mv": recording.counts_per_mv[row],
            "rails": recording.rails[row],
            "engine": cast(StreamEngine, engine),
        }
        found: Iterator[Finding | BeatFinding]
        if model.beats is None:
            found = explain_pieces(model, pieces, hop_s=every, **options)
        else:
            found = explain_beat_pieces(model, pieces, **options)
        if not as_json:
            console.print(f"{record}, lead {recording.lead_names[row]}, model {model.name}")
            console.print(
                "Evidence used by the model, not cause. Not a medical device.", style="dim"
            )
        counts: Counter[str] = Counter()
        for finding in found:
            if as_json:
                typer.echo(json.dumps(finding.as_dict()))
            elif isinstance(finding, Finding):
                console.print(_line(finding), highlight=False)
            else:
                counts[finding.class_name or "not assessable"] += 1
                if finding.class_name != model.classes[0]:
                    console.print(_beat_line(finding), highlight=False)
        if counts:
            console.print("beats: " + ", ".join(f"{n:,} {name}" for name, n in counts.items()))


def _opened(record: str, data: Path | None, progress: Progress) -> RecordingFile:
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


def _watched(recording: RecordingFile, row: int, progress: Progress) -> Iterator[Piece]:
    """Pieces of a lead; says how far the recording was read."""
    done = 0
    for counts, missing in recording.pieces(row):
        yield counts, missing
        done += len(counts)
        progress(done, recording.samples)


def _lead(recording: RecordingFile, name: str | None) -> int:
    if name is not None:
        return recording.lead(name)
    known = [n for n in recording.lead_names if n.upper() in ("MLII", "II")]
    return recording.lead(known[0]) if known else 0


def _line(finding: Finding) -> str:
    span = f"{finding.start_s:8.1f} to {finding.end_s:7.1f} s  "
    if finding.probabilities is None or finding.decisions is None:
        return f"{span}[dim]not assessable: {', '.join(finding.reasons)}[/dim]"
    parts = []
    for name, chance in finding.probabilities.items():
        text = f"{name} {chance:4.0%}"
        if finding.decisions[name]:
            top = finding.top_segments(name, 2)
            where = ", ".join(f"{s.start_s:.1f}-{s.end_s:.1f} s" for s in top)
            text = f"[bold]{text}[/bold] ({where})"
        parts.append(text)
    note = f"  [dim]{', '.join(finding.reasons)}[/dim]" if finding.reasons else ""
    return span + "  ".join(parts) + note + _doubts(finding)


def _beat_line(finding: BeatFinding) -> str:
    when = f"{finding.time_s:10.2f} s  "
    if finding.class_name is None or finding.probabilities is None:
        return f"{when}[dim]not assessable: {', '.join(finding.reasons)}[/dim]"
    chance = finding.probabilities[finding.class_name]
    parts = []
    for reason in finding.why()[:2]:
        if reason.start_s is None or reason.end_s is None:
            what = f"{reason.what} {reason.ratio:.2f}"
        else:
            what = f"{1000 * reason.start_s:+.0f} to {1000 * reason.end_s:+.0f} ms"
        parts.append(f"{what} ({reason.contribution:+.1f})")
    said = f"[bold]{finding.class_name} {chance:4.0%}[/bold]  {', '.join(parts)}"
    return when + said + _doubts(finding)


def _doubts(finding: Finding | BeatFinding) -> str:
    return f"  [yellow]doubtful: {', '.join(finding.doubts)}[/yellow]" if finding.doubts else ""
