"""The rule that decides on beats: whole numbers, and the same as in logits up to rounding."""

from __future__ import annotations

import numpy as np
import pytest

from beatlens.calibration import Calibration
from beatlens.errors import ModelError, SignalError
from beatlens.geometry import beat_columns
from beatlens.runtime.fields import Fields
from beatlens.signals.beat_features import FEATURES
from beatlens.signals.rr_features import BINS
from beatlens.tasks.beats.rule import BeatRule, read_rule, write_rule

SCALE, COLUMNS = 0.05, (4, 7)
CALM = Calibration(1.0, np.zeros(3))


def rule(seed: int = 0) -> tuple[BeatRule, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    tables, offsets = rng.normal(0, 1, (len(FEATURES), BINS, 3)), rng.normal(0, 1, 3)
    return BeatRule.from_logits(tables, offsets, SCALE, COLUMNS, CALM, 0.0, -1e3), tables, offsets


def test_scores_are_the_logits_up_to_rounding() -> None:
    made, tables, offsets = rule()
    rng = np.random.default_rng(1)
    evidence = rng.integers(-128, 128, (3, 200)).astype(np.int8)
    peaks, features = np.array([100, 800, 1400]), rng.integers(0, BINS, (3, len(FEATURES)))
    sums = made.sums(evidence, peaks, stride=8)
    logits = np.stack([SCALE * evidence[:, p // 8 - 4 : p // 8 + 7].mean(axis=1) for p in peaks])
    logits += sum(tables[i][features[:, i]] for i in range(len(FEATURES))) + offsets
    step = SCALE / sum(COLUMNS)
    scores = made.scores(sums, features)
    with_offsets = scores + made.offsets
    assert np.abs(step * with_offsets - logits).max() <= 9 * step + 1e-9
    assert (made.decide(scores) == with_offsets.argmax(axis=1)).all()


def test_a_class_that_is_excluded_does_not_win() -> None:
    made, _, _ = rule()
    rng = np.random.default_rng(2)
    sums = rng.integers(-2000, 2000, (200, 3))
    features = rng.integers(0, BINS, (200, len(FEATURES)))
    scores = made.scores(sums, features)
    found = made.decide(scores, (1,))
    assert (made.decide(scores) == 1).any()
    scores += made.offsets
    assert found.tolist() == np.where(scores[:, 0] >= scores[:, 2], 0, 2).tolist()


def test_offsets_decide_and_leave_probabilities_alone() -> None:
    made, tables, _ = rule()
    other = BeatRule.from_logits(tables, np.array([0, 1e2, 0]), SCALE, COLUMNS, CALM, 0.0, -1e3)
    sums, features = np.zeros((2, 3), np.int64), np.zeros((2, len(FEATURES)), np.int64)
    scores = made.scores(sums, features)
    assert (other.scores(sums, features) == scores).all()
    assert (other.decide(scores) == 1).all()
    assert (other.probabilities(scores) == made.probabilities(scores)).all()
    assert made.probabilities(scores).sum(axis=1) == pytest.approx(1)


def test_spans_stay_inside_the_recording() -> None:
    peaks = np.array([0, 8, 79])
    assert beat_columns(peaks, 8, 4, 7, 11).tolist() == [0, 0, 0]
    with pytest.raises(SignalError, match="10 columns of evidence, expected at least the 11"):
        beat_columns(peaks, 8, 4, 7, 10)


@pytest.mark.parametrize(
    "missing",
    [FEATURES[FEATURES.index("morphology_similarity") :], FEATURES[8:], ("rr_irregularity",)],
)
def test_a_rule_of_before_there_were_all_features_is_read(missing: tuple[str, ...]) -> None:
    made, _, _ = rule()
    document = write_rule(made, ("a", "b", "c"))

    def read(section: dict[str, object]) -> BeatRule:
        return read_rule(Fields("bundle.json", section, "rule"), ("a", "b", "c"), 11, SCALE)

    again = read(document)
    assert (again.tables == made.tables).all()
    tables = document["tables"]
    document["tables"] = {name: tables[name] for name in tables if name not in missing}
    older, kept = read(document), np.array([name not in missing for name in FEATURES])
    assert (older.tables[kept] == made.tables[kept]).all()
    assert not older.tables[~kept].any()
    assert older.tables.shape == made.tables.shape


def test_tables_that_do_not_fit_are_refused() -> None:
    _, tables, offsets = rule()
    with pytest.raises(ModelError, match=r"tables are \[17, 32, 3\], expected 17 features"):
        BeatRule.from_logits(tables, offsets[:2], SCALE, COLUMNS, CALM, 0.0, -1e3)
    with pytest.raises(ModelError, match="largest entry 44000"):
        BeatRule.from_logits(tables, np.array([0, 200.0, 0]), SCALE, COLUMNS, CALM, 0.0, -1e3)


def test_temperature_and_bias_move_probabilities() -> None:
    logits = np.array([[2.0, 0.0, 0.0]])
    sharp = Calibration(0.5, np.zeros(3)).probabilities(logits)[0, 0]
    soft = Calibration(4.0, np.zeros(3)).probabilities(logits)[0, 0]
    rare = Calibration(1.0, np.array([-3.0, 0, 0])).probabilities(logits)[0, 0]
    assert soft < 0.5 < CALM.probabilities(logits)[0, 0] < sharp
    assert rare < soft
