"""The rule that decides on beats, and how teacher, student and int8 model do on test patients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beatlens.calibration import Calibration
from beatlens.compression.dequantized import dequantized
from beatlens.errors import RecipeError
from beatlens.evaluate.ec57 import START_S, BeatCounts, compare_beats
from beatlens.evaluate.reliability import calibration_error, reliability_rows
from beatlens.integer.tflite_write import write_tflite
from beatlens.nets.evidence import EvidenceNet
from beatlens.nets.teacher import Teacher
from beatlens.signals.annotations import MAPPINGS, Annotations
from beatlens.tasks.beats.agreement import beat_fidelity
from beatlens.tasks.beats.data import PreparedBeats
from beatlens.tasks.beats.labels import AFTER, BEFORE, UNKNOWN, BeatTrack, add_set_entries
from beatlens.tasks.beats.metrics import (
    BeatRun,
    calibrate,
    choose_warnings,
    ec57_row,
    run_beats,
    run_graph,
    run_integer_beats,
)
from beatlens.tasks.beats.offsets import choose_offsets
from beatlens.tasks.beats.recipe import BeatRecipe, BeatTask
from beatlens.tasks.beats.rule import BEAT_LIMITS, BeatRule
from beatlens.tasks.common.runs import integer_windows
from beatlens.tasks.common.sources import TEST, UNSHARED
from beatlens.tasks.contract import Evaluation, Int8Model, Networks, Row, Summary

Decided = Sequence[NDArray[np.int64]]
DEQUANTIZED = "int8, dequantized"
"""The int8 model's own weights in float, with its offsets: what rounding alone costs."""
ALL, OUTPUT = "all beats", "as output"
"""Decided: every beat that was found, whatever its signal; and as `score` and the device give it:
beats that are refused have no class, and clipped ones none of those that exclude them
(`BEAT_LIMITS`)."""
AGREEMENT = ("spearman", "spearman_p5", "pearson", "same_peak")


def choose_rule(
    recipe: BeatRecipe, prepared: PreparedBeats, teacher: Teacher, model: Int8Model
) -> BeatRule:
    """The whole-number rule that decides on the evidence of an int8 model.

    Offsets, calibration and warnings are chosen on validation patients.
    """
    tables = add_set_entries(teacher.table_values, recipe.task.classes)
    if model.quantized is not None:
        validation = run_beats(model.quantized, tables, prepared.validation)
    else:
        run = integer_windows(model.graph)
        validation = run_graph(run, model.graph, model.geometry, tables, prepared.validation)
    stride = model.geometry.stride
    scale = model.graph.tensors[model.graph.outputs["evidence"]].quantization.scale
    offsets = choose_offsets(validation, recipe.task.classes)
    calibration = calibrate(validation)
    warnings = choose_warnings(validation, offsets, calibration)
    columns = BEFORE // stride, AFTER // stride
    never = recipe.task.never_if_clipped
    return BeatRule.from_logits(tables, offsets, scale, columns, calibration, *warnings, never)


@dataclass(frozen=True)
class _Judged:
    """A network on the test recordings, with scores `[b, C]` of each, offsets included."""

    about: dict[str, Any]
    run: BeatRun
    scores: Sequence[NDArray[np.floating | np.integer]]

    def decided(self, how: str, task: BeatTask) -> Decided:
        """Class numbers `[b]` of each recording; see `ALL` and `OUTPUT`."""
        if how == ALL:
            return [scores.argmax(axis=1) for scores in self.scores]
        return [
            _as_output(track, scores, task)
            for track, scores in zip(self.run.tracks, self.scores, strict=True)
        ]


def evaluate_beats(
    recipe: BeatRecipe, prepared: PreparedBeats, networks: Networks, rule: BeatRule | None = None
) -> Evaluation:
    """Measure networks on test patients. The int8 model is run by LiteRT itself.

    R peaks are the system's own. Counts begin at 5:00, as EC57 asks for; simulated recordings are
    shorter and are counted from their start.

    Args:
        recipe, prepared, networks: what is measured.
        rule: of the int8 model; None: `choose_rule`.
    """
    if not prepared.test:
        raise RecipeError(
            f"{recipe.name}: no recording is left to test on, expected a split with test patients"
        )
    model, teacher = networks.device, networks.teacher
    if teacher is None:
        if rule is None:
            raise RecipeError(f"{recipe.name}: no teacher and no rule are given, expected one")
        return _evaluation(recipe, prepared, [_judge_int8(recipe, prepared, model, rule)], rule)
    rule = rule or choose_rule(recipe, prepared, teacher, model)
    tables = add_set_entries(teacher.table_values, recipe.task.classes)
    about = {"model": "teacher", "form": "float", "bytes": 4 * teacher.net.weights}
    judged = [_judge_float(about, recipe, teacher.net, tables, prepared)]
    if networks.student is not None:
        float_bytes = 4 * networks.student.weights
        about = {"model": recipe.name, "form": "float", "bytes": float_bytes}
        judged.append(_judge_float(about, recipe, networks.student, tables, prepared))
        if model.quantized is not None:
            run = run_beats(dequantized(model.quantized), tables, prepared.test)
            offsets = rule.step * rule.offsets
            about = {"model": recipe.name, "form": DEQUANTIZED, "bytes": float_bytes}
            judged.append(_Judged(about, run, [logits + offsets for logits in run.logits]))
    judged.append(_judge_int8(recipe, prepared, model, rule))
    return _evaluation(recipe, prepared, judged, rule)


