"""Step 5 of the beats task: teacher, student and int8 model on the test patients, after EC57."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beatlens.beat_recipe import BeatRecipe
from beatlens.compress.quantize import QuantizedEvidenceNet
from beatlens.compress.unrounded import unrounded
from beatlens.evaluate.beat_offsets import choose_offsets
from beatlens.evaluate.beats import (
    BeatRun,
    calibrate,
    choose_doubts,
    ec57_row,
    integer_windows,
    run_beats,
    run_integer_beats,
)
from beatlens.evaluate.ec57 import START_S, BeatCounts, compare_beats
from beatlens.evaluate.figures import merge_figures, write_figures
from beatlens.evaluate.reliability import calibration_error, reliability_rows
from beatlens.integer.build import build_graph
from beatlens.integer.graph import IntegerGraph
from beatlens.integer.tflite_write import write_tflite
from beatlens.nets.context_tables import ContextTables
from beatlens.nets.evidence import EvidenceNet
from beatlens.pipeline.beat_data import PreparedBeats
from beatlens.pipeline.beat_steps import beat_fidelity
from beatlens.runtime.beat_rule import BeatRule, Calibration
from beatlens.signals.annotations import MAPPINGS, Annotations, write_annotations
from beatlens.signals.splits import DS2_WITHOUT_202
from beatlens.tasks.beat_sampling import CROP_SPAN
from beatlens.tasks.beats import AFTER, BEFORE, CLASSES, BeatTrack, beat_tables

Decided = Sequence[NDArray[np.int64]]
ANNOTATOR = "device"
UNROUNDED = "int8, unrounded"
"""The int8 model's own weights in float, with its offsets: what rounding alone costs."""
AGREEMENT = ("spearman", "spearman_p5", "pearson", "same_peak")


@dataclass(frozen=True)
class BeatEvaluation:
    """What was measured: rows of splits and networks, of records, of how far the device's
    probabilities hold; and the device's beats."""

    rows: list[dict[str, Any]]
    records: list[dict[str, Any]]
    reliability: list[dict[str, Any]]
    beats: dict[str, Annotations]


def rule_of(
    quantized: QuantizedEvidenceNet, tables: ContextTables, prepared: PreparedBeats
) -> tuple[IntegerGraph, BeatRule]:
    """The int8 network and the whole-number rule that decides with it.

    Offsets, calibration and what is doubted are chosen on validation patients.
    """
    worth = beat_tables(tables.array())
    validation = run_beats(quantized, worth, prepared.validation)
    graph, stride = build_graph(quantized, CROP_SPAN), quantized.geometry.stride
    scale = graph.tensors[graph.outputs["evidence"]].quantization.scale
    columns = BEFORE // stride, AFTER // stride
    offsets, calibration = choose_offsets(validation), calibrate(validation)
    doubt = choose_doubts(validation, offsets, calibration)
    return graph, BeatRule.of(worth, offsets, scale, columns, calibration, *doubt)


def evaluate_beats(
    recipe: BeatRecipe,
    prepared: PreparedBeats,
    teacher: EvidenceNet,
    tables: ContextTables,
    student: EvidenceNet,
    quantized: QuantizedEvidenceNet,
) -> BeatEvaluation:
    """Measure a run's networks on test patients. The int8 model is run by LiteRT itself.

    R peaks are the system's own. Counts begin at 5:00, as EC57 asks for; simulated recordings are
    shorter and are counted from their start.
    """
    graph, rule = rule_of(quantized, tables, prepared)
    worth = beat_tables(tables.array())
    runs = {
        "teacher": run_beats(teacher, worth, prepared.test),
        "student": run_beats(student, worth, prepared.test),
    }
    decided: dict[str, Decided] = {}
    for name, net in (("teacher", teacher), ("student", student)):
        offsets = choose_offsets(run_beats(net, worth, prepared.validation))
        decided[name] = [(logits + offsets).argmax(axis=1) for logits in runs[name].logits]
    runs["unrounded"] = run_beats(unrounded(quantized), worth, prepared.test)
    shipped = rule.step * rule.offsets
    decided["unrounded"] = [(v + shipped).argmax(axis=1) for v in runs["unrounded"].logits]
    runs["device"], decided["device"] = run_integer_beats(
        integer_windows(graph), graph, quantized.geometry, rule, prepared.test
    )
    about: dict[str, dict[str, Any]] = {
        "teacher": {"model": "teacher", "form": "float", "bytes": 4 * teacher.weights},
        "student": {"model": recipe.name, "form": "float", "bytes": 4 * student.weights},
        "unrounded": {"model": recipe.name, "form": UNROUNDED, "bytes": 4 * student.weights},
        "device": {"model": recipe.name, "form": "int8", "bytes": len(write_tflite(graph))},
    }
    rows, records = [], []
    for name, start in about.items():
        agreement = beat_fidelity(runs["teacher"], runs[name])
        shown = {key: agreement[key] for key in AGREEMENT if name != "teacher"}
        line = {**start, "seed": recipe.seed}
        found = _counted(prepared, decided[name])
        rows += [{**line, **key, **ec57_row(c), **shown} for key, c in _split(prepared, found)]
        records += [{**line, **row} for row in _of_records(found["aami"])]
    beats = _annotated(prepared.test, decided["device"])
    reliability = [
        {**about["device"], "seed": recipe.seed, **row}
        for row in _reliability(runs["device"], rule)
    ]
    return BeatEvaluation(rows, records, reliability, beats)


