"""A rule adapted to a patient: what was reviewed changes it, what was not leaves it as it was."""

from __future__ import annotations

import numpy as np

from beatlens.calibration import Calibration
from beatlens.signals.beat_features import FEATURES
from beatlens.signals.rr_features import BINS
from beatlens.tasks.beats.adaptation import (
    FEWEST,
    Beats,
    block_decisions,
    change_rule,
    class_numbers,
    count_classes,
    decide,
    fit_change,
    partner_share,
)
from beatlens.tasks.beats.labels import UNKNOWN
from beatlens.tasks.beats.rule import BeatRule
from beatlens.tasks.registry import default_recipe

CLASSES = default_recipe("beats").task.classes
N, S, V, F = range(4)
SCALE = 0.1
WIDTH = FEATURES.index("qrs_width")


def plain_rule() -> BeatRule:
    return BeatRule.from_logits(
        np.zeros((len(FEATURES), BINS, 4)),
        np.array([0.0, 0.5, 0.2, -1.0]),
        SCALE,
        (8, 9),
        Calibration(1.2, np.zeros(4)),
        low_margin=0.5,
        out_of_distribution=-5.0,
        never_if_clipped=(S,),
    )


def beats_of(labels: np.ndarray, margin: float = 2.0, width: bool = True) -> Beats:
    """Beats whose evidence says N, by `margin` logits; those of V are wide."""
    count, rng = len(labels), np.random.default_rng(0)
    sums = np.zeros((count, 4), np.int64)
    sums[:, N] = round(margin / SCALE * 17)
    sums += rng.integers(-60, 61, sums.shape)
    features = np.full((count, len(FEATURES)), 12)
    if width:
        features[:, WIDTH] = np.where(labels == V, 24, 10) + rng.integers(-2, 3, count)
    return Beats(
        np.arange(count) * 0.8,
        labels,
        sums,
        features,
        np.zeros(count, np.int64),
        np.ones(count, bool),
        np.zeros(count, bool),
    )


def labels_with_v(count: int = 300) -> np.ndarray:
    return np.where(np.arange(count) % 6 == 0, V, N).astype(np.int64)


def test_a_patient_whose_v_beats_are_called_n_gets_better() -> None:
    rule, labels = plain_rule(), labels_with_v()
    seen, rest = beats_of(labels), beats_of(np.roll(labels, 3))
    assert (decide(rule, rest) == N).all()
    adapted = change_rule(rule, fit_change(rule, seen))
    found = decide(adapted, rest)
    assert np.mean(found == rest.labels) > 0.93
    assert np.mean(block_decisions(rule, seen, 5) == seen.labels) > 0.93


def test_labels_that_are_all_n_change_nothing() -> None:
    rule = plain_rule()
    change = fit_change(rule, beats_of(np.zeros(400, np.int64)))
    assert not change.offsets.any()
    assert not change.tables.any()


def test_a_class_with_few_reviewed_beats_stays_as_it_is() -> None:
    labels = labels_with_v()
    labels[1 : 1 + 6 * (FEWEST - 1) : 6] = S
    change = fit_change(plain_rule(), beats_of(labels))
    assert not change.offsets[[N, S, F]].any()
    assert not change.tables[:, :, [N, S, F]].any()
    assert change.tables[:, :, V].any()


def test_stronger_penalties_change_less() -> None:
    rule, seen = plain_rule(), beats_of(labels_with_v())
    sizes = [
        float(np.abs(fit_change(rule, seen, strength).tables).sum()) for strength in (1, 10, 1e6)
    ]
    assert sizes[0] > sizes[1] > sizes[2]
    assert sizes[2] < 1e-2


def test_beats_without_label_or_decision_do_not_count() -> None:
    rule, labels = plain_rule(), labels_with_v()
    seen = beats_of(labels)
    labels_too = np.concatenate([labels, np.full(50, UNKNOWN), np.full(50, V)])
    more = beats_of(labels_too)
    assessable = np.arange(400) < 350
    joined = Beats(
        more.time_s,
        labels_too,
        np.concatenate([seen.sums, more.sums[300:]]),
        np.concatenate([seen.features, more.features[300:]]),
        more.shared,
        assessable,
        more.clipped,
    )
    first, second = fit_change(rule, seen), fit_change(rule, joined)
    assert (first.tables == second.tables).all()
    assert (decide(rule, joined)[350:] == UNKNOWN).all()


def test_offsets_odds_and_bias_change_alike_in_whole_steps() -> None:
    rule = plain_rule()
    change = fit_change(rule, beats_of(labels_with_v(), width=False))
    adapted = change_rule(rule, change)
    assert adapted.offsets.dtype == adapted.tables.dtype == np.int64
    moved = adapted.offsets - rule.offsets
    assert moved[V] != 0
    assert (adapted.warning.odds - rule.warning.odds == moved).all()
    logits = rule.step * moved / rule.calibration.temperature
    assert np.abs(adapted.calibration.bias - rule.calibration.bias - logits).max() < rule.step


def test_counts_excuse_fusions_and_count_missed_beats() -> None:
    labels = np.array([V, V, N, F, UNKNOWN])
    decided = np.array([V, N, V, V, V])
    counted = count_classes(decided, beats_of(labels), np.array([V, V, V, N, F]), CLASSES)
    assert (counted["v"].there, counted["v"].called, counted["v"].right) == (3, 2, 1)
    assert counted["v"].wrong == 3
    assert counted["s"].f1 is None
    assert set(counted) == {"s", "v"}


def test_annotations_of_another_recording_have_no_partners() -> None:
    peaks = np.arange(0, 300, 0.8)
    assert partner_share(peaks, peaks + 0.05) == 1.0
    assert partner_share(peaks, np.arange(0, 300, 1.1)) < 0.6
    assert partner_share(np.zeros(0), peaks) == 0.0


def test_codes_of_no_class_are_unknown() -> None:
    assert class_numbers(["N", "A", "V", "F", "/"], CLASSES).tolist() == [N, S, V, F, UNKNOWN]
