"""Tables of the documentation show the rows they are to show, and no others."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.docs_tables.commands import figures
from benchmarks.docs_tables.pages import PAGES, having


def test_rows_are_chosen_by_their_values() -> None:
    shown = having(model=("beats",), snr_db=(None, 12))
    assert shown({"model": "beats", "snr_db": None})
    assert shown({"model": "beats", "snr_db": 12.0})
    assert not shown({"model": "beats", "snr_db": 6})
    assert not shown({"model": "beats-6k", "snr_db": 12})


@pytest.mark.parametrize("page", PAGES)
def test_a_line_of_a_table_is_named_by_what_is_not_a_column(page: str) -> None:
    for table in PAGES[page].values():
        keys = [column.key for column in table.columns]
        assert len(set(keys)) == len(keys)
        assert not set(keys) & set(table.groups)


def write(root: Path, file: str, rows: list[dict[str, Any]]) -> None:
    """A figures file, and pages with empty places for all tables."""
    folder = root / "docs" / "figures"
    folder.mkdir(parents=True)
    content = {"command": "c", "commit": "c", "data": "d", "machine": "m", "rows": rows}
    (folder / file).write_text(json.dumps(content))
    for page, tables in PAGES.items():
        marks = [f"<!-- table:{marker} -->\n<!-- /table:{marker} -->" for marker in tables]
        (root / page).write_text("\n".join(marks))


def test_differences_of_compressors_are_those_to_no_matching(tmp_path: Path) -> None:
    cell = {"method": "4 bit", "share": 100, "matching": "classwise", "seed": 0}
    rows = [cell | {"less": less, "spearman": v} for less, v in (("none", 0.25), ("teacher", 0.5))]
    write(tmp_path, "compress_differences.json", rows)
    figures(tmp_path)
    text = (tmp_path / "docs" / "compression.md").read_text()
    assert "| 4 bit | 100 | classwise | 0.25 |" in text
    assert "0.50" not in text


def test_a_table_is_filled_on_its_page(tmp_path: Path) -> None:
    row = {
        "model": "wearable-af",
        "teacher_steps": 3200,
        "form": "int8",
        "seed": 0,
        "bytes": 20_000,
        "score": 0.75,
    }
    write(tmp_path, "wearable.json", [row])
    figures(tmp_path)
    text = (tmp_path / "docs" / "wearable.md").read_text()
    assert "| wearable-af | 3200 | int8 | 20,000 | 0.750 |" in text
