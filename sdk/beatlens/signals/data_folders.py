"""Folders of databases: the one that was asked for, the one beside a checkout, the cache.

>>> cache_root().parts[-2:]
('beatlens', 'data')
"""

import os
from contextlib import suppress
from pathlib import Path

from beatlens.errors import DataError

DATA_VARIABLE = "BEATLENS_DATA"


def asked_by(data: Path | str | None) -> str:
    """The option or the variable by which a folder was asked for."""
    return "--data" if data is not None else DATA_VARIABLE


def folder_asked_for(data: Path | str | None) -> Path | None:
    """The folder named by `data` or `BEATLENS_DATA`, whatever it holds; None: none was.

    Raises
    ------
    DataError: it does not exist.
    """
    named = data if data is not None else os.environ.get(DATA_VARIABLE) or None
    if named is None:
        return None
    try:
        root = Path(named).expanduser()
    except RuntimeError as error:
        raise DataError(f"{asked_by(data)} is {str(named)!r}: {error}") from error
    if not is_folder(root):
        raise DataError(f"{asked_by(data)} is {str(named)!r}, expected a folder that exists")
    return root


def is_folder(path: Path) -> bool:
    """Whether a path is a folder that can be looked into."""
    try:
        return path.is_dir()
    except OSError:  # a name that no file system has, or a folder that nobody may look into
        return False


def data_roots(data: Path | str | None = None) -> tuple[Path, ...]:
    """Folders looked in for databases, first to last; DataError if the one named is none."""
    named = folder_asked_for(data)
    roots = [] if named is None else [named]
    checkout = Path(__file__).resolve().parents[3]
    beside = checkout.parent / "shared" / "data"
    if (checkout / "sdk").is_dir() and beside.is_dir():
        roots.append(beside)
    with suppress(DataError):  # no home folder, no cache
        roots.append(cache_root())
    return tuple(roots)


def cache_root() -> Path:
    """Where `beatlens data get` puts databases: `$XDG_CACHE_HOME/beatlens/data`, else ~/.cache.

    Raises DataError where the user has no home folder.
    """
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(base) if base else Path.home() / ".cache") / "beatlens" / "data"
    except RuntimeError as error:
        raise DataError(
            "no home folder is known for the cache of databases; set HOME or XDG_CACHE_HOME, or "
            "name a folder"
        ) from error
