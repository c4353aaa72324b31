"""Recipes of the wearable task: defaults, TOML, and refusals that name file, key and value."""

from __future__ import annotations

from pathlib import Path

import pytest

from beatlens.errors import RecipeError
from beatlens.nets.backbones import build
from beatlens.tasks.beats.recipe import read_recipe
from beatlens.tasks.recordings.labels import CLASSES
from beatlens.tasks.recordings.recipe import FOLDS, RecordingRecipe
from beatlens.tasks.recordings.sampling import CROP_CONTEXT, CropDraw
from beatlens.tasks.windows.sampling import Augmentation

from .toml_text import toml_of

MODELS = Path(__file__).parents[1] / "models"
FULL = """
task = "wearable"
name = "other"
seed = 3
[data]
source = "simulated"
test_fold = 4
validation = 0.2
simulated_recordings = 120
simulated_seconds = 20
[sampling]
seconds = 12
shortest = 7.5
flips = 0.25
gain = [1.0, 1.0]
wander_mv = 0.0
noise_mv = 0.0
[sampling.class_weights]
afib = 2.5
[decision.offsets]
noise = -1.5
normal = 0.25
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_released_recipe_is_the_defaults() -> None:
    assert read_recipe(MODELS / "wearable-af.toml") == RecordingRecipe()
    small = RecordingRecipe.read(MODELS / "wearable-af-6k.toml")
    assert small.name == "wearable-af-6k"
    for shared in ("data", "sampling", "teacher", "teacher_schedule"):
        assert getattr(small, shared) == getattr(RecordingRecipe(), shared), shared
    assert small.student.spec != RecordingRecipe().student.spec


def test_the_task_alone_is_a_recipe(tmp_path: Path) -> None:
    assert read_recipe(written(tmp_path, 'task = "wearable"\n')) == RecordingRecipe()


@pytest.mark.parametrize("text", ['task = "wearable"\n', FULL])
def test_recipes_go_round_through_toml(text: str, tmp_path: Path) -> None:
    recipe = RecordingRecipe.read(written(tmp_path, text))
    again = read_recipe(written(tmp_path, toml_of(recipe.model_dump(mode="json"))))
    assert again == recipe


def test_every_setting_of_a_file_arrives(tmp_path: Path) -> None:
    recipe = RecordingRecipe.read(written(tmp_path, FULL))
    assert (recipe.name, recipe.seed, recipe.data.test_fold) == ("other", 3, 4)
    assert recipe.sampling.draw == CropDraw(
        12.0, 7.5, 0.25, {"afib": 2.5}, Augmentation(gain=(1.0, 1.0), wander_mv=0.0, noise_mv=0.0)
    )
    assert recipe.decision.by_class.tolist() == [0.25, 0.0, 0.0, -1.5]
    assert RecordingRecipe().decision.by_class.tolist() == [0.0] * len(CLASSES)


def test_the_default_networks_fit_the_crops() -> None:
    recipe = RecordingRecipe()
    for section in (recipe.teacher, recipe.student):
        geometry = build(section.spec, CLASSES).geometry
        assert max(geometry.left, geometry.right) <= CROP_CONTEXT
        assert recipe.sampling.draw.span % geometry.stride == 0


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("sedd = 3", "sedd", "3"),
        ("[data]\nfold = 1", "data.fold", "1"),
        ("[data]\ndatabases = ['mitdb']", "data.databases", "['mitdb']"),
        ("[sampling]\npvc = 0.2", "sampling.pvc", "0.2"),
        ("[sampling.class_weights]\nflutter = 2.0", "class_weights.flutter", "'flutter'"),
        ("[decision]\noffset = 1", "decision.offset", "1"),
        ("[decision.offsets]\nN = 1.0", "decision.offsets.N", "'N'"),
    ],
)
def test_unknown_keys_are_refused_with_file_key_and_value(
    text: str, key: str, value: str, tmp_path: Path
) -> None:
    path = written(tmp_path, f'task = "wearable"\n{text}')
    with pytest.raises(RecipeError) as caught:
        read_recipe(path)
    for word in (str(path), key, value):
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[data]\ntest_fold = 5", ["data.test_fold is 5", f"{FOLDS}"]),
        ("[data]\ntest_fold = -1", ["data.test_fold is -1"]),
        ("[data]\nvalidation = 0.6", ["data.validation is 0.6"]),
        ("[data]\nsimulated_recordings = 79", ["simulated_recordings is 79", "80"]),
        ("[data]\nsource = 'mitdb'", ["data.source is 'mitdb'", "simulated"]),
        ("[sampling]\nseconds = 4", ["sampling.seconds is 4"]),
        ("[sampling]\nseconds = 20", ["crops of 30 to 20 s", "shortest <= longest"]),
        ("[sampling]\nflips = 1.5", ["sampling.flips is 1.5"]),
        ("[sampling]\ngain = [0.0, 1.0]", ["gain is (0.0, 1.0)"]),
        ("[sampling.class_weights]\nafib = -1.0", ["class_weights.afib is -1.0"]),
        ("[decision.offsets]\nafib = 11", ["decision.offsets.afib is 11"]),
        ("[decision.offsets]\nafib = nan", ["decision.offsets.afib is nan"]),
        ("name = 'Not A Name'", ["name is 'Not A Name'"]),
    ],
)
def test_values_out_of_range_are_refused_with_file_key_and_value(
    text: str, words: list[str], tmp_path: Path
) -> None:
    path = written(tmp_path, f'task = "wearable"\n{text}\n')
    with pytest.raises(RecipeError) as caught:
        read_recipe(path)
    for word in (str(path), *words):
        assert word in str(caught.value)


def test_a_recipe_of_another_task_is_not_taken_for_one(tmp_path: Path) -> None:
    path = written(tmp_path, 'task = "beats"\n')
    with pytest.raises(RecipeError, match="task is 'beats'"):
        RecordingRecipe.read(path)
    with pytest.raises(RecipeError, match="task is 'hearts', expected one of strips, beats, wear"):
        read_recipe(written(tmp_path, 'task = "hearts"\n'))
