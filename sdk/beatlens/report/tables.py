"""Tables made from figures files: mean over seeds with an interval.

A figures file is `{"command", "commit", "data", "machine", "rows": [flat objects]}`. Rows with the
same values of the `group_by` keys are one line of the table; what they differ in (the seed) is
averaged over. Where rows carry `KEY_lo` and `KEY_hi`, the brackets hold the mean of those ends over
the seeds (uncertainty over patients); where they do not, the least and the greatest seed.

>>> rows = [{"model": "m", "form": "int8", "seed": s, "ap": v} for s, v in [(0, 0.8), (1, 0.9)]]
>>> figures = Figures("python -m benchmarks", "abc1234", "simulated ECG", "any", rows)
>>> make_table(figures, [Column("ap", "AP")], ["model", "form"]).rows
[['m', 'int8', '0.850 [0.800, 0.900]']]
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from markupsafe import escape

from beatlens.errors import DataError
from beatlens.report.views import Table

Row = Mapping[str, Any]
MISSING = "–"


@dataclass(frozen=True)
class Figures:
    """The content of a figures file. Raises `DataError` where a row is not flat or not finite."""

    command: str
    commit: str
    data: str
    machine: str
    rows: Sequence[Row]

    def __post_init__(self) -> None:
        for index, row in enumerate(self.rows):
            for key, value in row.items():
                if isinstance(value, float) and not isfinite(value):
                    raise DataError(
                        f"figures of {self.command!r}: row {index} has {key} = {value}; write null "
                        "where a figure could not be computed"
                    )
                if not isinstance(value, str | int | float | None):
                    raise DataError(
                        f"figures of {self.command!r}: row {index} has {key} of type "
                        f"{type(value).__name__}; expected text, a number or null"
                    )


@dataclass(frozen=True)
class Column:
    """A column: the rows' `key`, its heading, decimals (None: whole numbers, in thousands)."""

    key: str
    label: str = ""
    digits: int | None = 3
    interval: bool = True

    @property
    def heading(self) -> str:
        """The label, or the key where there is none."""
        return self.label or self.key


def load_figures(path: str | Path) -> Figures:
    """Read a figures file. Raises `DataError` where it is missing, damaged or incomplete."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"cannot read figures {path}: {error.strerror}") from error
    except ValueError as error:
        raise DataError(
            f"{path} is not a figures file: {error}; run its benchmark again"
        ) from error
    keys = ("command", "commit", "data", "machine", "rows")
    if not isinstance(content, dict) or not set(keys) <= set(content):
        raise DataError(f"{path} is not a figures file; expected an object with {', '.join(keys)}")
    rows = content["rows"]
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise DataError(f"{path}: rows are not a list of objects; run its benchmark again")
    texts = {key: content[key] for key in keys[:4]}
    for key, value in texts.items():
        if not isinstance(value, str):
            raise DataError(f"{path}: {key} is {value!r}; expected text")
    return Figures(**texts, rows=rows)


def grouped(figures: Figures, group_by: Sequence[str]) -> dict[tuple[Any, ...], list[Row]]:
    """Return the rows under each combination of the `group_by` values, in order of appearance."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for index, row in enumerate(figures.rows):
        absent = [key for key in group_by if key not in row]
        if absent:
            raise DataError(f"figures of {figures.command!r}: row {index} has no {absent[0]!r}")
        groups.setdefault(tuple(row[key] for key in group_by), []).append(row)
    return groups


def summary(rows: Sequence[Row], key: str) -> tuple[float, float | None, float | None] | None:
    """Return mean and interval of `key` over `rows` (None, None for a single row without ends).

    None where no row has the key; `DataError` where only some have it, since a mean over the
    seeds that happened to work would mislead, or where it is not a number.
    """
    values = _numbers(rows, key)
    if values is None:
        return None
    mean = sum(values) / len(values)
    low, high = _numbers(rows, f"{key}_lo"), _numbers(rows, f"{key}_hi")
    if low is not None and high is not None:
        return mean, sum(low) / len(low), sum(high) / len(high)
    return (mean, min(values), max(values)) if len(values) > 1 else (mean, None, None)


def _numbers(rows: Sequence[Row], key: str) -> list[float] | None:
    values = [row[key] for row in rows if row.get(key) is not None]
    if not values:
        return None
    if len(values) < len(rows):
        raise DataError(f"{key} is in {len(values)} of {len(rows)} rows of one group; run the rest")
    if any(isinstance(value, str | bool) for value in values):
        raise DataError(f"{key} holds {values[0]!r}; expected numbers")
    return [float(value) for value in values]


def make_table(
    figures: Figures, columns: Sequence[Column | str], group_by: Sequence[str], caption: str = ""
) -> Table:
    """Return the aggregated table with one line per group; its command says where it comes from."""
    chosen = [Column(c) if isinstance(c, str) else c for c in columns]
    rows = []
    for values, members in grouped(figures, group_by).items():
        cells = [MISSING if value is None else str(value) for value in values]
        rows.append(cells + [_cell(members, column) for column in chosen])
    return Table(
        caption, [*group_by, *(c.heading for c in chosen)], rows, provenance(figures, group_by)
    )


def _cell(rows: Sequence[Row], column: Column) -> str:
    found = summary(rows, column.key)
    if found is None:
        return MISSING
    mean, low, high = found

    def show(value: float) -> str:
        text = f"{value:,.0f}" if column.digits is None else f"{value:.{column.digits}f}"
        return text.replace("-", "−")

    if not column.interval or low is None or high is None or low == high:
        return show(mean)
    return f"{show(mean)} [{show(low)}, {show(high)}]"


def provenance(figures: Figures, group_by: Sequence[str]) -> str:
    """Return what stands under a table: command, commit, data, machine, number of seeds."""
    counts = sorted({len(rows) for rows in grouped(figures, group_by).values()})
    seeds = ""
    if counts and counts[-1] > 1 and any("seed" in row for row in figures.rows):
        span = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        seeds = f"; mean over {span} seeds"
    return f"{figures.command} ({figures.data}; {figures.machine}; commit {figures.commit}{seeds})"


def html_table(table: Table) -> str:
    """Return the table as a `<table>` element, everything in it escaped."""
    numeric = [all(_is_figure(row[i]) for row in table.rows) for i in range(len(table.columns))]

    def cell(tag: str, index: int, text: str) -> str:
        scope = ' scope="col"' if tag == "th" else ""
        words = "" if numeric[index] else ' class="w"'
        return f"<{tag}{scope}{words}>{escape(text)}</{tag}>"

    head = "".join(cell("th", i, text) for i, text in enumerate(table.columns))
    body = "".join(
        f"<tr>{''.join(cell('td', i, text) for i, text in enumerate(row))}</tr>\n"
        for row in table.rows
    )
    below = f"<p><code>{escape(table.command)}</code></p>\n" if table.command else ""
    return (
        f"<table>\n<caption>{escape(table.caption)}</caption>\n"
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>\n{below}"
    )


def _is_figure(text: str) -> bool:
    return text == MISSING or bool(re.match(r"[−-]?[\d.,]+( |$|%)", text))
