"""`beatlens explain RECORD`: what the device model finds in a recording, and where."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from beatlens.verbs.options import DEFAULT_BUNDLE, BundleFolder, DataFolder, EngineName

if TYPE_CHECKING:
    from beatlens.pipeline.score import AnyFinding
    from beatlens.runtime.beat_finding import BeatFinding, BeatReason
    from beatlens.runtime.finding import Finding
    from beatlens.runtime.recording_finding import RecordingFinding
    from beatlens.runtime.stream import Piece
    from beatlens.signals.wfdb_pieces import Progress, RecordingFile


def explain(
    record: Annotated[
        str, typer.Argument(help="WFDB record: mitdb/119, or a path without extension")
    ],
    bundle: BundleFolder = DEFAULT_BUNDLE,
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

    Of a model that decides on beats: every beat that is not normal, and what speaks for it. Of one
    that decides on whole recordings: what it is, and what speaks for that.

    Times are seconds from the start of the recording; evidence is in logits. A recording is read
    piece by piece, first to check it, so that long ones need no more memory.
    """
    from beatlens.pipeline.result_files import json_line
    from beatlens.pipeline.score import findings_in, lead_of, opened_record
    from beatlens.runtime.bundle import Bundle
    from beatlens.runtime.finding import Finding
    from beatlens.runtime.recording_finding import RecordingFinding
    from beatlens.verbs.show import console, output_bar

    model = Bundle.load(bundle)
    with output_bar() as progress:
        recording = opened_record(record, data, partial(progress, "checking the record"))
        row = lead_of(recording, lead)
        pieces = _watched(recording, row, partial(progress, "explaining"))
        found = findings_in(model, recording, row, pieces, every=every, engine=engine)
        if not as_json:
            console.print(f"{record}, lead {recording.lead_names[row]}, model {model.name}")
            console.print(
                "Evidence used by the model, not cause. Not a medical device.", style="dim"
            )
        counts: Counter[str] = Counter()
        for finding in found:
            if as_json:
                typer.echo(json_line(finding.as_dict()))
            elif isinstance(finding, Finding):
                console.print(_line(finding), highlight=False)
            elif isinstance(finding, RecordingFinding):
                console.print(_whole_line(finding), highlight=False)
            else:
                counts[finding.class_name or "not assessable"] += 1
                if finding.class_name != model.classes[0]:
                    console.print(_beat_line(finding), highlight=False)
        if counts:
            console.print("beats: " + ", ".join(f"{n:,} {name}" for name, n in counts.items()))


def _watched(recording: RecordingFile, row: int, progress: Progress) -> Iterator[Piece]:
    """Pieces of a lead; says how far the recording was read."""
    done = 0
    for counts, missing in recording.pieces(row):
        yield counts, missing
        done += len(counts)
        progress(done, recording.samples)


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
    why = _reasons(finding.why()[:2], lambda s: f"{1000 * s:+.0f}", "ms")
    return f"{when}[bold]{finding.class_name} {chance:4.0%}[/bold]  {why}{_doubts(finding)}"


def _whole_line(finding: RecordingFinding) -> str:
    span = f"{finding.start_s:8.1f} to {finding.end_s:7.1f} s  "
    if finding.class_name is None or finding.probabilities is None:
        return f"{span}[dim]not assessable: {', '.join(finding.reasons)}[/dim]"
    chances = "  ".join(f"{name} {chance:4.0%}" for name, chance in finding.probabilities.items())
    why = _reasons(finding.why()[:4], lambda s: f"{s:.1f}", "s")
    return f"{span}[bold]{finding.class_name}[/bold]  {chances}  {why}{_doubts(finding)}"


def _reasons(parts: Sequence[BeatReason], shown: Callable[[float], str], unit: str) -> str:
    """What speaks for a decision: stretches of signal, and contexts of rhythm, in logits."""
    said = []
    for part in parts:
        if part.start_s is None or part.end_s is None:
            what = f"{part.what} {part.ratio:.2f}"
        else:
            what = f"{shown(part.start_s)} to {shown(part.end_s)} {unit}"
        said.append(f"{what} ({part.contribution:+.1f})")
    return ", ".join(said)


def _doubts(finding: AnyFinding) -> str:
    return f"  [yellow]doubtful: {', '.join(finding.doubts)}[/yellow]" if finding.doubts else ""
