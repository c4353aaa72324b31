"""The compressors' benchmark in its quick form: real cells, real processes, tiny trainings."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
import torch
from typer.testing import CliRunner, Result

from beatlens.compression.methods import build_method
from beatlens.errors import BeatlensError, RecipeError
from beatlens.evaluate.figures import write_figures
from beatlens.nets.files import save_net
from beatlens.report.tables import load_figures
from beatlens.tasks.registry import default_recipe
from beatlens.tasks.windows.data import PreparedWindows
from beatlens.tasks.windows.recipe import WindowRecipe
from benchmarks.__main__ import app
from benchmarks.compression.grid import Grid, GridCell, all_seeds, cell_recipe, list_cells
from benchmarks.compression.plans import (
    LARGE,
    NETWORKS,
    PAPER,
    SHARES,
    SMALL,
    TEACHER,
    TINY,
    WITH_AND_WITHOUT,
    plans,
)
from benchmarks.compression.rates import RATES_TRIED
from benchmarks.compression.run import compared
from benchmarks.compression.tables import left_to_make, older_rows, with_older

from ..nets.networks import lively
from ..pipeline.tiny import tiny_recipe
from ..toml_text import toml_of

pytestmark = pytest.mark.export
ROOT = Path(__file__).resolve().parents[2]
PATH = os.pathsep.join((str(ROOT), str(ROOT / "sdk")))


def test_every_method_is_compared_with_and_without_matching_at_two_budgets() -> None:
    found = plans()
    methods = {method for method, _ in found}
    assert len(methods) >= 15
    at = {share: {method for method, budget in found if budget == share} for share in SHARES}
    assert at[SMALL] == at[LARGE] == methods
    assert len(at[TINY]) == 4
    for plan in found.values():
        assert set(WITH_AND_WITHOUT) <= set(plan.matchings)
        assert plan.start == TEACHER or plan.start in NETWORKS
        recipe = cell_recipe(tiny_recipe(), plan, GridCell("any", 100, "classwise", 0))
        recipe.compress.model_copy(update={"packed_bytes": 1000}).check()
        for step in plan.make(0):
            build_method(step.method, step.settings).check(lively(NETWORKS["dense-203k"]))
    assert sum(set(PAPER) <= set(plan.matchings) for plan in found.values()) == 3 + 3
    names = [cell.name for cell in list_cells(found, [0, 1, 2])]
    assert len(set(names)) == len(names)


def test_cells_come_seed_by_seed() -> None:
    cells = list_cells(plans(), [0, 1])
    seeds = [cell.seed for cell in cells]
    assert seeds == sorted(seeds)
    assert len(cells) == 2 * sum(len(plan.matchings) for plan in plans().values())


def row(cell: GridCell, basis: str = "a", **more: object) -> dict[str, object]:
    named = {"method": cell.method, "share": cell.share, "matching": cell.matching}
    return {**named, "seed": cell.seed, "basis": basis, **more}


def test_what_the_figures_have_is_not_made_again_and_pairs_stay_together(tmp_path: Path) -> None:
    cells = [
        GridCell(method, 100, matching, seed)
        for seed in (0, 1)
        for method in ("weights", "4 bit")
        for matching in ("none", "classwise")
    ]
    path = tmp_path / "compress.json"
    assert older_rows(path, {0: "a"}) == []
    assert left_to_make(cells, []) == cells
    whole, half, other_teacher = cells[:2], cells[2:3], cells[4:6]
    write_figures(path, "python -m benchmarks compress", "simulated", [
        *(row(cell) for cell in (*whole, *half)), *(row(cell, "b") for cell in other_teacher),
    ])  # fmt: skip
    found = older_rows(path, {0: "a", 1: "a"})
    assert [r["seed"] for r in found] == [0, 0, 0]
    # Of "4 bit" of seed 0 one cell is missing: both are made, for they are compared strip by strip.
    assert left_to_make(cells, found) == cells[2:]


def test_a_table_is_completed_row_by_row_in_the_order_of_the_plans() -> None:
    first, second = GridCell("weights", 100, "none", 0), GridCell("4 bit", 20, "classwise", 0)
    older = [row(second, spearman=0.1, less="none"), row(first, spearman=0.2)]
    found = with_older([row(first, spearman=0.3)], older, ["4 bit", "weights"])
    assert [(r["method"], r["spearman"]) for r in found] == [("4 bit", 0.1), ("weights", 0.3)]
    # A difference to something else is another row.
    found = with_older([row(second, spearman=0.4, less="teacher")], older, ["4 bit", "weights"])
    assert sorted(r["spearman"] for r in found) == [0.1, 0.2, 0.4]


def test_the_table_is_of_the_released_teachers(tmp_path: Path) -> None:
    if not (ROOT / "models/teachers/strips/seed-0/teacher.pt").exists():
        pytest.skip("NO TEACHERS in this clone: those of compress.json were not compared")
    rows = load_figures(ROOT / "docs" / "figures" / "compress.json").rows
    recipe = WindowRecipe.read(ROOT / "models" / "compress.toml")
    nothing = cast(PreparedWindows, None)  # of the recordings nothing is looked at
    grid = Grid(recipe, nothing, ROOT / "models/teachers/strips", tmp_path, plans())
    assert {(row["seed"], row["basis"]) for row in rows} <= {
        (seed, grid.basis(seed)) for seed in all_seeds(grid.teachers)
    }


def test_starting_networks_are_named_by_their_weights() -> None:
    for name, spec in NETWORKS.items():
        weights = lively(spec, classes=default_recipe("windows").classes).weights
        assert abs(weights / 1000 - int(name.split("-")[1][:-1])) < 1, (name, weights)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """The command in this process, in the test's folder; cells are processes all the same."""
    monkeypatch.chdir(tmp_path)
    for name, value in (("OMP_NUM_THREADS", "1"), ("COLUMNS", "200"), ("PYTHONPATH", PATH)):
        monkeypatch.setenv(name, value)
    return lambda *arguments: CliRunner().invoke(app, arguments)


