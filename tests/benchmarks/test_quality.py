"""Defects put into clean ECG, and what the front end says of them in time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from beatlens.signals.databases import find_database
from benchmarks.robustness import quality as quality_bench
from benchmarks.robustness.quality import DEFECTS, quality_rows

FIGURES = Path(__file__).parents[2] / "docs" / "figures"


@pytest.mark.parametrize(("within_s", "flat"), [(2.0, 100), (1.4, 0)])
def test_a_defect_is_flagged_in_time_or_not(
    mitdb_dir: Path, monkeypatch: pytest.MonkeyPatch, within_s: float, flat: float
) -> None:
    """A flat line takes 1.5 s to be one; saturation is seen at once."""
    monkeypatch.setattr(quality_bench, "DS2", ("100",))
    monkeypatch.setattr(quality_bench, "PLACES", 4)
    monkeypatch.setattr(quality_bench, "WITHIN_S", within_s)
    rows = quality_rows(find_database("mitdb", mitdb_dir.parent))
    found = {row["what"]: row.get("found") for row in rows}
    assert found == {
        **{name: flat if flag == "flat" else 100 for name, (flag, _) in DEFECTS.items()},
        "clean recordings": None,
    }
    assert rows[-1]["false"] == 0
    assert rows[-1]["hours"] == pytest.approx(0.5, abs=0.01)


def test_committed_figures_are_what_is_asked() -> None:
    *found, clean = json.loads((FIGURES / "quality.json").read_text())["rows"]
    assert [row["what"] for row in found] == list(DEFECTS)
    assert min(row["found"] for row in found) >= 99
    assert clean["false"] <= 0.1
