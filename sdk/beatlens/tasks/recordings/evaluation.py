"""Step 5 of the wearable task: teacher, student and int8 model on recordings that are new to them.

What each said is kept as a `Told`; tables are made of these, of one fold or of all.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beatlens.compress.int8_graph import build_graph
from beatlens.compress.quantize import QuantizedEvidenceNet
from beatlens.errors import DataError
from beatlens.tasks.beats.metrics import integer_windows
from beatlens.evaluate.bootstrap import interval, mean_statistic, quantile_statistic
from beatlens.tasks.recordings.metrics import (
    RecordingRun,
    as_published,
    calibrate_recordings,
    challenge_score,
    f1_of,
    published_prior,
    run_integer_recordings,
    run_recordings,
    score_statistic,
)
from beatlens.integer.graph import IntegerGraph
from beatlens.integer.tflite_write import write_tflite
from beatlens.nets.evidence import EvidenceNet
from beatlens.nets.lookup_tables import LookupTables
from beatlens.output import writing
from beatlens.tasks.recordings.data import PreparedRecordings
from beatlens.tasks.recordings.training import map_agreement
from beatlens.runtime.recording_rule import RecordingRule
from beatlens.tasks.beats.sampling import CROP_SPAN
from beatlens.tasks.recordings.labels import CLASSES
from beatlens.tasks.recordings.recipe import RecordingRecipe

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
    recipe: RecordingRecipe,
    quantized: QuantizedEvidenceNet,
    tables: LookupTables,
    prepared: PreparedRecordings,
) -> tuple[IntegerGraph, RecordingRule]:
    """The int8 network and the whole-number rule that decides with it.

    Offsets are the recipe's, the calibration is chosen on validation recordings.
    """
    validation = run_recordings(quantized, tables.array(), prepared.validation)
    graph = build_graph(quantized, CROP_SPAN)
    scale = graph.tensors[graph.outputs["evidence"]].quantization.scale
    calibration = calibrate_recordings(validation)
    return graph, RecordingRule.of(tables.array(), recipe.decision.by_class, scale, calibration)


def tell(recipe: RecordingRecipe, prepared: PreparedRecordings, networks: Networks) -> dict[str, Told]:
    """What a run's networks say of the test recordings, by `FORMS`. LiteRT runs the int8 model."""
    teacher, tables, student, quantized = networks
    graph, rule = rule_of(recipe, quantized, tables, prepared)
    said: dict[str, Told] = {}
    reference: RecordingRun | None = None
    for form, net in (("teacher", teacher), ("student", student)):
        validation = run_recordings(net, tables.array(), prepared.validation)
        run = run_recordings(net, tables.array(), prepared.test)
        reference = reference or run
        decided = (run.logits + recipe.decision.by_class).argmax(axis=1)
        chances = calibrate_recordings(validation).probabilities(run.logits)
        said[form] = told_of(reference, run, decided, chances, 4 * net.weights)
    geometry = quantized.geometry
    run, decided = run_integer_recordings(
        integer_windows(graph), graph, geometry, rule, prepared.test
    )
    chances = rule.calibration.probabilities(run.logits)
    said["device"] = told_of(reference or run, run, decided, chances, len(write_tflite(graph)))
    return said


def told_of(
    reference: RecordingRun,
    run: RecordingRun,
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


def save_told(path: Path, said: Mapping[str, Told], offsets: NDArray[np.float64]) -> None:
    """Write what networks said, and the offsets `[C]` it was decided with; whole or not at all."""
    arrays = {
        f"{form}/{field.name}": np.asarray(getattr(told, field.name))
        for form, told in said.items()
        for field in fields(told)
    }
    part = path.with_suffix(".part.npz")
    with writing(path):
        np.savez(part, offsets=offsets, **arrays)  # type: ignore[arg-type]
        part.replace(path)


def load_told(path: Path, offsets: NDArray[np.float64]) -> dict[str, Told] | None:
    """Read what `save_told` wrote; None if it was decided with other offsets, or nobody knows.

    Raises:
        DataError: the file is something else.
    """
    try:
        with np.load(path) as archive:
            told = {
                form: Told(
                    **{
                        field.name: archive[f"{form}/{field.name}"]
                        for field in fields(Told)
                        if field.name != "bytes"
                    },
                    bytes=int(archive[f"{form}/bytes"]),
                )
                for form in FORMS
            }
            same = "offsets" in archive and np.array_equal(archive["offsets"], offsets)
            return told if same else None
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: not a file of decisions ({error}); delete it") from error


def rows_of(recipe: RecordingRecipe, said: Mapping[str, Told]) -> list[dict[str, Any]]:
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


def wrong_rows(recipe: RecordingRecipe, said: Mapping[str, Told]) -> list[dict[str, Any]]:
    """A row for each recording that the int8 model tells otherwise than its label, surest first.

    `probability` is that of what was decided, `probability_of_label` that of what it should have
    been; `teacher` is what the teacher decided, `spearman` how far their maps agree.
    """
    told, teacher = said["device"], said["teacher"]
    rows = []
    for i in np.flatnonzero(told.decided != told.labels):
        rows.append({
            "model": recipe.name, "form": "int8", "seed": recipe.seed,
            "record": str(told.records[i]),
            "label": CLASSES[told.labels[i]],
            "decided": CLASSES[told.decided[i]],
            "probability": float(told.chances[i, told.decided[i]]),
            "probability_of_label": float(told.chances[i, told.labels[i]]),
            "teacher": CLASSES[teacher.decided[i]],
            "spearman": float(told.agreement[i, AGREEMENT.index("spearman")]),
        })  # fmt: skip
    return sorted(rows, key=lambda row: (-row["probability"], row["record"]))


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
