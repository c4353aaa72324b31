"""The rule that decides on whole recordings: whole numbers, held against fractions and loops."""

from __future__ import annotations

import json
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beatlens.calibration import Calibration
from beatlens.errors import ModelError, SignalError
from beatlens.runtime.fields import Fields, parse
from beatlens.runtime.tables_section import LARGEST_ENTRY
from beatlens.signals.rr_features import BINS, FEATURES
from beatlens.tasks.recordings.rule import (
    FRACTION,
    MAX_COLUMNS,
    RecordingRule,
    Sums,
    read_rule,
    write_rule,
)

SCALE, CLASSES = 0.05, 3
CALM = Calibration(1.0, np.zeros(CLASSES))
NO_BEAT = np.zeros((0, len(FEATURES)), np.int64)


def whole_rule(tables: np.ndarray, offsets: list[int] | np.ndarray) -> RecordingRule:
    return RecordingRule(np.asarray(tables, np.int64), np.asarray(offsets), SCALE, CALM)


def random_rule(seed: int, largest: int = 500) -> RecordingRule:
    rng = np.random.default_rng(seed)
    tables = rng.integers(-largest, largest + 1, (len(FEATURES), BINS, CLASSES))
    return whole_rule(tables, rng.integers(-largest, largest + 1, CLASSES))


def fractions(rule: RecordingRule, evidence: np.ndarray, features: np.ndarray) -> list[Fraction]:
    """Scores as the module's text says them, in steps of evidence: column by column, beat by beat,
    feature by feature."""
    scores = []
    for c in range(len(rule.offsets)):
        columns = [Fraction(int(value)) for value in evidence[c]]
        score = sum(columns, Fraction(0)) / len(columns)
        worth = Fraction(0)
        for beat in features:
            for table, step in zip(rule.tables, beat, strict=True):
                worth += Fraction(int(table[step][c]), FRACTION)
        score += worth / len(features) if len(features) else 0
        scores.append(score + Fraction(int(rule.offsets[c]), FRACTION))
    return scores


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    columns=st.integers(1, 40),
    beats=st.integers(0, 40),
    largest=st.sampled_from([1, 50, 3000]),
)
def test_scores_are_the_exact_means(seed: int, columns: int, beats: int, largest: int) -> None:
    rule, rng = random_rule(seed, largest), np.random.default_rng(seed + 1)
    beats = min(beats, columns)
    evidence = rng.integers(-128, 128, (CLASSES, columns)).astype(np.int8)
    features = rng.integers(0, BINS, (beats, len(FEATURES)))
    sums = rule.sums(evidence, features)
    exact = fractions(rule, evidence, features)
    whole = FRACTION * columns * max(1, beats)
    assert rule.scores(sums).tolist() == [score * whole for score in exact]
    assert rule.decide(sums) == exact.index(max(exact))
    logits = [SCALE * float(s - Fraction(int(o), FRACTION))
              for s, o in zip(exact, rule.offsets, strict=True)]  # fmt: skip
    assert rule.logits(sums) == pytest.approx(logits, abs=1e-9)


def test_rounding_moves_logits_by_less_than_half_a_step_an_entry() -> None:
    rng = np.random.default_rng(4)
    tables, offsets = rng.normal(0, 1, (len(FEATURES), BINS, CLASSES)), rng.normal(0, 1, CLASSES)
    rule = RecordingRule.from_logits(tables, offsets, SCALE, CALM)
    evidence = rng.integers(-128, 128, (CLASSES, 200)).astype(np.int8)
    features = rng.integers(0, BINS, (30, len(FEATURES)))
    worth = sum(tables[i][features[:, i]] for i in range(len(FEATURES))).mean(axis=0)
    exact = SCALE * evidence.mean(axis=1) + worth
    sums = rule.sums(evidence, features)
    half = SCALE / FRACTION / 2
    assert np.abs(rule.logits(sums) - exact).max() <= len(FEATURES) * half + 1e-12
    scores = rule.step * rule.scores(sums) / (sums.columns * sums.beats)
    assert np.abs(scores - exact - offsets).max() <= (len(FEATURES) + 1) * half + 1e-12


