"""`python -m benchmarks attribution`, `maps` and `step-cost` on simulated ECG, tiny networks."""

from __future__ import annotations

from pathlib import Path

import pytest

from beatlens.errors import ModelError
from beatlens.tasks.windows.data import PreparedWindows, prepare_windows
from beatlens.tasks.windows.labels import cut_windows
from beatlens.tasks.windows.recipe import WindowRecipe
from benchmarks.attribution.maps import MapsBench
from benchmarks.attribution.matching import Bench, list_arms
from benchmarks.attribution.step_cost import step_cost

from ..pipeline.tiny import tiny_recipe

pytestmark = [pytest.mark.export, pytest.mark.rounding]
Run = tuple[WindowRecipe, PreparedWindows]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("run")
    recipe = tiny_recipe()
    return recipe, prepare_windows(recipe, folder)


def test_attribution_bench_rows(tmp_path: Path, run: Run) -> None:
    recipe, prepared = run
    arms = [arm for arm in list_arms(recipe) if arm.name in ("kd", "sswa", "classwise")]
    bench = Bench(recipe, prepared, tmp_path, (0, 1), arms, replicates=10, say=lambda _: None)
    bench.train()
    rows, differences = bench.figures()
    names = {(row["model"], row["matching"], row["form"]) for row in rows}
    assert ("student", "sswa", "int8") in names
    assert ("re-seeded teacher", "-", "float") in names
    floor = next(row for row in rows if row["model"] == "shuffled floor")
    assert abs(floor["spearman"]) < 0.6
    device = next(r for r in rows if r["matching"] == "classwise" and r["form"] == "int8")
    assert device["bytes"] == (tmp_path / "seed-0/classwise/model.tflite").stat().st_size
    assert {row["less"] for row in differences} == {"teacher", "kd", "sswa"}

    kept = (tmp_path / "seed-1/kd/student.pt").stat().st_mtime_ns
    bench.train()
    assert (tmp_path / "seed-1/kd/student.pt").stat().st_mtime_ns == kept


def test_maps_bench_needs_the_attribution_bench(tmp_path: Path, run: Run) -> None:
    recipe, prepared = run
    bench = MapsBench(tmp_path, recipe.classes, cut_windows(prepared.test))
    with pytest.raises(ModelError, match="benchmarks attribution"):
        bench.rows((0,), ("kd",))


def test_first_order_step_costs_little_more_than_kd() -> None:
    """Loose, since machines are noisy; the figure itself is in docs/figures/step_cost.json."""
    recipe = tiny_recipe()
    rows = step_cost(recipe.teacher.spec, recipe.student.spec, batch=4, rounds=5)
    kinds = {(r["matching"], r["path"], r["teacher"]) for r in rows}
    assert ("classwise", "double backward", "online") in kinds
    cheap = [r["ratio"] for r in rows if r["path"] == "first order" and r["teacher"] == "online"]
    assert max(cheap) < 3.0