def _judge_float(
    about: dict[str, Any],
    recipe: BeatRecipe,
    net: EvidenceNet,
    tables: NDArray[np.floating],
    prepared: PreparedBeats,
) -> _Judged:
    """A float network, with offsets chosen on validation patients."""
    offsets = choose_offsets(run_beats(net, tables, prepared.validation), recipe.task.classes)
    run = run_beats(net, tables, prepared.test)
    return _Judged(about, run, [logits + offsets for logits in run.logits])


def _judge_int8(
    recipe: BeatRecipe, prepared: PreparedBeats, model: Int8Model, rule: BeatRule
) -> _Judged:
    windows = integer_windows(model.graph)
    run, _ = run_integer_beats(windows, model.graph, model.geometry, rule, prepared.test)
    about = {"model": recipe.name, "form": "int8", "bytes": len(write_tflite(model.graph))}
    scores = [np.rint(logits / rule.step) + rule.offsets for logits in run.logits]
    return _Judged(about, run, scores)


def _as_output(track: BeatTrack, scores: NDArray[Any], task: BeatTask) -> NDArray[np.int64]:
    """Class numbers `[b]` as a stream gives them, `UNKNOWN` where it refuses to decide."""
    span = BEFORE + AFTER
    bad, clipped = track.defects.T
    refused = (bad > BEAT_LIMITS.unusable * span) | (clipped > BEAT_LIMITS.clipped * span)
    warned = clipped > BEAT_LIMITS.clipped_warning * span
    allowed = scores.astype(np.float64)
    allowed[np.ix_(warned, list(task.never_if_clipped))] = -np.inf
    return np.where(refused, UNKNOWN, allowed.argmax(axis=1)).astype(np.int64)


def _evaluation(
    recipe: BeatRecipe, prepared: PreparedBeats, networks: Sequence[_Judged], rule: BeatRule
) -> Evaluation:
    """Rows of networks: the first is the teacher, if there are several, the last the device."""
    task, device = recipe.task, networks[-1]
    rows: list[Row] = []
    records: list[Row] = []
    for network in networks:
        agreement = beat_fidelity(networks[0].run, network.run, task)
        shown = {key: agreement[key] for key in AGREEMENT if network is not networks[0]}
        for how in (ALL, OUTPUT):
            line = {**network.about, "seed": recipe.seed, "decided": how}
            decided = network.decided(how, task)
            found = _count(prepared, decided, task)
            by_class = _class_figures(network.run, decided, recipe.classes)
            for key, counts in _split(prepared, found):
                rows.append({**line, **key, **ec57_row(counts), **by_class, **shown})
            records += [{**line, **row} for row in _record_rows(found["aami"])]
    output = device.decided(OUTPUT, task)
    reliability = [
        {**device.about, "seed": recipe.seed, **row}
        for row in _reliability(device.run, output, rule, recipe.classes)
    ]
    annotated = _annotate(prepared.test, output, task)
    rates = {track.record: track.rate_hz for track in prepared.test}
    return Evaluation(
        rows,
        _summary(rows, task),
        {"records.json": records, "reliability.json": reliability},
        [(found, rates[record]) for record, found in annotated.items()],
    )


def _class_figures(run: BeatRun, decided: Decided, classes: Sequence[str]) -> dict[str, float]:
    """F1 of each class over all R peaks whose class is known; NaN for one that is nowhere."""
    labels = np.concatenate([track.labels for track in run.tracks])
    numbers = np.concatenate(list(decided))
    known = labels >= 0
    figures = {}
    for number, name in enumerate(classes):
        there, claimed = labels[known] == number, numbers[known] == number
        either = int(there.sum() + claimed.sum())
        right = int((there & claimed).sum())
        figures[f"f1_{name}"] = 2 * right / either if either else float("nan")
    return figures


