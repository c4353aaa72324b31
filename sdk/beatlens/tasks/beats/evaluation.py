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
from beatlens.evaluate.ec57 import START_S
from beatlens.evaluate.reliability import calibration_error, reliability_rows
from beatlens.integer.tflite_write import write_tflite
from beatlens.nets.evidence import EvidenceNet
from beatlens.nets.teacher import Teacher
from beatlens.signals.annotations import MAPPINGS, AamiMapping, Annotations
from beatlens.tasks.beats.agreement import beat_fidelity
from beatlens.tasks.beats.counts import (
    RecordCounts,
    build_record_rows,
    build_row,
    build_run_rows,
    count_record,
)
from beatlens.tasks.beats.data import PreparedBeats
from beatlens.tasks.beats.labels import AFTER, BEFORE, UNKNOWN, BeatTrack, add_set_entries
from beatlens.tasks.beats.metrics import (
    BeatRun,
    calibrate,
    choose_warnings,
    run_beats,
    run_graph,
    run_integer_beats,
)
from beatlens.tasks.beats.offsets import choose_offsets
from beatlens.tasks.beats.out_of_fold import choose_rule_out_of_fold
from beatlens.tasks.beats.recipe import BeatRecipe, BeatTask
from beatlens.tasks.beats.rule import BEAT_LIMITS, BeatRule
from beatlens.tasks.beats.splits import Split, find_splits
from beatlens.tasks.beats.summary import build_summary
from beatlens.tasks.common.runs import integer_windows
from beatlens.tasks.common.sources import UNSHARED
from beatlens.tasks.contract import Evaluation, Int8Model, Networks, Row

Decided = Sequence[NDArray[np.int64]]
DEQUANTIZED = "int8, dequantized"
"""The int8 model's own weights in float, with its offsets: what rounding alone costs."""
ALL, OUTPUT = "all beats", "as output"
"""Decided: every beat that was found, whatever its signal; and as `score` and the device give it:
beats that are refused have no class, and clipped ones none of those that exclude them
(`BEAT_LIMITS`)."""
AGREEMENT = ("spearman", "spearman_p5", "pearson", "same_peak")


def choose_rule(
    recipe: BeatRecipe,
    prepared: PreparedBeats,
    teacher: Teacher,
    model: Int8Model,
    folds: Sequence[EvidenceNet] = (),
) -> BeatRule:
    """The whole-number rule that decides on the evidence of an int8 model.

    Offsets, calibration and warnings are chosen on validation patients, beside the teacher's
    tables; or all is fitted out of fold where there are networks of `folds`.
    """
    if folds:
        return choose_rule_out_of_fold(recipe, prepared, model, folds)
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
    never, codes = recipe.task.never_if_clipped, recipe.task.codes
    return BeatRule.from_logits(
        tables, offsets, scale, columns, calibration, *warnings, never, codes=codes
    )


@dataclass(frozen=True)
class Judged:
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
        return judge(
            recipe, prepared, [_judge_int8(recipe, prepared, model, rule)], rule.calibration
        )
    rule = rule or choose_rule(recipe, prepared, teacher, model, networks.folds)
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
            judged.append(Judged(about, run, [logits + offsets for logits in run.logits]))
    judged.append(_judge_int8(recipe, prepared, model, rule))
    return judge(recipe, prepared, judged, rule.calibration)


def _judge_float(
    about: dict[str, Any],
    recipe: BeatRecipe,
    net: EvidenceNet,
    tables: NDArray[np.floating],
    prepared: PreparedBeats,
) -> Judged:
    """A float network, with offsets chosen on validation patients."""
    offsets = choose_offsets(run_beats(net, tables, prepared.validation), recipe.task.classes)
    run = run_beats(net, tables, prepared.test)
    return Judged(about, run, [logits + offsets for logits in run.logits])


def _judge_int8(
    recipe: BeatRecipe, prepared: PreparedBeats, model: Int8Model, rule: BeatRule
) -> Judged:
    windows = integer_windows(model.graph)
    run, _ = run_integer_beats(windows, model.graph, model.geometry, rule, prepared.test)
    about = {"model": recipe.name, "form": "int8", "bytes": len(write_tflite(model.graph))}
    scores = [np.rint(logits / rule.step) + rule.offsets for logits in run.logits]
    return Judged(about, run, scores)


def _as_output(track: BeatTrack, scores: NDArray[Any], task: BeatTask) -> NDArray[np.int64]:
    """Class numbers `[b]` as a stream gives them, `UNKNOWN` where it refuses to decide."""
    span = BEFORE + AFTER
    bad, clipped = track.defects.T
    refused = (bad > BEAT_LIMITS.unusable * span) | (clipped > BEAT_LIMITS.clipped * span)
    warned = clipped > BEAT_LIMITS.clipped_warning * span
    allowed = scores.astype(np.float64)
    allowed[np.ix_(warned, list(task.never_if_clipped))] = -np.inf
    return np.where(refused, UNKNOWN, allowed.argmax(axis=1)).astype(np.int64)


