"""Step 6: the report: what the device says about real strips, beside what the teacher says."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from beatlens.evaluate.figures import commit
from beatlens.tasks.windows.metrics import Measured
from beatlens.tasks.windows.data import Prepared
from beatlens.pipeline.evaluate import Evaluation
from beatlens.pipeline.train import read_history
from beatlens.recipe import Recipe
from beatlens.report import plots
from beatlens.report.html import write_report
from beatlens.report.tables import Column, load_figures, make_table
from beatlens.report.views import Figure, MapView, ReportData, StripView
from beatlens.signals.frontend import MODEL_RATE_HZ
from beatlens.tasks.windows.labels import CLASSES, CONTEXT, LONG_NAMES, SPAN, Track, to_millivolts

COLUMNS = (
    Column("macro_ap", "macro AP"),
    Column("ap_pvc", "AP PVC"),
    Column("ap_sve", "AP SVE"),
    Column("ap_afib", "AP AF"),
    Column("ap_bbb", "AP BBB"),
    Column("loc_auc_pvc", "loc. AUC PVC"),
    Column("point_pvc", "pointing PVC"),
    Column("spearman", "Spearman"),
    Column("spearman_p5", "Spearman p5"),
    Column("same_peak", "same peak"),
    Column("bytes", "bytes", digits=None, interval=False),
    Column("macs", "MACs / strip", digits=None, interval=False),
)
STRIDE = 8


def choose_strips(evaluation: Evaluation, per_class: int = 3) -> list[tuple[int, str]]:
    """Choose strips to show, as (index, class): not the best, but typical ones and a failure.

    For each class, among strips where it is present, from different records: the one whose
    agreement is the median, the one at the lowest tenth, and one that the device misses.
    """
    chosen: list[tuple[int, str]] = []
    labels, device = evaluation.strips.labels, evaluation.device
    spearman = device.agreement.scores["spearman"]
    for c, name in enumerate(CLASSES):
        scored = np.flatnonzero((labels[:, c] == 1) & np.isfinite(spearman[:, c]))
        order = scored[np.argsort(spearman[scored, c])]
        missed = np.flatnonzero((labels[:, c] == 1) & ~_says(device)[:, c])
        wanted = [order[len(order) // 2 :], order[len(order) // 10 :], missed[len(missed) // 2 :]]
        used: set[str] = set()
        for candidates in wanted[:per_class]:
            records = evaluation.strips.records
            fresh = [int(i) for i in candidates if records[i] not in used]
            if fresh or len(candidates):
                index = fresh[0] if fresh else int(candidates[0])
                if (index, name) not in chosen:
                    chosen.append((index, name))
                    used.add(str(records[index]))
    return chosen


def _says(measured: Measured) -> np.ndarray:
    return np.asarray(measured.run.logits >= measured.thresholds)


def _map_view(name: str, measured: Measured, index: int) -> MapView:
    """One model's map of one strip."""

    def per_class(values: np.ndarray) -> dict[str, float]:
        return {n: float(v) for n, v in zip(CLASSES, values, strict=True)}

    return MapView(
        name=name,
        probabilities=per_class(_sigmoid(measured.run.logits[index])),
        thresholds=per_class(_sigmoid(measured.thresholds)),
        evidence={n: measured.run.evidence[index, c] for c, n in enumerate(CLASSES)},
        stride=STRIDE,
    )


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -60, 60))))


def strip_view(
    evaluation: Evaluation, tracks: dict[str, Track], index: int, focus: str
) -> StripView:
    """Everything the report shows of one test strip, class `focus` first."""
    strips = evaluation.strips
    record, start = str(strips.records[index]), int(strips.starts[index])
    track = tracks[record]
    inside = (track.beats >= start) & (track.beats < start + SPAN)
    scores = evaluation.device.agreement.scores
    truth = {}
    for c, name in enumerate(CLASSES):
        if not track.known[c]:
            continue
        spans = track.intervals[c]
        touching = spans[(spans[:, 0] < start + SPAN) & (spans[:, 1] > start)]
        truth[name] = [(a / MODEL_RATE_HZ, b / MODEL_RATE_HZ) for a, b in touching.tolist()]
    return StripView(
        record=record,
        start_s=start / MODEL_RATE_HZ,
        millivolts=to_millivolts(strips.windows[index, CONTEXT : CONTEXT + SPAN]),
        teacher=_map_view("teacher (float)", evaluation.teacher, index),
        device=_map_view("device (int8)", evaluation.device, index),
        beats=[
            (int(b) / MODEL_RATE_HZ, str(s))
            for b, s in zip(track.beats[inside], track.symbols[inside], strict=True)
        ],
        truth=truth,
        agreement={
            name: {
                "spearman": float(scores["spearman"][index, c]),
                "same_peak": bool(scores["same_peak"][index, c] > 0.5),
            }
            for c, name in enumerate(CLASSES)
            if np.isfinite(scores["spearman"][index, c])
        },
        lead="MLII",
        rate_hz=MODEL_RATE_HZ,
        focus=focus,
    )


def make_report(recipe: Recipe, prepared: Prepared, evaluation: Evaluation, folder: Path) -> Path:
    """Write `report.html` of a run; returns its path."""
    tracks = {track.record: track for track in prepared.test}
    figures = load_figures(folder / "figures.json")
    shown = choose_strips(evaluation)
    graph = evaluation.graph
    device = next(row for row in evaluation.rows if row["form"] == "int8")
    teacher = evaluation.rows[0]
    data = ReportData(
        title=f"beatlens: {recipe.name}",
        subtitle="an int8 student beside the network it was compressed from",
        data_description=prepared.description,
        strips=[strip_view(evaluation, tracks, index, name) for index, name in shown],
        tables=[make_table(figures, COLUMNS, ("model", "matching", "form"), "Test patients")],
        facts={
            "int8 file": f"{device['bytes']:,} bytes, {teacher['bytes'] / device['bytes']:.0f} "
            "times smaller than the teacher's float weights",
            "multiply-accumulates": f"{graph.macs:,} per 10 s strip",
            "operators": ", ".join(graph.operator_names),
            "matching": f"{recipe.distill.matching}, weight {recipe.distill.matching_weight:g}",
            "seed": recipe.seed,
            "commit": commit(),
        },
        figures=_training_figures(folder),
        notes=[
            "Strips are chosen by rule, not by look: per class the median agreement, the lowest "
            "tenth, and one the device misses."
        ],
        class_names=LONG_NAMES,
    )
    return write_report(data, folder / "report.html")


def _training_figures(folder: Path) -> list[Figure]:
    """How the teacher was trained, or its members; nothing where it came from elsewhere."""
    paths = {"the teacher": folder / "teacher.json"}
    for path in sorted(folder.glob("members/*/teacher.json")):
        paths[f"the teacher's member {path.parent.name}"] = path
    text = "Loss and validation figures over training steps"
    return [
        plots.report_figure(plots.training_curves(read_history(path)), f"Training of {whose}", text)
        for whose, path in paths.items()
        if path.exists()
    ]
