"""Thresholds of windows, and how well teacher, student and int8 model do on test patients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from beatlens.attribution.fidelity import shuffled_floor
from beatlens.errors import RecipeError
from beatlens.integer.graph import IntegerGraph
from beatlens.integer.tflite_write import write_tflite
from beatlens.nets.evidence import EvidenceNet
from beatlens.nets.teacher import Teacher
from beatlens.runtime.bundle import Bundle
from beatlens.tasks.contract import Evaluation, Int8Model, Networks, Row, Summary, count_weights
from beatlens.tasks.windows.data import PreparedWindows
from beatlens.tasks.windows.labels import WindowSet, cut_windows
from beatlens.tasks.windows.metrics import (
    Measured,
    Reference,
    Run,
    choose_thresholds,
    format_row,
    measure,
    run_integer,
    run_network,
    student_thresholds,
)
from beatlens.tasks.windows.recipe import WindowRecipe
from beatlens.tasks.windows.rhythm import add_up, build_tables
from beatlens.tasks.windows.rule import WindowRule, build_rule, window_rule
from beatlens.tasks.windows.tracks import Classes

AGREEMENT = ("cosine", "pearson", "spearman", "spearman_p5", "top_iou", "same_peak")
RELATIVE = ("cosine", "pearson", "spearman", "top_iou", "same_peak", "label_set")
"""Beginnings of the figures that need a teacher."""
REPLICATES = 500
"""Draws of records that intervals are made of."""


@dataclass(frozen=True)
class WindowDetails:
    """What a report of windows is drawn from: all networks, measured on the same windows."""

    windows: WindowSet
    classes: Classes
    teacher: Measured
    student: Measured | None
    device: Measured
    graph: IntegerGraph


def choose_limits(
    recipe: WindowRecipe,
    prepared: PreparedWindows,
    validation: WindowSet,
    run: Run,
    teacher: Run | None = None,
) -> np.ndarray:
    """Thresholds `[C]` in logits: the recipe's where it has some, else chosen on validation.

    A teacher's have the best F1 by labels (`usable_thresholds`); a student's are those at which it
    decides as often as its teacher does at the teacher's (`student_thresholds`).

    Args:
        recipe, prepared: of the network.
        validation: windows of the validation patients.
        run: of the network on them.
        teacher: of its teacher, if it is a student.
    """
    given = recipe.task.threshold_logits()
    if prepared.simulated:
        given = np.full_like(given, np.nan)
    if not np.isnan(given).any():
        return given
    if teacher is None:
        chosen = choose_thresholds(validation, run)
    else:
        limits = choose_thresholds(validation, teacher)
        limits = np.where(np.isnan(given), limits, given)
        chosen = student_thresholds(Reference(teacher, limits), run, validation.records)
    return np.where(np.isnan(given), chosen, given)


def choose_rule(
    recipe: WindowRecipe, prepared: PreparedWindows, teacher: Teacher, model: Int8Model
) -> WindowRule:
    """The whole-number rule that decides on the evidence of an int8 model.

    Its thresholds are the recipe's, or those at which it decides as often as its teacher on
    validation patients.
    """
    tables = build_tables(recipe.task.classes)
    validation = cut_windows(prepared.validation, rhythm=tables is not None)
    added = add_up(tables, validation.rhythm)
    student = replace(run_integer(model.graph, model.geometry, validation), added=added)
    reference = replace(run_network(teacher.net, validation), added=added)
    limits = choose_limits(recipe, prepared, validation, student, reference)
    chances = 1 / (1 + np.exp(-limits))
    named = {name: float(f"{p:.6g}") for name, p in zip(recipe.classes, chances, strict=True)}
    return build_rule(model.graph, named, tables)


@dataclass(frozen=True)
class DeviceRule:
    """A device's rule in logits: thresholds `[C]`, and lookup tables `[2, BINS, C]` or None."""

    limits: np.ndarray
    tables: np.ndarray | None = None

    @classmethod
    def read(cls, bundle: Bundle) -> DeviceRule:
        """The rule of a bundle, such that its own whole-number decision is made."""
        tables, step = window_rule(bundle).tables, bundle.tensors["evidence"].scale
        limits = device_limits(bundle)
        return cls(limits, None if tables is None else tables * (step / bundle.span_columns))


