"""Compression methods by the names that recipes use: those of this package, and of others.

Another package adds a method by an entry point of the group `beatlens.compressors`. Its name is
what recipes write as `method`; its object is a dataclass that follows `contract.Method`:

    [project.entry-points."beatlens.compressors"]
    halve = "my_package.halve:Halve"

The fields of the dataclass are the settings of a recipe's step: `bool`, `int`, `float`, `str`,
`Literal` of texts, `tuple[int, ...]`, or one of them `| None`. Its `__post_init__` refuses values
out of range with a `RecipeError`. A class attribute `after_int8 = True` allows the step after
`quantize` as well. An entry point is loaded when a recipe names it; it cannot replace a built-in
method.

>>> build_method("prune-channels", {"importance": "taylor"}).importance
'taylor'
>>> build_method("prune-chanels", {})
Traceback (most recent call last):
beatlens.errors.RecipeError: method is 'prune-chanels', expected one of code-kernels, distill, ...
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field, fields, is_dataclass
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Any, cast

from beatlens.compression.contract import Method
from beatlens.compression.distill_method import Distill
from beatlens.compression.evidence_repair import RepairEvidence
from beatlens.compression.head_refit import RefitHead
from beatlens.compression.kernel_codebook import CodeKernels
from beatlens.compression.low_bit import LowBitWeights
from beatlens.compression.magnitude import PruneWeights
from beatlens.compression.manifold_head import ManifoldHead
from beatlens.compression.permuted_blocks import BlockWeights
from beatlens.compression.prune_channels import PruneChannels
from beatlens.compression.quantize import Quantize
from beatlens.compression.regularised import RegularisedPruning
from beatlens.compression.unify import UnifyWeights
from beatlens.errors import RecipeError

GROUP = "beatlens.compressors"
"""The group of entry points."""
METHODS: Mapping[str, type] = MappingProxyType(
    {
        "code-kernels": CodeKernels,
        "distill": Distill,
        "head-manifold": ManifoldHead,
        "head-refit": RefitHead,
        "low-bit": LowBitWeights,
        "permuted-blocks": BlockWeights,
        "prune-channels": PruneChannels,
        "prune-regularised": RegularisedPruning,
        "prune-weights": PruneWeights,
        "quantize": Quantize,
        "repair-evidence": RepairEvidence,
        "unify-weights": UnifyWeights,
    }
)
"""The methods of this package, by name."""
AFTER_INT8 = tuple(name for name, kind in METHODS.items() if getattr(kind, "after_int8", False))
"""Methods of this package that also take a network that is int8 already."""


@lru_cache(maxsize=1)
def _others() -> Mapping[str, EntryPoint]:
    """Entry points of other packages, by name; the first of a name counts."""
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=GROUP):
        if point.name not in METHODS:
            found.setdefault(point.name, point)
    return found


def method_names() -> tuple[str, ...]:
    """Names of all methods; nothing of another package is loaded."""
    return (*METHODS, *_others())


def find_method(name: str) -> type:
    """The class of the method called `name`.

    Raises:
        RecipeError: there is none, or the package that has it does not load, or its object does not
            follow `contract.Method`.
    """
    if name in METHODS:
        return METHODS[name]
    if name not in _others():
        raise RecipeError(f"method is {name!r}, expected one of {', '.join(method_names())}")
    return _load(_others()[name])


def runs_after_int8(name: str) -> bool:
    """Whether a method also takes a network that is int8 already; RecipeError as `find_method`."""
    return bool(getattr(find_method(name), "after_int8", False))


def build_method(name: str, settings: Mapping[str, Any]) -> Method:
    """Build the method a recipe names, with its settings.

    Args:
        name: one of `method_names()`.
        settings: by field of the method's dataclass, as TOML has them.

    Raises:
        RecipeError: as `find_method`; no such setting, or a value of another type or out of range.
    """
    kind = find_method(name)
    known = {field.name: _annotation(field) for field in fields(kind) if field.init}
    for key, value in settings.items():
        if key not in known or known[key].startswith("Schedule"):
            listed = ", ".join(k for k, v in known.items() if not v.startswith("Schedule"))
            raise RecipeError(f"{name}: no setting {key!r}, expected one of {listed or 'none'}")
        if type(value).__name__ not in _accepted(known[key]):
            raise RecipeError(f"{name}: {key} is {value!r}, expected {known[key]}")
    plain = {k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()}
    return cast(Method, kind(**plain))


def _annotation(field: Field[Any]) -> str:
    """A field's annotation as it is written in the source."""
    found = field.type
    return found.__name__ if type(found) is type else str(found).replace("typing.", "")


def _accepted(annotation: str) -> set[str]:
    """Types of TOML values that fit a field's annotation."""
    wanted = {part.strip().split("[")[0] for part in annotation.split("|")}
    if "float" in wanted:
        wanted.add("int")
    if "tuple" in wanted:
        wanted.add("list")
    if "Literal" in wanted:
        wanted.add("str")
    return wanted


def _load(point: EntryPoint) -> type:
    where = f"method {point.name!r} ({GROUP}: {point.value})"
    try:
        kind = point.load()
    except Exception as error:  # another package's import may raise anything
        raise RecipeError(
            f"{where} cannot be loaded: {type(error).__name__}: {error}; mend or remove its package"
        ) from error
    if not isinstance(kind, type) or not is_dataclass(kind):
        raise RecipeError(f"{where} is {kind!r}, expected a dataclass")
    lacks = [member for member in ("name", "check") if not hasattr(kind, member)]
    if "__call__" not in dir(kind):
        lacks.append("__call__")
    if lacks:
        raise RecipeError(
            f"{where} lacks {', '.join(lacks)}, expected all of "
            "beatlens.compression.contract.Method"
        )
    return kind
