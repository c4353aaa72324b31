"""Reliability: probabilities that are right by construction, and ones that are not."""

from __future__ import annotations

import numpy as np
import pytest

from beatlens.errors import SignalError
from beatlens.evaluate.reliability import calibration_error, reliability_rows

RNG = np.random.default_rng(0)
CHANCES = RNG.beta(0.4, 0.4, (20_000, 2))
TRUTH = (RNG.random((20_000, 2)) < CHANCES).astype(float)
RECORDS = np.array([f"r{i % 20}" for i in range(20_000)])


def test_honest_probabilities_are_reliable() -> None:
    rows = reliability_rows(CHANCES, TRUTH, RECORDS, ("a", "b"))
    assert sum(row["count"] for row in rows) == CHANCES.size
    assert calibration_error(CHANCES, TRUTH) < 0.01
    inside = [row["observed_lo"] <= row["probability"] <= row["observed_hi"] for row in rows]
    assert np.mean(inside) > 0.7
    for row in rows:
        assert row["observed"] == pytest.approx(row["probability"], abs=0.05)


def test_overconfident_ones_are_not() -> None:
    logits = np.log(CHANCES / (1 - CHANCES))
    bold = 1 / (1 + np.exp(-3 * logits))
    assert calibration_error(bold, TRUTH) > 0.05
    high = [
        row for row in reliability_rows(bold, TRUTH, RECORDS, "ab") if row["bin"] == "0.9 to 0.98"
    ]
    assert all(row["observed"] < 0.85 for row in high)


def test_unknown_truth_is_left_out_and_one_record_has_no_interval() -> None:
    truth = TRUTH.copy()
    truth[:, 1] = np.nan
    rows = reliability_rows(CHANCES, truth, np.full(len(RECORDS), "r0"), ("a", "b"))
    assert {row["class"] for row in rows} == {"a"}
    assert all(np.isnan(row["observed_lo"]) for row in rows)
    with pytest.raises(SignalError, match=r"truth is \[20000, 1\]"):
        calibration_error(CHANCES, TRUTH[:, :1])
