"""The rule that decides on recordings, and how networks do on recordings new to them.

Each network's `Predictions` are kept apart from the tables made of them, so that those of several
folds can be joined.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beatlens.calibration import Calibration
from beatlens.errors import RecipeError
from beatlens.evaluate.bootstrap import interval, mean_statistic, quantile_statistic
from beatlens.integer.tflite_write import write_tflite
from beatlens.nets.teacher import Teacher
from beatlens.tasks.common.runs import integer_windows
from beatlens.tasks.contract import Evaluation, Int8Model, Networks, Row, Summary
from beatlens.tasks.recordings.agreement import map_agreement
from beatlens.tasks.recordings.data import PreparedRecordings
from beatlens.tasks.recordings.metrics import (
    ChallengeScore,
    RecordingRun,
    calibrate_recordings,
    f1_by_class,
    published_prior,
    run_integer_recordings,
    run_recordings,
    score_statistic,
    weigh_as_published,
)
from beatlens.tasks.recordings.recipe import RecordingRecipe
from beatlens.tasks.recordings.rule import RecordingRule

AGREEMENT = ("spearman", "pearson", "same_peak")
FORMS = ("teacher", "student", "device")


@dataclass(frozen=True)
class Predictions:
    """What one network predicts for recordings.

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
    def joined(cls, parts: Sequence[Predictions]) -> Predictions:
        """Those of different recordings as one; the bytes are the largest."""
        arrays = [field.name for field in fields(cls) if field.name != "bytes"]
        return cls(
            **{name: np.concatenate([getattr(part, name) for part in parts]) for name in arrays},
            bytes=max(part.bytes for part in parts),
        )


def build_score(recipe: RecordingRecipe) -> ChallengeScore:
    """The score that a recipe's classes ask for."""
    return ChallengeScore(len(recipe.classes), recipe.task.scored)


def choose_rule(
    recipe: RecordingRecipe, prepared: PreparedRecordings, teacher: Teacher, model: Int8Model
) -> RecordingRule:
    """The whole-number rule that decides on the evidence of an int8 model.

    Offsets are the recipe's, the calibration is chosen on validation recordings.
    """
    tables, offsets = teacher.table_values, recipe.task.offsets
    scale = model.graph.tensors[model.graph.outputs["evidence"]].quantization.scale
    if model.quantized is not None:
        validation = run_recordings(model.quantized, tables, prepared.validation)
    else:
        rule = RecordingRule.from_logits(tables, offsets, scale, _no_calibration(recipe))
        run = integer_windows(model.graph)
        validation, _ = run_integer_recordings(
            run, model.graph, model.geometry, rule, prepared.validation
        )
    return RecordingRule.from_logits(tables, offsets, scale, calibrate_recordings(validation))


def _no_calibration(recipe: RecordingRecipe) -> Calibration:
    return Calibration(1.0, np.zeros(len(recipe.classes)))


def predict(
    recipe: RecordingRecipe,
    prepared: PreparedRecordings,
    networks: Networks,
    rule: RecordingRule | None = None,
) -> dict[str, Predictions]:
    """Predictions for the test recordings, by `FORMS`. LiteRT runs the int8 model."""
    model, teacher = networks.device, networks.teacher
    found: dict[str, Predictions] = {}
    reference: RecordingRun | None = None
    if rule is None:
        if teacher is None:
            raise RecipeError(f"{recipe.name}: no teacher and no rule are given, expected one")
        rule = choose_rule(recipe, prepared, teacher, model)
    floats = (("teacher", teacher.net if teacher else None), ("student", networks.student))
    for form, net in floats:
        if net is None or teacher is None:
            continue
        tables = teacher.table_values
        validation = run_recordings(net, tables, prepared.validation)
        run = run_recordings(net, tables, prepared.test)
        reference = reference or run
        decided = (run.logits + recipe.task.offsets).argmax(axis=1)
        chances = calibrate_recordings(validation).probabilities(run.logits)
        found[form] = make_predictions(reference, run, decided, chances, 4 * net.weights)
    run, decided = run_integer_recordings(
        integer_windows(model.graph), model.graph, model.geometry, rule, prepared.test
    )
    chances = rule.calibration.probabilities(run.logits)
    size = len(write_tflite(model.graph))
    found["device"] = make_predictions(reference or run, run, decided, chances, size)
    return found


def make_predictions(
    reference: RecordingRun,
    run: RecordingRun,
    decided: NDArray[np.int64],
    chances: NDArray[np.float64],
    size: int,
) -> Predictions:
    """A network's predictions, its maps held against those of a reference on the same recordings.

    Args:
        reference: of the teacher.
        run: of the network.
        decided: class numbers `[n]`.
        chances: probabilities `[n, C]`.
        size: bytes of the network.
    """
    measures = map_agreement(reference, run)
    return Predictions(
        records=np.array([track.record for track in run.tracks]),
        labels=run.labels,
        decided=decided,
        logits=run.logits,
        chances=chances,
        agreement=np.stack([measures[name] for name in AGREEMENT], axis=1),
        bytes=size,
    )


def evaluate_recordings(
    recipe: RecordingRecipe,
    prepared: PreparedRecordings,
    networks: Networks,
    rule: RecordingRule | None = None,
) -> Evaluation:
    """Measure networks on the test recordings.

    Raises:
        RecipeError: the recipe leaves none to test on.
    """
    if not prepared.test:
        raise RecipeError(
            f"{recipe.name} has no recordings to test on, expected some: give the source's split a "
            "test_part, or a share or list to test on"
        )
    found = predict(recipe, prepared, networks, rule)
    rows = format_rows(recipe, found, prepared.published)
    wrong = misclassified_rows(recipe, found)
    return Evaluation(rows, summarize(recipe, rows), {"misclassified.json": wrong})