def device_limits(bundle: Bundle) -> np.ndarray:
    """A bundle's thresholds `[C]` as logits, such that its own whole-number decision is made.

    The bundle decides by an int32 sum of evidence (`sum_thresholds`); a mean that is that sum comes
    out of float32 with a rounding error, so the threshold lies half a step below it.
    """
    evidence, rule = bundle.tensors["evidence"], window_rule(bundle)
    return np.array([
        evidence.scale * ((rule.sum_thresholds[name] - 0.5) / bundle.span_columns
                          - evidence.zero_point)
        for name in bundle.classes
    ])  # fmt: skip


def evaluate_windows(
    recipe: WindowRecipe,
    prepared: PreparedWindows,
    networks: Networks,
    rule: DeviceRule | None = None,
    replicates: int = REPLICATES,
) -> Evaluation:
    """Measure networks on test patients.

    The teacher's thresholds are set by labels on validation patients, the student's by the
    teacher's decisions there; the device's are those of `rule`, or chosen as the student's. Lookup
    tables of the rhythm are the recipe's, of the device those of `rule`. The int8 model is run by
    LiteRT itself. Fidelity is to the teacher.
    """
    if not prepared.test:
        raise RecipeError(
            f"{recipe.name}: no recording is left to test on, expected a split with test patients"
        )
    classes, model = recipe.task.classes, networks.device
    tables = build_tables(classes)
    own = tables if rule is None else rule.tables
    has_tables = tables is not None or own is not None
    test = cut_windows(prepared.test, rhythm=has_tables)
    if networks.teacher is None:
        return _evaluate_alone(recipe, test, model, rule, replicates)
    validation = cut_windows(prepared.validation, rhythm=has_tables)
    watched, tested = add_up(tables, validation.rhythm), add_up(tables, test.rhythm)
    of_teacher = replace(run_network(networks.teacher.net, validation), added=watched)

    def find_limits(run: Run) -> np.ndarray:
        return choose_limits(recipe, prepared, validation, run, of_teacher)

    reference = Reference(
        replace(run_network(networks.teacher.net, test), added=tested),
        choose_limits(recipe, prepared, validation, of_teacher),
    )
    student = None
    if networks.student is not None:
        run = replace(run_network(networks.student, validation), added=watched)
        limits = find_limits(run)
        run = replace(run_network(networks.student, test), added=tested)
        student = measure(classes, test, run, limits, reference)
    if rule is None:
        run = run_integer(model.graph, model.geometry, validation)
        rule = DeviceRule(find_limits(replace(run, added=watched)), own)
    device = measure(classes, test, run_device(model, rule, test), rule.limits, reference)
    teacher = measure(classes, test, reference.run, reference.thresholds, reference)
    details = WindowDetails(test, classes, teacher, student, device, model.graph)
    rows = _rows(recipe, networks.teacher.net, networks.student, details, replicates)
    return Evaluation(rows, _summary(recipe, rows), details=details)


def run_device(model: Int8Model, rule: DeviceRule, windows: WindowSet) -> Run:
    """The run of an int8 model with its tables."""
    run = run_integer(model.graph, model.geometry, windows)
    return replace(run, added=add_up(rule.tables, windows.rhythm))


