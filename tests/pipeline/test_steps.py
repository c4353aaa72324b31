"""A recipe's compression steps: composed, kept, refused in time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from beatlens.attribution.matching import SWA
from beatlens.compression.distill import DistillObjective, TeacherCache
from beatlens.compression.int8_graph import build_graph
from beatlens.compression.quantize import QuantizedEvidenceNet
from beatlens.compression.size import weight_account
from beatlens.errors import ModelError, RecipeError
from beatlens.nets.backbones import read_spec
from beatlens.nets.constraint import find_constraints
from beatlens.nets.files import load_net
from beatlens.nets.teacher import Teacher
from beatlens.pipeline.compress import compress
from beatlens.pipeline.train import keep_teacher, read_teacher, train_teacher
from beatlens.recipe import Recipe
from beatlens.tasks.registry import parse_recipe
from beatlens.tasks.windows.data import PreparedWindows, prepare_windows
from beatlens.tasks.windows.labels import SPAN

from .tiny import tiny_recipe

pytestmark = pytest.mark.rounding
SHORT = {"steps": 6, "batch": 8, "learning_rate": 3e-3, "validate_every": 6}


def recipe_with(steps: list[dict], **changes: object) -> Recipe:
    data = tiny_recipe().model_dump(mode="json")
    data["compress"] = {"steps": steps, "retrain_schedule": SHORT, **changes}
    return parse_recipe(data)


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> tuple[PreparedWindows, Teacher]:
    folder = tmp_path_factory.mktemp("run")
    recipe = tiny_recipe()
    prepared = prepare_windows(recipe, folder)
    return prepared, train_teacher(recipe, prepared, folder)


def test_distil_prune_quantise_and_repair_compose(ready: tuple, tmp_path: Path) -> None:
    prepared, teacher = ready
    steps = [
        {"method": "distill", "matching": "none"},
        {"method": "prune-weights", "settings": {"rate": 0.5}},
        {"method": "quantize", "schedule": {**SHORT, "steps": 4, "validate_every": 4}},
        {"method": "repair-evidence", "settings": {"crops": 32, "held_out": 16, "batch": 16}},
    ]
    recipe = recipe_with(steps, packed_bytes=800)
    student, quantized = compress(recipe, prepared, teacher, tmp_path)
    assert weight_account(quantized).packed_bytes <= 800 * 1.02
    masks = find_constraints(student)
    assert set(masks) == {f"backbone.{i}.conv:weight" for i in range(3)}
    weights = quantized.backbone[1].integers()[0]
    pruned = masks["backbone.1.conv:weight"].get_buffer("mask") == 0
    assert pruned.any()
    assert (weights[pruned] == 0).all()
    kept = sorted(path.name for path in (tmp_path / "steps").glob("*.pt"))
    assert kept == [f"{i + 1}-{step['method']}.pt" for i, step in enumerate(steps)]

    def not_again(*_: object) -> None:
        raise AssertionError("trained again")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("beatlens.compression.contract.fit", not_again)
        _, again = compress(recipe, prepared, teacher, tmp_path)
    for name, tensor in quantized.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name


def test_the_teacher_itself_is_made_smaller(ready: tuple, tmp_path: Path) -> None:
    prepared, teacher = ready
    net = teacher.net
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    settings = {"importance": "evidence", "batches": 1, "monitor": False}
    steps = [{"method": "prune-channels", "settings": settings}, {"method": "quantize"}]
    limit = weight_account(net).packed_bytes // 2
    recipe = recipe_with(steps, packed_bytes=limit, start="teacher")
    student, quantized = compress(recipe, prepared, teacher, tmp_path)
    assert isinstance(quantized, QuantizedEvidenceNet)
    assert read_spec(student).kind == "residual"
    assert student.weights < 0.7 * net.weights
    assert weight_account(quantized).packed_bytes <= limit * 1.02
    assert build_graph(quantized, SPAN).macs > 0
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())


def test_a_step_has_a_budget_of_its_own(ready: tuple, tmp_path: Path) -> None:
    prepared, teacher = ready
    size = weight_account(teacher.net).packed_bytes
    settings = {"importance": "l1", "monitor": False}
    steps = [
        {"method": "prune-channels", "settings": settings, "packed_bytes": size // 2},
        {"method": "low-bit", "settings": {"bits": 4}},
        {"method": "quantize"},
    ]
    recipe = recipe_with(steps, packed_bytes=int(size * 0.35), start="teacher")
    compress(recipe, prepared, teacher, tmp_path)
    logs = [json.loads(path.read_text()) for path in sorted((tmp_path / "steps").glob("*.json"))]
    pruned, rounded = logs[0][-1]["bytes"], logs[1][0]["bytes"]
    assert size * 0.35 < pruned <= size // 2
    assert rounded <= size * 0.35


def test_a_teacher_trained_elsewhere_is_taken_if_it_fits(ready: tuple, tmp_path: Path) -> None:
    _, teacher = ready
    recipe = tiny_recipe()
    path = tmp_path / "elsewhere.pt"
    teacher.save(path, recipe.teacher.spec)
    keep_teacher(path, recipe, tmp_path / "run")
    kept = load_net(tmp_path / "run" / "teacher.pt")[0]
    weights = kept.state_dict()
    assert all(torch.equal(t, weights[n]) for n, t in teacher.net.state_dict().items())
    keep_teacher(path, recipe, tmp_path / "run")  # the same again
    other = read_teacher(path, recipe)
    with torch.no_grad():
        other.net.head.weight += 1
    other.save(tmp_path / "changed.pt", recipe.teacher.spec)
    with pytest.raises(RecipeError, match="another teacher than the one given"):
        keep_teacher(tmp_path / "changed.pt", recipe, tmp_path / "run")
    with pytest.raises(ModelError, match="expected the recipe's teacher"):
        read_teacher(path, recipe.model_copy(update={"teacher": recipe.student}))


def test_settings_and_budget_of_quantize_count(ready: tuple, tmp_path: Path) -> None:
    prepared, teacher = ready
    steps = [{"method": "distill"}, {"method": "quantize", "settings": {"steps": 0}}]
    _, quantized = compress(recipe_with(steps), prepared, teacher, tmp_path / "free")
    log = json.loads((tmp_path / "free" / "steps" / "2-quantize.json").read_text())
    assert [row["event"] for row in log] == ["calibrated"]  # nothing was trained
    size = weight_account(quantized).packed_bytes
    recipe = recipe_with(steps, packed_bytes=size // 2)
    with pytest.raises(ModelError, match=f"above the budget of {size // 2}"):
        compress(recipe, prepared, teacher, tmp_path / "tight")


@pytest.mark.parametrize(
    ("steps", "changes", "message"),
    [
        (["distill"], {}, "expected `quantize` exactly once"),
        (["distill", "quantize", "low-bit"], {}, "low-bit after quantize"),
        (["prune-weights", "quantize"], {"packed_bytes": 9}, "start with prune-weights"),
        (["distill", "low-bit", "quantize"], {}, "packed_bytes is not set"),
        (["distil", "quantize"], {}, "method is 'distil', expected one of"),
    ],
)
def test_steps_that_cannot_be_run_are_refused_when_read(
    steps: list[str], changes: dict, message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        recipe_with([{"method": name} for name in steps], **changes)


def test_a_matching_loss_of_a_step_must_exist() -> None:
    with pytest.raises(RecipeError, match="matching is 'claswise'"):
        recipe_with([{"method": "distill", "matching": "claswise"}, {"method": "quantize"}])


def test_a_cache_is_read_back_as_it_was(ready: tuple, tmp_path: Path) -> None:
    prepared, teacher = ready
    recipe = tiny_recipe()
    net, sampler = teacher.net, prepared.sampler(recipe, 1, excerpts=False)
    cache = TeacherCache(net, sampler, 40, span=SPAN, activations=True, seed=5)
    cache.save(tmp_path / "cache.pt")
    again = TeacherCache.load(tmp_path / "cache.pt", net)
    for mine, theirs in zip(cache.batch(30, 20), again.batch(30, 20), strict=True):
        assert torch.equal(mine, theirs)
    loss = DistillObjective(net, again, recipe.distill.weights, SWA())(*again.batch(0, 4))
    assert torch.isfinite(loss)
    other = train_teacher(recipe.model_copy(update={"seed": 1, "teacher_schedule":
        recipe.teacher_schedule.model_copy(update={"steps": 2})}), prepared, tmp_path)  # fmt: skip
    with pytest.raises(ModelError, match="cache of another teacher"):
        TeacherCache.load(tmp_path / "cache.pt", other.net)
    (tmp_path / "cache.pt").write_bytes(b"no cache")
    with pytest.raises(ModelError, match="not a teacher's cache"):
        TeacherCache.load(tmp_path / "cache.pt", net)
