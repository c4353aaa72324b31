"""Where databases lie: in a folder asked for, beside a checkout, or in the cache."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from beatlens.errors import DataError
from beatlens.signals.data_folders import (
    DATA_VARIABLE,
    asked_by,
    data_roots,
    folder_asked_for,
    is_folder,
)
from beatlens.signals.databases.contract import Database
from beatlens.signals.databases.registry import BUILT_IN, database_names, database_type


class DatabaseNotFoundError(DataError):
    """None of the places that are looked in has a database."""


def find_database(name: str, data: Path | str | None = None) -> Database:
    """The database called `name`, from the first place that has it (see the package's top).

    Parameters
    ----------
    name: of a built-in database, or of one of another package.
    data: a folder of databases, looked in first; it must exist.

    Raises
    ------
    DatabaseNotFoundError: none of the places has it.
    DataError: no such database; the folder named does not exist or holds no database at all; or
        the first place that has the database has none of its records, or a damaged list of them.
    """
    kind = database_type(name)
    published = kind.published
    named_folder(data)
    if published.simulated:
        return kind(Path())
    roots = data_roots(data)
    for root in roots:
        parts = [root / part for part in dict.fromkeys((name, published.slug)) if part]
        for part in parts:
            for version in ("", published.version):
                for inner in dict.fromkeys(("", published.records_in)):
                    database = kind(part / version / inner)
                    if database.records():
                        return database
        if empty := [part for part in parts if is_folder(part)]:
            again = f"`beatlens data get {name}` goes on where it stopped, or "
            raise DataError(
                f"{empty[0]}: is there, but has none of the {published.records} records of {name}; "
                f"{again if published.slug else ''}delete the folder"
            )
    looked = ", ".join(str(root / name) for root in roots)
    fetch = f"`beatlens data get {name}` fetches it from PhysioNet; " if published.slug else ""
    raise DatabaseNotFoundError(
        f"{name} ({published.title}) is not there; looked for {looked}. {fetch}if you have it, "
        f"name the folder above it by --data or {DATA_VARIABLE}"
    )


@lru_cache(maxsize=16)
def database_in(name: str, folder: Path) -> Database:
    """The database called `name` whose records lie in `folder`, as `find_database` found it.

    For workers that are called record by record: its list of records is read once.
    """
    return database_type(name)(folder)


def named_folder(data: Path | str | None = None) -> Path | None:
    """The folder of databases that was asked for, by `data` or `BEATLENS_DATA`; None: none was.

    Raises
    ------
    DataError: it does not exist, or holds none of the databases: its name is mistyped, say.
    """
    root = folder_asked_for(data)
    if root is None:
        return None
    names = database_names()
    slugs = [slug for kind in BUILT_IN.values() if (slug := kind.published.slug)]
    if not any(is_folder(root / part) for part in (*names, *slugs)):
        raise DataError(
            f"{asked_by(data)} is {str(root)!r}, which holds none of the databases "
            f"{', '.join(names)}; expected the folder above them"
        )
    return root