def _evaluate_alone(
    recipe: WindowRecipe,
    test: WindowSet,
    model: Int8Model,
    rule: DeviceRule | None,
    replicates: int,
) -> Evaluation:
    """The int8 model without a teacher: prediction and localisation only."""
    if rule is None:
        raise RecipeError(f"{recipe.name}: no teacher and no thresholds are given, expected one")
    run = run_device(model, rule, test)
    reference = Reference(run, rule.limits)
    device = measure(recipe.task.classes, test, run, rule.limits, reference)
    row = {k: v for k, v in format_row(device, replicates).items() if not k.startswith(RELATIVE)}
    about = {"model": "student", "form": "int8", "bytes": len(write_tflite(model.graph))}
    rows: list[Row] = [{**about, "macs": model.graph.macs, "seed": recipe.seed, **row}]
    return Evaluation(rows, _summary(recipe, rows))


def _rows(
    recipe: WindowRecipe,
    net: EvidenceNet,
    student: EvidenceNet | None,
    found: WindowDetails,
    replicates: int,
) -> list[Row]:
    graph, seed = found.graph, recipe.seed
    size: Row = {"bytes": 4 * net.weights, "weights": net.weights}
    rows = [{"model": "teacher", "matching": "-", "form": "float", **size, "seed": seed}
            | format_row(found.teacher, replicates)]  # fmt: skip
    weights = count_weights(graph) if student is None else student.weights
    about = {"matching": recipe.distill.matching, "weights": weights, "macs": graph.macs}
    file_bytes = len(write_tflite(graph))
    for form, measured in (("float", found.student), ("int8", found.device)):
        if measured is not None:
            size = {"bytes": 4 * weights if form == "float" else file_bytes}
            line = {"model": "student", "form": form, **about, **size, "seed": seed}
            rows.append(line | format_row(measured, replicates))
    floor = shuffled_floor(
        found.teacher.run.evidence,
        found.device.run.evidence,
        np.asarray(found.teacher.run.logits >= found.teacher.thresholds),
    ).summary()
    line = {"model": "shuffled floor", "matching": "-", "form": "int8", "seed": seed}
    rows.append({**line, **{key: floor[key] for key in AGREEMENT}})
    return rows


def _summary(recipe: WindowRecipe, rows: list[Row]) -> Summary:
    """A figure a row, a network a column: average precision of the classes, and agreement."""
    heads = {"macro_ap": "macro AP", **{f"ap_{name}": f"AP {name}" for name in recipe.classes},
             "spearman": "Spearman", "spearman_p5": "Spearman, 5th percentile",
             "same_peak": "same peak", "bytes": "bytes"}  # fmt: skip
    return Summary(
        "Test patients",
        "mean [95 % interval by record]",
        ("", *(f"{row['model']}, {row['form']}" for row in rows)),
        [(head, *(_cell(row, key) for row in rows)) for key, head in heads.items()],
    )


def _cell(row: Row, key: str) -> str:
    value = row.get(key)
    if value is None or value != value:
        return "-"
    if isinstance(value, int):
        return f"{value:,}"
    low, high = row.get(f"{key}_lo"), row.get(f"{key}_hi")
    ends = "" if low is None or low != low else f" [{low:.3f}, {high:.3f}]"
    return f"{value:.3f}{ends}"


def bundle_figures(figures: Mapping[str, Any]) -> dict[str, Any]:
    """The int8 model's figures on test patients, with the data they are of."""
    row = next(r for r in figures["rows"] if r["model"] == "student" and r["form"] == "int8")
    wanted = ("macro_ap", "ap_", "f1_", "loc_auc_", "point_", "spearman", "spearman_p5",
              "same_peak", "label_set")  # fmt: skip

    def is_kept(key: str) -> bool:
        base = key.removesuffix("_lo").removesuffix("_hi")
        if base.endswith("_all") or base in ("spearman_agreeing", "spearman_differing"):
            return False
        return base in wanted or base.startswith(("ap_", "f1_", "loc_auc_", "point_"))

    kept = {k: v for k, v in row.items() if v is not None and is_kept(k)}
    return {"data": figures["data"], **kept}
