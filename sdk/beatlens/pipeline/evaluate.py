"""Step 5: teacher, student and int8 model measured side by side on the test patients."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from beatlens.attribution.fidelity import shuffled_floor
from beatlens.compress.quantize import QuantizedEvidenceNet
from beatlens.evaluate.figures import write_figures
from beatlens.evaluate.strips import (
    Measured,
    Reference,
    Run,
    measure,
    row_of,
    run_integer,
    run_network,
)
from beatlens.integer.build import build_graph
from beatlens.integer.graph import IntegerGraph
from beatlens.integer.litert import Kernels
from beatlens.integer.tflite_write import write_tflite
from beatlens.nets.evidence import EvidenceNet
from beatlens.pipeline.data import Prepared
from beatlens.recipe import Recipe
from beatlens.tasks.strips import SPAN, StripSet, cut_strips


@dataclass(frozen=True)
class Evaluation:
    """What was measured: per network its test run, thresholds and scores, and the table's rows."""

    strips: StripSet
    teacher: Measured
    student: Measured
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

    Thresholds are the recipe's, or chosen on validation patients for each network. The int8 model
    is run by LiteRT itself. Fidelity is to the teacher.
    """
    validation, test = cut_strips(prepared.validation), cut_strips(prepared.test)
    graph = build_graph(quantized, SPAN)

    def runs(net: EvidenceNet) -> tuple[Run, Run]:
        return run_network(net, validation), run_network(net, test)

    pairs = {
        "teacher": runs(teacher),
        "student": runs(student),
        "device": (
            run_integer(graph, quantized.geometry, validation, kernels),
            run_integer(graph, quantized.geometry, test, kernels),
        ),
    }
    thresholds = {
        name: prepared.thresholds(recipe, validation, pair[0]) for name, pair in pairs.items()
    }
    reference = Reference(pairs["teacher"][1], thresholds["teacher"])
    measured = {
        name: measure(test, pair[1], thresholds[name], reference) for name, pair in pairs.items()
    }
    file_bytes = len(write_tflite(graph))
    about = {
        "teacher": {"model": "teacher", "matching": "-", "form": "float",
                    "bytes": 4 * teacher.weights, "weights": teacher.weights},
        "student": {"model": "student", "matching": recipe.distill.matching, "form": "float",
                    "bytes": 4 * student.weights, "weights": student.weights, "macs": graph.macs},
        "device": {"model": "student", "matching": recipe.distill.matching, "form": "int8",
                   "bytes": file_bytes, "weights": student.weights, "macs": graph.macs},
    }  # fmt: skip
    rows = [
        {**about[name], "seed": recipe.seed, **row_of(one, replicates)}
        for name, one in measured.items()
    ]
    floor = shuffled_floor(
        reference.run.evidence, pairs["device"][1].evidence, reference.predicted
    ).summary()
    keys = ("cosine", "pearson", "spearman", "spearman_p5", "top_iou", "same_peak")
    line = {"model": "shuffled floor", "matching": "-", "form": "int8", "seed": recipe.seed}
    rows.append({**line, **{key: floor[key] for key in keys}})
    command = f"beatlens evaluate (recipe {recipe.name}, seed {recipe.seed})"
    write_figures(folder / "figures.json", command, prepared.description, rows)
    return Evaluation(
        test, measured["teacher"], measured["student"], measured["device"], graph, rows
    )
