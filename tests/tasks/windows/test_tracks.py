"""From recordings to window tracks: their lead, and the labels that each database decides."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from beatlens.errors import RecipeError
from beatlens.signals.annotations import Annotations
from beatlens.signals.databases import find_database
from beatlens.tasks.common.tracks import condition
from beatlens.tasks.windows.labels import SPAN
from beatlens.tasks.windows.tracks import annotated_track, whole_track

from ..recordings_made import make_recording
from ..tracks import CLASSES, DECLARED, load_tracks


def annotations_of(rows: list[tuple[int, str, str]], length: int) -> Annotations:
    sample, symbol, aux = zip(*rows, strict=True)
    return Annotations(
        "made",
        length,
        np.array(sample, np.int64),
        np.array(symbol, "<U1"),
        np.zeros(len(rows), np.int64),
        tuple(aux),
    )


def test_an_annotated_track_keeps_beats_rhythms_and_flutter_in_time() -> None:
    length = 360 * 60
    counts = np.round(100 * np.sin(np.arange(length) * 0.05)).astype(np.int64)
    rows = [
        (0, "+", "(N"),
        (3600, "V", ""),
        (7200, "A", ""),
        (7300, "N", ""),
        (9000, "+", "(AFIB"),
        (10800, "+", "(AFL"),
        (12600, "+", "(N"),
        (14400, "[", ""),
        (14800, "!", ""),
        (16200, "]", ""),
        (18000, "R", ""),
    ]
    track = annotated_track(
        make_recording(counts), annotations_of(rows, length), "MLII", DECLARED, CLASSES
    )
    assert (track.record, track.database, track.patient) == ("made", "made", "someone")
    assert len(track.x) == len(track.usable) == 60 * 128
    assert track.x.dtype == np.int8
    assert track.beats.tolist() == [1280, 2560, 2596, 6400]
    assert track.symbols.tolist() == ["V", "A", "N", "R"]
    pvc, sve, afib, bbb = (spans.tolist() for spans in track.intervals)
    assert pvc == [[1280 - 32, 1280 + 45]]
    assert sve == [[2560 - 32, 2560 + 45]]
    assert afib == [[3200, 4480]]  # fibrillation and flutter that follow each other are one
    assert bbb == [[6400 - 32, 6400 + 45]]
    assert track.unknown.tolist() == [[5120, 5760]]
    assert track.known.all()


def test_classes_that_are_not_known_get_no_intervals() -> None:
    counts = np.arange(7200) % 50
    rows = [(0, "+", "(AFIB"), (3600, "V", ""), (4000, "L", "")]
    known = (name for name in ("pvc", "sve"))  # any iterable
    track = annotated_track(
        make_recording(counts), annotations_of(rows, 7200), "MLII", DECLARED, known
    )
    assert track.known.tolist() == [True, True, False, False]
    assert [len(spans) for spans in track.intervals] == [1, 0, 0, 0]


def test_a_recording_labelled_as_a_whole() -> None:
    counts = np.random.default_rng(0).integers(-50, 50, 3600 * 2)
    track = whole_track(make_recording(counts), "MLII", DECLARED, {"afib": True, "bbb": False})
    labels = track.labels(100)
    assert np.isnan(labels[:2]).all()
    assert labels[2:].tolist() == [1, 0]
    assert track.masks(0)[2].all()
    assert not track.masks(0)[3].any()


def test_a_database_without_labels_for_the_task_is_refused(data_dir: Path) -> None:
    if not (data_dir / "nstdb").is_dir():
        pytest.skip("no real ECG: nstdb is not beside this checkout")
    with pytest.raises(RecipeError, match="'nstdb' decides none of the classes pvc, sve"):
        load_tracks("nstdb", None, data_dir)


def test_mitdb_uses_mlii_even_where_it_comes_second(mitdb_dir: Path) -> None:
    (track,) = load_tracks("mitdb", ["114"], mitdb_dir.parent)
    recording = find_database("mitdb", mitdb_dir.parent).read("114")
    assert recording.lead("MLII") == 1
    np.testing.assert_array_equal(track.x, condition(recording, "MLII").x)
    assert track.known.all()


def test_progress_counts_the_recordings(mitdb_dir: Path) -> None:
    calls: list[tuple[str, int, int]] = []
    load_tracks("mitdb", ["100", "101"], mitdb_dir.parent, lambda *call: calls.append(call))
    assert calls == [("mitdb", 0, 2), ("mitdb", 1, 2), ("mitdb", 2, 2)]


def test_cinc2017_gives_fibrillation_and_normal_rhythm_only(data_dir: Path) -> None:
    if not (data_dir / "cinc2017").is_dir():
        pytest.skip("no real ECG: cinc2017 is not beside this checkout")
    database = find_database("cinc2017", data_dir)
    records = database.records()[:60]
    tracks = load_tracks("cinc2017", records, data_dir)
    labels = {record: database.label(record) for record in records}
    assert {"A", "N"} <= set(labels.values())
    decided = {record for record, label in labels.items() if label in ("A", "N")}
    found = {track.record for track in tracks}
    assert found <= decided
    for record in decided - found:  # the others are too short
        assert database.read(record).duration_s < 10
    for track in tracks:
        assert len(track.x) >= SPAN
        assert track.known.tolist() == [False, False, True, False]
        assert track.labels(0)[2] == (labels[track.record] == "A")


def test_cinc2017_normal_may_mean_no_ectopy(data_dir: Path) -> None:
    if not (data_dir / "cinc2017").is_dir():
        pytest.skip("no real ECG: cinc2017 is not beside this checkout")
    database = find_database("cinc2017", data_dir)
    records = database.records()[:60]
    tracks = load_tracks("cinc2017", records, data_dir, assume=["normal_has_no_ectopy"])
    for track in tracks:
        normal = database.label(track.record) == "N"
        assert track.known.tolist() == [normal, normal, True, False]
        if normal:
            assert track.labels(0)[:3].tolist() == [0, 0, 0]


def test_cinc2017_other_may_mean_no_fibrillation(data_dir: Path) -> None:
    if not (data_dir / "cinc2017").is_dir():
        pytest.skip("no real ECG: cinc2017 is not beside this checkout")
    database = find_database("cinc2017", data_dir)
    other = [r for r in database.records()[:60] if database.label(r) == "O"]
    assert load_tracks("cinc2017", other, data_dir) == []
    tracks = load_tracks("cinc2017", other, data_dir, assume=["other_has_no_fibrillation"])
    assert len(tracks) == len(other) > 3
    for track in tracks:
        assert track.known.tolist() == [False, False, True, False]
        assert track.labels(0)[2] == 0


def test_svdb_may_mean_no_fibrillation_but_where_it_looks_like_it(data_dir: Path) -> None:
    if not (data_dir / "svdb").is_dir():
        pytest.skip("no real ECG: svdb is not beside this checkout")
    records = ["804", "820"]
    for assume, known in (([], [False, False]), (["no_fibrillation"], [False, True])):
        tracks = load_tracks("svdb", records, data_dir, assume=assume)
        assert [bool(track.known[2]) for track in tracks] == known
    assert tracks[1].labels(0)[2] == 0
    mitdb = load_tracks("mitdb", ["203"], data_dir, assume=["no_fibrillation"])[0]
    assert len(mitdb.intervals[2]) > 0  # its rhythms are annotated


@pytest.mark.parametrize("ectopy", [False, True])
def test_ludb_gives_rhythm_complete_blocks_and_if_wanted_ectopy(
    data_dir: Path, ectopy: bool
) -> None:
    if not (data_dir / "ludb").is_dir():
        pytest.skip("no real ECG: ludb is not beside this checkout")
    database = find_database("ludb", data_dir)
    loaded = load_tracks("ludb", None, data_dir, assume=["ectopy_by_diagnosis"] if ectopy else [])
    tracks = {track.record: track for track in loaded}
    with (database.folder / "ludb.csv").open(newline="", encoding="utf-8-sig") as file:
        rows = {row["ID"].strip(): row for row in csv.DictReader(file)}
    unpaced = {name for name, row in rows.items() if not row["Cardiac pacing"].strip()}
    assert set(tracks) == (unpaced if ectopy else set(rows))
    blocked = unclear = fibrillating = 0
    ectopic = np.zeros(2)
    for record, track in tracks.items():
        conduction = rows[record]["Conduction abnormalities"]
        lines = [line.strip().lower() for line in conduction.splitlines() if line.strip()]
        complete = any(
            line.startswith("complete") and line.endswith("bundle branch block") for line in lines
        )
        disturbed = any("incomplete" in line or "delay" in line for line in lines)
        labels = track.labels(0)
        extra = rows[record]["Extrasystolies"]
        if ectopy:
            assert labels[0] == ("Ventricular extrasystole" in extra), record
            assert labels[1] == ("Atrial extrasystole" in extra), record
        else:
            assert np.isnan(labels[:2]).all()
        ectopic += labels[:2] == 1
        rhythm = rows[record]["Rhythms"].lower()
        assert labels[2] == ("atrial fibrillation" in rhythm or "atrial flutter" in rhythm), record
        fibrillating += labels[2] == 1
        if complete:
            assert labels[3] == 1, (record, lines)
            blocked += 1
        elif disturbed:
            assert np.isnan(labels[3]), (record, lines)
            unclear += 1
        elif not lines:
            assert labels[3] == 0, record
    assert min(blocked, unclear, fibrillating) >= 5
    assert (ectopic >= 5).all() == ectopy
