"""`beatlens explain RECORD`: what the device model finds in a recording, and where."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from beatlens.verbs.options import DEFAULT_BUNDLE, BundleFolder, DataFolder, EngineName


def explain(
    record: Annotated[
        str,
        typer.Argument(
            metavar="RECORD", help="WFDB record: mitdb/119, or a path with or without .hea."
        ),
    ],
    bundle: BundleFolder = DEFAULT_BUNDLE,
    data: DataFolder = None,
    lead: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Name of the lead. (default: lead II, else the first ECG lead)"
        ),
    ] = None,
    every: Annotated[
        float | None,
        typer.Option(
            min=1,
            metavar="SECONDS",
            help="Seconds between the findings of a model that decides on spans.",
        ),
    ] = 10.0,
    engine: EngineName = "auto",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object per finding.")
    ] = False,
    html: Annotated[
        Path | None,
        typer.Option(
            "--html",
            metavar="FILE",
            help="Write a page as well: summary, overview, and the strips with most evidence on "
            "ECG paper, in one file that needs nothing else.",
        ),
    ] = None,
    strips: Annotated[
        int,
        typer.Option(
            metavar="N", min=1, max=24, help="Strips of each class on the page of --html, at most."
        ),
    ] = 4,
) -> None:
    """Explain a recording: findings, evidence and a summary.

    Of a model that decides on spans: each span with its classes, a * before those found, and where
    their evidence is. Of one that decides on beats: each beat that is not normal, and what its
    decision is the sum of; rhythms, as couplets, runs, pauses and bigeminy, with their beats.
    Of one that decides on whole recordings: the class, and the same.

    Times are h:mm:ss from the start of the recording; evidence is in logits. A recording is read
    piece by piece, first to check it, so that long ones need no more memory.
    """
    from beatlens.verbs.explain_record import explain_record

    explain_record(
        record,
        bundle,
        data=data,
        lead=lead,
        every=every,
        engine=engine,
        as_json=as_json,
        page=html,
        per_class=strips,
    )
