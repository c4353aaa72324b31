"""`beatlens evaluate --bundle --database --records`: a bundle on records that somebody names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import nan
from pathlib import Path
from typing import Any

from beatlens.errors import RecipeError
from beatlens.evaluate.figures import write_figures
from beatlens.pipeline.bundle_records import asked_for, measure_records, read_record_list
from beatlens.runtime.bundle import Bundle
from beatlens.verbs.show import console, loading_bar

SHOWN = (
    "records", "decided", "ap_pvc", "f1_pvc", "ap_sve", "f1_sve", "ap_afib", "f1_afib", "ap_bbb",
    "f1_bbb", "point_pvc", "qrs_sensitivity", "qrs_predictivity", "veb_sensitivity",
    "veb_predictivity", "sveb_sensitivity", "sveb_predictivity", "score", "published_score",
    "f1_normal", "f1_other", "f1_noise", "spearman", "spearman_p5", "same_peak", "label_set",
)  # fmt: skip
"""Figures that are printed where a row has them; the file has all."""


def evaluate_records(
    bundle: Path,
    database: str | None,
    records: Path | None,
    teacher: Path | None,
    data: Path | None,
    out: Path | None,
) -> None:
    """Measure, print, and write a figures file if one is asked for.

    Raises:
        RecipeError: an option is missing that the others need.
    """
    if database is None or records is None:
        lacks = "--database NAME" if database is None else "--records FILE"
        raise RecipeError(f"{lacks} is missing, expected --database and --records together")
    model, names = Bundle.load(bundle), read_record_list(records)
    with loading_bar() as show:
        asked = asked_for(database, names, data, show)
        rows = measure_records(model, asked, teacher)
    command = f"beatlens evaluate --bundle {bundle} --database {database} --records {records}"
    command += "" if teacher is None else f" --teacher {teacher}"
    described = f"real ECG: {len(names)} records of {database}, nothing chosen on them"
    _print(rows, f"{model.name} on {database}")
    if out is not None:
        write_figures(out, command, described, rows)
        console.print(f"figures: {out}")


def _print(rows: Sequence[Mapping[str, Any]], title: str) -> None:
    """A line for each figure, a column for each row."""
    from rich.table import Table

    table = Table(title=title, caption="[95 % interval by record]")
    table.add_column("")
    for row in rows:
        table.add_column(f"{row['model']}, {row['form']}", justify="right", overflow="fold")
    for key in SHOWN:
        if any(row.get(key, nan) == row.get(key, nan) for row in rows):  # nan is not itself
            table.add_row(key, *(_cell(row, key) for row in rows))
    console.print(table)


def _cell(row: Mapping[str, Any], key: str) -> str:
    value = row.get(key, "-")
    if not isinstance(value, float):
        return str(value)
    digits = 1 if key.endswith(("_sensitivity", "_predictivity")) else 3
    ends = row.get(f"{key}_lo"), row.get(f"{key}_hi")
    within = "" if None in ends else f" [{ends[0]:.{digits}f}, {ends[1]:.{digits}f}]"
    return f"{value:.{digits}f}{within}"
