"""Step 5 of the wearable task: teacher, student and int8 model on recordings that are new to them.

What each said is kept as a `Told`; tables are made of these, of one fold or of all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beatlens.compress.int8_graph import build_graph
from beatlens.compress.quantize import QuantizedEvidenceNet
from beatlens.evaluate.beats import integer_windows
from beatlens.evaluate.bootstrap import interval, mean_statistic, quantile_statistic
from beatlens.evaluate.wearable import (
    WearableRun,
    as_published,
    calibrate_recordings,
    challenge_score,
    f1_of,
    published_prior,
    run_integer_wearable,
    run_wearable,
    score_statistic,
)
from beatlens.integer.graph import IntegerGraph
from beatlens.integer.tflite_write import write_tflite
from beatlens.nets.evidence import EvidenceNet
from beatlens.nets.lookup_tables import LookupTables
from beatlens.pipeline.wearable_data import PreparedWearable
from beatlens.pipeline.wearable_steps import map_agreement
from beatlens.tasks.beats.sampling import CROP_SPAN
from beatlens.tasks.recordings.labels import CLASSES
from beatlens.tasks.recordings.rule import RecordingRule
from beatlens.wearable_recipe import WearableRecipe

AGREEMENT = ("spearman", "pearson", "same_peak")
FORMS = ("teacher", "student", "device")
CROSSVAL_FIGURES = "crossval.json"
"""Figures file in the run folder: rows of a cross-validation, which a bundle carries rather than
those of one test fold."""
Networks = tuple[EvidenceNet, LookupTables, EvidenceNet, QuantizedEvidenceNet]


@dataclass(frozen=True)
class Told:
    """What one network said of recordings.

    Args:
        records: names `[n]`.
        labels, decided: class numbers, int64 `[n]`.
        logits: float64 `[n, C]`, without offsets.
        chances: calibrated probabilities, float64 `[n, C]`.
        agreement: of its maps with the teacher's, float64 `[n, 3]`, a column per `AGREEMENT`.
        bytes: of the network: float weights, or the `.tflite` file.
    """

    records: NDArray[np.str_]
    labels: NDArray[np.int64]
    decided: NDArray[np.int64]
    logits: NDArray[np.float64]
    chances: NDArray[np.float64]
    agreement: NDArray[np.float64]
    bytes: int

    @classmethod
    def joined(cls, parts: Sequence[Told]) -> Told:
        """Several of them, of different recordings, as one; the bytes are the largest."""
        arrays = [field.name for field in fields(cls) if field.name != "bytes"]
        return cls(
            **{name: np.concatenate([getattr(part, name) for part in parts]) for name in arrays},
            bytes=max(part.bytes for part in parts),
        )


def rule_of(
    recipe: WearableRecipe,
    quantized: QuantizedEvidenceNet,
    tables: LookupTables,
    prepared: PreparedWearable,
) -> tuple[IntegerGraph, RecordingRule]:
    """The int8 network and the whole-number rule that decides with it.

    Offsets are the recipe's, the calibration is chosen on validation recordings.
    """
    validation = run_wearable(quantized, tables.array(), prepared.validation)
    graph = build_graph(quantized, CROP_SPAN)
    scale = graph.tensors[graph.outputs["evidence"]].quantization.scale
    calibration = calibrate_recordings(validation)
    return graph, RecordingRule.from_logits(
        tables.array(), recipe.decision.by_class, scale, calibration
    )


def tell(recipe: WearableRecipe, prepared: PreparedWearable, networks: Networks) -> dict[str, Told]:
    """What a run's networks say of the test recordings, by `FORMS`. LiteRT runs the int8 model."""
    teacher, tables, student, quantized = networks
    graph, rule = rule_of(recipe, quantized, tables, prepared)
    said: dict[str, Told] = {}
    reference: WearableRun | None = None
    for form, net in (("teacher", teacher), ("student", student)):
        validation = run_wearable(net, tables.array(), prepared.validation)
        run = run_wearable(net, tables.array(), prepared.test)
        reference = reference or run
        decided = (run.logits + recipe.decision.by_class).argmax(axis=1)
        chances = calibrate_recordings(validation).probabilities(run.logits)
        said[form] = told_of(reference, run, decided, chances, 4 * net.weights)
    geometry = quantized.geometry
    run, decided = run_integer_wearable(
        integer_windows(graph), graph, geometry, rule, prepared.test
    )
    chances = rule.calibration.probabilities(run.logits)
    said["device"] = told_of(reference or run, run, decided, chances, len(write_tflite(graph)))
    return said


