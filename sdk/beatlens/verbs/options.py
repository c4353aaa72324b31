"""Options that several verbs share: how they are named, parsed and explained in help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from beatlens.runtime.released import DEFAULT, find_bundle, released_names


def complete_names(incomplete: str) -> list[str]:
    """Released models that begin so, for the shell's completion."""
    return [name for name in released_names() if name.startswith(incomplete)]


def _found(bundle: Path) -> Path:
    """The folder of a bundle that was named; ModelError where there is none."""
    return find_bundle(bundle)


def _found_all(bundles: list[Path]) -> list[Path]:
    return [find_bundle(bundle) for bundle in bundles]


RecipePath = Annotated[
    Path | None,
    typer.Argument(
        metavar="RECIPE", help="Recipe, a TOML file. Left out: the built-in recipe `strips`."
    ),
]
RunFolder = Annotated[
    Path | None,
    typer.Option(
        "--run", metavar="DIR", help="Run folder all steps read and write. (default: runs/NAME)"
    ),
]
DataFolder = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        envvar="BEATLENS_DATA",
        help="Folder with databases (mitdb, svdb, ...) in PhysioNet's layout. "
        "(default: ../shared/data beside a checkout, else the cache `beatlens data get` fills)",
    ),
]
Threads = Annotated[
    int | None, typer.Option("--threads", min=1, help="CPU threads to use. (default: all)")
]


Jobs = Annotated[
    int,
    typer.Option(
        "--jobs", min=1, help="Recordings worked on at a time, each by a process of its own."
    ),
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        "--scheduler",
        metavar="ADDRESS",
        help="A Dask scheduler, tcp://HOST:PORT: its workers do it instead, and find recordings "
        "under the same paths.",
    ),
]
EngineName = Annotated[
    str,
    typer.Option(
        "--engine",
        metavar="NAME",
        help="What computes: auto, litert, tflite-runtime, tensorflow, simulator, or c: the C of "
        "the firmware, compiled here, and the fastest. All give the same findings.",
    ),
]
DEFAULT_BUNDLE = Path(DEFAULT)
BundleFolder = Annotated[
    Path,
    typer.Option(
        "--bundle",
        metavar="NAME|DIR",
        callback=_found,
        autocompletion=complete_names,
        help="Model: the name of a released one (see `beatlens models`), or a bundle's folder.",
    ),
]
BundleFolders = Annotated[
    list[Path],
    typer.Option(
        "--bundle",
        metavar="NAME|DIR",
        callback=_found_all,
        autocompletion=complete_names,
        help="Model: the name of a released one, or a bundle's folder; repeatable.",
    ),
]
Out = Annotated[
    Path, typer.Option("--out", metavar="DIR", help="Folder for the figures files written.")
]
