"""`beatlens data`: what is at hand, and getting what is not."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from beatlens.verbs.group import VerbGroup
from beatlens.verbs.options import DataFolder

app = typer.Typer(
    cls=VerbGroup, no_args_is_help=True, help="List, download and check ECG databases."
)

DatabaseName = Annotated[
    str, typer.Argument(metavar="NAME", help="Name of a database, as `beatlens data list` shows.")
]


def _front_end_note(rate_hz: int | None) -> str:
    """A sentence, where the front end does not read a database's rate; else empty."""
    from beatlens.signals.frontend import RATES_HZ

    if rate_hz is None or rate_hz in RATES_HZ:
        return ""
    return f"The front end does not read {rate_hz} Hz yet: no model runs on these records."


@app.command("list")
def list_databases(data: DataFolder = None) -> None:
    """List the databases that beatlens knows, and where they are."""
    from rich.markup import escape
    from rich.table import Table

    from beatlens.errors import DataError
    from beatlens.signals.databases import (
        DatabaseNotFoundError,
        database_names,
        find_database,
        named_folder,
        published_as,
    )
    from beatlens.verbs.show import console

    named_folder(data)  # a mistyped one is an error
    notes = []
    table = Table()
    for heading in ("name", "title", "records", "where"):
        table.add_column(heading, justify="right" if heading == "records" else "left")
    for name in database_names():
        try:
            published = published_as(name)
        except DataError as error:  # of another package
            table.add_row(name, "", "", escape(str(error)))
            continue
        if note := _front_end_note(published.expected.rate_hz):
            notes.append(f"{name}: {note}")
        try:
            database = find_database(name, data)
            records = f"{len(database.records())} of {published.records}"
            where = "made when asked for" if published.simulated else str(database.folder)
            table.add_row(name, published.title, records, escape(where))
        except DatabaseNotFoundError:
            table.add_row(name, published.title, f"0 of {published.records}", "not found")
        except DataError as error:
            table.add_row(name, published.title, f"0 of {published.records}", escape(str(error)))
    console.print(table, soft_wrap=False)
    for line in notes:
        console.print(line, markup=False)


@app.command()
def get(
    name: DatabaseName,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--to", metavar="DIR", help="Folder to download to. (default: the user's cache)"
        ),
    ] = None,
) -> None:
    """Download a database from PhysioNet.

    A download that was interrupted continues where it stopped.
    """
    from beatlens.signals.download import get_database
    from beatlens.verbs.show import console, progress_bar

    with progress_bar(f"getting {name}") as show:
        database = get_database(name, folder, progress=lambda done, all_, _path: show(done, all_))
    console.print(f"{name}: {len(database.records())} records in {database.folder}")
    if note := _front_end_note(database.published.expected.rate_hz):
        console.print(f"{name}: {note}", markup=False)


@app.command()
def check(
    name: DatabaseName,
    data: DataFolder = None,
) -> None:
    """Check every record of a database; list those that are damaged."""
    from beatlens.errors import DataError
    from beatlens.signals.databases import find_database
    from beatlens.verbs.show import console, progress_bar

    database = find_database(name, data)
    records = database.records()
    damaged = []
    with progress_bar(f"checking {name}") as show:
        for index, record in enumerate(records):
            try:
                database.read(record)
            except DataError as error:
                damaged.append(str(error))
            show(index + 1, len(records))
    for line in damaged:
        console.print(line, style="red", markup=False)
    if damaged:
        raise DataError(f"{len(damaged)} of {len(records)} records of {name} are damaged")
    console.print(f"{name}: {len(records)} records checked, none is damaged")
