"""Compression methods by the names recipes use.

>>> build_method("prune-channels", {"importance": "taylor"}).importance
'taylor'
>>> build_method("prune-chanels", {})
Traceback (most recent call last):
beatlens.errors.RecipeError: method is 'prune-chanels', expected one of code-kernels, distill, ...
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, cast

from beatlens.compress.contract import Method
from beatlens.compress.distill_method import Distill
from beatlens.compress.evidence_repair import RepairEvidence
from beatlens.compress.head_refit import RefitHead
from beatlens.compress.kernel_codebook import CodeKernels
from beatlens.compress.low_bit import LowBitWeights
from beatlens.compress.magnitude import PruneWeights
from beatlens.compress.manifold_head import ManifoldHead
from beatlens.compress.permuted_blocks import BlockWeights
from beatlens.compress.prune_channels import PruneChannels
from beatlens.compress.quantize import Quantize
from beatlens.compress.regularised import RegularisedPruning
from beatlens.compress.unify import UnifyWeights
from beatlens.errors import RecipeError

METHODS: dict[str, type] = {
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
AFTER_INT8 = ("head-refit", "head-manifold", "repair-evidence")
"""Methods that also take a network that is int8 already."""


def build_method(name: str, settings: Mapping[str, Any]) -> Method:
    """The method a recipe names, with its settings.

    Raises:
        RecipeError: no such method, no such setting, or a value of another type or out of range.
    """
    if name not in METHODS:
        raise RecipeError(f"method is {name!r}, expected one of {', '.join(METHODS)}")
    known = {field.name: str(field.type) for field in fields(METHODS[name])}
    for key, value in settings.items():
        if key not in known or known[key].startswith("Schedule"):
            listed = ", ".join(k for k, v in known.items() if not v.startswith("Schedule"))
            raise RecipeError(f"{name}: no setting {key!r}, expected one of {listed or 'none'}")
        if type(value).__name__ not in _accepted(known[key]):
            raise RecipeError(f"{name}: {key} is {value!r}, expected {known[key]}")
    plain = {k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()}
    return cast(Method, METHODS[name](**plain))


def _accepted(annotation: str) -> set[str]:
    """Types of TOML values that fit a field's annotation."""
    wanted = {part.strip().split("[")[0] for part in annotation.split("|")}
    if "float" in wanted:
        wanted.add("int")
    if "tuple" in wanted:
        wanted.add("list")
    return wanted
