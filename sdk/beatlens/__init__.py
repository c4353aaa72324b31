"""Arrhythmia classifiers for wearables that show, on the device, what they looked at.

Importing the package is instant and needs nothing but Python; what a device needs
is one attribute away and brings numpy and a TFLite interpreter with it, never torch:

>>> import beatlens
>>> sorted(beatlens.__all__)
['Bundle', 'Finding', 'Stream', '__version__']
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from beatlens.version import __version__

if TYPE_CHECKING:
    from beatlens.runtime.bundle import Bundle
    from beatlens.runtime.finding import Finding
    from beatlens.runtime.stream import Stream

__all__ = ["Bundle", "Finding", "Stream", "__version__"]

_LAZY = {
    "Bundle": "beatlens.runtime.bundle",
    "Finding": "beatlens.runtime.finding",
    "Stream": "beatlens.runtime.stream",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
