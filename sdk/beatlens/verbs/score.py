"""`beatlens score RECORD...`: what a bundle finds in very many recordings, into files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from beatlens.verbs.options import (
    DEFAULT_BUNDLE,
    BundleFolder,
    DataFolder,
    EngineName,
    Jobs,
    Scheduler,
)

if TYPE_CHECKING:
    from beatlens.pipeline.score import Row


def score(
    records: Annotated[
        list[str],
        typer.Argument(
            metavar="RECORD",
            help="WFDB records: mitdb/119, a path with or without .hea, or mitdb for all of that "
            "database.",
        ),
    ],
    bundle: BundleFolder = DEFAULT_BUNDLE,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder that the findings are written to.")
    ] = Path("findings"),
    data: DataFolder = None,
    every: Annotated[
        float,
        typer.Option(
            min=1,
            metavar="SECONDS",
            help="Seconds between the findings of a model that decides on spans.",
        ),
    ] = 10.0,
    engine: EngineName = "auto",
    jobs: Jobs = 1,
    scheduler: Scheduler = None,
) -> None:
    """Score many recordings: a file of findings each, and summary.csv.

    A file of findings is JSON Lines: what it was made of, a finding a line as `explain --json`
    prints them, of a model of beats a rhythm a line, and a last line that counts them. summary.csv
    names the file of each recording and has its counts.

    Interrupted, it goes on where it stopped. A recording, bundle or option that changed is scored
    again. A recording that cannot be read has its reason in summary.csv (column error); the others
    are scored, and the exit status is 1.
    """
    from beatlens.errors import DataError
    from beatlens.pipeline.score import SUMMARY, refused_row, score_job, write_summary
    from beatlens.pipeline.whole_files import remove_parts
    from beatlens.signals.record_names import NoRecord, find_records
    from beatlens.tasks.common.workers import Workers
    from beatlens.verbs.show import progress_bar

    workers = Workers(jobs, scheduler)
    named = find_records(records, data)
    places = [each for each in named if not isinstance(each, NoRecord)]
    if not places and isinstance(named[0], NoRecord):
        raise DataError(_refused(len(named), len(named), named[0].reason))
    job = score_job(out, bundle, every, engine, here=scheduler is None)
    with progress_bar("recordings") as shown:
        try:
            scored = iter(list(workers.map(job, places, shown)))
        except BaseException:
            remove_parts(job.out, job.run)  # of workers that were stopped
            raise
    rows = [
        refused_row(each.label, each.reason) if isinstance(each, NoRecord) else next(scored)
        for each in named
    ]
    write_summary(out / SUMMARY, rows)
    if good := [row for row in rows if not row["error"]]:
        _report(out, good)
    errors = [row["error"] for row in rows if row["error"]]
    if errors:
        raise DataError(f"{_refused(len(errors), len(rows), errors[0])} ({out / SUMMARY})")


def _report(out: Path, rows: list[Row]) -> None:
    from beatlens.verbs.show import console

    console.print(
        f"{out}: {sum(row['findings'] for row in rows):,} findings in {len(rows):,} recordings, "
        f"{sum(row['seconds'] for row in rows) / 3600:.1f} h; "
        f"{sum(row['undecided'] for row in rows):,} could not be decided",
        markup=False,
    )
    console.print("Evidence used by the model, not cause. Not a medical device.", style="dim")


def _refused(count: int, total: int, reason: str) -> str:
    """How many recordings were refused, and why the first one was."""
    if total == 1:
        return f"the recording was refused: {reason}"
    return f"{count:,} of {total:,} recordings refused, the first because: {reason}"
