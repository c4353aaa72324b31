"""Step 5 of the beats task: teacher, student and int8 model on the test patients, after EC57."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beatlens.beat_recipe import BeatRecipe
from beatlens.calibration import Calibration
from beatlens.compress.dequantized import dequantized
from beatlens.compress.int8_graph import build_graph
from beatlens.compress.quantize import QuantizedEvidenceNet
from beatlens.evaluate.beat_offsets import choose_offsets
from beatlens.evaluate.beats import (
    BeatRun,
    calibrate,
    choose_doubts,
    ec57_row,
    integer_windows,
    run_beats,
    run_graph,
    run_integer_beats,
)
from beatlens.evaluate.ec57 import START_S, BeatCounts, compare_beats
from beatlens.evaluate.figures import merge_figures, write_figures
from beatlens.evaluate.reliability import calibration_error, reliability_rows
from beatlens.geometry import Geometry
from beatlens.integer.graph import IntegerGraph
from beatlens.integer.tflite_read import read_tflite
from beatlens.integer.tflite_write import write_tflite
from beatlens.nets.evidence import EvidenceNet
from beatlens.nets.lookup_tables import LookupTables
from beatlens.pipeline.beat_data import PreparedBeats
from beatlens.pipeline.beat_steps import beat_fidelity
from beatlens.runtime.bundle import Bundle
from beatlens.signals.annotations import MAPPINGS, Annotations, write_annotations
from beatlens.signals.splits import DS2_WITHOUT_202
from beatlens.tasks.beats.labels import (
    AFTER,
    BEFORE,
    CLASSES,
    NEVER_IF_CLIPPED,
    UNKNOWN,
    BeatTrack,
    beat_tables,
)
from beatlens.tasks.beats.rule import BEAT_LIMITS, BeatRule, beat_rule
from beatlens.tasks.beats.sampling import CROP_SPAN

Decided = Sequence[NDArray[np.int64]]
NEVER = tuple(CLASSES.index(name) for name in NEVER_IF_CLIPPED)
"""Numbers of the classes that a clipped beat is never called."""
ANNOTATOR = "device"
DEQUANTIZED = "int8, dequantized"
"""The int8 model's own weights in float, with its offsets: what rounding alone costs."""
ALL, OUTPUT = "all beats", "as output"
"""Decided: every beat that was found, whatever its signal; and as `score` and the device give it:
beats that are refused have no class, clipped ones are never S (`BEAT_LIMITS`)."""
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
    quantized: QuantizedEvidenceNet, tables: LookupTables, prepared: PreparedBeats
) -> tuple[IntegerGraph, BeatRule]:
    """The int8 network and the whole-number rule that decides with it.

    Offsets, calibration and limits of warnings are chosen on validation patients.
    """
    worth = beat_tables(tables.array())
    validation = run_beats(quantized, worth, prepared.validation)
    graph = build_graph(quantized, CROP_SPAN)
    return graph, _chosen_rule(validation, worth, graph, quantized.geometry.stride)


def rule_of_bundle(bundle: Bundle, tables: LookupTables, prepared: PreparedBeats) -> BeatRule:
    """A rule chosen anew for the int8 network of a bundle, as `rule_of` chooses it.

    Args:
        bundle: of a network that decides on beats.
        tables: learnt with its teacher.
        prepared: whose validation patients the rule is chosen on.
    """
    graph, worth = read_tflite(bundle.tflite), beat_tables(tables.array())
    validation = run_graph(
        integer_windows(graph), graph, bundle.geometry, worth, prepared.validation
    )
    return _chosen_rule(validation, worth, graph, bundle.geometry.stride)


def _chosen_rule(
    validation: BeatRun, worth: NDArray[np.floating], graph: IntegerGraph, stride: int
) -> BeatRule:
    scale = graph.tensors[graph.outputs["evidence"]].quantization.scale
    columns = BEFORE // stride, AFTER // stride
    offsets, calibration = choose_offsets(validation), calibrate(validation)
    doubt = choose_doubts(validation, offsets, calibration)
    return BeatRule.from_logits(
        worth, offsets, scale, columns, calibration, *doubt, never_if_clipped=NEVER
    )


@dataclass(frozen=True)
class _Judged:
    """A network on the test recordings, with scores `[b, C]` of each, offsets included."""

    about: dict[str, Any]
    run: BeatRun
    scores: Sequence[NDArray[np.floating | np.integer]]

    def decided(self, how: str) -> Decided:
        """Class numbers `[b]` of each recording; see `ALL` and `OUTPUT`."""
        if how == ALL:
            return [scores.argmax(axis=1) for scores in self.scores]
        return [
            _as_output(track, scores)
            for track, scores in zip(self.run.tracks, self.scores, strict=True)
        ]