def _reliability(
    run: BeatRun, decided: Decided, rule: BeatRule, classes: Sequence[str]
) -> list[Row]:
    """Rows of bins, and one of all of them with the errors before and after calibration.

    Of beats that are decided and whose class is known.
    """
    kept = [(t.labels >= 0) & (d != UNKNOWN) for t, d in zip(run.tracks, decided, strict=True)]
    logits = np.concatenate([v[k] for v, k in zip(run.logits, kept, strict=True)])
    labels = np.concatenate([t.labels[k] for t, k in zip(run.tracks, kept, strict=True)])
    records = np.repeat([t.record for t in run.tracks], [int(k.sum()) for k in kept])
    truth = np.eye(len(classes))[labels]
    none = Calibration(1.0, np.zeros(len(classes)))
    shipped = rule.calibration.probabilities(logits)
    errors = {
        "error": calibration_error(shipped, truth),
        "error_uncalibrated": calibration_error(none.probabilities(logits), truth),
    }
    whole = {"class": "all", "bin": "all", "count": len(labels), **errors}
    return [whole, *reliability_rows(shipped, truth, records, classes)]


def _annotate(
    tracks: Sequence[BeatTrack], decided: Decided, task: BeatTask
) -> dict[str, Annotations]:
    return {
        track.record: track.annotations(numbers, task.symbols)
        for track, numbers in zip(tracks, decided, strict=True)
    }


def _count(
    prepared: PreparedBeats, decided: Decided, task: BeatTask
) -> dict[str, dict[str, BeatCounts]]:
    """Counts by mapping and record."""
    start_s = 0.0 if prepared.simulated else START_S
    beats = _annotate(prepared.test, decided, task)
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
    records = [track.record for track in prepared.test]
    splits = {"simulated" if prepared.simulated else TEST: set(records)}
    if prepared.shared:
        splits[UNSHARED] = set(records) - prepared.shared
    for mapping, counts in found.items():
        for name, chosen in splits.items():
            kept = {r: c for r, c in counts.items() if r in chosen}
            parts.append(({"split": name, "mapping": mapping, "records": len(kept)}, kept))
    return parts


def _record_rows(counts: dict[str, BeatCounts]) -> list[Row]:
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


def as_ec57(found: Evaluation) -> Evaluation:
    """An evaluation's rows under the names of EC57's files."""
    tables = {
        "ec57.json": found.rows,
        "ec57_records.json": list(found.tables["records.json"]),
        "reliability.json": list(found.tables["reliability.json"]),
    }
    return replace(found, tables=tables)


def bundle_figures(figures: Mapping[str, Any]) -> dict[str, Any]:
    """The int8 model's gross figures on test patients, as it outputs them."""
    wanted = {"form": "int8", "mapping": "aami", "decided": OUTPUT}
    row = next(r for r in figures["rows"] if wanted.items() <= r.items())
    named = [k for k in row if k.startswith(("qrs_", "veb_", "sveb_", "f1_", "spearman"))]
    about = {"data": figures["data"], "split": row["split"], "decided": OUTPUT}
    return about | {k: row[k] for k in named if row[k] is not None}


def _shown_measures(task: BeatTask) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Which of EC57's measures, and the F1 of which classes, the summary has.

    EC57 counts ventricular and supraventricular beats: shown where a class has just these. Classes
    that are one for one EC57's need no F1 besides.
    """
    table = MAPPINGS["aami"]
    groups = {
        name: {table[code] for code in (*one.beats, one.written)}
        for name, one in task.classes.items()
    }
    alone = {next(iter(found)) for found in groups.values() if len(found) == 1}
    mixed = {code for found in groups.values() if len(found) > 1 for code in found}
    shown = [
        measure
        for measure, group in (("veb", "V"), ("sveb", "S"))
        if group in alone and group not in mixed
    ]
    one_for_one = not mixed and len(alone) == len(groups)
    return ("qrs", *shown), () if one_for_one else tuple(task.classes)


def _summary(rows: Sequence[Row], task: BeatTask) -> Summary:
    """Gross figures of the literature's mapping, and of classes that EC57 does not have."""
    shown, classes = _shown_measures(task)
    if all(np.isnan(row["qrs_sensitivity"]) for row in rows):  # no record is longer than START_S
        classes = tuple(task.classes)
    columns = (
        *("model", "form", "decided", "split"),
        *(name.upper() for name in shown),
        *(f"F1 {name}" for name in classes),
        "Spearman",
    )

    def number(row: Row, key: str, digits: int) -> str:
        value = row.get(key, float("nan"))
        return "-" if np.isnan(value) else f"{value:.{digits}f}"

    lines = []
    for row in rows:
        if row["mapping"] != "aami":
            continue
        pairs = [
            f"{number(row, f'{n}_sensitivity', 1)} / {number(row, f'{n}_predictivity', 1)}"
            for n in shown
        ]
        about = (row["model"], row["form"], row["decided"], row["split"])
        f1 = [number(row, f"f1_{name}", 2) for name in classes]
        lines.append((*about, *pairs, *f1, number(row, "spearman", 2)))
    note = "sensitivity / positive predictivity"
    if classes:
        note += f" from {START_S / 60:.0f} min of each record on; F1 of all beats"
    return Summary("EC57, gross, %", note, columns, lines)
