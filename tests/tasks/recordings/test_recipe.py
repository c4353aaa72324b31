"""Recipes of recordings: defaults, TOML, and refusals that name file, key and value."""

from __future__ import annotations

from pathlib import Path

import pytest

from beatlens.errors import RecipeError
from beatlens.nets.backbones import build
from beatlens.recipe import PartSplit
from beatlens.tasks.common.crops import Augmentation
from beatlens.tasks.recordings.recipe import RecordingRecipe
from beatlens.tasks.recordings.sampling import CROP_CONTEXT, CropDraw
from beatlens.tasks.registry import read_recipe

from ...toml_text import toml_of
from ..recipes import recording_recipe

MODELS = Path(__file__).parents[3] / "models"
SHORT = """
name = "short"
[task]
kind = "recordings"
[task.classes]
normal = { labels = ["N"] }
afib = { labels = ["A", "F"], title = "atrial fibrillation" }
[[data.sources]]
database = "cinc2017"
split = { parts = 5 }
"""
FULL = """
name = "other"
seed = 3
[task]
kind = "recordings"
[task.classes]
normal = { labels = ["N"], offset = 0.25 }
afib = { labels = ["A"] }
other = { labels = ["O"] }
noise = { labels = ["~"], scored = false, offset = -1.5 }
[data]
source = "simulated"
simulated_patients = 120
simulated_seconds = 20
[[data.sources]]
database = "cinc2017"
split = { parts = 5, test_part = 4, validation = 0.2 }
[[data.sources]]
path = "strips"
labels = "labels.csv"
[sampling]
seconds = 12
shortest = 7.5
flips = 0.25
gain = [1.0, 1.0]
wander_mv = 0.0
noise_mv = 0.0
[sampling.class_weights]
afib = 2.5
"""


def source(split: str) -> str:
    """One more source, split so."""
    return f"[[data.sources]]\npath = 'x'\nlabels = 'y.csv'\nsplit = {split}"


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_released_recipe_is_the_built_in_one() -> None:
    released = read_recipe(MODELS / "wearable-af.toml")
    assert released == recording_recipe().model_copy(update={"name": "wearable-af"})
    small = RecordingRecipe.read(MODELS / "wearable-af-6k.toml")
    assert small.name == "wearable-af-6k"
    for shared in ("data", "sampling", "teacher", "teacher_schedule"):
        assert getattr(small, shared) == getattr(released, shared), shared
    assert small.student.spec != released.student.spec


def test_task_and_sources_are_enough(tmp_path: Path) -> None:
    recipe = RecordingRecipe.read(written(tmp_path, SHORT))
    assert recipe.classes == ("normal", "afib")
    assert recipe.task.numbers == {"N": 0, "A": 1, "F": 1}
    assert recipe.task.offsets.tolist() == [0, 0]
    assert recipe.teacher == recording_recipe().teacher


@pytest.mark.parametrize("text", [SHORT, FULL])
def test_recipes_go_round_through_toml(text: str, tmp_path: Path) -> None:
    recipe = RecordingRecipe.read(written(tmp_path, text))
    again = read_recipe(written(tmp_path, toml_of(recipe.model_dump(mode="json"))))
    assert again == recipe


def test_every_setting_of_a_file_arrives(tmp_path: Path) -> None:
    recipe = RecordingRecipe.read(written(tmp_path, FULL))
    assert (recipe.name, recipe.seed) == ("other", 3)
    assert recipe.data.sources[0].split == PartSplit(test_part=4, validation=0.2)
    assert recipe.data.sources[1].labels == "labels.csv"
    assert recipe.task.scored == (0, 1, 2)
    assert recipe.sampling.draw == CropDraw(
        12.0, 7.5, 0.25, {"afib": 2.5}, Augmentation(gain=(1.0, 1.0), wander_mv=0.0, noise_mv=0.0)
    )
    assert recipe.task.offsets.tolist() == [0.25, 0.0, 0.0, -1.5]


def test_the_default_networks_fit_the_crops() -> None:
    recipe = recording_recipe()
    for section in (recipe.teacher, recipe.student):
        geometry = build(section.spec, recipe.classes).geometry
        assert max(geometry.left, geometry.right) <= CROP_CONTEXT
        assert recipe.sampling.draw.span % geometry.stride == 0


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("[sedd]\na = 3", "sedd", "3"),
        ("[data]\nfold = 1", "data.fold", "1"),
        ("[data]\ndatabases = ['mitdb']", "data.databases", "[[data.sources]]"),
        ("[sampling]\npvc = 0.2", "sampling.pvc", "sampling.shares.pvc"),
        ("[sampling.class_weights]\nflutter = 2.0", "sampling.class_weights", "'flutter'"),
        ("[decision]\noffset = 1", "decision", "1"),
        ("[task.classes.afl]\nlabel = ['L']", "task.classes.afl.label", "['L']"),
    ],
)
def test_unknown_keys_are_refused_with_file_key_and_value(
    text: str, key: str, value: str, tmp_path: Path
) -> None:
    path = written(tmp_path, f"{SHORT}\n{text}\n")
    with pytest.raises(RecipeError) as caught:
        read_recipe(path)
    for word in (str(path), key, value):
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (source("{ parts = 5, test_part = 5 }"), ["test_part is 5, expected 0 to 4"]),
        (source("{ parts = 5, test_part = -1 }"), ["test_part is -1"]),
        (source("{ parts = 5, validation = 0.6 }"), ["validation is 0.6"]),
        ("[data]\nsimulated_patients = 11", ["simulated_patients is 11", "12"]),
        ("[[data.sources]]\npath = 'x'", ["source x has no labels, expected the name of a CSV"]),
        ("[task.classes.x]\nlabels = ['A']", ["classes afib and x both have the label A"]),
        ("[task.classes.x]\nbeats = 'V'", ["a class of recordings has no labels"]),
        ("[data]\nsource = 'mitdb'", ["data.source is 'mitdb'", "simulated"]),
        ("[sampling]\nseconds = 4", ["sampling.seconds is 4"]),
        ("[sampling]\nseconds = 20", ["crops of 30 to 20 s", "shortest <= longest"]),
        ("[sampling]\nflips = 1.5", ["sampling.flips is 1.5"]),
        ("[sampling]\ngain = [0.0, 1.0]", ["gain is (0.0, 1.0)"]),
        ("[sampling.class_weights]\nafib = -1.0", ["class_weights.afib is -1.0"]),
        ("[task.classes.x]\nlabels = ['x']\noffset = 11", ["task.classes.x.offset is 11"]),
        ("[task.classes.x]\nlabels = ['x']\noffset = nan", ["task.classes.x.offset is nan"]),
    ],
)
def test_values_out_of_range_are_refused_with_file_key_and_value(
    text: str, words: list[str], tmp_path: Path
) -> None:
    path = written(tmp_path, f"{SHORT}\n{text}\n")
    with pytest.raises(RecipeError) as caught:
        read_recipe(path)
    for word in (str(path), *words):
        assert word in str(caught.value)


def test_some_class_is_scored(tmp_path: Path) -> None:
    text = SHORT.replace('["N"]', '["N"], scored = false').replace('"F"]', '"F"], scored = false')
    with pytest.raises(RecipeError, match="no class is scored, expected one at least"):
        read_recipe(written(tmp_path, text))
