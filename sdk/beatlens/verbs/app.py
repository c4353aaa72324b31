"""The command line: every verb, joined.

The modules joined here hold options and help only. What a verb needs to run, its function imports
when it is called; so help and completion start at once, and a verb runs without the packages that
only other verbs need.

>>> from typer.testing import CliRunner
>>> CliRunner().invoke(app, ["--version"]).output.split()[0]
'beatlens'
"""

from __future__ import annotations

from typing import Annotated

import typer

from beatlens.verbs import data
from beatlens.verbs.adapt import adapt
from beatlens.verbs.demo import demo
from beatlens.verbs.explain import explain
from beatlens.verbs.firmware import firmware
from beatlens.verbs.group import VerbGroup
from beatlens.verbs.models import models
from beatlens.verbs.score import score
from beatlens.verbs.steps import compress, evaluate, export, train
from beatlens.version import __version__

app = typer.Typer(
    name="beatlens",
    cls=VerbGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # Plain text takes half the time, and brackets stay brackets.
)
app.command()(models)
app.command()(explain)
app.command()(score)
app.command()(adapt)
app.command()(firmware)
app.command()(demo)
app.command()(train)
app.command()(compress)
app.command()(evaluate)
app.command()(export)
app.add_typer(data.app, name="data")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"beatlens {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Train, compress and export ECG classifiers; run them, with the evidence of each decision."""
