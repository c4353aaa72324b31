"""What `beatlens explain` does: findings as lines or JSON, a summary, and a page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import typer
from rich.text import Text

from beatlens.ecg_page.collect import Collected, collector
from beatlens.ecg_page.lead_monitor import LeadMonitor
from beatlens.ecg_page.lines import lead_words, line, summary_lines
from beatlens.ecg_page.rhythm_words import rhythm_line
from beatlens.ecg_page.summary import Summary, choose_peaks, summarise
from beatlens.ecg_page.words import STATEMENT, printable
from beatlens.ecg_page.write import about, check_page_path, write_page
from beatlens.pipeline.result_files import json_line
from beatlens.pipeline.score import choose_lead, findings_in, open_record
from beatlens.runtime.bundle import Bundle
from beatlens.runtime.finding import Finding
from beatlens.signals.frontend import FrontEnd
from beatlens.signals.recording import Piece
from beatlens.signals.wfdb_pieces import Progress, RecordingFile
from beatlens.tasks.beats.rhythm_kinds import MINUTE, RhythmEvent
from beatlens.tasks.beats.rhythm_log import RhythmLog
from beatlens.verbs.show import console, output_bar


def explain_record(
    record: str,
    bundle: Path,
    *,
    data: Path | None,
    lead: str | None,
    every: float | None,
    engine: str,
    as_json: bool,
    page: Path | None,
    per_class: int,
) -> None:
    """Run a bundle over one lead of a record; see `beatlens explain --help`."""
    if page is not None:
        check_page_path(page)
    model = Bundle.load(bundle)
    with output_bar() as progress:
        recording = open_record(record, data, partial(progress, "checking the record"))
        row = choose_lead(recording, lead)
        pieces = _watched(recording, row, partial(progress, "explaining"))
        if as_json and page is None:
            for finding in findings_in(model, recording, row, pieces, every=every, engine=engine):
                typer.echo(json_line(finding.as_dict()))
            return
        rhythms = RhythmLog.of(model)
        chosen = lead_words(recording.lead_names, row, lead is not None)
        say = partial(show, go_on=page is not None)
        if not as_json:
            say(f"{record}, {chosen}, model {model.name}")
            say(STATEMENT)
        seconds = recording.samples / recording.rate_hz
        front_end = FrontEnd(recording.rate_hz, recording.counts_per_mv[row], recording.rails[row])
        monitor = LeadMonitor(front_end, seconds, find_peaks=model.kind.unit != "beat")
        collected = collector(model, seconds)
        found = findings_in(
            model, recording, row, monitor.watch(pieces), every=every, engine=engine
        )
        for finding in found:
            _take(collected, finding)
            if as_json:
                typer.echo(json_line(finding.as_dict()))
            elif not _is_normal(finding, model):
                say(line(finding))
            events = [] if rhythms is None else rhythms.take(finding)
            _tell([] if as_json else events, say)
        events = [] if rhythms is None else rhythms.end()
        _tell([] if as_json else events, say)
        quality = monitor.end()
        summary = summarise(
            collected,
            quality,
            choose_peaks(collected, monitor.peaks),
            None if rhythms is None else rhythms.summary(),
        )
        if not as_json:
            say("")
            for text in summary_lines(summary, recording.lead_names):
                say(text)
        if page is not None:
            guessed = chosen if "a guess" in chosen else ""
            _page(page, model, recording, record, row, guessed, collected, summary, per_class)
            if not as_json:
                say(f"page        {page}")


def show(text: str, *, go_on: bool = False) -> None:
    """Print one line, unbroken and as it is: no markup in it, no colours.

    Where the reader of a pipe has gone, as `| head` does, rich silences the console and exits;
    with `go_on` the work goes on, since a page is still to be written.
    """
    try:
        console.print(Text(printable(text)), soft_wrap=True, highlight=False)
    except SystemExit:
        if not go_on:
            raise


def _tell(events: list[RhythmEvent], say: Callable[[str], None]) -> None:
    """Rhythms as lines of text; minutes are left out."""
    for event in events:
        if event.kind != MINUTE:
            say(rhythm_line(event))


def _take(collected: Collected, finding: Finding) -> None:
    """Collectors take the kind of finding that their bundle gives."""
    collected.take(finding)


def _is_normal(finding: Finding, model: Bundle) -> bool:
    """Normal beats are counted, not printed."""
    return finding.peak_s is not None and finding.class_name == model.classes[0]


def _watched(recording: RecordingFile, row: int, progress: Progress) -> Iterator[Piece]:
    """Pieces of a lead; reports how far the recording was read."""
    done = 0
    for counts, missing in recording.pieces(row):
        yield counts, missing
        done += len(counts)
        progress(done, recording.samples)


def _page(
    page: Path,
    model: Bundle,
    recording: RecordingFile,
    record: str,
    row: int,
    guessed: str,
    collected: Collected,
    summary: Summary,
    per_class: int,
) -> None:
    write_page(
        page,
        about(model, recording, record, row, guessed),
        collected,
        summary,
        lambda: recording.pieces(row),
        recording.counts_per_mv[row],
        per_class=per_class,
    )
