"""The table that is printed of an evaluation of beats."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from beatlens.evaluate.ec57 import START_S
from beatlens.signals.annotations import MAPPINGS
from beatlens.tasks.beats.counts import BUCKET_KEYS
from beatlens.tasks.beats.recipe import BeatTask
from beatlens.tasks.contract import Row, Summary

RUNS_COLUMN = "VEB by run"


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


def build_summary(rows: Sequence[Row], task: BeatTask) -> Summary:
    """Gross figures of the literature's mapping, and of classes that EC57 does not have."""
    shown, classes = _shown_measures(task)
    if all(np.isnan(row["qrs_sensitivity"]) for row in rows):  # no record is longer than START_S
        classes = tuple(task.classes)
    columns = (
        *("model", "form", "decided", "split"),
        *(name.upper() for name in shown),
        *([RUNS_COLUMN] if "veb" in shown else []),
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
        if "veb" in shown:
            keys = (f"veb_sensitivity_in_runs_of_{key}" for key in BUCKET_KEYS.values())
            pairs.append(" / ".join(number(row, key, 0) for key in keys))
        about = (row["model"], row["form"], row["decided"], row["split"])
        f1 = [number(row, f"f1_{name}", 2) for name in classes]
        lines.append((*about, *pairs, *f1, number(row, "spearman", 2)))
    note = "sensitivity / positive predictivity"
    if "veb" in shown:
        note += "; by run: sensitivity in runs of 1 / 2 / 3-9 / more"
    if classes:
        note += f" from {START_S / 60:.0f} min of each record on; F1 of all beats"
    return Summary("EC57, gross, %", note, columns, lines)
