"""Figures of beats' evidence for a clinician: where it lies, contributions to S and V, agreement.

Every figure has its null beside it: shares of evidence those of time, contributions those of normal
beats called normal, agreement that of other beats' maps. Intervals are by record.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beatlens.attribution.fidelity import Fidelity, fidelity, shuffled_floor
from beatlens.evaluate.bootstrap import interval, ratio_statistic
from beatlens.signals.beat_features import FEATURES
from beatlens.tasks.beats.labels import BEFORE, UNKNOWN
from beatlens.tasks.beats.sharing import CLUSTER_EVIDENCE
from benchmarks.clinical.classes import F, N, V
from benchmarks.clinical.contributions import BeatContributions, Contrast
from benchmarks.clinical.waves import (
    BEFORE_QRS,
    WAVES,
    peak_shares,
    wave_shares,
    wave_sums,
)

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Row = dict[str, Any]


def outcomes(contributions: BeatContributions, decided: int) -> dict[str, Mask]:
    """Beats decided as one class, `right` or `wrong` by annotation.

    Beats of unknown class are neither, nor are fusion beats called V, as in EC57.
    """
    called = (contributions.decided == decided) & (contributions.labels != UNKNOWN)
    right = contributions.labels == decided
    excused = (decided == V) & (contributions.labels == F)
    return {"right": called & right, "wrong": called & ~right & ~excused}


def kinds(contributions: BeatContributions, ectopic: int) -> dict[str, Mask]:
    """Beats to compare S or V with N on, by their label and by the class decided on.

    `found` and `missed` are of the class, called it or N; `false` and `normal` are normal beats,
    called it or N.
    """
    labels, decided = contributions.labels, contributions.decided
    return {
        "found": (labels == ectopic) & (decided == ectopic),
        "missed": (labels == ectopic) & (decided == N),
        "false": (labels == N) & (decided == ectopic),
        "normal": (labels == N) & (decided == N),
    }


def by_record(
    key: str, part: Floats, whole: Floats | None, records: NDArray[np.str_]
) -> dict[str, float]:
    """Ratio of two sums over beats, with its interval by record: `key`, `key_lo`, `key_hi`.

    Beats where `part` is NaN are left out. Recordings without any beat left are not drawn.

    Args:
        key: name of the figure.
        part: `[b]`.
        whole: `[b]`; None is 1, and the ratio a mean.
        records: of each beat.
    """
    counted = np.isfinite(part)
    whole = np.ones(len(part)) if whole is None else whole
    names, record = np.unique(records[counted], return_inverse=True)
    sums = [
        np.bincount(record, each[counted], minlength=len(names)) if len(names) else np.zeros(0)
        for each in (part, whole)
    ]
    if len(names) < 2:  # nothing to draw from
        ratio = float(sums[0].sum() / sums[1].sum()) if sums[1].sum() else float("nan")
        return {key: ratio, f"{key}_lo": float("nan"), f"{key}_hi": float("nan")}
    ends = interval(ratio_statistic(*sums), np.arange(len(names)))
    return {key: ends.estimate, f"{key}_lo": ends.lo, f"{key}_hi": ends.hi}


def wave_row(contributions: BeatContributions, columns: Floats) -> Row:
    """Where the evidence for the class decided on, less that for the second, lies.

    Keys, WAVE being one of `WAVES`, and `before_qrs` for all that is:
        beats, records: how many.
        silent: share of beats without positive evidence; they are in no other figure.
        share_WAVE: of the positive evidence, mean over beats.
        time_WAVE: of the span, the share a map that knows nothing would have.
        enrichment_WAVE: the one by the other; 1 is chance.
        peak_WAVE: share of beats whose highest column lies there; chance is `time_WAVE`.
        peak_ms: median of its middle, from the R peak's column's beginning.
        found_p, found_t: share of beats with such a wave.

    Args:
        contributions: of the beats.
        columns: `[b, W, T]`, see `benchmarks.clinical.waves`.
    """
    evidence = contributions.contrast(contributions.decided, contributions.second()).columns
    shares, time = wave_shares(evidence, columns), columns.mean(axis=2)
    positive = np.isfinite(shares[:, 0])
    peaks = np.where(positive[:, None], peak_shares(evidence, columns), np.nan)
    row: Row = {"beats": len(contributions), "records": len(set(contributions.record.tolist()))}
    row["silent"] = float(1 - positive.mean())
    parts = {name: [number] for number, name in enumerate(WAVES)}
    parts["before_qrs"] = [WAVES.index(name) for name in BEFORE_QRS]
    for name, numbers in parts.items():
        part, whole = (each[:, numbers].sum(axis=1) for each in (shares, time))
        row |= by_record(f"share_{name}", part, None, contributions.record)
        row[f"time_{name}"] = float(whole[positive].mean()) if positive.any() else float("nan")
        row |= by_record(f"enrichment_{name}", part, whole, contributions.record)
        row |= by_record(f"peak_{name}", peaks[:, numbers].sum(axis=1), None, contributions.record)
    middle = (evidence.argmax(axis=1) + 0.5) * contributions.stride - BEFORE
    row["peak_ms"] = (
        float(np.median(1000 / 128 * middle[positive])) if positive.any() else float("nan")
    )
    for name in ("p", "t"):
        there = columns[:, WAVES.index("p" if name == "p" else "st_t")].any(axis=1)
        row[f"found_{name}"] = float(there.mean())
    return row


def contribution_row(contributions: BeatContributions, columns: Floats, ectopic: int) -> Row:
    """Contributions to S or V rather than N: means in logits, which sum to `sum`.

    Keys `beats`, `records`; `signal` and its parts by wave, `signal_WAVE`; `features` and its
    parts by beat feature (`prematurity`, ..., `cluster_evidence`); `offset`; `sum`. All but the
    offset with intervals.

    Args:
        contributions: of the beats.
        columns: `[b, W, T]`, see `benchmarks.clinical.waves`.
        ectopic: number of the class.
    """
    contrast: Contrast = contributions.contrast(ectopic, N)
    waves = wave_sums(contrast.columns, columns)
    parts: dict[str, Floats] = {"signal": contrast.columns.sum(axis=1)}
    parts |= {f"signal_{name}": waves[:, number] for number, name in enumerate(WAVES)}
    parts["features"] = contrast.features.sum(axis=1)
    names = (*FEATURES, CLUSTER_EVIDENCE)
    parts |= dict(zip(names, contrast.features.T, strict=False))
    parts["sum"] = contrast.total
    row: Row = {"beats": len(contributions), "records": len(set(contributions.record.tolist()))}
    for key, part in parts.items():
        row |= by_record(key, part, None, contributions.record)
    return row | {"offset": float(contrast.offset[0])}


def agreement_row(
    teacher: BeatContributions, other: BeatContributions, columns: Floats, seed: int = 0
) -> Row:
    """Agreement of a network with its teacher on beats that the teacher called one class.

    Maps are evidence for the teacher's class less its second, over a beat's columns. Keys, each
    with an interval and, as `KEY_floor`, what another beat's map of the same class gives:
        spearman: mean over beats.
        same_peak: share of beats whose highest columns are one column apart at most.
        same_wave: share of beats whose highest columns lie in the same wave most.
    And `same_class`: share of beats that both call the same.

    Args:
        teacher, other: of the same beats, all of one class by the teacher.
        columns: `[b, W, T]`, see `benchmarks.clinical.waves`.
        seed: of the pairs for the floor.
    """
    decided, second = teacher.decided, teacher.second()
    maps = [each.contrast(decided, second).columns for each in (teacher, other)]
    every = np.ones((len(teacher), 1), bool)
    pairs = fidelity(maps[0][:, None], maps[1][:, None], every)
    floor = shuffled_floor(maps[0][:, None], maps[1][:, None], every, seed=seed)
    waves = [peak_shares(each, columns).argmax(axis=1) for each in maps]
    circle, partner = np.random.default_rng(seed).permutation(len(teacher)), np.arange(len(teacher))
    partner[circle] = np.roll(circle, 1)
    row: Row = {"compared": len(teacher)}
    for key in ("spearman", "same_peak"):
        row |= by_record(key, _scores(pairs, key), None, teacher.record)
        row[f"{key}_floor"] = float(np.nanmean(_scores(floor, key)))
    row |= by_record("same_wave", (waves[0] == waves[1]).astype(float), None, teacher.record)
    # In a beat with other boundaries, a map that does not know them: its own columns' wave there.
    strange = peak_shares(maps[1][partner], columns).argmax(axis=1)
    row["same_wave_floor"] = float((waves[0] == strange).mean())
    same = (teacher.decided == other.decided).astype(float)
    return row | by_record("same_class", same, None, teacher.record)


def check_row(measured: Mapping[str, Floats], records: NDArray[np.str_]) -> Row:
    """Means over beats of what was measured of each, `[b]`, with intervals by record."""
    row: Row = {"checked": len(records)}
    for key, values in measured.items():
        row |= by_record(key, values, None, records)
    return row


def _scores(found: Fidelity, key: str) -> Floats:
    return found.scores[key][:, 0]
