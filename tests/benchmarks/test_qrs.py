"""The figures of the detector of R peaks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from beatlens.errors import DataError
from beatlens.evaluate.ec57 import BeatCounts
from beatlens.signals.databases import Database, database_in, find_database
from beatlens.signals.qrs import DETECTOR
from benchmarks.__main__ import app
from benchmarks.robustness import qrs as qrs_bench
from benchmarks.robustness.noise_stress import read_noise
from benchmarks.robustness.qrs import (
    SPLITS,
    Noise,
    count_beats,
    other_groups,
    peaks_as_annotations,
    qrs_rows,
)

FIGURES = Path(__file__).parents[2] / "docs" / "figures"


def test_rows_are_gross_and_average(monkeypatch: pytest.MonkeyPatch) -> None:
    def counted(database: object, record: str) -> BeatCounts:
        if record == "202":
            return BeatCounts({"NN": 50, "NO": 50})
        return BeatCounts({"NN": 99, "VN": 1, "ON": 25})

    monkeypatch.setattr(qrs_bench, "count_beats", counted)
    rows, records = qrs_rows(None)  # type: ignore[arg-type]
    assert len(records) == 44
    one, two, without = rows
    assert (one["sensitivity"], one["predictivity"], one["beats"]) == (100, 80, 2200)
    assert two["sensitivity"] == pytest.approx(100 * 2150 / 2200)
    assert two["average_sensitivity"] == pytest.approx((21 * 100 + 50) / 22)
    assert two["sensitivity_lo"] < two["sensitivity"] < two["sensitivity_hi"] == 100
    assert without["sensitivity_lo"] == 100
    assert [row["records"] for row in rows] == [22, 22, 21]
    assert {row["detector"] for row in rows} == {DETECTOR}


def test_other_groups_leave_out_what_is_not_at_hand_and_known_patients(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "qtdb"
    folder.mkdir()
    for name in ("sel100", "sel803", "sel30", "sel301", "sel14046", "sel52"):
        for extension in ("hea", "ari" if name == "sel30" else "atr"):
            if (name, extension) != ("sel52", "atr"):
                (folder / f"{name}.{extension}").touch()
    at_hand = {"mitdb": tmp_path, "qtdb": folder}

    def find(name: str, data: Path | None) -> Database:
        if name not in at_hand:
            raise DataError(f"{name} is not there")
        return database_in(name, at_hand[name])

    monkeypatch.setattr(qrs_bench, "find_database", find)
    (group,) = other_groups(None)
    assert group.name == "qtdb"
    assert sorted(group.records) == ["sel14046", "sel30", "sel301"]


def test_noise_makes_mistakes(data_dir: Path) -> None:
    database = find_database("mitdb", data_dir)
    noise = Noise(*read_noise(find_database("nstdb", data_dir), "ma"), 6)
    clean, noisy = count_beats(database, "100").qrs, count_beats(database, "100", noise).qrs
    assert noisy.wrong > 100 > clean.wrong
    with pytest.raises(DataError, match="the noise is at 250 Hz, record 100 at 360 Hz"):
        count_beats(database, "100", Noise(noise.values, 250, 6))


def test_a_real_record(mitdb_dir: Path) -> None:
    database = find_database("mitdb", mitdb_dir.parent)
    counts = count_beats(database, "100")
    assert counts.qrs.found == 1902
    assert counts.qrs.missed + counts.qrs.wrong == 0
    recording = database.read("114")  # MLII comes second
    assert peaks_as_annotations(recording, "MLII").length == recording.samples


def test_without_the_database(tmp_path: Path) -> None:
    absent = str(tmp_path / "none")
    done = CliRunner().invoke(app, ["qrs", "--data", absent, "--out", str(tmp_path)])
    assert isinstance(done.exception, DataError)
    assert not list(tmp_path.iterdir())


def test_committed_figures_are_what_is_asked() -> None:
    every = json.loads((FIGURES / "qrs.json").read_text())["rows"]
    rows = {row["split"]: row for row in every if row["detector"] == DETECTOR}
    assert set(SPLITS) <= set(rows)
    test = rows["DS2"]
    assert test["beats"] == 41_515
    assert min(test["sensitivity"], test["predictivity"]) >= 99.5
