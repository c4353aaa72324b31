"""Step 5: teacher, student and int8 model measured side by side on the test patients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from beatlens.attribution.fidelity import shuffled_floor
from beatlens.compress.int8_graph import build_graph
from beatlens.compress.quantize import QuantizedEvidenceNet
from beatlens.errors import ModelError
from beatlens.evaluate.figures import merge_figures, write_figures
from beatlens.evaluate.strips import (
    Measured,
    Reference,
    Run,
    measure,
    row_of,
    run_integer,
    run_network,
)
from beatlens.integer.graph import Convolution, IntegerGraph
from beatlens.integer.litert import Kernels
from beatlens.integer.tflite_read import read_tflite
from beatlens.integer.tflite_write import write_tflite
from beatlens.nets.evidence import EvidenceNet
from beatlens.pipeline.data import Prepared
from beatlens.recipe import Recipe
from beatlens.runtime.bundle import Bundle
from beatlens.tasks.windows.labels import CLASSES, SPAN, StripSet, cut_strips
from beatlens.tasks.windows.rule import window_rule

AGREEMENT = ("cosine", "pearson", "spearman", "spearman_p5", "top_iou", "same_peak")


@dataclass(frozen=True)
class Evaluation:
    """What was measured: per network its test run, thresholds and scores, and the table's rows.

    `student` is the float network of a run; a bundle alone has none.
    """

    strips: StripSet
    teacher: Measured
    student: Measured | None
    device: Measured
    graph: IntegerGraph
    rows: list[dict[str, Any]]


def evaluate(
    recipe: Recipe,
    prepared: Prepared,
    teacher: EvidenceNet,
    student: EvidenceNet,
    quantized: QuantizedEvidenceNet,
    folder: Path,
    kernels: Kernels = "reference",
    replicates: int = 500,
) -> Evaluation:
    """Measure a run's networks on test patients and write `figures.json`.

    Thresholds are the recipe's, or set on validation patients: the teacher's by labels, the
    student's by the teacher's decisions. The int8 model is run by LiteRT itself. Fidelity is to the
    teacher.
    """
    validation, test = cut_strips(prepared.validation), cut_strips(prepared.test)
    graph = build_graph(quantized, SPAN)
    chosen_on = run_network(teacher, validation)

    def thresholds(run: Run) -> np.ndarray:
        return prepared.thresholds(recipe, validation, run, chosen_on)

    reference = Reference(
        run_network(teacher, test), prepared.thresholds(recipe, validation, chosen_on)
    )
    limits = thresholds(run_network(student, validation))
    measured = measure(test, run_network(student, test), limits, reference)
    ran = run_integer(graph, quantized.geometry, test, kernels)
    limits = thresholds(run_integer(graph, quantized.geometry, validation, kernels))
    device = measure(test, ran, limits, reference)
    command = f"beatlens evaluate (recipe {recipe.name}, seed {recipe.seed})"
    about = {"matching": recipe.distill.matching, "weights": student.weights, "macs": graph.macs}
    return _written(
        Evaluation(test, _itself(test, reference), measured, device, graph, []),
        teacher, about, recipe.seed, command, prepared.description, folder, replicates,
    )  # fmt: skip


def evaluate_bundle(
    recipe: Recipe,
    prepared: Prepared,
    teacher: EvidenceNet,
    bundle: Bundle,
    folder: Path,
    command: str,
    kernels: Kernels = "reference",
    replicates: int = 500,
) -> Evaluation:
    """Measure a bundle beside its teacher on test patients and write `figures.json`.

    As `evaluate`, where nothing of the run is left but the bundle: at the thresholds it ships.

    Raises:
        ModelError: the bundle decides on something else than strips.
    """
    check_strips_bundle(bundle)
    validation, test = cut_strips(prepared.validation), cut_strips(prepared.test)
    graph = read_tflite(bundle.tflite)
    limits = prepared.thresholds(recipe, validation, run_network(teacher, validation))
    reference = Reference(run_network(teacher, test), limits)
    ran = run_integer(graph, bundle.geometry, test, kernels)
    device = measure(test, ran, shipped_thresholds(bundle), reference)
    convolutions = [op for op in graph.ops if isinstance(op, Convolution)]
    weights = sum(op.weights.size + op.bias.size for op in convolutions)
    about = {"matching": recipe.distill.matching, "weights": weights, "macs": graph.macs}
    return _written(
        Evaluation(test, _itself(test, reference), None, device, graph, []),
        teacher, about, recipe.seed, command, prepared.description, folder, replicates,
    )  # fmt: skip


def merge_evaluation(name: str, command: str, described: str, found: Evaluation, out: Path) -> None:
    """Put the rows of teacher and int8 model into `out/strips.json`, beside other models'."""
    rows = [
        {**row, "model": name if row["model"] == "student" else row["model"]}
        for row in found.rows
        if row["model"] == "teacher" or (row["form"] == "int8" and row["model"] == "student")
    ]
    merge_figures(out / "strips.json", command, described, rows, ("model", "form", "seed"))


