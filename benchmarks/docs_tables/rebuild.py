"""The documentation's tables and plots, made again from the committed figures files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from beatlens.errors import DataError
from beatlens.report import plots
from beatlens.report.tables import Column, Figures, Row, load_figures
from beatlens.signals.beat_features import FEATURES
from beatlens.tasks.beats.sharing import CLUSTER_EVIDENCE
from benchmarks.docs_tables.fidelity_plots import fidelity_by_matching, size_vs_fidelity
from benchmarks.docs_tables.markdown import fill_table, markdown_table
from benchmarks.docs_tables.noise_curves import noise_curves
from benchmarks.docs_tables.pages import CURVES, PAGES, DocumentedTable, of_all_databases
from benchmarks.docs_tables.reliability_plot import reliability_plot


def remake(root: Path, folder: Path) -> Iterator[str]:
    """Replace the tables of README.md and docs/ under `root`, and make the plots in `folder`.

    A table whose figures file is not in `folder` is left as it is. Yields what was made.
    """
    for page, tables in PAGES.items():
        for marker, table in tables.items():
            if (folder / table.file).exists():
                fill_table(root / page, marker, _table(folder, table))
                yield f"{root / page}: table {marker}"
    yield from map(str, _plots(folder))


def _table(folder: Path, table: DocumentedTable) -> str:
    """The table as Markdown. A feature that none of its rows has, being newer, gets no column."""
    found = load_figures(folder / table.file)
    if table.shown is not None:
        rows = _side_by_side([row for row in found.rows if table.shown(row)], table.groups)
        found = replace(found, rows=rows)
    known = {key for row in found.rows for key in row}
    newer = (*FEATURES, CLUSTER_EVIDENCE)
    columns = [
        column
        for column in table.columns
        if not isinstance(column, Column) or column.key in known or column.key not in newer
    ]
    return markdown_table(found, columns, table.groups)


def _side_by_side(rows: list[Row], groups: tuple[str, ...]) -> list[Row]:
    """Rows by the first group's values, then the second's and so on; the teacher leads.

    Values are in the order they first appear in: rows of models measured one by one come together.
    """
    first = {key: list(dict.fromkeys(row[key] for row in rows)) for key in groups}

    def place(row: Row) -> list[tuple[bool, int]]:
        return [(row[key] != "teacher", first[key].index(row[key])) for key in groups]

    return sorted(rows, key=place)


def _plots(folder: Path) -> list[Path]:
    made: list[Path] = []
    if (folder / "attribution.json").exists():
        chosen = _rows_with(folder / "attribution.json", "model", "student")
        made += [
            plots.save(fidelity_by_matching(chosen), folder / "fidelity_by_matching.svg"),
            plots.save(fidelity_by_matching(chosen, "point_pvc"), folder / "pointing_pvc.svg"),
        ]
    if (folder / "compress.json").exists():
        chosen = _rows_with(folder / "compress.json", "form", "int8")
        made.append(plots.save(size_vs_fidelity(chosen), folder / "size_vs_fidelity.svg"))
    if (folder / "reliability.json").exists():
        whole = load_figures(folder / "reliability.json")
        rows = [row for row in whole.rows if of_all_databases(row)]
        plot = reliability_plot(replace(whole, rows=rows))
        made.append(plots.save(plot, folder / "reliability.svg"))
    for task, keys in CURVES.items():
        if (folder / f"noise_{task}.json").exists():
            noise = noise_curves(load_figures(folder / f"noise_{task}.json"), task, keys)
            made.append(plots.save(noise, folder / f"noise_{task}.svg"))
    return made


def _rows_with(path: Path, key: str, value: str) -> Figures:
    """The rows with that value."""
    found = load_figures(path)
    rows = [row for row in found.rows if row[key] == value]
    if not rows:
        raise DataError(f"{path} has no row with {key} {value!r}; run the benchmark again")
    return Figures(found.command, found.commit, found.data, found.machine, rows)
