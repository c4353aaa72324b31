"""Recipes of windows: defaults, TOML, and refusals that name file, key and value."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from beatlens.attribution.matching import MATCHINGS, build_matching
from beatlens.errors import RecipeError
from beatlens.nets.backbones import TEACHER, build
from beatlens.recipe import ShareSplit
from beatlens.tasks.registry import parse_recipe, read_recipe
from beatlens.tasks.windows.labels import CONTEXT
from beatlens.tasks.windows.recipe import WindowClass, WindowRecipe

from ...toml_text import toml_of
from ..recipes import change_recipe, window_recipe

SHORT = """
name = "short"
[task]
kind = "windows"
[task.classes]
pvc = { beats = "VE" }
vt = { rhythms = ["VT"], title = "ventricular tachycardia" }
[[data.sources]]
database = "mitdb"
"""
FULL = """
name = "small-one"
seed = 7

[task]
kind = "windows"

[task.classes]
pvc = { beats = "VE", threshold = 0.4 }
afib = { rhythms = ["AFIB", "AFL"], title = "atrial fibrillation", threshold = 0.6 }
noisy = { intervals = ["noise", "artefact"], threshold = 0.5 }
paced = { beats = "/", lasting = true, threshold = 0.5 }

[data]
source = "simulated"
simulated_patients = 24
simulated_seconds = 90

[[data.sources]]
database = "svdb"
weight = 2.0
split = "train"
optional = true
lead = ["ECG2"]

[[data.sources]]
path = "~/holter"
annotator = "qrs"
patient = { header = "patient:" }
lead = ["II", "MLII"]
intervals = "noise.csv"
decides = ["pvc", "noisy"]
split = { by = "patient", test = 0.3, seed = 4 }

[sampling]
excerpts = 0
gain = [0.8, 1.2]
wander_mv = 0.0
noise_mv = 0.01

[sampling.shares]
pvc = 0.25
afib = 0.2

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


def test_the_defaults_are_valid_and_can_be_built() -> None:
    recipe = window_recipe()
    assert parse_recipe(recipe.model_dump()) == recipe == read_recipe(None)
    assert recipe.classes == ("pvc", "sve", "afib", "bbb")
    assert recipe.titles["pvc"] == "premature ventricular beat"
    assert recipe.teacher.spec == TEACHER
    for section in (recipe.teacher, recipe.student):
        net = build(section.spec, recipe.classes)
        assert max(net.geometry.left, net.geometry.right) <= CONTEXT
    assert sum(recipe.sampling.shares.values()) <= 1
    assert build_matching(recipe.distill.matching) is not None
    for schedule in (recipe.teacher_schedule, recipe.student_schedule, recipe.quantize_schedule):
        assert schedule.schedule.steps == schedule.steps
    assert recipe.distill.weights.matching == recipe.distill.matching_weight
    assert recipe.distill.weights.kd == recipe.distill.kd
    assert recipe.distill.weights.temperature == recipe.distill.temperature
    assert recipe.sampling.augmentation.gain == recipe.sampling.gain


@pytest.mark.parametrize("text", [SHORT, FULL])
def test_recipes_go_round_through_toml(text: str, tmp_path: Path) -> None:
    recipe = read_recipe(written(tmp_path, text))
    again = read_recipe(written(tmp_path, toml_of(recipe.model_dump(mode="json"))))
    assert again == recipe


def test_task_and_sources_are_enough(tmp_path: Path) -> None:
    recipe = WindowRecipe.read(written(tmp_path, SHORT))
    assert recipe.titles == {"pvc": "pvc", "vt": "ventricular tachycardia"}
    assert recipe.data.sources[0].split == "published"
    assert np.isnan(recipe.task.threshold_logits()).all()


def test_every_setting_of_a_file_arrives(tmp_path: Path) -> None:
    recipe = WindowRecipe.read(written(tmp_path, FULL))
    assert (recipe.name, recipe.seed) == ("small-one", 7)
    assert recipe.classes == ("pvc", "afib", "noisy", "paced")
    assert [one.is_occasional for one in recipe.task.classes.values()] == [True, *[False] * 3]
    limits = recipe.task.threshold_logits()
    assert limits is not None
    assert (1 / (1 + np.exp(-limits))).tolist() == pytest.approx([0.4, 0.6, 0.5, 0.5])
    svdb, own = recipe.data.sources
    assert (svdb.name, svdb.weight, svdb.lead, svdb.optional) == ("svdb", 2.0, ("ECG2",), True)
    assert (own.name, own.annotator, own.decides) == ("holter", "qrs", ("pvc", "noisy"))
    assert own.split == ShareSplit(test=0.3, seed=4)
    assert recipe.sampling.shares == {"pvc": 0.25, "afib": 0.2}
    assert recipe.sampling.drawn_excerpts is None
    assert recipe.sampling.augmentation.noise_mv == 0.01
    assert recipe.student.spec.kind == "depthwise"
    assert recipe.teacher_schedule.schedule.precision == "bfloat16"
    assert recipe.teacher_schedule.schedule.patience == 3
    assert recipe.student_schedule.schedule.batch == 24
    assert recipe.distill.weights.temperature == 3.0


