"""`python -m benchmarks`: each benchmark writes docs/figures/NAME.json, from a checkout.

As in `beatlens`, what a benchmark needs to run is imported when it is called.
"""

from __future__ import annotations

import typer

from beatlens.cli import run
from beatlens.verbs.group import VerbGroup
from benchmarks.adapt import commands as adapt
from benchmarks.attribution import commands as attribution
from benchmarks.clinical import commands as clinical
from benchmarks.compression import commands as compression
from benchmarks.crossval import commands as crossval
from benchmarks.device import commands as device
from benchmarks.docs_tables import commands as docs_tables
from benchmarks.robustness import commands as robustness

NAME = "python -m benchmarks"
app = typer.Typer(
    name=NAME,
    cls=VerbGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Run the benchmarks behind the documentation's tables, and make the tables.",
)
app.command()(attribution.attribution)
app.command()(attribution.step_cost)
app.command()(attribution.maps)
app.command()(attribution.matching_weight)
app.command()(crossval.crossval)
app.command()(crossval.recordings_crossval)
app.command()(crossval.beats_crossval)
app.command()(robustness.qrs)
app.command()(robustness.rhythms)
app.command()(robustness.quality)
app.command()(robustness.noise)
app.command()(robustness.warnings)
app.command()(device.firmware)
app.command()(device.decoder)
app.command()(device.host)
app.command()(compression.compress)
app.command()(compression.compress_rates)
app.command()(compression.compress_tries)
app.command()(adapt.adapt)
app.command()(clinical.clinical)
app.command()(clinical.delineation)
app.command()(docs_tables.figures)

if __name__ == "__main__":
    run(NAME, lambda: app)
