"""What is counted of test records, and the rows made of it, by hand-made records."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from beatlens.signals.annotations import Annotations
from beatlens.signals.databases.simulated_runs import SimulatedRuns
from beatlens.tasks.beats.counts import (
    RecordCounts,
    build_record_rows,
    build_row,
    build_run_rows,
    count_record,
)
from beatlens.tasks.beats.data import PreparedBeats
from beatlens.tasks.beats.labels import BeatTrack
from beatlens.tasks.beats.metrics import BeatRun
from beatlens.tasks.beats.splits import ALL_DATABASES, find_splits
from beatlens.tasks.common.sources import TEST, UNSHARED

RATE = 100
HOUR = 3600 * RATE


def said(symbols: str) -> Annotations:
    """A beat a second from 5:01 on, in a record of 1:05:00: one hour is counted."""
    at = (301 + np.arange(len(symbols))) * RATE
    none = np.zeros(len(at), np.int64)
    return Annotations("made", HOUR + 300 * RATE, at, np.array(list(symbols)), none,
                       ("",) * len(at))  # fmt: skip


def counted(reference: str, test: str, database: str = "one", patient: str = "") -> RecordCounts:
    return count_record(said(reference), said(test), RATE, "aami", 300, database, patient)


def test_figures_of_a_class() -> None:
    records = {
        "first": counted("NVNVVNVVVN" * 2, "NVNVNNVVVN" * 2, patient="a"),
        "second": counted("NNNNNVNNNN", "NVNNNVVNNN", patient="b"),
        "third": counted("NNNNNNNNNN", "NNNNNNNNNN", patient="b"),
    }
    row = build_row(records)
    assert row["veb_sensitivity"] == pytest.approx(100 * 11 / 13)
    assert row["veb_predictivity"] == pytest.approx(100 * 11 / 13)
    assert row["veb_f1"] == pytest.approx(100 * 22 / 26)
    assert row["veb_false_an_hour"] == pytest.approx(2 / 3)
    assert row["veb_sensitivity_in_runs_of_1"] == 100
    assert row["veb_sensitivity_in_runs_of_2"] == 50
    assert row["veb_sensitivity_in_runs_of_3_9"] == 100
    assert math.isnan(row["veb_sensitivity_in_runs_of_10_more"])
    assert row["veb_couplets_sensitivity"] == 0
    assert row["veb_short_runs_sensitivity"] == row["veb_short_runs_predictivity"] == 100
    assert row["veb_couplets_predictivity"] == 0  # two beats where the second record has one
    assert (row["veb_largest_record"], row["veb_largest_share"]) == (
        "first", pytest.approx(100 * 12 / 13),
    )  # fmt: skip
    assert row["veb_rest_sensitivity"] == 100
    assert row["veb_rest_predictivity"] == pytest.approx(100 / 3)
    assert row["veb_rest_f1"] == pytest.approx(100 * 2 / 4)
    assert row["veb_largest_predictivity"] == 100
    assert row["veb_largest_sensitivity"] == pytest.approx(100 * 10 / 12)
    assert row["veb_mean_records"] == 1  # the second has fewer than five
    assert row["veb_mean_f1"] == pytest.approx(100 * 20 / 22)
    assert row["sveb_largest_record"] is None
    assert math.isnan(row["sveb_f1"])
    assert row["veb_sensitivity_lo"] <= row["veb_sensitivity"] <= row["veb_sensitivity_hi"]


def test_a_single_patient_has_no_interval() -> None:
    one = counted("NVNAN", "NVNAN", patient="a")
    row = build_row({"first": one, "second": one})
    assert row["veb_sensitivity"] == 100
    assert math.isnan(row["veb_sensitivity_lo"])
    assert math.isnan(row["qrs_predictivity_hi"])
    rows = build_run_rows({"first": one, "second": one})
    assert all(math.isnan(each["sensitivity_lo"]) for each in rows)


def test_intervals_draw_patients_not_records() -> None:
    good, bad = counted("NVNVN" * 4, "NVNVN" * 4), counted("NVNVN" * 4, "NNNNN" * 4)
    records = dict.fromkeys("abc", good) | dict.fromkeys("def", bad)
    apart = build_row({n: replace(c, patient=n) for n, c in records.items()})
    pairs = zip(records, "112233", strict=True)
    together = build_row({n: replace(records[n], patient=p) for n, p in pairs})

    def width(row: dict) -> float:
        return row["veb_sensitivity_hi"] - row["veb_sensitivity_lo"]

    assert width(apart) < width(together)


def test_rows_of_runs_say_of_how_many() -> None:
    records = {
        "first": counted("NVVNVVVVVVVNAAAN", "NVVNVVVVVVVNAANN", patient="a"),
        "second": counted("NVVNN", "NNNNN", patient="b"),
    }
    found = {(r["class"], r["counted"], r["length"]): r for r in build_run_rows(records)}
    assert len(found) == 2 * (4 + 3)
    couplets = found["veb", "runs", "couplets"]
    assert (couplets["sensitivity_of"], couplets["sensitivity"]) == (2, 50)
    assert (couplets["predictivity_of"], couplets["predictivity"]) == (1, 100)
    assert couplets["sensitivity_lo"] == 0
    assert couplets["sensitivity_hi"] == 100
    beats = found["veb", "beats", "2"]
    assert (beats["sensitivity_of"], beats["sensitivity"]) == (4, 50)
    assert beats["predictivity_of"] == 0
    assert found["veb", "runs", "long runs"]["sensitivity"] == 100
    assert found["sveb", "runs", "short runs"]["sensitivity"] == 0
    assert found["sveb", "beats", "3-9"]["sensitivity"] == pytest.approx(200 / 3)
    assert math.isnan(found["veb", "beats", "10 and more"]["sensitivity"])


def test_rows_of_records() -> None:
    records = {"first": counted("NVNVN", "NVNNN", "one", "a"), "second": counted("N", "V", "two")}
    first, second = build_record_rows(records)
    assert (first["record"], first["database"], first["patient"]) == ("first", "one", "a")
    assert (first["veb_beats"], first["veb_wrong"]) == (2, 0)
    assert first["veb_f1"] == pytest.approx(200 / 3)
    assert (second["patient"], second["veb_false_an_hour"]) == ("made", pytest.approx(1))


def track(record: str, database: str) -> BeatTrack:
    none = np.zeros(0, np.int64)
    return BeatTrack(record, database, none.astype(np.int8), none.astype(bool), none, none,
                     none.reshape(0, 8), 100, 0)  # fmt: skip


def prepared(*tracks: BeatTrack, simulated: bool = False, **more: object) -> PreparedBeats:
    return PreparedBeats([], [], list(tracks), {}, simulated, "", **more)  # type: ignore[arg-type]


def test_a_row_for_each_database_and_one_for_all_people() -> None:
    made = SimulatedRuns.published.name
    some = prepared(track("1", "one"), track("2", "two"), track("s", made), track("3", "one"))
    found = [(split.name, split.database, split.places) for split in find_splits(some)]
    assert found == [
        (TEST, ALL_DATABASES, (0, 1, 3)),
        ("test, one", "one", (0, 3)),
        ("test, two", "two", (1,)),
        (f"test, {made}", made, (2,)),
    ]
    assert find_splits(some)[1].tracks(some)[1].record == "3"


def test_one_database_has_one_row() -> None:
    alone = prepared(track("1", "one"), track("2", "one"), shared=frozenset({"2"}))
    assert [(s.name, s.places) for s in find_splits(alone)] == [(TEST, (0, 1)), (UNSHARED, (0,))]
    made = prepared(track("1", "simulated"), simulated=True)
    assert [split.name for split in find_splits(made)] == ["simulated"]
    runs = prepared(track("s", SimulatedRuns.published.name))
    assert [(s.name, s.places) for s in find_splits(runs)] == [(TEST, (0,))]


def test_a_run_of_some_recordings() -> None:
    logits = [np.full((1, 2), float(i)) for i in range(3)]
    whole = BeatRun([track(str(i), "one") for i in range(3)], [], logits)
    part = whole.select([2, 0])
    assert [one.record for one in part.tracks] == ["2", "0"]
    assert [float(each[0, 0]) for each in part.logits] == [2.0, 0.0]
