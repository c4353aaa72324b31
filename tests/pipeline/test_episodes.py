"""Episodes of fibrillation, `evaluate --ec57` of the strips task, on real recordings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from beatlens.compress.int8_graph import build_graph
from beatlens.compress.quantize import QuantizedEvidenceNet
from beatlens.errors import DataError
from beatlens.integer.tflite_write import write_tflite
from beatlens.nets.backbones import NetworkSpec, build
from beatlens.pipeline.data import Prepared
from beatlens.pipeline.episode_evaluate import evaluate_bundle_episodes, evaluate_episodes
from beatlens.recipe import Recipe
from beatlens.report.tables import load_figures
from beatlens.runtime.bundle import Bundle
from beatlens.signals.annotations import read_annotations
from beatlens.signals.databases import find_database
from beatlens.tasks.windows.labels import CLASSES, LONG_NAMES, SPAN
from beatlens.tasks.windows.rule import build_rule

from ..tasks.tracks import load_tracks_of

SPEC = NetworkSpec("dense", (4, 6), (8, 8), (4, 2))


def test_episodes_of_a_network_that_always_says_fibrillation(
    data_dir: Path, tmp_path: Path
) -> None:
    net = build(SPEC, CLASSES).eval()
    with torch.no_grad():
        net.head.bias[CLASSES.index("afib")] = 50.0
    quantized = QuantizedEvidenceNet(net).eval()
    quantized.calibrate([torch.randn(8, 1, net.geometry.input_length(160))])
    test = load_tracks_of("mitdb", ("202", "100", "219"), data_dir)
    prepared = Prepared(
        [], load_tracks_of("mitdb", ("201",), data_dir), test, False, "three records"
    )
    rows = evaluate_episodes(Recipe(), prepared, net, quantized, tmp_path, tmp_path, data_dir)
    assert [(row["model"], row["split"], row["records"]) for row in rows] == [
        ("teacher", "DS2", 3), ("teacher", "DS2 without 202", 2),
        ("strips", "DS2", 3), ("strips", "DS2 without 202", 2),
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
    graph = build_graph(quantized, SPAN)
    bundle = Bundle.create(
        tmp_path / "bundle", name="strips", classes=LONG_NAMES, tflite=write_tflite(graph),
        kind="windows", rule=build_rule(graph, dict.fromkeys(LONG_NAMES, 0.5)),
        golden_inputs=np.zeros((1, net.geometry.input_length(SPAN // 8)), np.int8),
    )  # fmt: skip
    command = "beatlens evaluate RECIPE --bundle DIR --teacher FILE --ec57"
    alone = evaluate_bundle_episodes(
        Recipe(), prepared, net, bundle, command, tmp_path, tmp_path, data_dir
    )
    assert len(alone) == len(rows)
    for mine, theirs in zip(alone, rows, strict=True):
        assert mine == pytest.approx(theirs, nan_ok=True)
    kept = load_figures(tmp_path / "ec57_episodes.json")
    assert (kept.command, len(kept.rows)) == (command, 4)


def test_simulated_recordings_have_none(tmp_path: Path) -> None:
    net = build(SPEC, CLASSES).eval()
    prepared = Prepared([], [], [], True, "simulated")
    with pytest.raises(DataError, match="simulated, expected real ones with annotated rhythms"):
        evaluate_episodes(
            Recipe(), prepared, net, QuantizedEvidenceNet(net), tmp_path, tmp_path, None
        )
