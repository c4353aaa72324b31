"""What the documentation shows is what was measured: tables come from the committed figures."""

import json
import re
import shutil
from pathlib import Path

import pytest

from beatlens.beat_recipe import read_recipe
from beatlens.recipe import Recipe
from beatlens.report.tables import load_figures
from beatlens.verbs.docs import figures

ROOT = Path(__file__).resolve().parents[1]
FIGURES = sorted((ROOT / "docs" / "figures").glob("*.json"))


@pytest.mark.parametrize("path", FIGURES, ids=lambda path: path.stem)
def test_figures_files_are_whole(path: Path) -> None:
    found = load_figures(path)
    assert found.rows
    assert found.command.startswith(("beatlens ", "make "))


def test_readme_tables_are_made_from_the_figures(tmp_path: Path) -> None:
    copy = tmp_path / "figures"
    shutil.copytree(ROOT / "docs" / "figures", copy)
    readme = tmp_path / "README.md"
    shutil.copy(ROOT / "README.md", readme)
    figures(copy, readme)
    assert readme.read_text() == (ROOT / "README.md").read_text(), "run `beatlens figures`"


def test_no_table_of_the_readme_is_empty() -> None:
    text = (ROOT / "README.md").read_text()
    tables = re.findall(r"<!-- table:(\S+) -->\n(.*?)<!-- /table:\1 -->", text, re.S)
    assert tables
    assert all(content.strip() for _, content in tables)


def test_links_of_the_readme_lead_somewhere() -> None:
    text = (ROOT / "README.md").read_text()
    for target in re.findall(r"\]\((?!https?:|#)([^)]+)\)", text):
        assert (ROOT / target).exists(), target


def test_written_out_recipe_is_the_built_in_one() -> None:
    assert Recipe.read(ROOT / "models" / "strips.toml") == Recipe()


TRIALS = {path: read_recipe(path) for path in sorted((ROOT / "models" / "trials").glob("*.toml"))}
FINAL_FITS = [t for t in TRIALS.values() if isinstance(t, Recipe) and t.data.final_fit]


@pytest.mark.parametrize("trial", FINAL_FITS, ids=lambda t: t.name)
def test_thresholds_of_a_final_fit_are_those_measured_out_of_fold(trial: Recipe) -> None:
    rows = json.loads((ROOT / "docs/figures/crossval.json").read_text())["rows"]
    row = next(r for r in rows if r["recipe"] == trial.name and r["seed"] == 0)
    for name, chance in trial.decision.thresholds.items():
        assert chance == pytest.approx(row[f"threshold_{name}"], abs=5e-4)


def test_benchmark_covers_what_it_must() -> None:
    rows = json.loads((ROOT / "docs/figures/attribution.json").read_text())["rows"]
    students = {(r["matching"], r["form"]) for r in rows if r["model"] == "student"}
    arms = ("alone", "kd", "ewa", "swa", "sswa", "shape", "classwise")
    assert students == {(arm, form) for arm in arms for form in ("float", "int8")}
    assert len({r["seed"] for r in rows}) >= 3
    for row in rows:
        if row["model"] == "student" and row["form"] == "int8":
            teacher = next(r for r in rows if r["model"] == "teacher" and r["seed"] == row["seed"])
            assert row["bytes"] * 100 <= 4 * teacher["weights"]


def test_recipe_of_the_compressors_benchmark_fits_the_released_teachers() -> None:
    released = Recipe.read(ROOT / "models" / "strips.toml")
    compressors = Recipe.read(ROOT / "models" / "compress.toml")
    for section in ("data", "sampling", "teacher", "teacher_schedule", "decision"):
        assert getattr(compressors, section) == getattr(released, section), section
