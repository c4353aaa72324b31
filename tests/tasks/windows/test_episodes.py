"""Episodes of fibrillation, `evaluate --ec57` of windows, on real recordings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from beatlens.compression.quantize import QuantizedEvidenceNet
from beatlens.errors import DataError, RecipeError
from beatlens.integer.tflite_write import write_tflite
from beatlens.nets.backbones import NetworkSpec, build
from beatlens.nets.teacher import Teacher
from beatlens.pipeline.evaluate import evaluate_ec57
from beatlens.recipe import ListSplit, SourceSection
from beatlens.report.tables import load_figures
from beatlens.runtime.bundle import Bundle
from beatlens.signals.annotations import read_annotations
from beatlens.signals.databases import find_database
from beatlens.tasks.contract import Int8Model, Networks
from beatlens.tasks.registry import default_recipe
from beatlens.tasks.windows.data import PreparedWindows, prepare_windows
from beatlens.tasks.windows.episodes import evaluate_episodes
from beatlens.tasks.windows.labels import SPAN
from beatlens.tasks.windows.recipe import WindowRecipe
from beatlens.tasks.windows.rule import build_rule

SPEC = NetworkSpec("dense", (4, 6), (8, 8), (4, 2))
SPLIT = ListSplit(train=("203",), validation=("201",), test=("202", "100", "219"))


@pytest.fixture
def recipe() -> WindowRecipe:
    """The built-in recipe on five records; those of one patient, 201 and 202, are in two roles."""
    found = default_recipe("windows")
    source = SourceSection(database="mitdb", split=SPLIT)
    return found.model_copy(update={"data": found.data.model_copy(update={"sources": (source,)})})


def make_networks(recipe: WindowRecipe) -> Networks:
    """Untrained ones that always find fibrillation."""
    net = build(SPEC, recipe.classes).eval()
    with torch.no_grad():
        net.head.bias[recipe.classes.index("afib")] = 50.0
    quantized = QuantizedEvidenceNet(net).eval()
    quantized.calibrate([torch.randn(8, 1, net.geometry.input_length(160))])
    return Networks(Teacher(net), net, Int8Model.build(quantized, SPAN))


def test_episodes_of_a_network_that_always_finds_fibrillation(
    recipe: WindowRecipe, data_dir: Path, tmp_path: Path
) -> None:
    networks = make_networks(recipe)
    prepared = prepare_windows(recipe, tmp_path / "run", data_dir, roles=("validation", "test"))
    command = "beatlens evaluate RECIPE --ec57"
    found = evaluate_ec57(recipe, prepared, networks, tmp_path, command)
    rows = found.tables["ec57_episodes.json"]
    assert [(row["model"], row["split"], row["records"]) for row in rows] == [
        ("teacher", "test", 3), ("teacher", "test, patients of no other role", 2),
        ("strips", "test", 3), ("strips", "test, patients of no other role", 2),
    ]  # fmt: skip
    whole = rows[0]
    assert whole["episodes"] > 1
    assert whole["episode_sensitivity"] == whole["duration_sensitivity"] == 100
    assert whole["episode_predictivity"] < 100
    mitdb, seconds = find_database("mitdb", data_dir), {"AFIB": 0.0, "AFL": 0.0}
    for record in ("202", "100", "219"):
        for r in mitdb.annotations(record).rhythms:
            if r.label in seconds:
                seconds[r.label] += max(0, r.end - max(r.start, 300 * 360)) / 360
    asked = 3 * 1505.556 - seconds["AFL"]
    assert whole["duration_predictivity"] == pytest.approx(100 * seconds["AFIB"] / asked, rel=1e-3)
    said = read_annotations(tmp_path / "ec57", "202", "rhythm", 650_000, rate_hz=360)
    assert [r.label for r in said.rhythms] == ["AFIB"]
    assert len(load_figures(tmp_path / "ec57_episodes.json").rows) == 4
    for row, by_minutes in zip(rows, found.tables["ec57_minutes.json"], strict=True):
        # Of a recording's last minute there may be too few windows to decide by.
        found_s = by_minutes["duration_sensitivity"]
        assert found_s == pytest.approx(row["duration_sensitivity"], rel=0.01, nan_ok=True)
    net, graph = networks.teacher.net, networks.device.graph
    bundle = Bundle.create(
        tmp_path / "bundle", name="strips", kind="windows", classes=recipe.titles,
        rule=build_rule(graph, dict.fromkeys(recipe.classes, 0.5)), tflite=write_tflite(graph),
        golden_inputs=np.zeros((1, net.geometry.input_length(SPAN // 8)), np.int8),
    )  # fmt: skip
    given = Networks(networks.teacher, None, Int8Model.read(bundle))
    command = "beatlens evaluate RECIPE --bundle DIR --teacher FILE --ec57"
    alone = evaluate_ec57(recipe, prepared, given, tmp_path, command, bundle)
    assert len(alone.tables["ec57_episodes.json"]) == len(rows)
    for one, other in zip(alone.tables["ec57_episodes.json"], rows, strict=True):
        assert one == pytest.approx(other, nan_ok=True)
    kept = load_figures(tmp_path / "ec57_episodes.json")
    assert (kept.command, len(kept.rows)) == (command, 4)


def test_simulated_recordings_have_none(recipe: WindowRecipe) -> None:
    prepared = PreparedWindows([], [], [], simulated=True, description="simulated")
    with pytest.raises(DataError, match="simulated, expected real ones with annotated rhythms"):
        evaluate_episodes(recipe, prepared, make_networks(recipe))


def test_a_recipe_without_fibrillation_has_none(recipe: WindowRecipe) -> None:
    kept = {name: recipe.task.classes[name] for name in ("pvc", "sve")}
    other = recipe.model_copy(update={"task": recipe.task.model_copy(update={"classes": kept})})
    prepared = PreparedWindows([], [], [], simulated=False, description="none")
    with pytest.raises(RecipeError, match="none of the classes pvc, sve is made by the rhythm AF"):
        evaluate_episodes(other, prepared, make_networks(recipe))
