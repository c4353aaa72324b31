"""The decision on a window, in integers: each class by itself, by the sum of its evidence.

    class found  <=>  sum of int8 evidence over the window's columns >= sum threshold

A threshold is a probability; the sum threshold is the same decision in integers, and the one that
counts. It is stored, not recomputed, so that every device decides alike. Needs numpy only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from beatlens.errors import ModelError
from beatlens.integer.graph import IntegerGraph, Quantization
from beatlens.runtime.contents import Contents
from beatlens.runtime.fields import Fields

LEAST_THRESHOLD = 1e-6


@dataclass(frozen=True, eq=False)
class WindowRule:
    """How windows are decided.

    Attributes:
        thresholds: probability, by class, from which on a class is found.
        sum_thresholds: the same as a sum of int8 evidence over a window's columns, by class.
    """

    thresholds: Mapping[str, float]
    sum_thresholds: Mapping[str, int]

    @cached_property
    def levels(self) -> Mapping[str, float]:
        """The logit of each class's threshold."""
        return {name: logit(value) for name, value in self.thresholds.items()}

    def decide(self, sums: Sequence[int]) -> list[bool]:
        """Whether each class is found, of evidence sums in the order of the classes."""
        return [s >= least for s, least in zip(sums, self.sum_thresholds.values(), strict=True)]


def build_rule(graph: IntegerGraph, thresholds: Mapping[str, float]) -> WindowRule:
    """The rule of a network and of thresholds in the order of its classes.

    Raises:
        ModelError: a threshold is no probability within 0..1.
    """
    evidence = graph.tensors[graph.outputs["evidence"]]
    for name, value in thresholds.items():
        if not LEAST_THRESHOLD <= value <= 1 - LEAST_THRESHOLD:  # also refuses NaN
            raise ModelError(f"threshold of {name} is {value}, expected a probability within 0..1")
    sums = {
        name: sum_threshold(value, evidence.quantization, evidence.length)
        for name, value in thresholds.items()
    }
    return WindowRule(dict(thresholds), sums)


def window_rule(bundle: Contents) -> WindowRule:
    """The bundle's rule for windows; `ModelError` for one that decides on something else."""
    if not isinstance(bundle.rule, WindowRule):
        raise ModelError(
            f"bundle {bundle.name!r} is of kind {bundle.kind_name!r}, expected one of windows"
        )
    return bundle.rule


def read_rule(
    fields: Fields, classes: tuple[str, ...], columns: int, evidence: Quantization
) -> WindowRule:
    """See `beatlens.runtime.kind.Kind.read_rule`."""
    thresholds, sums = {}, {}
    chances, integers = fields.section("thresholds"), fields.section("sum_thresholds")
    for name in classes:
        thresholds[name] = chances.number(name, LEAST_THRESHOLD, 1 - LEAST_THRESHOLD)
        wanted = sum_threshold(thresholds[name], evidence, columns)
        # One more or less: logarithms of different machines may differ in their last bit.
        sums[name] = integers.integer(name, wanted - 1, wanted + 1)
    for section in (chances, integers, fields):
        section.finish()
    return WindowRule(thresholds, sums)


def write_rule(rule: Any) -> dict[str, Any]:
    """What `read_rule` reads; `ModelError` for a rule of another kind."""
    if not isinstance(rule, WindowRule):
        raise ModelError(f"the rule is a {type(rule).__name__}, expected a WindowRule")
    return {"thresholds": dict(rule.thresholds), "sum_thresholds": dict(rule.sum_thresholds)}


def sum_threshold(threshold: float, evidence: Quantization, columns: int) -> int:
    """The smallest evidence sum over `columns` columns whose probability reaches `threshold`.

    One more than the largest possible sum where no evidence suffices.

    >>> sum_threshold(0.5, Quantization(0.5, -3), 160)
    -480
    """
    exact = columns * (logit(threshold) / evidence.scale + evidence.zero_point)
    return math.ceil(min(max(exact, -128 * columns), 127 * columns + 1))


def logit(probability: float) -> float:
    """Log odds of a probability strictly between 0 and 1."""
    return math.log(probability / (1.0 - probability))