def test_of_equal_scores_the_first_wins_and_one_step_breaks_a_tie() -> None:
    tables = np.zeros((len(FEATURES), BINS, CLASSES), int)
    tables[0, 3], tables[0, 4] = (0, 2, 2), (0, 2, 3)
    rule = whole_rule(tables, [2, 0, 0])
    evidence = np.zeros((CLASSES, 9), np.int8)
    beat = np.zeros((8, len(FEATURES)), int)
    beat[:, 0] = 3
    assert rule.scores(rule.sums(evidence, beat)).tolist() == 3 * [2 * 9 * 8]
    assert rule.decide(rule.sums(evidence, beat)) == 0
    beat[5, 0] = 4  # one beat of eight, one step of 1 / 64: a difference of 1 / 512 of a step
    assert rule.decide(rule.sums(evidence, beat)) == 2
    assert whole_rule(tables, [1, 0, 0]).decide(rule.sums(evidence, NO_BEAT)) == 0


def test_without_a_beat_evidence_and_offsets_decide() -> None:
    rule = random_rule(2)
    evidence = np.array([[3, 4], [-5, 9], [0, 0]], np.int8)
    sums = rule.sums(evidence, NO_BEAT)
    assert (sums.columns, sums.beats, sums.rhythm.tolist()) == (2, 0, [0, 0, 0])
    expected = [FRACTION * s + 2 * int(o) for s, o in zip((7, 4, 0), rule.offsets, strict=True)]
    assert rule.scores(sums).tolist() == expected
    assert rule.logits(sums) == pytest.approx([SCALE * 3.5, SCALE * 2, 0])


def test_more_columns_of_the_same_and_more_beats_of_the_same_change_no_decision() -> None:
    rule, rng = random_rule(5), np.random.default_rng(6)
    evidence = rng.integers(-20, 21, (CLASSES, 50)).astype(np.int8)
    features = rng.integers(0, BINS, (7, len(FEATURES)))
    once, often = rule.sums(evidence, features), rule.sums(np.tile(evidence, 9),
                                                           np.tile(features, (5, 1)))  # fmt: skip
    assert rule.logits(often) == pytest.approx(rule.logits(once), abs=1e-12)
    assert (rule.scores(often) == 9 * 5 * rule.scores(once)).all()


@pytest.mark.parametrize("sign", [-1, 1])
def test_scores_of_the_longest_recording_fit_into_a_double(sign: int) -> None:
    most = LARGEST_ENTRY - 1
    rule = whole_rule(np.full((len(FEATURES), BINS, CLASSES), sign * most), CLASSES * [sign * most])
    reach = -128 if sign < 0 else 127
    evidence = np.full((CLASSES, MAX_COLUMNS), reach, np.int8)
    features = np.full((MAX_COLUMNS, len(FEATURES)), BINS - 1)
    sums = rule.sums(evidence, features)
    total, beats = reach * MAX_COLUMNS, MAX_COLUMNS
    exact = (
        FRACTION * total * beats
        + sign * len(FEATURES) * most * beats * MAX_COLUMNS
        + sign * most * MAX_COLUMNS * beats
    )
    assert rule.scores(sums).tolist() == CLASSES * [exact]
    assert abs(exact) < 1 << 52
    assert np.abs(rule.logits(sums)).max() < np.inf


@pytest.mark.parametrize(("columns", "beats"), [(0, 0), (MAX_COLUMNS + 1, 3), (4, 5), (4, -1)])
def test_sums_that_no_recording_has_are_refused(columns: int, beats: int) -> None:
    with pytest.raises(SignalError, match=f"{columns} columns of evidence and {beats} beats"):
        Sums(np.zeros(CLASSES, np.int64), columns, np.zeros(CLASSES, np.int64), beats)


def test_offsets_decide_and_leave_probabilities_alone() -> None:
    tables = np.zeros((len(FEATURES), BINS, CLASSES))
    bent = Calibration(2.0, np.array([0.0, 0.5, -1.0]))
    plain = RecordingRule.from_logits(tables, np.zeros(CLASSES), SCALE, bent)
    pushed = RecordingRule.from_logits(tables, np.array([0, 0, 9.0]), SCALE, bent)
    sums = plain.sums(np.array([[20], [0], [10]], np.int8), NO_BEAT)
    assert (plain.decide(sums), pushed.decide(sums)) == (0, 2)
    assert pushed.probabilities(sums).tolist() == plain.probabilities(sums).tolist()
    raised = np.exp(np.array([1.0, 0.0, 0.5]) / 2 + bent.bias)
    assert plain.probabilities(sums) == pytest.approx(raised / raised.sum())


