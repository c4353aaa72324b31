"""A small bundle that decides on beats: an untrained network, tables and offsets by chance."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from beatlens.calibration import Calibration
from beatlens.compression.int8_graph import build_graph
from beatlens.compression.quantize import QuantizedEvidenceNet
from beatlens.integer.tflite_write import write_tflite
from beatlens.nets.backbones import NetworkSpec, build
from beatlens.pipeline.export import golden_inputs
from beatlens.runtime.bundle import Bundle
from beatlens.signals.beat_features import FEATURES
from beatlens.signals.frontend import LSB_MV
from beatlens.signals.rr_features import BINS
from beatlens.tasks.beats.labels import AFTER, BEFORE
from beatlens.tasks.beats.rule import BeatRule
from beatlens.tasks.common.runs import CROP_SPAN
from beatlens.tasks.registry import default_recipe

RECIPE = default_recipe("beats")
CLASSES = RECIPE.classes
SPEC = NetworkSpec("dense", (6, 8, 8, 8), (8, 8, 8, 12), (2, 2, 2, 1))


def beat_bundle(folder: Path, seed: int = 0, likely: str | None = None) -> Bundle:
    """Write it into a new folder `bundle` in `folder`; the class `likely` wins nearly always."""
    torch.manual_seed(seed)
    net = build(SPEC, CLASSES).eval()
    quantized = QuantizedEvidenceNet(net).eval()
    geometry = net.geometry
    inputs = golden_inputs(geometry.input_length(CROP_SPAN // geometry.stride))
    ecg = torch.from_numpy(inputs[:8, None].astype(np.float32) * np.float32(LSB_MV))
    quantized.calibrate([ecg])
    graph = build_graph(quantized, CROP_SPAN)
    scale = graph.tensors[graph.outputs["evidence"]].quantization.scale
    rng = np.random.default_rng(seed)
    spread = scale * 8
    tables = rng.normal(0, spread, (len(FEATURES), BINS, len(CLASSES)))
    offsets = rng.normal(0, spread, len(CLASSES))
    if likely is not None:
        offsets[CLASSES.index(likely)] += 60 * spread
    rule = BeatRule.from_logits(
        tables,
        offsets,
        scale,
        (BEFORE // geometry.stride, AFTER // geometry.stride),
        Calibration(1.3, rng.normal(0, spread, len(CLASSES))),
        low_margin=scale,
        out_of_distribution=scale,
        never_if_clipped=(CLASSES.index("s"),),
        shares=(CLASSES.index("v"), (CLASSES.index("n"), CLASSES.index("s")), 6 * spread),
        codes=RECIPE.task.codes,
    )
    return Bundle.create(
        folder / "bundle",
        name="by-chance",
        tflite=write_tflite(graph),
        classes=RECIPE.titles,
        golden_inputs=inputs[:4],
        kind="beats",
        rule=rule,
    )