def check_strips_bundle(bundle: Bundle) -> None:
    """Raise `ModelError` unless a bundle decides on strips of 10 s for the classes of the task."""
    if bundle.kind_name != "windows":
        raise ModelError(
            f"bundle {bundle.name!r} decides on {bundle.decides_on}, expected one that decides on "
            "spans of 10 s"
        )
    if bundle.classes != CLASSES or bundle.span_samples != SPAN:
        raise ModelError(
            f"bundle {bundle.name!r} decides on {bundle.decides_on} for "
            f"{', '.join(bundle.classes)}; expected spans of 10 s and {', '.join(CLASSES)}"
        )


def shipped_thresholds(bundle: Bundle) -> np.ndarray:
    """A bundle's thresholds `[C]` as logits, such that its own whole-number decision is made.

    The bundle decides by an int32 sum of evidence (`sum_thresholds`); a mean that is that sum comes
    out of float32 with a rounding error, so the threshold lies half a step below it.
    """
    evidence = bundle.tensors["evidence"]
    return np.array([
        evidence.scale * ((window_rule(bundle).sum_thresholds[name] - 0.5) / bundle.span_columns
                          - evidence.zero_point)
        for name in bundle.classes
    ])  # fmt: skip


def _itself(test: StripSet, reference: Reference) -> Measured:
    """The teacher, held against itself."""
    return measure(test, reference.run, reference.thresholds, reference)


def _written(
    found: Evaluation,
    teacher: EvidenceNet,
    about: Mapping[str, Any],
    seed: int,
    command: str,
    described: str,
    folder: Path,
    replicates: int,
) -> Evaluation:
    """Add the rows to an evaluation, and write them.

    Args:
        found: all networks, measured.
        teacher: float.
        about: matching, weights and multiply-accumulates of the student.
        seed, command, described: of the rows and their file.
        folder: of `figures.json`.
        replicates: of the bootstrap.
    """
    size = {"bytes": 4 * teacher.weights, "weights": teacher.weights}
    rows = [{"model": "teacher", "matching": "-", "form": "float", **size, "seed": seed}
            | row_of(found.teacher, replicates)]  # fmt: skip
    file_bytes = len(write_tflite(found.graph))
    for form, measured in (("float", found.student), ("int8", found.device)):
        if measured is not None:
            size = {"bytes": 4 * about["weights"] if form == "float" else file_bytes}
            line = {"model": "student", "form": form, **about, **size, "seed": seed}
            rows.append(line | row_of(measured, replicates))
    floor = shuffled_floor(
        found.teacher.run.evidence,
        found.device.run.evidence,
        np.asarray(found.teacher.run.logits >= found.teacher.thresholds),
    ).summary()
    line = {"model": "shuffled floor", "matching": "-", "form": "int8", "seed": seed}
    rows.append({**line, **{key: floor[key] for key in AGREEMENT}})
    write_figures(folder / "figures.json", command, described, rows)
    return replace(found, rows=rows)
