"""A recording's page, from what was collected to the file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path

from beatlens.ecg_page.collect import Collected
from beatlens.ecg_page.page import About, render_page
from beatlens.ecg_page.signal_parts import read_parts
from beatlens.ecg_page.strips import choose_strips
from beatlens.ecg_page.summary import Summary
from beatlens.errors import DataError
from beatlens.report.files import write_atomic
from beatlens.runtime.bundle import Bundle
from beatlens.signals.recorded_at import recorded_at
from beatlens.signals.recording import Piece
from beatlens.signals.wfdb_pieces import RecordingFile

SUFFIXES = (".html", ".htm")


def check_page_path(path: Path) -> None:
    """Refuse a path that no page can be written to, before a long recording is read.

    Raises:
        DataError: the name does not end in .html or .htm, it is a folder, or its folder is missing.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise DataError(
            f"the page's file is {str(path)!r}, expected a name that ends in .html, "
            "so that no recording is overwritten"
        )
    if path.is_dir():
        raise DataError(f"{path} is a folder; name a file in it")
    if not path.parent.is_dir():
        raise DataError(f"{path.parent} is no folder; make it first, or name another file")


def about(
    model: Bundle, recording: RecordingFile, record: str, row: int, guessed: str = ""
) -> About:
    """Facts of the record, by the name it was asked for, and of the model, for a page."""
    when = recorded_at(recording.header_path)
    return About(
        record=record,
        lead=recording.lead_names[row],
        guessed=guessed,
        recorded_at="" if when is None else f"{when:%Y-%m-%d %H:%M:%S}",
        calibrated=recording.calibrated,
        rate_hz=recording.rate_hz,
        model=model.name,
        digest=f"SHA-256 {hashlib.sha256(model.tflite).hexdigest()[:12]}",
        decides_on=model.decides_on,
        versions=model.versions,
    )


def write_page(
    path: Path,
    of: About,
    collected: Collected,
    summary: Summary,
    pieces: Callable[[], Iterable[Piece]],
    counts_per_mv: float,
    *,
    per_class: int,
) -> Path:
    """Write the page, whole or not at all.

    Args:
        path: of the file.
        of: record and model.
        collected, summary: what was found.
        pieces: gives the lead's samples once more; only those of strips are kept.
        counts_per_mv: gain of the lead.
        per_class: most strips of one class.

    Raises:
        DataError: the file cannot be written.
    """
    strips = choose_strips(collected, summary.peaks_s, per_class)
    windows = [(strip.start_s, strip.end_s) for strip in strips]
    parts = read_parts(pieces(), of.rate_hz, windows) if windows else ()
    traces = [part.millivolts(counts_per_mv) for part in parts]
    for trace in traces:
        if not len(trace):
            raise DataError(f"record {of.record} ends before a strip that was found in it")
    return write_atomic(path, render_page(of, collected, summary, strips, traces))
