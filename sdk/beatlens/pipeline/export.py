"""Step 4: the bundle, what leaves the SDK."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from beatlens.beat_recipe import BeatRecipe
from beatlens.checked_read import checked_read
from beatlens.compress.int8_graph import build_graph
from beatlens.compress.quantize import QuantizedEvidenceNet
from beatlens.evaluate.figures import commit
from beatlens.evaluate.strips import run_integer, run_network
from beatlens.geometry import Geometry
from beatlens.integer.graph import IntegerGraph
from beatlens.integer.tflite_read import read_tflite
from beatlens.integer.tflite_write import write_tflite
from beatlens.nets.evidence import EvidenceNet
from beatlens.nets.lookup_tables import LookupTables
from beatlens.pipeline import wearable_evaluate
from beatlens.pipeline.beat_data import PreparedBeats
from beatlens.pipeline.beat_evaluate import OUTPUT, rule_of, rule_of_bundle
from beatlens.pipeline.data import Prepared
from beatlens.pipeline.evaluate import check_strips_bundle
from beatlens.pipeline.wearable_data import PreparedWearable
from beatlens.recipe import Recipe
from beatlens.runtime.bundle import Bundle
from beatlens.signals.frontend import FrontEnd
from beatlens.signals.simulate import COUNTS_PER_MV, RAILS, simulate_database
from beatlens.tasks.beats import labels as beats
from beatlens.tasks.beats.sampling import CROP_SPAN
from beatlens.tasks.recordings import labels as wearable
from beatlens.tasks.windows.labels import CLASSES, LONG_NAMES, SPAN, cut_strips
from beatlens.tasks.windows.rule import build_rule
from beatlens.wearable_recipe import WearableRecipe

GOLDEN_SEED = 17
DAMAGED_FIGURES = "delete it, or run `beatlens evaluate` again"
MEASURED = ("macro_ap", "ap_pvc", "ap_sve", "ap_afib", "ap_bbb", "f1_pvc", "f1_sve", "f1_afib",
            "f1_bbb", "loc_auc_pvc", "point_pvc", "spearman", "spearman_p5", "same_peak",
            "label_set")  # fmt: skip
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
    teacher: EvidenceNet,
    quantized: QuantizedEvidenceNet,
    folder: Path,
) -> Exported:
    """Write `bundle/` of a run from its quantised student.

    Thresholds are the recipe's, or those at which the int8 model decides as often as its teacher on
    validation patients; golden inputs are simulated ECG and extremes, so that no patient's signal
    travels with a model; what `figures.json` of the run says of the int8 model is taken in, with
    where it was measured.
    """
    graph, geometry = build_graph(quantized, SPAN), quantized.geometry
    tflite = write_tflite(graph)
    measured = _measured(folder / "figures.json")
    Bundle.create(
        folder / "bundle",
        name=recipe.name,
        tflite=tflite,
        classes={name: LONG_NAMES[name] for name in CLASSES},
        golden_inputs=golden_inputs(geometry.input_length(SPAN // geometry.stride)),
        kind="windows",
        rule=build_rule(graph, _thresholds(recipe, prepared, teacher, graph, geometry)),
        measured=measured or NOT_MEASURED,
        versions={"torch": torch.__version__, "commit": commit()},
        replace=True,
    )
    return _exported(folder, tflite, graph, measured)


def _exported(
    folder: Path, tflite: bytes, graph: IntegerGraph, measured: Mapping[str, Any]
) -> Exported:
    note = "" if measured else f"note: the bundle is {NOT_MEASURED['note']}"
    operators = tuple(graph.operator_names)
    return Exported(folder / "bundle", len(tflite), graph.macs, operators, note)


def export_again(
    recipe: Recipe, prepared: Prepared, teacher: EvidenceNet, bundle: Bundle, folder: Path
) -> Exported:
    """Write `bundle/` of a run from a bundle: its network as it is, its thresholds set anew.

    For a released model whose run folder is gone. `model.tflite`, `weights.blpk` and the golden
    vectors stay as they were, bit for bit, and so do the figures and the description of the data,
    but for the figures that a `figures.json` of the run folder has. `versions` says as `thresholds`
    which commit set them, beside the one that made the network.

    Raises:
        ModelError: the bundle decides on something else than strips.
    """
    check_strips_bundle(bundle)
    graph = read_tflite(bundle.tflite)
    # Figures of a bundle alone do not name the recordings that its network was trained on.
    trained_on = {key: bundle.measured[key] for key in ("data",) if key in bundle.measured}
    measured = {**bundle.measured, **_measured(folder / "figures.json"), **trained_on}
    Bundle.create(
        folder / "bundle",
        name=bundle.name,
        tflite=bundle.tflite,
        classes=bundle.titles,
        golden_inputs=bundle.golden.inputs,
        kind="windows",
        rule=build_rule(graph, _thresholds(recipe, prepared, teacher, graph, bundle.geometry)),
        hop_columns=bundle.hop_columns,
        measured=measured or NOT_MEASURED,
        versions={**bundle.versions, "thresholds": commit()},
        replace=True,
    )
    return _exported(folder, bundle.tflite, graph, measured)


def _thresholds(
    recipe: Recipe,
    prepared: Prepared,
    teacher: EvidenceNet,
    graph: IntegerGraph,
    geometry: Geometry,
) -> dict[str, float]:
    """Probabilities by class from which on the int8 model predicts it."""
    validation = cut_strips(prepared.validation)
    student = run_integer(graph, geometry, validation)
    said = run_network(teacher, validation)
    chances = 1 / (1 + np.exp(-prepared.thresholds(recipe, validation, student, said)))
    return {name: round(float(p), 6) for name, p in zip(CLASSES, chances, strict=True)}


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


def export_beat_bundle(
    recipe: BeatRecipe,
    prepared: PreparedBeats,
    tables: LookupTables,
    quantized: QuantizedEvidenceNet,
    folder: Path,
) -> Exported:
    """Write `bundle/` of a beats run, with the whole-number rule that decides; as `export_bundle`.

    The rule's offsets and calibration are chosen on validation patients.
    """
    graph, rule = rule_of(quantized, tables, prepared)
    tflite, measured = write_tflite(graph), _measured_beats(folder / "figures.json")
    length = quantized.geometry.input_length(CROP_SPAN // quantized.geometry.stride)
    Bundle.create(
        folder / "bundle",
        name=recipe.name,
        tflite=tflite,
        classes=beats.LONG_NAMES,
        golden_inputs=golden_inputs(length),
        measured=measured or NOT_MEASURED,
        versions={"torch": torch.__version__, "commit": commit()},
        kind="beats",
        rule=rule,
        replace=True,
    )
    return _exported(folder, tflite, graph, measured)


def export_rule(
    recipe: BeatRecipe,
    prepared: PreparedBeats,
    bundle: Bundle,
    tables: LookupTables,
    folder: Path,
) -> Exported:
    """Write `bundle/` of a beats run out of a bundle: its network, with a rule chosen anew.

    For a network whose R peaks are found otherwise than when it was exported. `model.tflite`,
    `weights.blpk` and golden vectors stay bit for bit; `versions` says as `rule` which commit chose
    the rule, beside the one that made the network.
    """
    graph, rule = read_tflite(bundle.tflite), rule_of_bundle(bundle, tables, prepared)
    measured = _measured_beats(folder / "figures.json") or dict(bundle.measured)
    Bundle.create(
        folder / "bundle",
        name=bundle.name,
        tflite=bundle.tflite,
        classes=bundle.titles,
        golden_inputs=bundle.golden.inputs,
        hop_columns=bundle.hop_columns,
        measured=measured or NOT_MEASURED,
        versions={**bundle.versions, "rule": commit()},
        kind="beats",
        rule=rule,
        replace=True,
    )
    return _exported(folder, bundle.tflite, graph, measured)


def export_wearable_bundle(
    recipe: WearableRecipe,
    prepared: PreparedWearable,
    tables: LookupTables,
    quantized: QuantizedEvidenceNet,
    folder: Path,
) -> Exported:
    """Write `bundle/` of a wearable run, with the whole-number rule that decides.

    Measured is what `python -m benchmarks wearable` found in this run folder, out of fold, or else
    `beatlens evaluate` on the test fold.
    """
    graph, rule = wearable_evaluate.rule_of(recipe, quantized, tables, prepared)
    tflite, measured = write_tflite(graph), _measured_wearable(folder)
    length = quantized.geometry.input_length(CROP_SPAN // quantized.geometry.stride)
    Bundle.create(
        folder / "bundle",
        name=recipe.name,
        tflite=tflite,
        classes=wearable.LONG_NAMES,
        golden_inputs=golden_inputs(length),
        measured=measured or NOT_MEASURED,
        versions={"torch": torch.__version__, "commit": commit()},
        kind="recordings",
        rule=rule,
        replace=True,
    )
    return _exported(folder, tflite, graph, measured)


def _measured_wearable(folder: Path) -> dict[str, Any]:
    """The int8 model's figures, with where they are from; empty where nothing was measured."""
    path = next(
        (
            folder / n
            for n in (wearable_evaluate.CROSSVAL_FIGURES, "figures.json")
            if (folder / n).exists()
        ),
        None,
    )
    if path is None:
        return {}
    with checked_read(path, "a figures file", DAMAGED_FIGURES):
        content = json.loads(path.read_text(encoding="utf-8"))
        row = next(r for r in content["rows"] if r["form"] == "int8")
        named = [k for k in row if k.startswith(("score", "f1_", "published", "spearman"))]
        return {
            "data": content["data"],
            "command": content["command"],
            **{k: row[k] for k in named},
        }


