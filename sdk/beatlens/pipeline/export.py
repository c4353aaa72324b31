"""The bundle, what leaves the SDK."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from beatlens.checked_read import checked_read
from beatlens.compression.quantize import QuantizedEvidenceNet
from beatlens.evaluate.figures import commit
from beatlens.integer.tflite_write import write_tflite
from beatlens.nets.teacher import Teacher
from beatlens.pipeline.evaluate import FIGURES_FILE
from beatlens.pipeline.folds import load_folds
from beatlens.recipe import Recipe
from beatlens.runtime.bundle import Bundle
from beatlens.signals.frontend import FrontEnd
from beatlens.signals.simulate import COUNTS_PER_MV, RAILS, simulate_database
from beatlens.tasks.contract import Int8Model, Prepared
from beatlens.tasks.registry import find_training

GOLDEN_SEED = 17
NOT_MEASURED = {"note": "not measured yet: run `beatlens evaluate`, then `beatlens export` again"}
"""What a bundle holds as `measured` where its run has no figures."""


@dataclass(frozen=True)
class Exported:
    """What was written: the bundle's folder, its bytes and its account.

    `note` says what the bundle lacks; empty where it lacks nothing.
    """

    folder: Path
    file_bytes: int
    macs: int
    operators: tuple[str, ...]
    note: str


def export_bundle(
    recipe: Recipe,
    prepared: Prepared,
    teacher: Teacher,
    quantized: QuantizedEvidenceNet,
    folder: Path,
) -> Exported:
    """Write `bundle/` of a run from its quantised student, with the rule that decides.

    The rule is chosen on validation recordings. Golden inputs are simulated ECG and extremes, so
    that no patient's signal travels with a model. What `figures.json` of the run says of the int8
    model is taken in, with where it was measured.
    """
    kind = find_training(recipe.task.kind)
    model = Int8Model.build(quantized, kind.model_span)
    tflite, measured = write_tflite(model.graph), _measured(recipe, folder)
    length = model.geometry.input_length(kind.model_span // model.geometry.stride)
    Bundle.create(
        folder / "bundle",
        name=recipe.name,
        tflite=tflite,
        classes=recipe.titles,
        kind=recipe.task.kind,
        rule=kind.choose_rule(recipe, prepared, teacher, model, load_folds(recipe, folder)),
        golden_inputs=golden_inputs(length),
        measured=measured or NOT_MEASURED,
        versions={"torch": torch.__version__, "commit": commit()},
        replace=True,
    )
    return _exported(folder, tflite, model, measured)


def export_again(
    recipe: Recipe, prepared: Prepared, teacher: Teacher, bundle: Bundle, folder: Path
) -> Exported:
    """Write `bundle/` of a run from a bundle: its network as it is, its rule chosen anew.

    For a released model whose run folder is gone. `model.tflite`, `weights.blpk` and the golden
    vectors stay as they were, bit for bit, and so do the figures and the description of the data,
    but for the figures that a `figures.json` of the run folder has. `versions` says as `rule` which
    commit chose the rule, beside the one that made the network.

    Raises:
        ModelError: the bundle decides on something else than the recipe does.
    """
    bundle.check_decides(recipe.task.kind, recipe.classes)
    kind, model = find_training(recipe.task.kind), Int8Model.read(bundle)
    # Figures of a bundle alone do not name the recordings that its network was trained on.
    trained_on = {key: bundle.measured[key] for key in ("data",) if key in bundle.measured}
    measured = {**bundle.measured, **_measured(recipe, folder), **trained_on}
    Bundle.create(
        folder / "bundle",
        name=bundle.name,
        tflite=bundle.tflite,
        classes=bundle.titles,
        kind=recipe.task.kind,
        rule=kind.choose_rule(recipe, prepared, teacher, model, load_folds(recipe, folder)),
        golden_inputs=bundle.golden.inputs,
        hop_columns=bundle.hop_columns,
        measured=measured or NOT_MEASURED,
        versions={**bundle.versions, "rule": commit()},
        replace=True,
    )
    return _exported(folder, bundle.tflite, model, measured)


def _exported(
    folder: Path, tflite: bytes, model: Int8Model, measured: Mapping[str, Any]
) -> Exported:
    note = "" if measured else f"note: the bundle is {NOT_MEASURED['note']}"
    operators = tuple(model.graph.operator_names)
    return Exported(folder / "bundle", len(tflite), model.graph.macs, operators, note)


def _measured(recipe: Recipe, folder: Path) -> dict[str, Any]:
    """The int8 model's figures, where the run has been evaluated; else nothing."""
    path = folder / FIGURES_FILE
    if not path.exists():
        return {}
    with checked_read(path, "a figures file", "delete it, or run `beatlens evaluate` again"):
        content = json.loads(path.read_text(encoding="utf-8"))
        return find_training(recipe.task.kind).bundle_figures(content)


def golden_inputs(length: int) -> np.ndarray:
    """Inputs int8 `[n, length]` to hold every implementation against: ECG, extremes and noise."""
    patients = simulate_database(12, GOLDEN_SEED, duration_s=60)
    front_end = FrontEnd(360, float(COUNTS_PER_MV), RAILS)
    signals = [
        front_end.run(patient.recording.counts[0]).x
        for split in patients.values()
        for patient in split
    ]
    starts = (0, len(signals[0]) - length)  # the front end settles in the first
    ecg = [signal[start : start + length] for signal in signals for start in starts]
    square = np.where(np.arange(length) // 8 % 2, 127, -127)
    noise = np.random.default_rng(0).integers(-127, 128, length)
    made = [np.full(length, v) for v in (0, 127, -127)] + [square, noise]
    return np.stack([*ecg, *made]).astype(np.int8)