def _reliability(run: BeatRun, rule: BeatRule) -> list[dict[str, Any]]:
    """Rows of bins, and one of all of them with the errors before and after calibration."""
    logits, labels, _ = run.beats()
    kept = [track.labels >= 0 for track in run.tracks]
    records = np.repeat([t.record for t in run.tracks], [int(k.sum()) for k in kept])
    truth = np.eye(len(CLASSES))[labels]
    none = Calibration(1.0, np.zeros(len(CLASSES)))
    shipped = rule.calibration.probabilities(logits)
    errors = {
        "error": calibration_error(shipped, truth),
        "error_uncalibrated": calibration_error(none.probabilities(logits), truth),
    }
    whole = {"class": "all", "bin": "all", "count": len(labels), **errors}
    return [whole, *reliability_rows(shipped, truth, records, CLASSES)]


def _annotated(tracks: Sequence[BeatTrack], decided: Decided) -> dict[str, Annotations]:
    return {t.record: t.annotations(d) for t, d in zip(tracks, decided, strict=True)}


def _counted(prepared: PreparedBeats, decided: Decided) -> dict[str, dict[str, BeatCounts]]:
    """Counts by mapping and record."""
    start_s = 0.0 if prepared.simulated else START_S
    beats = _annotated(prepared.test, decided)
    return {
        mapping: {
            track.record: compare_beats(
                prepared.reference[track.record],
                beats[track.record],
                track.rate_hz,
                mapping,
                start_s,
            )
            for track in prepared.test
        }
        for mapping in MAPPINGS
    }


def _split(
    prepared: PreparedBeats, found: dict[str, dict[str, BeatCounts]]
) -> list[tuple[dict[str, Any], dict[str, BeatCounts]]]:
    """Which records and mapping a row is of, and its counts."""
    parts: list[tuple[dict[str, Any], dict[str, BeatCounts]]] = []
    splits = {"DS2": None, "DS2 without 202": DS2_WITHOUT_202}
    if prepared.simulated:
        splits = {"simulated": None}
    for mapping, counts in found.items():
        for name, chosen in splits.items():
            kept = {r: c for r, c in counts.items() if chosen is None or r in chosen}
            parts.append(({"split": name, "mapping": mapping, "records": len(kept)}, kept))
    return parts


def _of_records(counts: dict[str, BeatCounts]) -> list[dict[str, Any]]:
    """A row for each record: how many beats of a kind, and what was found of them, in percent."""
    rows = []
    for record, found in counts.items():
        row: dict[str, Any] = {"record": record}
        for name in ("veb", "sveb"):
            rate = getattr(found, name)
            row[f"{name}_beats"] = rate.found + rate.missed
            row[f"{name}_wrong"] = rate.wrong
            row[f"{name}_sensitivity"] = 100 * rate.sensitivity
            row[f"{name}_predictivity"] = 100 * rate.predictivity
        rows.append(row)
    return rows


def write_evaluation(
    recipe: BeatRecipe, prepared: PreparedBeats, found: BeatEvaluation, folder: Path
) -> None:
    """Write `figures.json`, `records.json`, `reliability.json`, and WFDB annotations of the int8
    model's beats.

    The annotations are in `ec57/`, annotator `device`: `bxb -r RECORD -a atr device` reads them.
    """
    command = f"beatlens evaluate (recipe {recipe.name}, seed {recipe.seed})"
    write_figures(folder / "figures.json", command, prepared.description, found.rows)
    write_figures(folder / "records.json", command, prepared.description, found.records)
    write_figures(folder / "reliability.json", command, prepared.description, found.reliability)
    (folder / "ec57").mkdir(exist_ok=True)
    for track in prepared.test:
        write_annotations(folder / "ec57", ANNOTATOR, found.beats[track.record], track.rate_hz)


def merge_evaluation(
    command: str, prepared: PreparedBeats, found: BeatEvaluation, out: Path
) -> None:
    """Put the rows into `ec57.json`, `ec57_records.json`, `reliability.json` of the docs.

    All older rows of the same networks go: a bin of probabilities may be empty now.
    """
    keys = ("model", "form", "seed")
    for name, rows in (
        ("ec57.json", found.rows),
        ("ec57_records.json", found.records),
        ("reliability.json", found.reliability),
    ):
        merge_figures(out / name, command, prepared.description, rows, keys)
