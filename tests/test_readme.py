"""The README: short, true, and its Python runs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def code(language: str) -> list[str]:
    """Blocks of a language, in order."""
    return re.findall(rf"```{language}\n(.*?)```", README, re.S)


def test_it_is_read_in_a_few_minutes() -> None:
    assert len(re.sub(r"<!--.*?-->", "", README, flags=re.S).split()) <= 900


@pytest.mark.parametrize("block", code("python"))
def test_its_python_runs(block: str, tmp_path: Path) -> None:
    assert len(block.strip().splitlines()) <= 14
    ran = subprocess.run(
        [sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 0, ran.stderr
    assert len(re.findall(r"^\d+\.\d\d s, P = 0\.\d\d \w+", ran.stdout, re.M)) >= 4


def test_its_commands_are_known() -> None:
    from typer.main import get_command

    from beatlens.verbs.app import app

    verbs = set(get_command(app).commands)  # type: ignore[attr-defined]
    for block in [*code("sh"), *code("console")]:
        for line in re.findall(r"^(?:\$ )?beatlens (\S+)", block, re.M):
            assert line in verbs
        for target in re.findall(r"^make (\S+)", block, re.M):
            assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.M)


def models_table() -> list[list[str]]:
    """Cells of the table of released models, a row a model."""
    lines = [line for line in README.splitlines() if line.startswith("| [")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_table_of_models_is_small() -> None:
    rows = models_table()
    assert 1 < len(rows) <= 8
    assert {len(row) for row in rows} == {6}


@pytest.mark.parametrize("row", models_table(), ids=lambda row: row[0])
def test_the_table_of_models_says_what_was_measured(row: list[str]) -> None:
    found = re.match(r"\[(\S+)\]\(models/(\S+)\)", row[0])
    assert found is not None
    name, folder = found.groups()
    assert name == folder
    size = (ROOT / "models" / name / "bundle" / "model.tflite").stat().st_size
    assert row[2] == f"{size:,}"
    kind = name.partition("-")[0]
    assert [row[3], row[4], row[5]] == CELLS[kind](name)


def figures(path: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((ROOT / path).read_text(encoding="utf-8"))["rows"]
    return found


def only(rows: list[dict[str, Any]], **values: object) -> dict[str, Any]:
    (row,) = (r for r in rows if all(r.get(k) == v for k, v in values.items()))
    return row


def rounded(value: float, digits: int = 2) -> str:
    return f"{value:.{digits}f}".removeprefix("0")


def beats_cells(name: str) -> list[str]:
    seen = only(figures("docs/figures/ec57.json"), model=name, form="int8", split="test",
                mapping="aami", decided="as output")  # fmt: skip
    unseen = only(figures("docs/figures/unseen.json"), model=name, decided="all beats")
    pair = "V {veb_sensitivity:.0f} / {veb_predictivity:.0f} %"
    return [rounded(seen["spearman"]), pair.format(**seen), pair.format(**unseen)]


def strips_cells(name: str) -> list[str]:
    seen = only(figures(f"models/{name}/figures.json"), model="student", form="int8")
    unseen = only(figures("docs/figures/unseen.json"), model=name, database="svdb")
    there = f"agreement {rounded(unseen['spearman'])}"
    return [rounded(seen["spearman"]), f"PVC F1 {rounded(seen['f1_pvc'])}", there]


def wearable_cells(name: str) -> list[str]:
    seen = only(figures("docs/figures/wearable.json"), model=name, form="int8")
    unseen = only(figures("docs/figures/unseen.json"), model=name, database="cinc2017")
    scores = [f"score {rounded(v)}" for v in (seen["published_prior_score"], unseen["score"])]
    return [rounded(seen["spearman"]), *scores]


CELLS = {"beats": beats_cells, "strips": strips_cells, "wearable": wearable_cells}


def test_what_it_shows_of_a_recording_is_what_is_printed(data_dir: Path) -> None:
    (shown,) = (block for block in code("console") if "explain mitdb/119" in block)
    lines = [line for line in shown.splitlines() if line and line != "..." and line[0] != "$"]
    assert len(lines) > 4
    ran = subprocess.run(
        [sys.executable, "-m", "beatlens", "explain", "mitdb/119", "--data", str(data_dir)],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    printed = ran.stdout.splitlines()
    assert [line for line in lines if line not in printed] == []
