"""`python -m benchmarks compress-tries`: recipes with the same teacher, compared."""

from __future__ import annotations

from pathlib import Path

import pytest

from beatlens.errors import RecipeError
from beatlens.pipeline.train import train_teacher
from beatlens.tasks.windows.data import prepare_windows
from benchmarks.compression.recipes import Tries

from ..pipeline.test_steps import recipe_with
from ..pipeline.tiny import tiny_recipe

pytestmark = pytest.mark.rounding


def test_whole_recipes_are_compared_with_the_same_teacher_and_crops(tmp_path: Path) -> None:
    prepared = prepare_windows(tiny_recipe(), tmp_path)
    teacher = train_teacher(tiny_recipe(), prepared, tmp_path)
    short = [{"method": "distill"}, {"method": "quantize"}]
    longer = [short[0], {"method": "low-bit"}, short[1]]
    recipes = [
        recipe_with(short).model_copy(update={"name": "short"}),
        recipe_with(longer, packed_bytes=700).model_copy(update={"name": "longer"}),
    ]
    tries = Tries(recipes, prepared, teacher, tmp_path)
    rows = [tries.row(recipe) for recipe in recipes]
    assert [row["steps"] for row in rows] == ["distill, quantize", "distill, low-bit, quantize"]
    assert rows[1]["packed_bytes"] <= 700 < rows[0]["packed_bytes"]
    assert all(-1 <= row["spearman"] <= 1 and row["macs"] > 0 for row in rows)
    assert tries.row(recipes[0]) == rows[0]  # loaded, not made again
    other = recipes[0].model_copy(update={"seed": 7})
    with pytest.raises(RecipeError, match="differ in seed"):
        Tries([*recipes, other], prepared, teacher, tmp_path)
