"""Atrial fibrillation in windows after EC57: its episodes and their time, on test patients.

Episodes are counted twice: as single windows make them (`ec57_episodes.json`), and as one decision
a minute with hysteresis does (`ec57_minutes.json`, `beatlens.tasks.windows.minutes`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beatlens.errors import DataError, RecipeError
from beatlens.evaluate.episodes import RHYTHM, EpisodeCounts, compare_episodes
from beatlens.evaluate.rhythms import episode_row, inside_episodes, rhythm_annotations
from beatlens.geometry import Geometry
from beatlens.integer.graph import IntegerGraph
from beatlens.signals.annotations import Annotations
from beatlens.signals.frontend import MODEL_RATE_HZ
from beatlens.signals.rhythm_features import FEATURES, track_rhythm
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
from beatlens.tasks.windows.evaluation import DeviceRule, choose_limits
from beatlens.tasks.windows.labels import SPAN, WindowTrack, cut_windows
from beatlens.tasks.windows.metrics import run_integer, run_network
from beatlens.tasks.windows.minutes import Minutes, list_episodes
from beatlens.tasks.windows.recipe import WindowRecipe
from beatlens.tasks.windows.rhythm import add_up, build_tables

HOP = MODEL_RATE_HZ
"""Samples from one decision to the next."""


@dataclass(frozen=True)
class _Network:
    """A network whose episodes are counted.

    Args:
        about: `model` and `form` of its rows.
        run: gives its evidence in logit units.
        geometry: of the network.
        limit: threshold of fibrillation, logits.
        tables: lookup tables of the rhythm, `[2, BINS, C]` logits, or None.
        found: its episodes and the rates of their records, where they are kept.
    """

    about: dict[str, str]
    run: RunWindows
    geometry: Geometry
    limit: float
    tables: NDArray[np.floating] | None
    found: list[tuple[Annotations, int]] = field(default_factory=list)


def evaluate_episodes(
    recipe: WindowRecipe,
    prepared: PreparedWindows,
    networks: Networks,
    rule: DeviceRule | None = None,
) -> Evaluation:
    """Count episodes of the teacher and the int8 model.

    `rule` is the device's; None: chosen on validation patients. The device's episodes, by windows,
    are the evaluation's annotations.

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
    tables, model = build_tables(recipe.task.classes), networks.device
    validation = cut_windows(prepared.validation, rhythm=tables is not None)
    added = add_up(tables, validation.rhythm)
    of_teacher = replace(run_network(networks.teacher.net, validation), added=added)
    teacher_limits = choose_limits(recipe, prepared, validation, of_teacher)
    if rule is None:
        student = replace(run_integer(model.graph, model.geometry, validation), added=added)
        limits = choose_limits(recipe, prepared, validation, student, of_teacher)
        rule = DeviceRule(limits, tables)
    stride = model.geometry.stride
    wide = model.graph.with_input_length(model.geometry.input_length(CROP_SPAN // stride))
    net = networks.teacher.net
    teacher = _Network(
        {"model": "teacher", "form": "float"},
        network_windows(net),
        net.geometry,
        float(teacher_limits[number]),
        tables,
    )
    device = _Network(
        {"model": recipe.name, "form": "int8"},
        _integer_evidence(wide),
        model.geometry,
        float(rule.limits[number]),
        rule.tables,
    )
    counted = [_count(recipe, prepared, one, number) for one in (teacher, device)]
    rows = [row for by_windows, _ in counted for row in by_windows]
    minutes = [row for _, by_minutes in counted for row in by_minutes]
    return Evaluation(
        rows=[],
        summary=_summary(rows, minutes),
        tables={"ec57_episodes.json": rows, "ec57_minutes.json": minutes},
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
) -> tuple[list[Row], list[Row]]:
    """Rows of one network by windows and by minutes: see `_rows`."""
    windows: dict[str, EpisodeCounts] = {}
    minutes: dict[str, EpisodeCounts] = {}
    for track in prepared.test:
        source = prepared.test_sources[track.record]
        reference = source.annotations(track.record)
        rate = source.database.header(track.record).rate_hz
        for counts, inside in zip(
            (windows, minutes), _find_inside(net, track, number), strict=True
        ):
            own = rhythm_annotations(
                inside, track.record, net.geometry.stride, reference.length, rate
            )
            counts[track.record] = compare_episodes(reference, own, rate)
            if counts is windows:
                net.found.append((own, rate))
    return _rows(recipe, prepared, net, windows), _rows(recipe, prepared, net, minutes)


def _rows(
    recipe: WindowRecipe,
    prepared: PreparedWindows,
    net: _Network,
    counts: dict[str, EpisodeCounts],
) -> list[Row]:
    """Rows of all test records, and of those of patients of no other role."""
    splits = {TEST: set(counts)}
    if prepared.shared:
        splits[UNSHARED] = set(counts) - prepared.shared
    rows = []
    for split, kept in splits.items():
        some = {record: count for record, count in counts.items() if record in kept}
        row: dict[str, Any] = {**net.about, "seed": recipe.seed, "split": split}
        rows.append({**row, "records": len(some), **episode_row(some)})
    return rows


def _find_inside(
    net: _Network, track: WindowTrack, number: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which columns of a recording are in an episode, by windows and by minutes."""
    stride = net.geometry.stride
    span, hop = SPAN // stride, HOP // stride
    evidence = recording_evidence(net.run, net.geometry, track.x)[number]
    first = np.clip(np.arange(len(evidence)) - span // 2, 0, len(evidence) - span)
    ends = np.arange(span, len(evidence) + 1, hop)
    added = np.zeros(len(ends))
    if net.tables is not None:
        rhythm = track_rhythm(track.x, (ends * stride).tolist())
        added = net.tables[np.arange(len(FEATURES)), rhythm].sum(axis=1)[:, number]
    inside = inside_episodes(evidence, net.limit - added[first // hop], span)
    middles = ends - span // 2
    decided = Minutes("")
    minutes = [
        minute
        for middle in middles.tolist()
        for minute in decided.add(middle * stride / MODEL_RATE_HZ, True, bool(inside[middle]))
    ]
    by_minutes = np.zeros_like(inside)
    for start, end in list_episodes([*minutes, *decided.end()]):
        by_minutes[start * MODEL_RATE_HZ // stride : end * MODEL_RATE_HZ // stride] = True
    return inside, by_minutes


def _integer_evidence(graph: IntegerGraph) -> RunWindows:
    """Evidence in logit units of an int8 network of `CROP_SPAN` samples, by LiteRT itself."""
    run = integer_windows(graph)
    quantization = graph.tensors[graph.outputs["evidence"]].quantization
    return lambda windows: (
        quantization.scale * (run(windows).astype(np.float32) - quantization.zero_point)
    )


def _summary(windows: list[Row], minutes: list[Row]) -> Summary:
    columns = ("model", "form", "split", "by", "episodes", "found", "right", "time found",
               "time right")  # fmt: skip
    keys = ("episode_sensitivity", "episode_predictivity", "duration_sensitivity",
            "duration_predictivity")  # fmt: skip
    return Summary(
        "Episodes of atrial fibrillation, EC57, %",
        "flutter left out, after 5:00",
        columns,
        [
            (row["model"], row["form"], row["split"], by, f"{row['episodes']:.0f}",
             *(f"{row[key]:.0f}" for key in keys))
            for by, rows in (("windows", windows), ("minutes", minutes))
            for row in rows
        ],
    )  # fmt: skip
