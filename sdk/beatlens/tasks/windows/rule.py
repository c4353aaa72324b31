"""The decision on a window, in integers: each class by itself, by the sum of its evidence.

    class found  <=>  sum of int8 evidence over the window's columns
                      + sum over rhythm features of table[feature][class] >= sum threshold

A threshold is a probability; the sum threshold is the same decision in integers, and the one that
counts. It is stored, not recomputed, so that every device decides alike. A rule may have lookup
tables of the rhythm up to the window's end (`beatlens.signals.rhythm_features`); one without
decides by evidence alone. Needs numpy only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beatlens.errors import ModelError
from beatlens.integer.graph import IntegerGraph, Quantization
from beatlens.runtime.contents import Contents
from beatlens.runtime.fields import Fields
from beatlens.runtime.tables_section import (
    LARGEST_ENTRY,
    check_tables,
    read_tables,
    tables_document,
)
from beatlens.signals.rhythm_features import FEATURES

LEAST_THRESHOLD = 1e-6
TABLES = "tables"
TABLES_MOST = len(FEATURES) * (LARGEST_ENTRY - 1)
"""What tables may add to a sum, or take off it."""


@dataclass(frozen=True, eq=False)
class WindowRule:
    """How windows are decided.

    Attributes:
        thresholds: probability, by class, from which on a class is found.
        sum_thresholds: the same as a sum of int8 evidence over a window's columns, by class.
        tables: int64 `[2, BINS, C]`, what the features of the rhythm add to that sum, or None.

    Raises:
        ModelError: tables of another shape, or an entry too large.
    """

    thresholds: Mapping[str, float]
    sum_thresholds: Mapping[str, int]
    tables: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        if self.tables is None:
            return
        check_tables(self.tables, FEATURES, len(self.thresholds))
        largest = int(np.abs(self.tables).max())
        if largest >= LARGEST_ENTRY:
            raise ModelError(f"largest entry {largest}, expected entries below {LARGEST_ENTRY}")

    @cached_property
    def levels(self) -> Mapping[str, float]:
        """The logit of each class's threshold."""
        return {name: logit(value) for name, value in self.thresholds.items()}

    def contributions(self, features: Sequence[int] | None) -> NDArray[np.int64]:
        """What each feature adds to the sum of each class, `[F, C]`; F is 0 without tables."""
        if self.tables is None or features is None:
            return np.zeros((0, len(self.thresholds)), np.int64)
        return np.asarray(self.tables[np.arange(len(features)), list(features)])

    def decide(self, sums: Sequence[int], features: Sequence[int] | None = None) -> list[bool]:
        """Whether each class is found.

        Args:
            sums: of evidence, in the order of the classes.
            features: of the rhythm up to the window's end, for a rule with tables.
        """
        totals = sums + self.contributions(features).sum(axis=0)
        least = list(self.sum_thresholds.values())
        return [bool(found) for found in totals >= np.array(least)]


def build_rule(
    graph: IntegerGraph,
    thresholds: Mapping[str, float],
    tables: NDArray[np.floating] | None = None,
) -> WindowRule:
    """The rule of a network.

    Args:
        graph: the network.
        thresholds: in the order of its classes.
        tables: `[2, BINS, C]`, logits, rounded to steps of the evidence sum; None for none.

    Raises:
        ModelError: a threshold is no probability within 0..1.
    """
    evidence = graph.tensors[graph.outputs["evidence"]]
    for name, value in thresholds.items():
        if not LEAST_THRESHOLD <= value <= 1 - LEAST_THRESHOLD:  # also refuses NaN
            raise ModelError(f"threshold of {name} is {value}, expected a probability within 0..1")
    most = 0 if tables is None else TABLES_MOST
    sums = {
        name: sum_threshold(value, evidence.quantization, evidence.length, most)
        for name, value in thresholds.items()
    }
    if tables is None:
        return WindowRule(dict(thresholds), sums)
    # A network whose evidence is small has small steps: what 16 bits do not hold is cut off there.
    most = LARGEST_ENTRY - 1
    steps = np.round(tables * evidence.length / evidence.quantization.scale)
    return WindowRule(dict(thresholds), sums, np.clip(steps, -most, most).astype(np.int64))


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
    tables = None
    if TABLES in fields.names():
        tables = read_tables(fields.section(TABLES), FEATURES, len(classes))
    most = 0 if tables is None else TABLES_MOST
    thresholds, sums = {}, {}
    chances, integers = fields.section("thresholds"), fields.section("sum_thresholds")
    for name in classes:
        thresholds[name] = chances.number(name, LEAST_THRESHOLD, 1 - LEAST_THRESHOLD)
        wanted = sum_threshold(thresholds[name], evidence, columns, most)
        # One more or less: logarithms of different machines may differ in their last bit.
        sums[name] = integers.integer(name, wanted - 1, wanted + 1)
    for section in (chances, integers, fields):
        section.finish()
    return WindowRule(thresholds, sums, tables)


def write_rule(rule: Any) -> dict[str, Any]:
    """What `read_rule` reads; `ModelError` for a rule of another kind."""
    if not isinstance(rule, WindowRule):
        raise ModelError(f"the rule is a {type(rule).__name__}, expected a WindowRule")
    document: dict[str, Any] = {
        "thresholds": dict(rule.thresholds),
        "sum_thresholds": dict(rule.sum_thresholds),
    }
    if rule.tables is not None:
        document[TABLES] = tables_document(rule.tables, FEATURES)
    return document


def sum_threshold(threshold: float, evidence: Quantization, columns: int, most: int = 0) -> int:
    """The smallest evidence sum over `columns` columns whose probability reaches `threshold`.

    One more than the largest possible sum where no evidence suffices. Tables add up to `most`.

    >>> sum_threshold(0.5, Quantization(0.5, -3), 160)
    -480
    """
    exact = columns * (logit(threshold) / evidence.scale + evidence.zero_point)
    return math.ceil(min(max(exact, -128 * columns - most), 127 * columns + most + 1))


def logit(probability: float) -> float:
    """Log odds of a probability strictly between 0 and 1."""
    return math.log(probability / (1.0 - probability))
