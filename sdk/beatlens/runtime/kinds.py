"""The kinds of span by name: those of this package, and those of others by an entry point.

Another package adds a kind by an entry point of the group `beatlens.tasks`, whose name is the
kind's and whose object follows `kind.Kind`:

    [project.entry-points."beatlens.tasks"]
    breaths = "breath_ecg.kind:BREATHS"

A kind is imported when a bundle of it is opened or made. A built-in name stays what it is.

>>> find_kind("beats").name, kind_names()[:3]
('beats', ('windows', 'beats', 'recordings'))
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, lru_cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Any

from beatlens.errors import ModelError
from beatlens.runtime.kind import Kind

GROUP = "beatlens.tasks"
"""The group of entry points."""
BUILT_IN: Mapping[str, str] = MappingProxyType(
    {
        "windows": "beatlens.tasks.windows.kind:WINDOWS",
        "beats": "beatlens.tasks.beats.kind:BEATS",
        "recordings": "beatlens.tasks.recordings.kind:RECORDINGS",
    }
)
"""MODULE:OBJECT of the kinds of this package, by name."""
_MEMBERS = tuple(name for name in vars(Kind) if not name.startswith("_"))


@lru_cache(maxsize=1)
def _others() -> Mapping[str, EntryPoint]:
    """Entry points of other packages, by name; the first of a name counts."""
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=GROUP):
        if point.name not in BUILT_IN:
            found.setdefault(point.name, point)
    return found


def kind_names() -> tuple[str, ...]:
    """Names of all kinds; nothing is loaded."""
    return (*BUILT_IN, *_others())


@cache
def find_kind(name: str) -> Kind:
    """The kind called `name`.

    Raises:
        ModelError: there is none, or the package that has it does not load or does not follow the
            protocol.
    """
    if name in BUILT_IN:
        module, _, attribute = BUILT_IN[name].partition(":")
        found: Kind = getattr(import_module(module), attribute)
        return found
    if name not in _others():
        raise ModelError(
            f"no kind of span is called {name!r}, expected one of {', '.join(kind_names())}; was "
            "the bundle made with a package that is not installed?"
        )
    return _checked(_others()[name])


def _checked(point: EntryPoint) -> Kind:
    where = f"kind {point.name!r} ({GROUP}: {point.value})"
    try:
        kind: Any = point.load()
    except Exception as error:  # another package's import may raise anything
        raise ModelError(
            f"{where} cannot be loaded: {type(error).__name__}: {error}; mend or remove its package"
        ) from error
    if lacks := [member for member in _MEMBERS if not hasattr(kind, member)]:
        raise ModelError(f"{where} lacks {', '.join(lacks)}, expected all of beatlens.runtime.kind")
    if kind.name != point.name:
        raise ModelError(f"{where}: its name is {kind.name!r}, expected the entry point's")
    found: Kind = kind
    return found