def write_recipe_and_teacher(folder: Path) -> None:
    """`tiny.toml` and a teacher of its kind that predicts every class in every simulated strip.

    A trained one predicts a class or none, as the CPU rounds, and maps are compared only where the
    teacher predicts. This one is not trained: its logits, -1.1 to .7 with 12 seeds, are raised by
    3, and another CPU's rounding moves them by some 1e-6.
    """
    recipe = tiny_recipe()
    (folder / "tiny.toml").write_text(toml_of(recipe.model_dump(mode="json")), encoding="utf-8")
    (folder / "teachers" / "seed-0").mkdir(parents=True)
    teacher = lively(recipe.teacher.spec)
    with torch.no_grad():
        teacher.head.bias += 3
    save_net(folder / "teachers" / "seed-0" / "teacher.pt", teacher, recipe.teacher.spec)


@pytest.mark.rounding
def test_quick_benchmark_runs_cells_as_processes_and_goes_on(
    tmp_path: Path, bench: Callable[..., Result]
) -> None:
    """A method that goes on where another ends: a student is distilled, then repaired."""
    write_recipe_and_teacher(tmp_path)
    command = ["compress", "tiny.toml", "--quick", "--run", "bench", "--teachers",
               "teachers", "--seeds", "0", "--methods", "evidence repair",
               "--out", "figures"]  # fmt: skip
    first = bench(*command)
    assert first.exit_code == 0, first.output
    figures = load_figures(tmp_path / "figures" / "compress.json")
    rows = [row for row in figures.rows if row["method"] != "teacher"]
    assert {row["method"] for row in rows} == {"evidence repair"}
    assert {row["matching"] for row in rows} == set(WITH_AND_WITHOUT)
    for row in rows:
        assert row["packed_bytes"] > 0
        assert row["macs"] > 0
        assert -1 <= row["spearman"] <= 1
    differences = load_figures(tmp_path / "figures" / "compress_differences.json").rows
    assert {row["less"] for row in differences} == {"none", "teacher"}
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "bench").rglob("cell.json")}
    assert made
    again = bench(*command)
    assert again.exit_code == 0, again.output
    assert made == {p: p.stat().st_mtime_ns for p in (tmp_path / "bench").rglob("cell.json")}


def test_methods_and_budgets_are_chosen_by_name() -> None:
    everything = compared("", "", quickly=False)
    assert everything.keys() == plans().keys()
    assert compared("", "300, 20", quickly=False).keys() == {
        key for key in everything if key[1] in (300, 20)
    }
    assert [*compared("weights", "20", quickly=True)] == [("weights", 20)]
    assert {share for _, share in compared("", "", quickly=True)} == {SMALL}
    with pytest.raises(RecipeError, match="no such plan: methods 'head, ridge' at shares 300"):
        compared("head, ridge", "300", quickly=False)


@pytest.mark.rounding
def test_learning_rates_are_tried_on_validation_patients(
    tmp_path: Path, bench: Callable[..., Result]
) -> None:
    write_recipe_and_teacher(tmp_path)
    done = bench(
        "compress-rates", "tiny.toml", "--quick", "--run", "bench", "--teachers",
        "teachers", "--methods", "channels L1", "--out", "figures",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    figures = load_figures(tmp_path / "figures" / "compress_rates.json")
    assert "VALIDATION PATIENTS" in figures.data
    assert [row["rate"] for row in figures.rows] == [RATES_TRIED[0], RATES_TRIED[-1]]
    assert sum(row["best"] for row in figures.rows) >= 1
    assert max(figures.rows, key=lambda row: row["score"])["best"]
    for row in figures.rows:
        assert row["score"] == pytest.approx((row["spearman"] + row["macro_ap"]) / 2, abs=1e-5)
        assert row["jsv_mean_pruned"] > 0
        assert row["jsv_mean_pruned"] != row["jsv_mean_retrained"]
    test_patients = [
        *(tmp_path / "bench").rglob("int8-test.npz"),
        *tmp_path.rglob("teacher-0-test.npz"),
    ]
    assert not test_patients  # nothing was run on them


def test_wrong_names_and_missing_teachers_are_errors_that_say_so(
    tmp_path: Path, bench: Callable[..., Result]
) -> None:
    (tmp_path / "tiny.toml").write_text(
        toml_of(tiny_recipe().model_dump(mode="json")), encoding="utf-8"
    )
    base = ["compress", "tiny.toml", "--run", "bench"]
    wrong = bench(*base, "--methods", "channels L7").exception
    assert isinstance(wrong, RecipeError)
    assert "method is 'channels L7', expected some of" in str(wrong)
    wrong = bench(*base, "--shares", "100, 50").exception
    assert isinstance(wrong, RecipeError)
    assert "share is '50', expected some of: 100, 300, 20" in str(wrong)
    missing = bench(*base, "--seeds", "0", "--teachers", "nowhere").exception
    assert isinstance(missing, BeatlensError)
    assert "no such teacher; train it with" in str(missing)