def format_rows(
    recipe: RecordingRecipe, found: Mapping[str, Predictions], published: Mapping[str, int]
) -> list[Row]:
    """A row for each network: score, F1 by class, agreement with the teacher's maps.

    `score` and `f1_CLASS` are of the recordings as they are; `published_score` counts classes as
    often as the whole published set has them, and `published_prior_score` is that of decisions that
    expect it. Intervals draw recordings, so they say nothing of what another training would give.
    `teacher_steps` distinguishes the teachers of two recipes.
    """
    names = {"teacher": ("teacher", "float"), "student": (recipe.name, "float"),
             "device": (recipe.name, "int8")}  # fmt: skip
    rows = []
    for form, predictions in found.items():
        model, kind = names[form]
        row: Row = {
            "model": model, "form": kind, "seed": recipe.seed,
            "teacher_steps": recipe.teacher_schedule.steps,
            "bytes": predictions.bytes, "recordings": len(predictions.records),
        }  # fmt: skip
        row |= _score_figures(recipe, predictions, published)
        if form != "teacher" and "teacher" in found:
            row |= _agreement_figures(predictions)
        rows.append(row)
    return rows


def misclassified_rows(recipe: RecordingRecipe, found: Mapping[str, Predictions]) -> list[Row]:
    """A row for each recording that the int8 model decides otherwise than its label, surest first.

    `probability` is that of what was decided, `probability_of_label` that of what it should have
    been; `teacher` is what the teacher decided, `spearman` how far their maps agree.
    """
    device, teacher, classes = found["device"], found.get("teacher"), recipe.classes
    rows = []
    for i in np.flatnonzero(device.decided != device.labels):
        rows.append({
            "model": recipe.name, "form": "int8", "seed": recipe.seed,
            "record": str(device.records[i]),
            "label": classes[device.labels[i]],
            "decided": classes[device.decided[i]],
            "probability": float(device.chances[i, device.decided[i]]),
            "probability_of_label": float(device.chances[i, device.labels[i]]),
            **({} if teacher is None else {"teacher": classes[teacher.decided[i]]}),
            "spearman": float(device.agreement[i, AGREEMENT.index("spearman")]),
        })  # fmt: skip
    return sorted(rows, key=lambda row: (-row["probability"], row["record"]))


def _score_figures(
    recipe: RecordingRecipe, found: Predictions, published: Mapping[str, int]
) -> dict[str, float]:
    """The score in up to three ways with intervals by recording, F1 by class, log loss."""
    decided, labels, records = found.decided, found.labels, found.records
    score, classes = build_score(recipe), recipe.classes
    statistics = {"score": score_statistic(score, decided, labels)}
    if published:
        counts = [published[name] for name in classes]
        weights = weigh_as_published(labels, counts)
        expecting = (found.logits + published_prior(labels, counts)).argmax(axis=1)
        statistics["published_score"] = score_statistic(score, decided, labels, weights)
        statistics["published_prior_score"] = score_statistic(score, expecting, labels, weights)
    figures: dict[str, float] = {}
    for key, statistic in statistics.items():
        ends = interval(statistic, records)
        figures |= {key: ends.estimate, f"{key}_lo": ends.lo, f"{key}_hi": ends.hi}
    by_class = zip(classes, f1_by_class(decided, labels, len(classes)), strict=True)
    likely = found.chances[np.arange(len(labels)), labels].clip(1e-12)
    figures |= {f"f1_{name}": float(value) for name, value in by_class}
    return figures | {"log_loss": float(-np.log(likely).mean())}


def _agreement_figures(found: Predictions) -> dict[str, float]:
    """Agreement of maps by measure with intervals by recording, and its 5th percentile."""
    figures: dict[str, float] = {}
    for column, name in enumerate(AGREEMENT):
        values = found.agreement[:, column]
        statistics = {name: mean_statistic(values)}
        if name != "same_peak":  # a share of 0 or 1 has no percentile worth naming
            statistics[f"{name}_p5"] = quantile_statistic(values, 0.05)
        for key, statistic in statistics.items():
            ends = interval(statistic, found.records)
            figures |= {key: ends.estimate, f"{key}_lo": ends.lo, f"{key}_hi": ends.hi}
    return figures


def bundle_figures(figures: Mapping[str, Any]) -> dict[str, Any]:
    """The int8 model's figures, with where they are from."""
    row = next(r for r in figures["rows"] if r["form"] == "int8")
    named = [k for k in row if k.startswith(("score", "f1_", "published", "spearman"))]
    return {
        "data": figures["data"],
        "command": figures["command"],
        **{k: row[k] for k in named if row[k] is not None},
    }


def summarize(recipe: RecordingRecipe, rows: Sequence[Row]) -> Summary:
    """Scores, F1 by class and agreement."""
    heads = ("model", "form", "bytes", "score", *(f"F1 {name}" for name in recipe.classes),
             "Spearman")  # fmt: skip
    lines = []
    for row in rows:
        score = f"{row['score']:.3f} [{row['score_lo']:.3f}, {row['score_hi']:.3f}]"
        by_class = [f"{row[f'f1_{name}']:.2f}" for name in recipe.classes]
        spearman = f"{row['spearman']:.2f}" if "spearman" in row else "-"
        lines.append((row["model"], row["form"], f"{row['bytes']:,}", score, *by_class, spearman))
    return Summary("Score: mean F1", "[95 % interval by recording]", heads, lines)
