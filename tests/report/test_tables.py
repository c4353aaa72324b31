"""Tables and plots are what the figures file says, and nothing else."""

import json
from pathlib import Path

import pytest

from beatlens.errors import DataError
from beatlens.report.tables import (
    Column,
    Figures,
    load_figures,
    make_table,
)

ROWS = [
    {"model": "student", "matching": m, "form": f, "seed": s, "spearman": v + s / 100,
     "spearman_lo": v - 0.1, "spearman_hi": v + 0.1, "bytes": 31000}
    for m, v in (("kd", 0.5), ("classwise", 0.9))
    for f in ("float", "int8")
    for s in (0, 1, 2)
]  # fmt: skip
FIGURES = Figures("python -m benchmarks attribution", "abc", "simulated", "a machine", ROWS)
GROUPS = ("model", "matching", "form")


def test_table_is_the_mean_over_seeds_with_its_interval() -> None:
    columns = (Column("spearman", digits=2), Column("bytes", digits=None, interval=False))
    table = make_table(FIGURES, columns, GROUPS)
    assert table.rows[0] == ["student", "kd", "float", "0.51 [0.40, 0.60]", "31,000"]
    assert len(table.rows) == 4


def test_a_seed_that_is_missing_is_not_averaged_over() -> None:
    rows = [*ROWS[:2], {k: v for k, v in ROWS[2].items() if not k.startswith("spearman")}]
    figures = Figures("c", "c", "d", "m", rows)
    with pytest.raises(DataError, match="2 of 3 rows"):
        make_table(figures, ("spearman",), GROUPS)


@pytest.mark.parametrize(
    "content", ["", "[]", '{"rows": []}', '{"command":"c","commit":"c","data":"d","machine":"m"}']
)
def test_damaged_figures_files_are_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "f.json"
    path.write_text(content)
    with pytest.raises(DataError, match=r"f\.json"):
        load_figures(path)


def test_figures_that_are_not_numbers_are_refused() -> None:
    with pytest.raises(DataError, match="row 0 has x"):
        Figures("c", "c", "d", "m", [{"x": float("nan")}])


def test_round_trip_of_a_figures_file(tmp_path: Path) -> None:
    from beatlens.evaluate.figures import write_figures

    rows = [{"model": "m", "ap": 0.5, "none": float("nan"), "count": 3}]
    write_figures(tmp_path / "f.json", "beatlens x", "simulated", rows)
    found = load_figures(tmp_path / "f.json")
    assert found.rows[0] == {"model": "m", "ap": 0.5, "none": None, "count": 3}
    assert json.loads((tmp_path / "f.json").read_text())["machine"]
