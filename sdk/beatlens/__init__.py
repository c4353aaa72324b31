"""Arrhythmia classifiers for wearables that keep, on the device, what the full network explained.

Importing the package is instant and needs nothing but Python. Each name below is loaded when it is
first used: those of the device need numpy and a TFLite interpreter, those of training need torch.

>>> import beatlens
>>> bundle = beatlens.Bundle.load("beats")
>>> bundle.classes
('n', 's', 'v', 'f')
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from beatlens.version import __version__

if TYPE_CHECKING:
    from beatlens.api.compression import compress
    from beatlens.api.recordings import open
    from beatlens.api.streams import stream
    from beatlens.api.training import read_recipe, train
    from beatlens.attribution.fidelity import fidelity
    from beatlens.attribution.matching import attribute
    from beatlens.attribution.matching import build_matching as matching
    from beatlens.compression.contract import Budget
    from beatlens.nets.evidence import EvidenceNet
    from beatlens.recipe import Recipe
    from beatlens.runtime.bundle import Bundle
    from beatlens.runtime.finding import Finding
    from beatlens.signals.recording import Recording

__all__ = [
    "Budget",
    "Bundle",
    "EvidenceNet",
    "Finding",
    "Recipe",
    "Recording",
    "__version__",
    "attribute",
    "compress",
    "fidelity",
    "matching",
    "open",
    "read_recipe",
    "stream",
    "train",
]

_PUBLIC = {
    "Budget": "compression.contract:Budget",
    "Bundle": "runtime.bundle:Bundle",
    "EvidenceNet": "nets.evidence:EvidenceNet",
    "Finding": "runtime.finding:Finding",
    "Recipe": "recipe:Recipe",
    "Recording": "signals.recording:Recording",
    "attribute": "attribution.matching:attribute",
    "compress": "api.compression:compress",
    "fidelity": "attribution.fidelity:fidelity",
    "matching": "attribution.matching:build_matching",
    "open": "api.recordings:open",
    "read_recipe": "api.training:read_recipe",
    "stream": "api.streams:stream",
    "train": "api.training:train",
}
"""Public names, and where in this package each is."""


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _PUBLIC[name].partition(":")
    value = getattr(import_module(f"{__name__}.{module}"), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
