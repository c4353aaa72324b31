"""The databases by name: those of this package, and those of others by an entry point.

Another package adds a database by an entry point of the group `beatlens.databases`, whose name is
the database's and whose object is a class that follows `contract.Database`:

    [project.entry-points."beatlens.databases"]
    ward = "ward_ecg.database:Ward"

It is loaded when it is asked for by name, or when all databases are listed. A built-in name stays
what it is.

>>> database_type("cinc2017").published.slug
'challenge-2017'
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType

from beatlens.errors import DataError
from beatlens.signals.databases.afdb import Afdb
from beatlens.signals.databases.cinc2017 import Cinc2017
from beatlens.signals.databases.contract import Codes, Database, Published
from beatlens.signals.databases.cpsc2021 import Cpsc2021
from beatlens.signals.databases.edb import Edb
from beatlens.signals.databases.incartdb import Incartdb
from beatlens.signals.databases.ltafdb import Ltafdb
from beatlens.signals.databases.ludb import Ludb
from beatlens.signals.databases.mitdb import Mitdb
from beatlens.signals.databases.nstdb import Nstdb
from beatlens.signals.databases.qtdb import Qtdb
from beatlens.signals.databases.simulated_runs import SimulatedRuns
from beatlens.signals.databases.svdb import Svdb

GROUP = "beatlens.databases"
"""The group of entry points."""
DatabaseType = type[Database]

_TYPES: tuple[DatabaseType, ...] = (
    Mitdb,
    Svdb,
    Nstdb,
    Qtdb,
    Ludb,
    Cinc2017,
    Incartdb,
    Edb,
    Afdb,
    Ltafdb,
    Cpsc2021,
    SimulatedRuns,
)
BUILT_IN: Mapping[str, DatabaseType] = MappingProxyType(
    {kind.published.name: kind for kind in _TYPES}
)
"""The databases of this package, by name."""
_MEMBERS = ("records", "patient", "lead", "open", "read", "header", "annotations", "statement")


@lru_cache(maxsize=1)
def _others() -> Mapping[str, EntryPoint]:
    """Entry points of other packages, by name; the first of a name counts."""
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=GROUP):
        if point.name not in BUILT_IN:
            found.setdefault(point.name, point)
    return found


def database_names() -> tuple[str, ...]:
    """Names of all databases; nothing of another package is loaded."""
    return (*BUILT_IN, *_others())


def is_database(name: str) -> bool:
    """Whether a database is called so."""
    return name in BUILT_IN or name in _others()


def database_type(name: str) -> DatabaseType:
    """The class of the database called `name`.

    Raises
    ------
    DataError: there is none, or the package that has it does not load or does not follow the
        protocol.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    if name not in _others():
        raise DataError(f"no database is called {name!r}; there are {', '.join(database_names())}")
    return _load(_others()[name])


def published_as(name: str) -> Published:
    """What is known of the database called `name`; DataError as `database_type`."""
    return database_type(name).published


def _load(point: EntryPoint) -> DatabaseType:
    where = f"database {point.name!r} ({GROUP}: {point.value})"
    try:
        kind = point.load()
    except Exception as error:  # another package's import may raise anything
        raise DataError(
            f"{where} cannot be loaded: {type(error).__name__}: {error}; mend or remove its package"
        ) from error
    published = getattr(kind, "published", None)
    if not isinstance(kind, type) or not isinstance(published, Published):
        raise DataError(f"{where} is {kind!r}, expected a class with `published`, a Published")
    if published.name != point.name:
        raise DataError(
            f"{where}: published.name is {published.name!r}, expected the entry point's name"
        )
    lacks = [member for member in _MEMBERS if not callable(getattr(kind, member, None))]
    if not isinstance(getattr(kind, "annotated", None), Codes):
        lacks.append("annotated")
    if lacks:
        raise DataError(
            f"{where} lacks {', '.join(lacks)}, expected all of beatlens.signals.databases.Database"
        )
    return kind