def test_rules_that_do_not_fit_are_refused() -> None:
    tables = np.zeros((len(FEATURES), BINS, CLASSES))
    with pytest.raises(ModelError, match=r"tables are \[6, 32, 3\], expected 6 features"):
        RecordingRule.from_logits(tables, np.zeros(2), SCALE, CALM)
    with pytest.raises(ModelError, match=r"entry of tables and offsets is 38400.*scale of 0\.05"):
        RecordingRule.from_logits(tables, np.array([0, -30.0, 0]), SCALE, CALM)
    most = np.array([0, (LARGEST_ENTRY - 1) * SCALE / FRACTION, 0])
    assert RecordingRule.from_logits(tables, most, SCALE, CALM).offsets[1] == LARGEST_ENTRY - 1


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30, -1e30])
def test_entries_that_are_no_whole_numbers_are_refused(value: float) -> None:
    tables = np.zeros((len(FEATURES), BINS, CLASSES))
    tables[2, 5, 1] = value
    with pytest.raises(ModelError, match="largest entry of tables and offsets is"):
        RecordingRule.from_logits(tables, np.zeros(CLASSES), SCALE, CALM)
    with pytest.raises(ModelError, match="largest entry of tables and offsets is"):
        RecordingRule.from_logits(np.zeros_like(tables), np.array([0.0, value, 0.0]), SCALE, CALM)


def read(document: object, classes: int = CLASSES) -> RecordingRule:
    text = json.dumps({"rule": document}).encode()
    section = Fields("bundle.json", parse("bundle.json", text)).section("rule")
    return read_rule(section, classes, SCALE)


def test_a_rule_goes_round_through_json() -> None:
    rng = np.random.default_rng(8)
    rule = RecordingRule.from_logits(
        rng.normal(0, 2, (len(FEATURES), BINS, CLASSES)),
        rng.normal(0, 2, CLASSES),
        SCALE,
        Calibration(1 / 3, rng.normal(0, 1, CLASSES)),
    )
    again = read(write_rule(rule))
    assert (again.tables == rule.tables).all()
    assert again.offsets.tolist() == rule.offsets.tolist()
    assert (again.scale, again.calibration.temperature) == (SCALE, 1 / 3)
    assert again.calibration.bias.tolist() == rule.calibration.bias.tolist()
    assert again.tables.dtype == again.offsets.dtype == np.int64


MOST = LARGEST_ENTRY - 1


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        (("offsets",), ..., "rule.offsets is missing"),
        (("offsets",), [0, 0], "rule.offsets is [0, 0], expected a list of 3 whole"),
        (("offsets",), [0, 0, 1.0], "rule.offsets is [0, 0, 1.0]"),
        (("offsets",), [0, 0, True], "rule.offsets is [0, 0, True]"),
        (("offsets",), [0, MOST + 1, 0], f"from -{MOST} to {MOST}"),
        (("tables",), ..., "rule.tables is missing"),
        (("tables",), [], "rule.tables is [], expected an object"),
        (("tables", "prematurity"), ..., "rule.tables.prematurity is missing"),
        (("tables", "rr_variability"), [1, 2], "rule.tables.rr_variability is [1, 2]"),
        (
            ("tables", "compensatory_pause"),
            BINS * CLASSES * [-MOST - 1],
            "rule.tables.compensatory_pause is",
        ),
        (("tables", "late"), [], "rule.tables.'late' is unknown"),
        (("temperature",), 0, "rule.temperature is 0, expected a number from 0.001"),
        (("temperature",), "1", "rule.temperature is '1'"),
        (("bias",), [0, 0, 101], "rule.bias is [0, 0, 101]"),
        (("bias",), ..., "rule.bias is missing"),
        (("close",), 3, "rule.'close' is unknown, expected only bias, offsets, tables"),
    ],
)
def test_a_malformed_rule_is_refused_by_field(
    path: tuple[str, ...], value: object, named: str
) -> None:
    document = json.loads(json.dumps(write_rule(random_rule(0))))
    place = document
    for step in path[:-1]:
        place = place[step]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    with pytest.raises(ModelError) as caught:
        read(document)
    assert str(caught.value).startswith("bundle.json: rule.")
    assert named in str(caught.value)


def test_a_rule_of_another_number_of_classes_is_refused() -> None:
    with pytest.raises(ModelError, match=r"rule\.offsets is .*, expected a list of 4"):
        read(write_rule(random_rule(0)), classes=4)
