"""`beatlens adapt BUNDLE RECORD`: a model of beats fitted to one patient's reviewed beats."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from beatlens.verbs.options import DataFolder, EngineName, complete_names, resolve_bundle


def adapt(
    bundle: Annotated[
        Path,
        typer.Argument(
            metavar="BUNDLE",
            callback=resolve_bundle,
            autocompletion=complete_names,
            help="Model of beats: the name of a released one, or a bundle's folder.",
        ),
    ],
    record: Annotated[
        str,
        typer.Argument(
            metavar="RECORD",
            help="WFDB record whose beats were reviewed: mitdb/201, a path, or the path of the "
            "annotation file beside it, such as ward/201.atr.",
        ),
    ],
    annotator: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Ending of the annotation file. (default: that of RECORD, or atr)"
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            min=0.5,
            metavar="N",
            help="Minutes that were reviewed. (default: up to the last annotated beat)",
        ),
    ] = None,
    start: Annotated[
        float, typer.Option("--from", min=0, metavar="SECONDS", help="Where the review begins.")
    ] = 0.0,
    end: Annotated[
        float | None,
        typer.Option("--to", min=0, metavar="SECONDS", help="Where it ends; instead of --minutes."),
    ] = None,
    lead: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Name of the lead. (default: lead II, else the first ECG lead)"
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Name of the new model. (default: the model's and the patient's)"
        ),
    ] = None,
    recipe: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Recipe of a model of your own, for the codes of its classes' beats. (default: "
            "the built-in recipe of beats)",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="DIR", help="New folder for the bundle. (default: the new name)"
        ),
    ] = None,
    data: DataFolder = None,
    engine: EngineName = "auto",
) -> None:
    """Adapt a model of beats to one patient by reviewed beats.

    Offsets and lookup tables of the model's rule are fitted to the reviewed beats, close to what
    they were; the network stays as it is. Five minutes are enough if they have at least five beats
    of an ectopic class; other classes stay as they are.

    What is gained is counted on beats that nothing was fitted on: those annotated after the
    reviewed time, else the reviewed minutes, block by block. If nothing is gained, no bundle is
    written. The new bundle is one like any other: explain it, score with it, make firmware of it.
    """
    from beatlens.errors import ModelError, RecipeError
    from beatlens.pipeline.adapt import ReviewedRecord, adapt_bundle
    from beatlens.runtime.bundle import Bundle
    from beatlens.tasks.registry import read_recipe
    from beatlens.verbs.runs import print_summary
    from beatlens.verbs.show import console

    if minutes is not None and end is not None:
        raise RecipeError("--minutes and --to were given, expected one of them")
    given = ReviewedRecord(
        record,
        annotator,
        lead,
        data,
        start,
        start + 60 * minutes if minutes is not None else end,
    )
    chosen = None if recipe is None else read_recipe(recipe)
    made = adapt_bundle(Bundle.load(bundle), given, out, name, chosen, engine)
    if made.adapted.summary is not None:
        print_summary(made.adapted.summary)
    if made.folder is None:
        raise ModelError(f"no bundle is written: {made.adapted.reason}")
    console.print(
        f"{made.folder}: model {made.name}, adapted to lead {made.lead} of {record}", markup=False
    )
    console.print("Of this patient only. Not a medical device.", style="dim")
