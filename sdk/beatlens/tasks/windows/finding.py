"""Findings on windows: every class is decided by itself, by the sum of its evidence."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from beatlens.runtime.columns import Columns, Tally
from beatlens.runtime.contents import Contents
from beatlens.runtime.engines import dequantize
from beatlens.runtime.finding import Finding
from beatlens.runtime.quality import Limits, describe_span, list_notes
from beatlens.runtime.warning_bits import name_warnings
from beatlens.signals.frontend import MODEL_RATE_HZ
from beatlens.signals.rhythm_features import STEPS
from beatlens.tasks.windows.rule import window_rule


def assess(
    bundle: Contents,
    limits: Limits,
    start: int,
    columns: Columns,
    features: tuple[int, ...] | None,
) -> Finding:
    """The finding on the span of `columns` whose first one is number `start` of the stream.

    `features` are those of the rhythm up to its end, for a rule with tables.
    """
    tally = columns.tally(bundle.geometry.stride)
    if not limits.allow(tally, bundle.geometry.stride):
        return undecided(bundle, start, tally)
    sums = columns.evidence.sum(axis=0, dtype=np.int32).tolist()
    return decided(
        bundle,
        start,
        tally,
        warnings=limits.noise(tally, bundle.geometry.stride),
        sums=sums,
        decisions=window_rule(bundle).decide(sums, features),
        features=features,
        evidence=dequantize(columns.evidence.T, bundle.tensors["evidence"]),
        usable=(columns.bad + columns.clipped) == 0,
        padded=columns.padded,
    )


def undecided(bundle: Contents, start: int, tally: Tally) -> Finding:
    """The finding on a span that is not assessable."""
    return Finding(**describe_span(bundle.geometry.stride, start, tally), assessable=False)


def decided(
    bundle: Contents,
    start: int,
    tally: Tally,
    *,
    warnings: int,
    sums: Sequence[int],
    decisions: Iterable[bool],
    features: Sequence[int] | None,
    evidence: NDArray[np.float32],
    usable: NDArray[np.bool_],
    padded: NDArray[np.bool_],
) -> Finding:
    """The finding on an assessable window, decided by whoever summed its evidence.

    Args:
        bundle: what was run.
        start: the span's first column, counted since the stream began.
        tally: what is wrong with its columns.
        warnings: bits, see `beatlens.runtime.warning_bits`.
        sums: of the int8 evidence over the span, by class.
        decisions: whether each class was found.
        features: of the rhythm, for a rule with tables.
        evidence, usable, padded: as in `Finding`; evidence and padded become read-only.
    """
    scale, zero_point = bundle.tensors["evidence"].scale, bundle.tensors["evidence"].zero_point
    classes, rule = bundle.classes, window_rule(bundle)
    added = rule.contributions(features)
    totals = sums + added.sum(axis=0)
    logits = [scale * (value / tally.columns - zero_point) for value in totals.tolist()]
    present = np.ones(tally.columns, bool)
    for array in (evidence, padded, present):
        array.flags.writeable = False
    return Finding(
        **describe_span(bundle.geometry.stride, start, tally),
        assessable=True,
        warnings=name_warnings(warnings),
        classes=classes,
        predicted=tuple(name for name, found in zip(classes, decisions, strict=True) if found),
        probabilities=dict(zip(classes, map(_sigmoid, logits), strict=True)),
        evidence=evidence,
        present=present,
        usable=usable,
        padded=padded,
        features=_ratios(features) if len(added) else {},
        feature_contributions=scale / tally.columns * added.astype(float) if len(added) else None,
        constants=-np.array([rule.levels[name] for name in classes]),
        independent=True,
    )


def _ratios(features: Sequence[int] | None) -> dict[str, float]:
    """Features of the rhythm as ratios, by name."""
    return {name: value / STEPS[name] for name, value in zip(STEPS, features or (), strict=True)}


def all_lost(bundle: Contents, start: int, end: int) -> Finding:
    """The one finding on all spans inside a gap, columns `start` to `end` (exclusive)."""
    column_s = bundle.geometry.stride / MODEL_RATE_HZ
    return Finding(
        start_s=start * column_s,
        end_s=end * column_s,
        assessable=False,
        quality_notes=(f"gap: all of {(end - start) * column_s:g} s are missing",),
        quality=0.0,
    )


def left_over(bundle: Contents, start: int, columns: Columns, end_s: float) -> Finding:
    """The finding on what a recording has after its last whole span, from column `start` on."""
    return rest(bundle, start, columns.tally(bundle.geometry.stride), end_s)


def rest(bundle: Contents, start: int, tally: Tally, end_s: float) -> Finding:
    """As `left_over`, of columns that were counted before."""
    stride = bundle.geometry.stride
    start_s = start * stride / MODEL_RATE_HZ
    reason = (
        f"the recording ends: {end_s - start_s:.2f} s are left, "
        f"a decision needs {bundle.span_s:g} s"
    )
    good = (tally.columns * stride - tally.lost - tally.bad) / MODEL_RATE_HZ
    return Finding(
        start_s=start_s,
        end_s=end_s,
        assessable=False,
        quality_notes=(reason, *list_notes(tally, stride)),
        quality=min(good / (end_s - start_s), 1.0),
    )


def _sigmoid(value: float) -> float:
    if value >= 0:
        return 1.0 / (1.0 + math.exp(-value))
    return math.exp(value) / (1.0 + math.exp(value))
