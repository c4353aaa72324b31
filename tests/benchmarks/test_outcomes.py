"""Wrong calls, warnings and agreement of evidence, of findings made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from beatlens.runtime.finding import Finding
from beatlens.signals.annotations import Annotations
from benchmarks.robustness.outcomes import (
    beat_outcome,
    beat_row,
    strip_outcome,
    strip_row,
)

RATE = 100
KINDS = ("n", "s", "v", "f")
CLASSES = ("pvc", "sve", "afib", "bbb")
COLUMN_S = 0.0625
STRETCHES = [(30_000, 40_000)]
TIMES = np.arange(301, 390, 1.0)


def reference(symbols: str) -> Annotations:
    at = np.round(TIMES * RATE).astype(np.int64)
    kinds = np.array([symbols[i % len(symbols)] for i in range(len(at))])
    return Annotations("made", 100_000, at, kinds, np.zeros(len(at), np.int64), ("",) * len(at))


def beat(time_s: float, kind: str | None, warnings: tuple[str, ...] = (), peak: int = 5,
         late_s: float = 0.0) -> Finding:  # fmt: skip
    """Evidence for every class peaks at a column, counted from where the beat's span usually is."""
    late = round(late_s / COLUMN_S)
    around = np.random.default_rng(round(time_s)).normal(0, 0.1, (4, 21)).astype(np.float32)
    evidence = around[:, 2 + late : 19 + late].copy()
    if kind is not None:
        evidence[KINDS.index(kind), peak - late] += 3
    return Finding(
        peak_s=time_s + late_s,
        start_s=time_s - 0.5 + late_s,
        end_s=time_s + 0.5625 + late_s,
        assessable=kind is not None,
        quality_notes=(),
        quality=1.0,
        warnings=warnings,
        predicted=() if kind is None else (kind,),
        evidence=evidence if kind is not None else None,
        classes=KINDS,
    )


def outcome(findings, symbols="N", clean=None):
    return beat_outcome(findings, reference(symbols), RATE, STRETCHES, COLUMN_S, clean)


def test_right_wrong_and_warned_beats_are_counted() -> None:
    findings = [beat(t, "n") for t in TIMES]
    findings[3] = beat(TIMES[3], "v")  # wrong
    findings[4] = beat(TIMES[4], "v", ("noisy",))  # wrong, and warned
    findings[5] = beat(TIMES[5], "n", ("low_margin",))  # right, and warned
    findings[6] = beat(TIMES[6], None)  # not decided
    findings.insert(8, beat(TIMES[7] + 0.5, "n"))  # nobody's: wrong
    found = outcome(findings)
    assert (found.found, found.decided, found.warned) == (len(TIMES) + 1, len(TIMES), 2)
    assert (found.wrong, found.wrong_warned) == (3, 1)
    assert found.counts.veb.wrong == 2
    assert found.counts.pairs["NQ"] == 1
    row = beat_row([found, outcome([beat(t, "n") for t in TIMES])], [found, found])
    assert row["wrong_warned"] == pytest.approx(100 / 3)
    assert row["undecided"] == pytest.approx(100 / (2 * len(TIMES) + 1))
    assert row["wrong_lo"] <= row["wrong"] <= row["wrong_hi"]


def test_only_noisy_stretches_count_and_unknown_beats_are_left_out() -> None:
    early = [beat(t, "v") for t in np.arange(401.0, 420.0)]
    assert outcome([beat(t, "n") for t in TIMES] + early).wrong == 0
    assert outcome([beat(t, "n") for t in TIMES], symbols="?").wrong == 0


def test_what_is_lost_of_ventricular_beats() -> None:
    clean = outcome([beat(t, "v") for t in TIMES], "V")
    noisy = outcome([beat(t, "v" if i % 4 else "n") for i, t in enumerate(TIMES)], "V", clean)
    lost = np.mean(np.arange(len(TIMES)) % 4 == 0)
    assert beat_row([noisy, noisy], [clean, clean])["veb_loss"] == pytest.approx(100 * lost)


def test_agreement_of_evidence_minds_where_spans_begin() -> None:
    clean = outcome([beat(t, "n") for t in TIMES])
    same = outcome([beat(t, "n", late_s=COLUMN_S) for t in TIMES], clean=clean)
    assert same.same_peak.mean() == 1
    moved = outcome([beat(t, "n", peak=9) for t in TIMES], clean=clean)
    assert moved.same_peak.mean() == 0
    assert moved.spearman.mean() < 0.9 < same.spearman.mean()
    assert outcome([], clean=clean).same_peak.size == 0


def test_agreement_is_told_by_what_beats_were_called_without_noise() -> None:
    kinds = ["v" if i % 4 == 0 else "n" for i in range(len(TIMES))]
    clean = outcome([beat(t, kind) for t, kind in zip(TIMES, kinds, strict=True)])
    noisy = [beat(t, "v", peak=5 if kind == "v" else 12)
             for t, kind in zip(TIMES, kinds, strict=True)]  # fmt: skip
    found = outcome(noisy, clean=clean)
    assert sorted(found.compared.tolist()) == sorted(kinds)
    row = beat_row([found, found], [clean, clean])
    assert row["same_peak_v"] == 1 > row["same_peak"]
    assert np.isnan(row["same_peak_s"])  # there were none


def strip(pvc: bool, warnings: tuple[str, ...] = (), peak: int = 3) -> Finding:
    evidence = np.full((len(CLASSES), 20), -1, np.float32)
    evidence[0, peak] = 30.0 if pvc else 0.0
    logits = evidence.mean(axis=1)
    return Finding(
        start_s=0, end_s=10, assessable=True, quality_notes=(), quality=1.0, warnings=warnings,
        classes=CLASSES, evidence=evidence, present=np.ones(20, bool), independent=True,
        predicted=tuple(name for name, value in zip(CLASSES, logits, strict=True) if value > 0),
        constants=np.zeros(len(CLASSES)),
    )  # fmt: skip


def test_strips() -> None:
    nothing = Finding(start_s=0, end_s=10, assessable=False, quality_notes=("gap",), quality=0.0)
    labels = np.zeros((5, len(CLASSES)))
    labels[:3, 0] = 1
    labels[:, 3] = np.nan
    clean = strip_outcome([strip(True)] * 3 + [strip(False)] * 2, labels, CLASSES)
    noisy = strip_outcome(
        [strip(True), strip(True, peak=15), nothing, strip(True, ("noisy",)), strip(False)],
        labels,
        CLASSES,
    )
    row = strip_row([noisy, clean], [clean, clean])
    assert noisy.wrong.tolist() == [False, False, False, True, False]
    assert row["undecided"] == pytest.approx(10)
    assert row["wrong_warned"] == 100
    assert row["same_peak"] == pytest.approx(4 / 5)  # a strip not decided on has no map
    assert row["ap_pvc"] < strip_row([clean, clean], [clean, clean])["ap_pvc"] == 1