def _measured_beats(figures: Path) -> dict[str, Any]:
    """The int8 model's gross figures on DS2, where the run has been evaluated."""
    if not figures.exists():
        return {}
    with checked_read(figures, "a figures file", DAMAGED_FIGURES):
        content = json.loads(figures.read_text(encoding="utf-8"))
        wanted = {"form": "int8", "mapping": "aami", "decided": OUTPUT}
        row = next(r for r in content["rows"] if wanted.items() <= r.items())
        named = [k for k in row if k.startswith(("qrs_", "veb_", "sveb_", "spearman"))]
        about = {"data": content["data"], "split": row["split"], "decided": OUTPUT}
        return about | {k: row[k] for k in named}


def _measured(figures: Path) -> dict[str, Any]:
    """The int8 model's figures on test patients, where the run has been evaluated."""
    if not figures.exists():
        return {}
    with checked_read(figures, "a figures file", DAMAGED_FIGURES):
        content = json.loads(figures.read_text(encoding="utf-8"))
        row = next(r for r in content["rows"] if r["model"] == "student" and r["form"] == "int8")
        keys = [f"{key}{end}" for key in MEASURED for end in ("", "_lo", "_hi")]
        return {"data": content["data"], **{k: row[k] for k in keys if row.get(k) is not None}}