def told_of(
    reference: WearableRun,
    run: WearableRun,
    decided: NDArray[np.int64],
    chances: NDArray[np.float64],
    size: int,
) -> Told:
    """What a network said, its maps held against those of a reference on the same recordings.

    Args:
        reference: of the teacher.
        run: of the network.
        decided: class numbers `[n]`.
        chances: probabilities `[n, C]`.
        size: bytes of the network.
    """
    measures = map_agreement(reference, run)
    return Told(
        records=np.array([track.record for track in run.tracks]),
        labels=run.labels,
        decided=decided,
        logits=run.logits,
        chances=chances,
        agreement=np.stack([measures[name] for name in AGREEMENT], axis=1),
        bytes=size,
    )


def rows_of(recipe: WearableRecipe, said: Mapping[str, Told]) -> list[dict[str, Any]]:
    """A row for each network: score, F1 by class, agreement with the teacher's maps.

    `score` and `f1_CLASS` are of the recordings as they are; `published_score` counts classes as
    often as the challenge's whole training set has them, and `published_prior_score` is that of
    decisions that expect it. Intervals draw recordings, so they say nothing of what another
    training would give. `teacher_steps` tells the teachers of two recipes apart.
    """
    names = {"teacher": ("teacher", "float"), "student": (recipe.name, "float"),
             "device": (recipe.name, "int8")}  # fmt: skip
    rows = []
    for form, told in said.items():
        model, kind = names[form]
        row: dict[str, Any] = {
            "model": model, "form": kind, "seed": recipe.seed,
            "teacher_steps": recipe.teacher_schedule.steps,
            "bytes": told.bytes, "recordings": len(told.records),
        }  # fmt: skip
        row |= score_figures(told)
        if form != "teacher":
            row |= agreement_figures(told)
        rows.append(row)
    return rows


def score_figures(told: Told) -> dict[str, float]:
    """The challenge's score in three ways with intervals by recording, F1 by class, log loss."""
    decided, labels, records = told.decided, told.labels, told.records
    plain = score_statistic(challenge_score, decided, labels)
    whole = score_statistic(challenge_score, decided, labels, as_published(labels))
    figures: dict[str, float] = {}
    expecting = (told.logits + published_prior(labels)).argmax(axis=1)
    prior = score_statistic(challenge_score, expecting, labels, as_published(labels))
    for key, statistic in (
        ("score", plain),
        ("published_score", whole),
        ("published_prior_score", prior),
    ):
        ends = interval(statistic, records)
        figures |= {key: ends.estimate, f"{key}_lo": ends.lo, f"{key}_hi": ends.hi}
    by_class = zip(CLASSES, f1_of(decided, labels), strict=True)
    likely = told.chances[np.arange(len(labels)), labels].clip(1e-12)
    figures |= {f"f1_{name}": float(value) for name, value in by_class}
    return figures | {"log_loss": float(-np.log(likely).mean())}


def agreement_figures(told: Told) -> dict[str, float]:
    """Agreement of maps by measure with intervals by recording, and its 5th percentile."""
    figures: dict[str, float] = {}
    for column, name in enumerate(AGREEMENT):
        values = told.agreement[:, column]
        statistics = {name: mean_statistic(values)}
        if name != "same_peak":  # a share of 0 or 1 has no percentile worth naming
            statistics[f"{name}_p5"] = quantile_statistic(values, 0.05)
        for key, statistic in statistics.items():
            ends = interval(statistic, told.records)
            figures |= {key: ends.estimate, f"{key}_lo": ends.lo, f"{key}_hi": ends.hi}
    return figures
