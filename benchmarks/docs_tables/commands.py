"""`python -m benchmarks figures`: the documentation's tables and plots out of docs/figures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def figures(
    root: Annotated[
        Path, typer.Option("--root", metavar="DIR", help="Folder of README.md and docs/.")
    ] = Path("."),
    folder: Annotated[
        Path | None,
        typer.Option(
            "--figures",
            metavar="DIR",
            help="Folder of the figures files. (default: docs/figures of the root)",
        ),
    ] = None,
) -> None:
    """Make the tables and plots of the documentation.

    They are made from the committed figures files. Tables are replaced between their marks in
    README.md and the pages under docs/. A table whose figures file is missing stays as it is.
    """
    from beatlens.verbs.show import console
    from benchmarks.docs_tables.rebuild import remake

    for made in remake(root, folder or root / "docs" / "figures"):
        console.print(made)