def evaluate_beats(
    recipe: BeatRecipe,
    prepared: PreparedBeats,
    teacher: EvidenceNet,
    tables: LookupTables,
    student: EvidenceNet,
    quantized: QuantizedEvidenceNet,
) -> BeatEvaluation:
    """Measure a run's networks on test patients. The int8 model is run by LiteRT itself.

    R peaks are the system's own. Counts begin at 5:00, as EC57 asks for; simulated recordings are
    shorter and are counted from their start.
    """
    graph, rule = rule_of(quantized, tables, prepared)
    worth = beat_tables(tables.array())
    float_bytes = 4 * student.weights
    networks = [_judged_teacher(prepared, teacher, worth)]
    networks.append(
        _judged_float(
            {"model": recipe.name, "form": "float", "bytes": float_bytes}, student, worth, prepared
        )
    )
    run = run_beats(dequantized(quantized), worth, prepared.test)
    shipped = rule.step * rule.offsets
    about = {"model": recipe.name, "form": DEQUANTIZED, "bytes": float_bytes}
    networks.append(_Judged(about, run, [logits + shipped for logits in run.logits]))
    networks.append(_judged_int8(recipe, prepared, graph, rule, quantized.geometry))
    return _evaluation(recipe, prepared, networks, rule)


def evaluate_bundle(
    recipe: BeatRecipe,
    prepared: PreparedBeats,
    bundle: Bundle,
    teacher: EvidenceNet,
    tables: LookupTables,
) -> BeatEvaluation:
    """As `evaluate_beats`, of a bundle with its own rule, beside the teacher it came from.

    Raises:
        ModelError: the bundle does not decide on beats.
    """
    rule, graph = beat_rule(bundle), read_tflite(bundle.tflite)
    networks = [
        _judged_teacher(prepared, teacher, beat_tables(tables.array())),
        _judged_int8(recipe, prepared, graph, rule, bundle.geometry),
    ]
    return _evaluation(recipe, prepared, networks, rule)


def _judged_teacher(
    prepared: PreparedBeats, teacher: EvidenceNet, worth: NDArray[np.floating]
) -> _Judged:
    about = {"model": "teacher", "form": "float", "bytes": 4 * teacher.weights}
    return _judged_float(about, teacher, worth, prepared)


def _judged_float(
    about: dict[str, Any], net: EvidenceNet, worth: NDArray[np.floating], prepared: PreparedBeats
) -> _Judged:
    """A float network, with offsets chosen on validation patients."""
    offsets = choose_offsets(run_beats(net, worth, prepared.validation))
    run = run_beats(net, worth, prepared.test)
    return _Judged(about, run, [logits + offsets for logits in run.logits])


def _judged_int8(
    recipe: BeatRecipe,
    prepared: PreparedBeats,
    graph: IntegerGraph,
    rule: BeatRule,
    geometry: Geometry,
) -> _Judged:
    run, _ = run_integer_beats(integer_windows(graph), graph, geometry, rule, prepared.test)
    about = {"model": recipe.name, "form": "int8", "bytes": len(write_tflite(graph))}
    scores = [np.rint(logits / rule.step) + rule.offsets for logits in run.logits]
    return _Judged(about, run, scores)


def _as_output(track: BeatTrack, scores: NDArray[Any]) -> NDArray[np.int64]:
    """Class numbers `[b]` as a stream gives them, `UNKNOWN` where it refuses to decide."""
    span = BEFORE + AFTER
    bad, clipped = track.defects.T
    refused = (bad > BEAT_LIMITS.unusable * span) | (clipped > BEAT_LIMITS.clipped * span)
    warned = clipped > BEAT_LIMITS.clipped_warning * span
    allowed = scores.astype(np.float64)
    allowed[np.ix_(warned, list(NEVER))] = -np.inf
    return np.where(refused, UNKNOWN, allowed.argmax(axis=1)).astype(np.int64)


def _evaluation(
    recipe: BeatRecipe, prepared: PreparedBeats, networks: Sequence[_Judged], rule: BeatRule
) -> BeatEvaluation:
    """Rows of networks, the first of which is the teacher, the last the device."""
    rows, records = [], []
    for network in networks:
        agreement = beat_fidelity(networks[0].run, network.run)
        shown = {key: agreement[key] for key in AGREEMENT if network is not networks[0]}
        for how in (ALL, OUTPUT):
            line = {**network.about, "seed": recipe.seed, "decided": how}
            found = _counted(prepared, network.decided(how))
            rows += [{**line, **key, **ec57_row(c), **shown} for key, c in _split(prepared, found)]
            records += [{**line, **row} for row in _of_records(found["aami"])]
    device = networks[-1]
    output = device.decided(OUTPUT)
    reliability = [
        {**device.about, "seed": recipe.seed, **row}
        for row in _reliability(device.run, output, rule)
    ]
    return BeatEvaluation(rows, records, reliability, _annotated(prepared.test, output))


def _reliability(run: BeatRun, decided: Decided, rule: BeatRule) -> list[dict[str, Any]]:
    """Rows of bins, and one of all of them with the errors before and after calibration.

    Of beats that are decided and whose class is known.
    """
    kept = [(t.labels >= 0) & (d != UNKNOWN) for t, d in zip(run.tracks, decided, strict=True)]
    logits = np.concatenate([v[k] for v, k in zip(run.logits, kept, strict=True)])
    labels = np.concatenate([t.labels[k] for t, k in zip(run.tracks, kept, strict=True)])
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
    """Put the rows into `ec57.json`, `ec57_records.json`, `reliability.json` of a folder.

    All older rows of the same networks go: a bin of probabilities may be empty now.
    """
    keys = ("model", "form", "seed")
    for name, rows in (
        ("ec57.json", found.rows),
        ("ec57_records.json", found.records),
        ("reliability.json", found.reliability),
    ):
        merge_figures(out / name, command, prepared.description, rows, keys)
