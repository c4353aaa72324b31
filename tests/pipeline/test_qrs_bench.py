"""The figures of the detector of R peaks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from beatlens.errors import DataError
from beatlens.evaluate.ec57 import BeatCounts
from beatlens.pipeline import qrs_bench
from beatlens.pipeline.qrs_bench import SPLITS, count_beats, peaks_as_annotations, qrs_rows
from beatlens.signals.databases import find_database
from beatlens.verbs.app import app

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


def test_a_real_record(mitdb_dir: Path) -> None:
    database = find_database("mitdb", mitdb_dir.parent)
    counts = count_beats(database, "100")
    assert counts.qrs.found == 1902
    assert counts.qrs.missed + counts.qrs.wrong == 0
    recording = database.read("114")  # MLII comes second
    assert peaks_as_annotations(recording, "MLII").length == recording.samples


def test_without_the_database(tmp_path: Path) -> None:
    absent = str(tmp_path / "none")
    done = CliRunner().invoke(app, ["bench", "qrs", "--data", absent, "--out", str(tmp_path)])
    assert isinstance(done.exception, DataError)
    assert not list(tmp_path.iterdir())


def test_committed_figures_are_what_is_asked() -> None:
    rows = json.loads((FIGURES / "qrs.json").read_text())["rows"]
    assert [row["split"] for row in rows] == list(SPLITS)
    (test,) = [row for row in rows if row["split"] == "DS2"]
    assert test["beats"] == 41_515
    assert min(test["sensitivity"], test["predictivity"]) >= 99.5
