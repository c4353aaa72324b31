"""`beatlens score RECORD...`: what a bundle finds in very many recordings, into files."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from beatlens.verbs.options import BundleFolder, DataFolder, EngineName, Jobs, Scheduler


def score(
    records: Annotated[
        list[str],
        typer.Argument(
            metavar="RECORD...",
            help="WFDB records: mitdb/119, a path without extension, or mitdb for all of a "
            "database.",
        ),
    ],
    bundle: BundleFolder = Path("runs/strips/bundle"),
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder the findings go to.")
    ] = Path("findings"),
    data: DataFolder = None,
    every: Annotated[
        float, typer.Option(min=1, help="Seconds between findings on spans; beats have their own.")
    ] = 10.0,
    engine: EngineName = "auto",
    jobs: Jobs = 1,
    scheduler: Scheduler = None,
) -> None:
    """Run the int8 model over many recordings. Writes a file of findings each, and summary.csv.

    RECORD.jsonl has the record in its first line, then a finding a line, as `explain --json` prints
    them. Interrupted, it goes on where it stopped.
    """
    from beatlens.pipeline.score import ScoreOf, claim_scores, records_named
    from beatlens.tasks.workers import Workers
    from beatlens.verbs.show import console, progress_bar

    workers = Workers(jobs, scheduler)
    wanted, folders = records_named(records, data)
    claim_scores(out, bundle, every)
    job = ScoreOf(bundle.resolve(), out.resolve(), folders, every, engine)
    with progress_bar("recordings") as shown:
        rows = list(workers.map(job, wanted, shown))
    _write(out / "summary.csv", rows)
    seconds = sum(row["seconds"] for row in rows)
    console.print(
        f"{out}: {sum(row['findings'] for row in rows):,} findings in {len(rows):,} recordings, "
        f"{seconds / 3600:.1f} h; {sum(row['undecided'] for row in rows):,} could not be decided"
    )
    console.print("Evidence used by the model, not cause. Not a medical device.", style="dim")


def _write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """One line a recording; a class that a recording has none of is 0."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    part = path.with_suffix(".part")
    with part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, restval=0)
        writer.writeheader()
        writer.writerows(rows)
    part.replace(path)
