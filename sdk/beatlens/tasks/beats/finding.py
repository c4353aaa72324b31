"""Findings on beats: the class of the largest score, which holds evidence, features and offsets."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from beatlens.runtime.columns import Tally
from beatlens.runtime.contents import Contents
from beatlens.runtime.engines import dequantize
from beatlens.runtime.finding import Finding
from beatlens.runtime.quality import describe_span
from beatlens.runtime.warning_bits import CLIPPED, name_warnings
from beatlens.signals.beat_features import STEPS
from beatlens.signals.frontend import MODEL_RATE_HZ
from beatlens.tasks.beats.rule import BeatRule
from beatlens.tasks.beats.sharing import CLUSTER_EVIDENCE


def beat_without_decision(
    bundle: Contents, peak: int, rr: int, start: int, tally: Tally
) -> Finding:
    """The finding on a beat that is not assessable; `tally` is empty where evidence is missing.

    Args:
        bundle: what was run.
        peak: sample of the R peak at 128 Hz, counted since the stream began.
        rr: samples since the R peak before it; 0: not known.
        start: first column of its span, counted likewise.
        tally: what is wrong with its columns.
    """
    time_s, rr_s = peak / MODEL_RATE_HZ, rr / MODEL_RATE_HZ if rr else None
    if not tally.columns:
        reason = "the signal around it is shorter than what its evidence is summed over"
        return Finding(
            peak_s=time_s, rr_s=rr_s, start_s=time_s, end_s=time_s, assessable=False,
            quality_notes=(reason,), quality=0.0,
        )  # fmt: skip
    about = describe_span(bundle.geometry.stride, start, tally)
    return Finding(peak_s=time_s, rr_s=rr_s, assessable=False, **about)


def beat_finding(
    bundle: Contents,
    rule: BeatRule,
    peak: int,
    rr: int,
    start: int,
    tally: Tally,
    evidence: NDArray[np.int8],
    features: tuple[int, ...],
    shared: int,
    class_number: int,
    warnings: int,
) -> Finding:
    """The finding on a beat, decided by whoever summed its evidence.

    Args:
        bundle, peak, rr, start, tally: as for `beat_without_decision`.
        rule: of the bundle.
        evidence: int8 `[T, C]`, of its columns.
        features: its features.
        shared: what its cluster adds to the score of the shared class, in steps; see
            `beatlens.tasks.beats.sharing`.
        class_number: what it is.
        warnings: bits, see `beatlens.runtime.warning_bits`.
    """
    classes, step = bundle.classes, rule.step
    sums = evidence.sum(axis=0, dtype=np.int64)[None]
    chances = rule.probabilities(rule.scores(sums, np.array([features]), shared))[0].tolist()
    ratios = {name: v / STEPS[name] for name, v in zip(STEPS, features, strict=True)}
    gains = step * rule.tables[np.arange(len(features)), features].astype(float)
    if rule.sharing is not None:
        ratios[CLUSTER_EVIDENCE] = step * shared
        row = np.zeros((1, len(classes)))
        row[0, rule.sharing.number] = step * shared
        gains = np.concatenate([gains, row])
    maps = dequantize(evidence.T, bundle.tensors["evidence"])
    present = np.ones(len(evidence), bool)
    maps.flags.writeable = present.flags.writeable = False
    excluded = rule.never_if_clipped if warnings & CLIPPED else ()
    return Finding(
        peak_s=peak / MODEL_RATE_HZ,
        rr_s=rr / MODEL_RATE_HZ if rr else None,
        assessable=True,
        **describe_span(bundle.geometry.stride, start, tally),
        warnings=name_warnings(warnings),
        classes=classes,
        predicted=(classes[class_number],),
        probabilities=dict(zip(classes, chances, strict=True)),
        evidence=maps,
        present=present,
        features=ratios,
        feature_contributions=gains,
        constants=step * rule.offsets.astype(float),
        excluded=tuple(classes[number] for number in excluded),
    )