def judge(
    recipe: BeatRecipe,
    prepared: PreparedBeats,
    networks: Sequence[Judged],
    calibration: Calibration,
) -> Evaluation:
    """Rows of networks: the first is the teacher, if there are several, the last the device."""
    task, device = recipe.task, networks[-1]
    splits = find_splits(prepared)
    rows: list[Row] = []
    runs: list[Row] = []
    records: list[Row] = []
    for network in networks:
        agreements = [_agreement(networks[0], network, split, task) for split in splits]
        for how in (ALL, OUTPUT):
            line = {**network.about, "seed": recipe.seed, "decided": how}
            decided = network.decided(how, task)
            counts = _count(prepared, decided, task)
            for mapping, found in counts.items():
                for split, shown in zip(splits, agreements, strict=True):
                    kept = {t.record: found[t.record] for t in split.tracks(prepared)}
                    about = {**split.about, "mapping": mapping, "records": len(kept)}
                    by_class = _class_figures(prepared.test, decided, split, recipe.classes)
                    rows.append({**line, **about, **build_row(kept), **by_class, **shown})
                    runs += [{**line, **about, **row} for row in build_run_rows(kept)]
            records += [{**line, **row} for row in build_record_rows(counts["aami"])]
    output = device.decided(OUTPUT, task)
    reliability = [
        {
            **device.about,
            "seed": recipe.seed,
            "split": split.name,
            "database": split.database,
            **row,
        }
        for split in splits
        if split.name != UNSHARED
        for row in _reliability(device.run, output, split, calibration, recipe.classes)
    ]
    annotated = _annotate(prepared.test, output, task)
    rates = {track.record: track.rate_hz for track in prepared.test}
    return Evaluation(
        rows,
        build_summary(rows, task),
        {"runs.json": runs, "records.json": records, "reliability.json": reliability},
        [(found, rates[record]) for record, found in annotated.items()],
    )


def _agreement(reference: Judged, network: Judged, split: Split, task: BeatTask) -> Row:
    """How far evidence agrees with the teacher's; nothing for the teacher itself."""
    if network is reference:
        return {}
    first, own = (judged.run.select(split.places) for judged in (reference, network))
    found = beat_fidelity(first, own, task)
    return {key: found[key] for key in AGREEMENT}


def _class_figures(
    tracks: Sequence[BeatTrack], decided: Decided, split: Split, classes: Sequence[str]
) -> dict[str, float]:
    """F1 of each class over all R peaks whose class is known; NaN for one that is nowhere."""
    labels = np.concatenate([tracks[place].labels for place in split.places])
    numbers = np.concatenate([decided[place] for place in split.places])
    known = labels >= 0
    figures = {}
    for number, name in enumerate(classes):
        there, claimed = labels[known] == number, numbers[known] == number
        either = int(there.sum() + claimed.sum())
        right = int((there & claimed).sum())
        figures[f"f1_{name}"] = 2 * right / either if either else float("nan")
    return figures


def _reliability(
    whole: BeatRun, decided: Decided, split: Split, calibration: Calibration, classes: Sequence[str]
) -> list[Row]:
    """Rows of bins, and one of all of them with the errors before and after calibration.

    Of beats that are decided and whose class is known; none where there are no such beats.
    """
    run, decided = whole.select(split.places), [decided[place] for place in split.places]
    kept = [(t.labels >= 0) & (d != UNKNOWN) for t, d in zip(run.tracks, decided, strict=True)]
    logits = np.concatenate([v[k] for v, k in zip(run.logits, kept, strict=True)])
    labels = np.concatenate([t.labels[k] for t, k in zip(run.tracks, kept, strict=True)])
    if not len(labels):
        return []
    records = np.repeat([t.record for t in run.tracks], [int(k.sum()) for k in kept])
    truth = np.eye(len(classes))[labels]
    none = Calibration(1.0, np.zeros(len(classes)))
    shipped = calibration.probabilities(logits)
    errors = {
        "error": calibration_error(shipped, truth),
        "error_uncalibrated": calibration_error(none.probabilities(logits), truth),
    }
    of_all = {"class": "all", "bin": "all", "count": len(labels), **errors}
    return [of_all, *reliability_rows(shipped, truth, records, classes)]


def _annotate(
    tracks: Sequence[BeatTrack], decided: Decided, task: BeatTask
) -> dict[str, Annotations]:
    return {
        track.record: track.annotations(numbers, task.symbols)
        for track, numbers in zip(tracks, decided, strict=True)
    }


def _count(
    prepared: PreparedBeats, decided: Decided, task: BeatTask
) -> dict[AamiMapping, dict[str, RecordCounts]]:
    """Counts by mapping and record."""
    start_s = 0.0 if prepared.simulated else START_S
    beats = _annotate(prepared.test, decided, task)
    return {
        mapping: {
            track.record: count_record(
                prepared.reference[track.record],
                beats[track.record],
                track.rate_hz,
                mapping,
                start_s,
                track.database,
                prepared.patients.get(track.record, track.record),
            )
            for track in prepared.test
        }
        for mapping in MAPPINGS
    }


def as_ec57(found: Evaluation) -> Evaluation:
    """An evaluation's rows under the names of EC57's files."""
    tables = {
        "ec57.json": found.rows,
        "ec57_runs.json": list(found.tables["runs.json"]),
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
