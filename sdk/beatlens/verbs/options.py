"""Options that several verbs share: how they are named, parsed and explained in help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from beatlens.runtime.released import DEFAULT, find_bundle, released_names


def complete_names(incomplete: str) -> list[str]:
    """Released models that begin so, for the shell's completion."""
    return [name for name in released_names() if name.startswith(incomplete)]


def resolve_bundle(bundle: Path | None) -> Path | None:
    """The folder of a bundle that was named; ModelError where there is none."""
    return None if bundle is None else find_bundle(bundle)


def _found_all(bundles: list[Path]) -> list[Path]:
    return [find_bundle(bundle) for bundle in bundles]


RecipePath = Annotated[
    Path | None,
    typer.Argument(
        metavar="RECIPE", help="Recipe, a TOML file. (default: the built-in recipe of windows)"
    ),
]
RunFolder = Annotated[
    Path | None,
    typer.Option(
        "--run", metavar="DIR", help="Run folder, shared by all steps. (default: runs/NAME)"
    ),
]
DataFolder = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        envvar="BEATLENS_DATA",
        help="Folder that holds the databases (mitdb, svdb, ...) as PhysioNet lays them out. "
        "(default: ../shared/data beside a checkout, else the cache of `beatlens data get`)",
    ),
]
Threads = Annotated[
    int | None, typer.Option("--threads", metavar="N", min=1, help="CPU threads. (default: all)")
]


Jobs = Annotated[
    int,
    typer.Option(
        "--jobs", metavar="N", min=1, help="Processes; each works on one recording at a time."
    ),
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        "--scheduler",
        metavar="ADDRESS",
        help="Address of a Dask scheduler, tcp://HOST:PORT. Its workers do the work instead; they "
        "must find the recordings under the same paths.",
    ),
]
EngineName = Annotated[
    str,
    typer.Option(
        "--engine",
        metavar="NAME",
        help="Engine that runs the network: auto, litert, tflite-runtime, tensorflow, simulator, "
        "or c (the C of the firmware, compiled on this computer: the fastest). All give the same "
        "findings.",
    ),
]
DEFAULT_BUNDLE = Path(DEFAULT)
BundleFolder = Annotated[
    Path,
    typer.Option(
        "--bundle",
        metavar="NAME|DIR",
        callback=resolve_bundle,
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
    Path, typer.Option("--out", metavar="DIR", help="Folder that the figures files are written to.")
]
