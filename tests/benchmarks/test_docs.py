"""What the documentation shows is what was measured: tables come from the committed figures."""

import json
import re
import shutil
from pathlib import Path

import pytest

from beatlens.report.tables import load_figures
from beatlens.tasks.registry import default_recipe, read_recipe
from beatlens.tasks.windows.recipe import WindowRecipe
from benchmarks.docs_tables.commands import figures
from benchmarks.docs_tables.pages import PAGES

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "figures"
FIGURES = sorted(FOLDER.glob("*.json"))
WRITTEN = ["README.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))]


@pytest.mark.parametrize("path", FIGURES, ids=lambda path: path.stem)
def test_figures_files_are_whole(path: Path) -> None:
    found = load_figures(path)
    assert found.rows
    assert found.command.startswith(("beatlens ", "python -m benchmarks ", "make "))


@pytest.fixture(scope="module")
def made_again(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the documentation, its tables made again."""
    root = tmp_path_factory.mktemp("documentation")
    shutil.copy(ROOT / "README.md", root)
    shutil.copytree(ROOT / "docs", root / "docs")
    figures(root)
    return root


@pytest.mark.parametrize("page", PAGES)
def test_tables_are_made_from_the_figures(page: str, made_again: Path) -> None:
    assert (made_again / page).read_text() == (ROOT / page).read_text(), (
        "run `python -m benchmarks figures`"
    )


@pytest.mark.parametrize("page", WRITTEN)
def test_a_page_has_the_tables_it_is_to_have(page: str) -> None:
    markers = re.findall(r"<!-- table:(\S+) -->", (ROOT / page).read_text())
    assert sorted(markers) == sorted(PAGES.get(page, {}))


@pytest.mark.parametrize("page", PAGES)
def test_no_table_is_empty_but_those_whose_figures_are_not_there(page: str) -> None:
    text = (ROOT / page).read_text()
    content = dict(re.findall(r"<!-- table:(\S+) -->\n(.*?)<!-- /table:\1 -->", text, re.S))
    filled = {marker for marker, table in content.items() if table.strip()}
    measured = {marker for marker, t in PAGES[page].items() if (FOLDER / t.file).exists()}
    assert filled == measured


def test_a_table_whose_figures_are_not_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "figures").mkdir()
    figures(tmp_path / "no pages", tmp_path / "figures")
    assert not list((tmp_path / "figures").iterdir())


@pytest.mark.parametrize("path", FIGURES, ids=lambda path: path.stem)
def test_figures_are_shown_by_a_table_or_linked(path: Path) -> None:
    tabled = {table.file for tables in PAGES.values() for table in tables.values()}
    linked = {target for page in WRITTEN for target in links(page)}
    assert path.name in tabled or path in linked


@pytest.mark.parametrize("page", WRITTEN)
def test_links_lead_somewhere(page: str) -> None:
    for target in links(page):
        assert target.exists(), target


@pytest.mark.parametrize("page", WRITTEN)
def test_links_to_headings_lead_to_one(page: str) -> None:
    for target, anchor in re.findall(
        r"\]\((?!https?:)([^)#]*)#([^)]+)\)", (ROOT / page).read_text()
    ):
        other = (ROOT / page).parent / target if target else ROOT / page
        headings = re.findall(r"^#+ (.*)$", other.read_text(), re.M)
        named = [re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in headings]
        assert anchor in named, f"{target}#{anchor}"


def test_the_readme_lists_all_pages() -> None:
    linked = links("README.md")
    assert [page for page in WRITTEN if page != "README.md" and ROOT / page not in linked] == []


def links(page: str) -> set[Path]:
    """Files and folders of this repository that a page links to or draws."""
    found = re.findall(r"\]\((?!https?:|#)([^)#]+)[^)]*\)", (ROOT / page).read_text())
    return {((ROOT / page).parent / target).resolve() for target in found}


def test_written_out_recipe_is_the_built_in_one() -> None:
    assert read_recipe(ROOT / "models" / "strips.toml") == default_recipe("windows")


ABLATIONS = {
    path: read_recipe(path) for path in sorted((ROOT / "models" / "ablations").glob("*.toml"))
}
FINAL_FITS = [t for t in ABLATIONS.values() if isinstance(t, WindowRecipe) and t.data.final_fit]


@pytest.mark.parametrize("ablation", FINAL_FITS, ids=lambda t: t.name)
def test_thresholds_of_a_final_fit_are_those_measured_out_of_fold(ablation: WindowRecipe) -> None:
    rows = json.loads((ROOT / "docs/figures/crossval.json").read_text())["rows"]
    row = next(r for r in rows if r["recipe"] == ablation.name and r["seed"] == 0)
    for name, one in ablation.task.classes.items():
        assert one.threshold == pytest.approx(row[f"threshold_{name}"], abs=5e-4)


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
    released = read_recipe(ROOT / "models" / "strips.toml")
    compressors = read_recipe(ROOT / "models" / "compress.toml")
    for section in ("data", "sampling", "teacher", "teacher_schedule"):
        assert getattr(compressors, section) == getattr(released, section), section
    # What a rule adds is set after training.
    left_out = {"regular", "alternating", "threshold"}
    made_by = [
        {name: one.model_dump(exclude=left_out) for name, one in recipe.task.classes.items()}
        for recipe in (compressors, released)
    ]
    assert made_by[0] == made_by[1]
