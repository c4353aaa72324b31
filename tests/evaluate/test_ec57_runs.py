"""EC57's run-by-run comparison, held against what the WFDB program rxr counts."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from beatlens.evaluate.ec57 import pair_beats
from beatlens.evaluate.ec57_runs import (
    NO_RUNS,
    Ectopic,
    RunCounts,
    RunRate,
    beats_by_run,
    compare_runs,
    find_bucket,
)
from beatlens.signals.annotations import Annotations, read_annotations
from beatlens.signals.databases import find_database

RATE = 360
START = 300 * RATE
CASES = json.loads(Path(__file__).with_name("rxr_counts.json").read_text())["cases"]


def said(symbols: str, first: int = START + 500, every: int = 300) -> Annotations:
    """Annotations a symbol each, one every 300 samples; `{` and `}` are rhythm changes."""
    aux = tuple({"{": "(AFIB", "}": "(N"}.get(symbol, "") for symbol in symbols)
    codes = np.array(["+" if symbol in "{}" else symbol for symbol in symbols])
    at = first + every * np.arange(len(symbols))
    return Annotations("made", 2 * START, at, codes, np.zeros(len(at), np.int64), aux)


def counted(reference: str, test: str, ectopic: Ectopic = "V", fibrillation: bool = False):
    return compare_runs(
        said(reference), said(test), RATE, ectopic, "bxb", fibrillation=fibrillation
    )


@pytest.mark.parametrize("record", sorted({case["record"] for case in CASES}))
def test_counts_are_those_of_rxr(record: str, shared_dir: Path, mitdb_dir: Path) -> None:
    reference = find_database("mitdb", mitdb_dir.parent).annotations(record)
    test = read_annotations(shared_dir / "ec57", record, "tst", reference.length, rate_hz=RATE)
    for case in (case for case in CASES if case["record"] == record):
        found = compare_runs(reference, test, RATE, case["ectopic"], "bxb", fibrillation=True)
        assert found.reference.tolist() == case["sensitivity"]
        assert found.test.tolist() == case["predictivity"]


@pytest.mark.parametrize(
    ("reference", "test", "kind", "rate"),
    [
        ("NVVN", "NVVN", "couplets", RunRate(1, 0, 1, 0)),
        ("NVVN", "NVNN", "couplets", RunRate(0, 1, 0, 0)),
        ("NVVN", "VVVV" + "N", "couplets", RunRate(1, 0, 0, 0)),  # the longest is longer
        ("NVNN", "NVVN", "couplets", RunRate(0, 0, 0, 1)),
        ("NVVVN", "NVVNN", "short_runs", RunRate(0, 1, 0, 0)),
        ("NVVVN", "NVVNN", "couplets", RunRate(0, 0, 1, 0)),  # the couplet lies in a longer run
        ("NVVVVVN", "NVVVNNN", "short_runs", RunRate(1, 0, 1, 0)),
        ("NVVVVVVN", "NVVVVVNN", "long_runs", RunRate(0, 1, 0, 0)),
        ("NVVVVVVVVN", "NVVVVVVNNN", "long_runs", RunRate(1, 0, 1, 0)),
        ("NVFVN", "NVVVN", "short_runs", RunRate(1, 0, 1, 0)),  # fusion makes a run longer
        ("NVSVN", "NVSVN", "couplets", RunRate(0, 0, 0, 0)),  # another ectopic beat ends it
        ("NVVV", "NVVV", "short_runs", RunRate(0, 0, 0, 0)),  # cut off by the record's end
    ],
)
def test_runs_by_hand(reference: str, test: str, kind: str, rate: RunRate) -> None:
    assert getattr(counted(reference, test), kind) == rate


def test_runs_of_supraventricular_beats_and_fibrillation() -> None:
    assert counted("NSSSN", "NSSSN", "S").short_runs == RunRate(1, 0, 1, 0)
    assert counted("NSVSN", "NSSSN", "S").short_runs == RunRate(0, 0, 0, 1)
    with_atria = counted("N{NNNNNNNN}N", "N{NNNNNNNN}N", "S", fibrillation=True)
    assert with_atria.long_runs == RunRate(1, 0, 1, 0)
    assert counted("N{NNNNNNNN}N", "NNNNNNNNNNNN", "S").long_runs == RunRate(0, 0, 0, 0)


def test_flutter_is_a_long_run() -> None:
    found = counted("N[!!!]VN", "NVVVVVVN")
    assert found.long_runs == RunRate(1, 0, 1, 0)


def test_rates_and_sums() -> None:
    one = counted("NVVNVVN", "NVVNNNN")
    both = one + one + NO_RUNS
    assert both.couplets == RunRate(2, 2, 2, 0)
    assert both.couplets.sensitivity == 0.5
    assert both.couplets.predictivity == 1
    assert math.isnan(RunCounts(NO_RUNS.reference, NO_RUNS.test).long_runs.sensitivity)


def test_beats_by_the_length_of_their_run() -> None:
    reference = said("NVNVVNVVVN" + "V" * 11 + "NVFVN")
    test = said("NVNVNNVVNN" + "V" * 10 + "NNVFNN")
    pairs = pair_beats(reference, test, RATE)
    assert beats_by_run(reference, pairs) == {
        "1": (1, 1), "2": (1, 2), "3-9": (2 + 1, 3 + 2), "10 and more": (10, 11),
    }  # fmt: skip


def test_a_run_may_begin_in_the_first_five_minutes() -> None:
    reference = said("N" + "V" * 12 + "N", START - 8 * 300 - 150)
    pairs = pair_beats(reference, reference, RATE)
    assert beats_by_run(reference, pairs)["10 and more"] == (4, 4)


@pytest.mark.parametrize(
    ("length", "name"), [(1, "1"), (2, "2"), (3, "3-9"), (9, "3-9"), (10, "10 and more")]
)
def test_buckets(length: int, name: str) -> None:
    assert find_bucket(length) == name
