"""Recipes: defaults, TOML, and refusals that name file, key and value."""

from __future__ import annotations

from pathlib import Path

import pytest

from beatlens.attribution.matching import MATCHINGS, build_matching
from beatlens.errors import RecipeError
from beatlens.nets.backbones import TEACHER, build
from beatlens.recipe import Recipe
from beatlens.tasks.windows.labels import CLASSES, CONTEXT

from .toml_text import toml_of

FULL = """
name = "small-one"
seed = 7

[data]
source = "simulated"
databases = ["mitdb", "svdb"]
simulated_patients = 24
simulated_seconds = 90

[sampling]
pvc = 0.25
sve = 0.25
afib = 0.2
bbb = 0.2
gain = [0.8, 1.2]
wander_mv = 0.0
noise_mv = 0.01

[sampling.database_weights]
mitdb = 2.0
simulated = 1.0

[teacher]
kind = "residual"
channels = [8, 12]
kernels = [16, 7]
strides = [4, 2]

[teacher_schedule]
steps = 30
batch = 4
learning_rate = 0.001
weight_decay = 0.0
validate_every = 10
patience = 3
precision = "bfloat16"

[student]
kind = "depthwise"
channels = [4, 8, 8]
kernels = [8, 8, 8]
strides = [2, 2, 2]

[student_schedule]
steps = 40
learning_rate = 0.002

[distill]
matching = "swa"
kd = 0.5
matching_weight = 4.1
temperature = 3.0
cache = 64

[quantize_schedule]
steps = 5
learning_rate = 0.0001
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_an_empty_file_is_the_default_recipe(tmp_path: Path) -> None:
    assert Recipe.read(written(tmp_path, "")) == Recipe()


def test_the_defaults_are_valid_and_can_be_built() -> None:
    recipe = Recipe()
    assert Recipe.parse(recipe.model_dump()) == recipe
    assert recipe.teacher.spec == TEACHER
    for section in (recipe.teacher, recipe.student):
        net = build(section.spec, CLASSES)
        assert max(net.geometry.left, net.geometry.right) <= CONTEXT
    assert sum(recipe.sampling.shares.values()) <= 1
    assert build_matching(recipe.distill.matching) is not None
    for schedule in (recipe.teacher_schedule, recipe.student_schedule, recipe.quantize_schedule):
        assert schedule.schedule.steps == schedule.steps
    assert recipe.distill.weights.matching == recipe.distill.matching_weight
    assert recipe.distill.weights.kd == recipe.distill.kd
    assert recipe.distill.weights.temperature == recipe.distill.temperature
    assert recipe.sampling.augmentation.gain == recipe.sampling.gain


@pytest.mark.parametrize("text", ["", FULL])
def test_recipes_go_round_through_toml(text: str, tmp_path: Path) -> None:
    recipe = Recipe.read(written(tmp_path, text))
    again = Recipe.read(written(tmp_path, toml_of(recipe.model_dump(mode="json"))))
    assert again == recipe


def test_every_setting_of_a_file_arrives(tmp_path: Path) -> None:
    recipe = Recipe.read(written(tmp_path, FULL))
    assert (recipe.name, recipe.seed) == ("small-one", 7)
    assert recipe.data.databases == ("mitdb", "svdb")
    assert recipe.sampling.shares == {"pvc": 0.25, "sve": 0.25, "afib": 0.2, "bbb": 0.2}
    assert recipe.sampling.database_weights == {"mitdb": 2.0, "simulated": 1.0}
    assert recipe.sampling.augmentation.noise_mv == 0.01
    assert recipe.student.spec.kind == "depthwise"
    assert recipe.teacher_schedule.schedule.precision == "bfloat16"
    assert recipe.teacher_schedule.schedule.patience == 3
    assert recipe.student_schedule.schedule.batch == 24
    assert recipe.distill.weights.temperature == 3.0


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("sedd = 3", "sedd", "3"),
        ("[data]\nsuorce = 'real'", "data.suorce", "'real'"),
        ("[sampling]\npvcs = 0.1", "sampling.pvcs", "0.1"),
        ("[sampling.database_weights]\nmitbd = 2.0", "sampling.database_weights.mitbd", "'mitbd'"),
        ("[distill]\nlambda = 4.1", "distill.lambda", "4.1"),
        ("[teacher_schedule]\nsteps = 5\nlearning_rate = 0.1\nlr = 1", "teacher_schedule.lr", "1"),
        ("[disitll]\nkd = 0.5", "disitll", "{'kd': 0.5}"),
    ],
)
def test_unknown_keys_are_refused_with_file_key_and_value(
    text: str, key: str, value: str, tmp_path: Path
) -> None:
    path = written(tmp_path, text)
    with pytest.raises(RecipeError) as caught:
        Recipe.read(path)
    message = str(caught.value)
    assert str(path) in message
    assert key in message
    assert value in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name = 'Not A Name'", ["name is 'Not A Name'"]),
        ("seed = -1", ["seed is -1"]),
        ("seed = 'one'", ["seed is 'one'"]),
        ("[data]\nsource = 'imagined'", ["data.source is 'imagined'", "simulated"]),
        ("[data]\ndatabases = ['mitdb', 'edbx']", ["data.databases.1 is 'edbx'", "svdb, nstdb"]),
        ("[data]\ndatabases = ['nstdb']", ["data.databases.0 is 'nstdb'", "no labels for strips"]),
        ("[sampling.database_weights]\nedbx = 1.0", ["edbx", "no database is called 'edbx'"]),
        ("[data]\nsimulated_patients = 3", ["data.simulated_patients is 3", "12"]),
        ("[sampling]\npvc = 1.5", ["sampling.pvc is 1.5"]),
        ("[sampling]\npvc = 0.9\nsve = 0.9", ["sampling", "add up to 2"]),
        ("[sampling]\ngain = [1.5, 0.5]", ["gain is (1.5, 0.5)"]),
        ("[sampling]\ngain = [1.0]", ["sampling.gain"]),
        ("[sampling.database_weights]\nmitdb = -1.0", ["database_weights.mitdb is -1.0"]),
        ("[distill]\nmatching = 'wcam'", ["matching is 'wcam'", "classwise"]),
        ("[distill]\nkd = 1.2", ["distill.kd is 1.2"]),
        ("[distill]\ntemperature = 0", ["distill.temperature is 0"]),
        ("[student_schedule]\nsteps = 0\nlearning_rate = 0.1", ["student_schedule.steps is 0"]),
        ("[student_schedule]\nsteps = 5", ["student_schedule.learning_rate"]),
        ("[student]\nkind = 'wide'\nchannels=[1]\nkernels=[1]\nstrides=[1]", ["kind is 'wide'"]),
        (
            "[student]\nkind = 'dense'\nchannels=[1, 2]\nkernels=[3]\nstrides=[1]",
            ["2 channels, 1 kernels"],
        ),
        ("[student]\nkind = 'dense'\nchannels=[0]\nkernels=[3]\nstrides=[1]", ["channels.0 is 0"]),
        ("seed = ", ["not a TOML file"]),
        ("seed = 1\nseed = 2", ["not a TOML file"]),
    ],
)
def test_values_out_of_range_are_refused_with_file_key_and_value(
    text: str, words: list[str], tmp_path: Path
) -> None:
    path = written(tmp_path, text)
    with pytest.raises(RecipeError) as caught:
        Recipe.read(path)
    for word in (str(path), *words):
        assert word in str(caught.value)


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"absent\.toml: cannot be read"):
        Recipe.read(tmp_path / "absent.toml")
    with pytest.raises(RecipeError, match="cannot be read"):
        Recipe.read(tmp_path)
    path = tmp_path / "binary.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecipeError, match=r"binary\.toml: not a TOML file"):
        Recipe.read(path)


@pytest.mark.parametrize("name", ["none", *MATCHINGS])
def test_every_matching_can_be_named(name: str) -> None:
    assert Recipe.parse({"distill": {"matching": name}}).distill.matching == name


def test_a_recipe_does_not_change_after_reading() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Recipe().seed = 3  # type: ignore[misc]
