"""The benchmark of adapted rules: which records it takes, and how their rows are put together."""

from __future__ import annotations

from pathlib import Path

from benchmarks.adapt.rows import NOT_TRAINED_ON, TRAINED_ON, beat_classes, candidates, summary_rows


def row(patients: str, before: int, after: int, beats: int) -> dict[str, object]:
    return {
        "model": "m",
        "record": "r",
        "patients": patients,
        "wrong_before": before,
        "wrong_after": after,
        "beats_v": beats,
        "beats_s": 0,
        "f1_v_before": 0.5,
        "f1_v_after": 0.75,
    }


def test_records_that_were_not_adapted_count_as_records_alone() -> None:
    rows = [row(NOT_TRAINED_ON, 10, 4, 30), row(NOT_TRAINED_ON, 2, 5, 3)]
    rows.append({"model": "m", "record": "x", "patients": NOT_TRAINED_ON, "why_not": "no beats"})
    (found,) = summary_rows(rows)
    assert (found["records"], found["adapted"], found["better"], found["worse"]) == (3, 2, 1, 1)
    assert (found["wrong_before"], found["wrong_after"], found["kept"]) == (12, 9, 6)
    assert (found["records_v"], found["f1_v_before"], found["f1_v_after"]) == (1, 50, 75)
    assert found["records_s"] == 0


def test_patients_of_the_network_stand_apart() -> None:
    rows = [row(NOT_TRAINED_ON, 1, 1, 0), row(TRAINED_ON, 1, 0, 0)]
    assert [one["patients"] for one in summary_rows(rows)] == [NOT_TRAINED_ON, TRAINED_ON]


def test_no_record_of_ds2_is_looked_at(data_dir: Path) -> None:
    from beatlens.signals.databases.mitdb import DS2

    found = list(candidates(data_dir, beat_classes()))
    names = {one.name for one in found}
    assert len(names) > 40
    assert not names & {f"mitdb/{record}" for record in DS2}
    assert {one.name: one.trained_on for one in found}["svdb/842"] is False
