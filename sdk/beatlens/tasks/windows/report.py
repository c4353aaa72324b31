"""The report of a run: the device's decisions and evidence beside the teacher's."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from beatlens.evaluate.figures import commit
from beatlens.report import plots
from beatlens.report.html import write_report
from beatlens.report.tables import Column, load_figures, make_table
from beatlens.report.views import Figure, MapView, ReportData, StripView
from beatlens.signals import simulate
from beatlens.signals.frontend import MODEL_RATE_HZ
from beatlens.tasks.common.tracks import to_millivolts
from beatlens.tasks.contract import Evaluation
from beatlens.tasks.windows.data import PreparedWindows
from beatlens.tasks.windows.evaluation import WindowDetails
from beatlens.tasks.windows.labels import CONTEXT, SPAN, WindowTrack
from beatlens.tasks.windows.metrics import Measured
from beatlens.tasks.windows.recipe import WindowRecipe
from beatlens.training.history import read_history

LEAST = (
    Column("spearman", "Spearman"),
    Column("spearman_p5", "Spearman p5"),
    Column("same_peak", "same peak"),
    Column("bytes", "bytes", digits=None, interval=False),
    Column("macs", "MACs / window", digits=None, interval=False),
)


def choose_windows(found: WindowDetails, per_class: int = 3) -> list[tuple[int, str]]:
    """Choose windows to show, as (index, class): not the best, but typical ones and a failure.

    For each class, among windows where it is present, from different records: the one whose
    agreement is the median, the one at the lowest tenth, and one that the device misses.
    """
    chosen: list[tuple[int, str]] = []
    labels, device = found.windows.labels, found.device
    spearman = device.agreement.scores["spearman"]
    for c, name in enumerate(found.classes):
        scored = np.flatnonzero((labels[:, c] == 1) & np.isfinite(spearman[:, c]))
        order = scored[np.argsort(spearman[scored, c])]
        missed = np.flatnonzero((labels[:, c] == 1) & ~_predicted(device)[:, c])
        wanted = [order[len(order) // 2 :], order[len(order) // 10 :], missed[len(missed) // 2 :]]
        used: set[str] = set()
        for candidates in wanted[:per_class]:
            records = found.windows.records
            fresh = [int(i) for i in candidates if records[i] not in used]
            if fresh or len(candidates):
                index = fresh[0] if fresh else int(candidates[0])
                if (index, name) not in chosen:
                    chosen.append((index, name))
                    used.add(str(records[index]))
    return chosen


def _predicted(measured: Measured) -> np.ndarray:
    return np.asarray(measured.run.logits >= measured.thresholds)


def _map_view(name: str, measured: Measured, index: int) -> MapView:
    """One model's map of one window."""

    def per_class(values: np.ndarray) -> dict[str, float]:
        return {n: float(v) for n, v in zip(measured.classes, values, strict=True)}

    return MapView(
        name=name,
        probabilities=per_class(_sigmoid(measured.run.logits[index])),
        thresholds=per_class(_sigmoid(measured.thresholds)),
        evidence={n: measured.run.evidence[index, c] for c, n in enumerate(measured.classes)},
        stride=SPAN // measured.run.evidence.shape[2],
    )


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -60, 60))))


def window_view(
    found: WindowDetails, tracks: dict[str, WindowTrack], lead: str, index: int, focus: str
) -> StripView:
    """Everything the report shows of one test window, class `focus` first."""
    windows = found.windows
    record, start = str(windows.records[index]), int(windows.starts[index])
    track = tracks[record]
    inside = (track.beats >= start) & (track.beats < start + SPAN)
    scores = found.device.agreement.scores
    truth = {}
    for c, name in enumerate(found.classes):
        if not track.known[c]:
            continue
        spans = track.intervals[c]
        touching = spans[(spans[:, 0] < start + SPAN) & (spans[:, 1] > start)]
        truth[name] = [(a / MODEL_RATE_HZ, b / MODEL_RATE_HZ) for a, b in touching.tolist()]
    return StripView(
        record=record,
        start_s=start / MODEL_RATE_HZ,
        millivolts=to_millivolts(windows.windows[index, CONTEXT : CONTEXT + SPAN]),
        teacher=_map_view("teacher (float)", found.teacher, index),
        device=_map_view("device (int8)", found.device, index),
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
            for c, name in enumerate(found.classes)
            if np.isfinite(scores["spearman"][index, c])
        },
        lead=lead,
        rate_hz=MODEL_RATE_HZ,
        focus=focus,
    )


def make_report(
    recipe: WindowRecipe, prepared: PreparedWindows, evaluation: Evaluation, folder: Path
) -> Path:
    """Write `report.html` of a run, beside its `figures.json`; returns its path."""
    found: WindowDetails = evaluation.details
    tracks = {track.record: track for track in prepared.test}
    figures = load_figures(folder / "figures.json")
    columns = (
        Column("macro_ap", "macro AP"),
        *(Column(f"ap_{name}", f"AP {name}") for name in recipe.classes),
        *LEAST,
    )
    device = next(row for row in evaluation.rows if row["form"] == "int8")
    teacher, lead = evaluation.rows[0], _find_lead(prepared)
    data = ReportData(
        title=f"beatlens: {recipe.name}",
        subtitle="an int8 student beside the network it was compressed from",
        data_description=prepared.description,
        strips=[
            window_view(found, tracks, lead, index, name) for index, name in choose_windows(found)
        ],
        tables=[make_table(figures, columns, ("model", "matching", "form"), "Test patients")],
        facts={
            "int8 file": f"{device['bytes']:,} bytes, {teacher['bytes'] / device['bytes']:.0f} "
            "times smaller than the teacher's float weights",
            "multiply-accumulates": f"{found.graph.macs:,} per 10 s window",
            "operators": ", ".join(found.graph.operator_names),
            "matching": f"{recipe.distill.matching}, weight {recipe.distill.matching_weight:g}",
            "seed": recipe.seed,
            "commit": commit(),
        },
        figures=_training_figures(folder),
        notes=[
            "Windows are chosen by rule, not by look: per class the median agreement, the lowest "
            "tenth, and one the device misses."
        ],
        class_names=recipe.titles,
    )
    return write_report(data, folder / "report.html")


def _find_lead(prepared: PreparedWindows) -> str:
    """Name of the lead of the first test record."""
    for record, source in prepared.test_sources.items():
        return source.lead(source.database.open(record))
    return simulate.LEAD


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