def test_beats_come_now_and_then_but_for_bundle_branch_blocks() -> None:
    assert WindowClass(beats="VE").is_occasional
    assert WindowClass(beats="LV").is_occasional
    assert not WindowClass(beats="LR").is_occasional
    assert WindowClass(beats="LR", lasting=False).is_occasional
    assert not WindowClass(rhythms=["VT"], lasting=False).is_occasional


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("[sedd]\na = 3", "sedd", "3"),
        ("[data]\nsuorce = 'real'", "data.suorce", "'real'"),
        ("[sampling]\npvcs = 0.1", "sampling.pvcs", "0.1"),
        ("[sampling.shares]\npvcs = 0.1", "sampling.shares", "'pvcs'"),
        ("[task.classes.afl]\nrhythm = ['AFL']", "task.classes.afl.rhythm", "['AFL']"),
        ("[[data.sources]]\npath = 'x'\nlabel = 'y'", "data.sources.1.label", "'y'"),
        ("[distill]\nlambda = 4.1", "distill.lambda", "4.1"),
        ("[teacher_schedule]\nsteps = 5\nlearning_rate = 0.1\nlr = 1", "teacher_schedule.lr", "1"),
        ("[disitll]\nkd = 0.5", "disitll", "{'kd': 0.5}"),
    ],
)
def test_unknown_keys_are_refused_with_file_key_and_value(
    text: str, key: str, value: str, tmp_path: Path
) -> None:
    path = written(tmp_path, f"{SHORT}\n{text}\n")
    with pytest.raises(RecipeError) as caught:
        read_recipe(path)
    message = str(caught.value)
    assert str(path) in message
    assert key in message
    assert value in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[data]\nsource = 'imagined'", ["data.source is 'imagined'", "simulated"]),
        ("[[data.sources]]\ndatabase = 'edbx'", ["data.sources.1.database is 'edbx'", "svdb, nst"]),
        ("[[data.sources]]\ndatabase = 'mitdb'", ["sources has mitdb more than once"]),
        ("[[data.sources]]\npath = 'x'\nweight = -1.0", ["data.sources.1.weight is -1.0"]),
        ("[[data.sources]]\npath = 'x'\ndecides = ['afl']", ["decides names the class 'afl'"]),
        ("[task.classes.X]\nbeats = 'V'", ["task.classes.X"]),
        ("[task.classes.x]\ntitle = 'y'", ["a class is made by nothing, expected exactly one of"]),
        ("[task.classes.x]\nbeats = 'V'\nrhythms = ['VT']", ["made by beats and rhythms"]),
        ("[task.classes.x]\nbeats = 'Vy'", ["beats has y, expected WFDB's codes of beats"]),
        ("[task.classes.x]\nbeats = 'V'\nregular = 11.0", ["regular is 11.0"]),
        ("[task.classes.x]\nbeats = 'V'\nthreshold = 1.0", ["threshold is 1.0"]),
        ("[data]\nsimulated_patients = 3", ["data.simulated_patients is 3", "12"]),
        ("[sampling.shares]\npvc = 1.5", ["sampling.shares.pvc is 1.5"]),
        ("[sampling.shares]\npvc = 0.9\nvt = 0.9", ["sampling", "add up to 1.8"]),
        ("[sampling]\nexcerpt_seconds = [5.0, 2.0]", ["6 excerpts of 5 to 2 s"]),
        ("[sampling]\ngain = [1.5, 0.5]", ["gain is (1.5, 0.5)"]),
        ("[sampling]\ngain = [1.0]", ["sampling.gain"]),
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
        ("[task]", ["not a TOML file"]),
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


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"absent\.toml: cannot be read"):
        read_recipe(tmp_path / "absent.toml")
    with pytest.raises(RecipeError, match="cannot be read"):
        read_recipe(tmp_path)
    path = tmp_path / "binary.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecipeError, match=r"binary\.toml: not a TOML file"):
        read_recipe(path)


@pytest.mark.parametrize("name", ["none", *MATCHINGS])
def test_every_matching_can_be_named(name: str) -> None:
    recipe = change_recipe("windows", distill={"matching": name})
    assert recipe.distill.matching == name


def test_a_recipe_does_not_change_after_reading() -> None:
    with pytest.raises(ValueError, match="frozen"):
        window_recipe().seed = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("key", "value"), [("name", "Not A Name"), ("seed", -1), ("seed", "one"), ("seed", None)]
)
def test_names_and_seeds_are_checked(key: str, value: object) -> None:
    with pytest.raises(RecipeError, match=f"recipe: {key} is {value!r}: "):
        change_recipe("windows", **{key: value})


def test_a_final_fit_chooses_nothing_on_the_patients_it_trains_on() -> None:
    data = {**window_recipe().data.model_dump(), "final_fit": True}
    with pytest.raises(RecipeError, match="expected a threshold for each class"):
        change_recipe("windows", data=data)
    task = window_recipe().task.model_dump()
    for one in task["classes"].values():
        one["threshold"] = 0.5
    best = {"steps": 9, "learning_rate": 0.1, "keep": "best"}
    with pytest.raises(RecipeError, match=r'expected student_schedule\.keep = "last"'):
        change_recipe("windows", data=data, task=task, student_schedule=best)
    assert change_recipe("windows", data=data, task=task).data.final_fit


def test_members_of_a_teacher_have_seeds_of_their_own() -> None:
    teacher = {**window_recipe().teacher.model_dump(), "members": 3}
    recipe = change_recipe("windows", seed=5, teacher=teacher)
    members = [recipe.of_member(number) for number in range(3)]
    assert [one.seed for one in members] == [15, 16, 17]
    assert {one.teacher.members for one in members} == {1}
    compress = {"start": "teacher", "steps": [{"method": "quantize"}]}
    with pytest.raises(RecipeError, match="which is the mean of 3 networks; expected one"):
        change_recipe("windows", teacher=teacher, compress=compress)
