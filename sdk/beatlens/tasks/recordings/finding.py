"""The finding on a recording: the class of the largest score, over all columns and beats."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from beatlens.runtime.columns import Columns, Tally
from beatlens.runtime.contents import Contents
from beatlens.runtime.engines import dequantize
from beatlens.runtime.finding import Finding
from beatlens.runtime.quality import Limits, describe_span
from beatlens.runtime.warning_bits import name_warnings
from beatlens.signals.frontend import MODEL_RATE_HZ
from beatlens.signals.rr_features import FEATURES, STEPS
from beatlens.tasks.recordings.rule import RecordingRule


def recording_finding(
    bundle: Contents,
    rule: RecordingRule,
    limits: Limits,
    columns: Columns,
    peaks: NDArray[np.int64],
    features: NDArray[np.int64],
) -> Finding:
    """The finding on a recording.

    Args:
        bundle: what was run.
        rule: of the bundle.
        limits: how much of the recording may be unusable (lost samples included), and clipped.
        columns: all of the recording's, at least one.
        peaks: R peaks `[b]`, samples at 128 Hz since the first one.
        features: RR features of each beat `[b, 6]`.
    """
    stride, classes = bundle.geometry.stride, bundle.classes
    tally = columns.tally(stride)
    about = describe_span(stride, 0, tally)
    shares = _shares(tally, stride)
    present = ~columns.lost
    good = shares["missing"] + tally.bad / (tally.columns * stride) <= limits.unusable
    if not good or shares["clipped"] > limits.clipped or not present.any():
        return Finding(**about, assessable=False, shares=shares)
    sums = rule.sums(columns.evidence[present].T, features)
    evidence = dequantize(columns.evidence.T, bundle.tensors["evidence"])
    evidence[:, ~present] = 0
    evidence.flags.writeable = present.flags.writeable = False
    ratios = features.mean(axis=0) / np.array(list(STEPS.values())) if len(features) else ()
    added = rule.step * rule.looked_up(features).sum(axis=0) / max(1, len(features))
    return Finding(
        **about,
        assessable=True,
        shares=shares,
        warnings=name_warnings(limits.noise(tally, stride)),
        classes=classes,
        predicted=(classes[rule.decide(sums)],),
        probabilities=dict(zip(classes, rule.probabilities(sums).tolist(), strict=True)),
        evidence=evidence,
        present=present,
        features=dict(zip(FEATURES, map(float, ratios), strict=False)),
        feature_contributions=added if len(features) else None,
        constants=rule.step * rule.offsets.astype(float),
        beat_times_s=peaks / MODEL_RATE_HZ,
    )


def _shares(tally: Tally, stride: int) -> dict[str, float]:
    """What is wrong with a recording, shares of its samples."""
    total = tally.columns * stride
    return {
        "missing": tally.lost / total,
        "flat": tally.flat / total,
        "saturated": tally.saturated / total,
        "clipped": tally.clipped / total,
        "noisy": tally.noisy / total,
    }
