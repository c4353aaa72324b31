"""Atrial fibrillation in windows after EC57: its episodes and their time, on test patients."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beatlens.errors import DataError, RecipeError
from beatlens.evaluate.episodes import RHYTHM, EpisodeCounts, compare_episodes
from beatlens.evaluate.rhythms import episode_row, inside_episodes, rhythm_annotations
from beatlens.geometry import Geometry
from beatlens.integer.graph import IntegerGraph
from beatlens.signals.annotations import Annotations
from beatlens.tasks.common.runs import (
    CROP_SPAN,
    RunWindows,
    integer_windows,
    network_windows,
    recording_evidence,
)
from beatlens.tasks.common.sources import TEST, UNSHARED
from beatlens.tasks.contract import Evaluation, Networks, Row, Summary
from beatlens.tasks.windows.data import PreparedWindows
from beatlens.tasks.windows.evaluation import choose_limits
from beatlens.tasks.windows.labels import SPAN, WindowTrack, cut_windows
from beatlens.tasks.windows.metrics import run_integer, run_network
from beatlens.tasks.windows.recipe import WindowRecipe


@dataclass(frozen=True)
class _Network:
    """A network whose episodes are counted.

    Args:
        about: `model` and `form` of its rows.
        run: gives its evidence in logit units.
        geometry: of the network.
        limit: threshold of fibrillation, logits.
        found: its episodes and the rates of their records, where they are kept.
    """

    about: dict[str, str]
    run: RunWindows
    geometry: Geometry
    limit: float
    found: list[tuple[Annotations, int]] = field(default_factory=list)


def evaluate_episodes(
    recipe: WindowRecipe,
    prepared: PreparedWindows,
    networks: Networks,
    limits: np.ndarray | None = None,
) -> Evaluation:
    """Count episodes of the teacher and the int8 model.

    `limits` are the device's thresholds, logits `[C]`; None: chosen on validation patients. The
    device's episodes are the evaluation's annotations.

    Raises:
        RecipeError: no class of the recipe is made by the rhythm AFIB.
        DataError: the recordings are simulated: they have no annotated episodes of fibrillation and
            flutter.
    """
    number = find_fibrillation(recipe)
    if prepared.simulated:
        raise DataError(
            "the test recordings are simulated, expected real ones with annotated rhythms: get a "
            "database by `beatlens data get NAME`"
        )
    if networks.teacher is None:
        raise RecipeError(f"{recipe.name}: no teacher is given, expected one to compare with")
    validation, model = cut_windows(prepared.validation), networks.device
    of_teacher = run_network(networks.teacher.net, validation)
    teacher_limits = choose_limits(recipe, prepared, validation, of_teacher)
    if limits is None:
        student = run_integer(model.graph, model.geometry, validation)
        limits = choose_limits(recipe, prepared, validation, student, of_teacher)
    stride = model.geometry.stride
    wide = model.graph.with_input_length(model.geometry.input_length(CROP_SPAN // stride))
    net = networks.teacher.net
    teacher = _Network(
        {"model": "teacher", "form": "float"},
        network_windows(net),
        net.geometry,
        float(teacher_limits[number]),
    )
    device = _Network(
        {"model": recipe.name, "form": "int8"},
        _integer_evidence(wide),
        model.geometry,
        float(limits[number]),
    )
    rows = [row for one in (teacher, device) for row in _count(recipe, prepared, one, number)]
    return Evaluation(
        rows=[],
        summary=_summary(rows),
        tables={"ec57_episodes.json": rows},
        annotations=device.found,
        annotator="rhythm",
    )


def find_fibrillation(recipe: WindowRecipe) -> int:
    """Number of the class that atrial fibrillation makes; RecipeError: there is none."""
    for number, one in enumerate(recipe.task.classes.values()):
        if RHYTHM in one.rhythms:
            return number
    raise RecipeError(
        f"{recipe.name}: none of the classes {', '.join(recipe.classes)} is made by the rhythm "
        f"{RHYTHM}, expected one: EC57 counts episodes of atrial fibrillation"
    )


def _count(
    recipe: WindowRecipe, prepared: PreparedWindows, net: _Network, number: int
) -> list[Row]:
    """Rows of one network: all test records, and those of patients of no other role."""
    counts: dict[str, EpisodeCounts] = {}
    for track in prepared.test:
        source = prepared.test_sources[track.record]
        reference = source.annotations(track.record)
        rate = source.database.header(track.record).rate_hz
        inside = _find_inside(net, track, number)
        own = rhythm_annotations(inside, track.record, net.geometry.stride, reference.length, rate)
        counts[track.record] = compare_episodes(reference, own, rate)
        net.found.append((own, rate))
    splits = {TEST: set(counts)}
    if prepared.shared:
        splits[UNSHARED] = set(counts) - prepared.shared
    rows = []
    for split, kept in splits.items():
        some = {record: count for record, count in counts.items() if record in kept}
        row: dict[str, Any] = {**net.about, "seed": recipe.seed, "split": split}
        rows.append({**row, "records": len(some), **episode_row(some)})
    return rows


def _find_inside(net: _Network, track: WindowTrack, number: int) -> NDArray[np.bool_]:
    evidence = recording_evidence(net.run, net.geometry, track.x)[number]
    return inside_episodes(evidence, net.limit, SPAN // net.geometry.stride)


def _integer_evidence(graph: IntegerGraph) -> RunWindows:
    """Evidence in logit units of an int8 network of `CROP_SPAN` samples, by LiteRT itself."""
    run = integer_windows(graph)
    quantization = graph.tensors[graph.outputs["evidence"]].quantization
    return lambda windows: (
        quantization.scale * (run(windows).astype(np.float32) - quantization.zero_point)
    )


def _summary(rows: list[Row]) -> Summary:
    columns = ("model", "form", "split", "episodes", "found", "right", "time found", "time right")
    keys = ("episode_sensitivity", "episode_predictivity", "duration_sensitivity",
            "duration_predictivity")  # fmt: skip
    return Summary(
        "Episodes of atrial fibrillation, EC57, %",
        "flutter left out, after 5:00",
        columns,
        [
            (row["model"], row["form"], row["split"], f"{row['episodes']:.0f}",
             *(f"{row[key]:.0f}" for key in keys))
            for row in rows
        ],
    )  # fmt: skip
