"""Simulated ventricular runs: what each kind of patient promises is there, the same each time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from beatlens.errors import DataError, RecipeError
from beatlens.evaluate.ec57 import BeatCounts, compare_beats
from beatlens.recipe import DataSection, ListSplit, SourceSection
from beatlens.signals.databases import DatabaseNotFoundError, database_type, find_database
from beatlens.signals.databases.simulated_runs import TEST, TRAIN, SimulatedRuns
from beatlens.signals.record_names import find_record
from beatlens.signals.simulated_beats import waves
from beatlens.signals.simulated_runs import KINDS, LENGTHS, simulate_runs
from beatlens.signals.simulated_ventricular import PATTERNS, draw_ventricular, fuse, height_mv
from beatlens.tasks.beats.labels import beat_track
from beatlens.tasks.common.sources import assign_roles, describe_roles, find_sources, simulates

LONGEST = LENGTHS["long"][1]


def _runs(symbols: np.ndarray, codes: str) -> list[tuple[int, int]]:
    """First and last beat of each row of beats with one of the codes."""
    inside = np.isin(symbols, list(codes)).astype(int)
    edges = np.diff(inside, prepend=0, append=0)
    return list(zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_a_patient_has_what_its_kind_says(kind: str) -> None:
    about = KINDS[kind]
    beats = [simulate_runs(seed, 300, kind).annotations.beats for seed in range(3)]
    symbols = {symbol for each in beats for symbol in each.symbol.tolist()}
    assert ("V" in symbols) == bool(about.events.keys() - {"atrial", "svt"})
    assert bool(symbols & {"A", "a"}) == bool(about.events.keys() & {"atrial", "svt"})
    assert bool(symbols & {"L", "R"}) == (about.conduction != "narrow")
    assert ("N" in symbols) == (about.conduction != "constant")
    longest = max(b - a + 1 for each in beats for a, b in _runs(each.symbol, "VF"))\
        if "V" in symbols else 0  # fmt: skip
    assert (longest >= 10) == ("long" in about.events)
    assert longest <= LONGEST + 2
    for each in beats:
        rr = np.diff(each.sample) / 250
        assert rr.min() > 0.28
        for first, last in _runs(each.symbol, "V"):
            if last - first >= 9 and "bigeminy" not in about.events:
                rate = 60 / np.mean(rr[first:last])
                assert about.rate[0] * 0.9 < rate < about.rate[1] * 1.1


def test_runs_begin_early_and_late_in_sinus_rhythm() -> None:
    """Of fast runs most begin early; of slow ones many as late as the next sinus beat."""
    early = {"fast runs": [], "slow runs": []}  # type: dict[str, list[bool]]
    for kind, found in early.items():
        for seed in range(6):
            beats = simulate_runs(seed, 300, kind).annotations.beats
            rr = np.diff(beats.sample)
            for first, last in _runs(beats.symbol, "VF"):
                if last - first >= 2 and first > 3:
                    found.append(bool(rr[first - 1] < 0.87 * rr[first - 2]))
    assert np.mean(early["fast runs"]) > 0.7
    assert 0.2 < np.mean(early["slow runs"]) < 0.8


def test_the_same_seed_is_the_same_patient() -> None:
    one, again, quiet = simulate_runs(5), simulate_runs(5), simulate_runs(5, noise=0)
    other = simulate_runs(6)
    assert np.array_equal(one.recording.counts, again.recording.counts)
    assert np.array_equal(one.annotations.sample, quiet.annotations.sample)
    assert not np.array_equal(one.recording.counts, quiet.recording.counts)
    assert not np.array_equal(one.recording.counts, other.recording.counts)


def test_beats_are_annotated_where_a_detector_finds_them() -> None:
    total = BeatCounts({})
    for seed, kind in enumerate(KINDS):
        made = simulate_runs(seed, 120, kind, noise=0.2)
        track = beat_track(made.recording, made.annotations, "ECG", ("NLR", "Aa", "V", "F"))
        found = track.annotations(track.labels, list("NSVF"))
        total += compare_beats(made.annotations, found, 250, start_s=0)
    assert total.qrs.sensitivity > 0.97
    assert total.qrs.predictivity > 0.98


def test_shapes_are_wide_and_of_several_patterns() -> None:
    rng = np.random.default_rng(1)
    drawn = [draw_ventricular(rng, 1.0) for _ in range(60)]
    widths = [qrs.offset - qrs.onset for qrs, _ in drawn]
    heights = [height_mv(qrs) for qrs, _ in drawn]
    assert min(widths) > 0.115
    assert max(widths) < 0.205
    assert min(heights) > 0.45
    assert max(heights) < 3.1
    assert {len(qrs.height) for qrs, _ in drawn} == {len(rows) for rows in PATTERNS.values()}
    upright = [qrs.height[np.abs(qrs.height).argmax()] > 0 for qrs, _ in drawn]
    assert 0.3 < np.mean(upright) < 0.8
    assert all(abs(qrs.peak) < 0.002 for qrs, _ in drawn)


def test_a_fusion_lies_between_the_two() -> None:
    narrow, wide = waves((1.0, 0.0, 0.01, 0.01)), waves((-2.0, 0.0, 0.04, 0.04))
    assert height_mv(fuse(narrow, wide, 0.0)) == pytest.approx(1.0)
    assert height_mv(fuse(narrow, wide, 1.0)) == pytest.approx(2.0)
    assert fuse(narrow, wide, 0.25).height.tolist() == [0.75, -0.5]


@pytest.mark.parametrize(
    "wrong", [{"kind": "none"}, {"seed": -1}, {"duration_s": 5}, {"rate_hz": 50}]
)
def test_wrong_arguments_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(RecipeError, match="expected"):
        simulate_runs(**{"seed": 1, **wrong})  # type: ignore[arg-type]


def test_the_database_is_made_when_opened(tmp_path: Path) -> None:
    database = find_database("simulated-runs")
    assert isinstance(database, SimulatedRuns)
    assert database.records() == TRAIN + TEST
    assert len(database.records()) == database.published.records
    recording = database.open(TRAIN[3])
    beats = database.annotations(TRAIN[3], "atr").beats
    assert recording.samples == 300 * 250 == database.annotations(TRAIN[3]).length
    assert recording.patient == database.patient(TRAIN[3])
    assert set("NA") <= set(beats.symbol.tolist())
    assert database_type("simulated-runs")(tmp_path).fingerprint == database.fingerprint
    for method in (database.header, database.record_folder, database.label):
        with pytest.raises(DataError):
            method(TRAIN[0])
    with pytest.raises(DataError, match="its records are"):
        database.read("train99")
    with pytest.raises(DataError, match="annotator"):
        database.annotations(TRAIN[0], "q1c")
    with pytest.raises(DataError, match="has no files"):
        find_record(f"simulated-runs/{TRAIN[0]}")


def test_a_recipe_trains_on_it() -> None:
    sources = find_sources(DataSection(sources=(SourceSection(database="simulated-runs"),)), None)
    roles = assign_roles(sources)
    assert [record for _, record in roles["train"]] == list(TRAIN)
    assert [record for _, record in roles["test"]] == list(TEST)
    assert not roles["validation"]
    assert describe_roles(roles, ("train",)) == (
        "real ECG and simulated-runs, records by patient: trained on 60 of simulated-runs"
    )


def test_it_does_not_count_as_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no real database is at hand, `auto` simulates as it does without it."""
    monkeypatch.setattr("beatlens.signals.databases.find.data_roots", lambda data=None: (tmp_path,))
    monkeypatch.delenv("BEATLENS_DATA", raising=False)
    with pytest.raises(DatabaseNotFoundError):
        find_database("mitdb")
    made = SourceSection(database="simulated-runs", split=ListSplit(test=TEST[:2]))
    real = SourceSection(database="mitdb")
    assert simulates(DataSection(sources=(real, made)), None)
    assert not simulates(DataSection(sources=(made,)), None)
