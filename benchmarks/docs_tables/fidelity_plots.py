"""Plots of agreement with the teacher: by matching loss, and by compression method and size.

>>> rows = [{"model": "m", "matching": "none", "form": "int8", "seed": 0, "spearman": 0.8}]
>>> figure = fidelity_by_matching(Figures("python -m benchmarks", "abc", "simulated", "any", rows))
>>> figure.axes[0].get_xlabel()
'Spearman agreement with the teacher'
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from beatlens.errors import DataError
from beatlens.report.plots import COLOURS, MARKERS, STYLE, label, new_figure
from beatlens.report.tables import Figures, Row, grouped, summary


def fidelity_by_matching(figures: Figures, key: str = "spearman") -> Figure:
    """Return a plot of `key`, one line per model and matching, dot and interval per form."""
    groups = _some(figures, ("model", "matching", "form"), key)
    forms = list(dict.fromkeys(form for _, _, form in groups))
    lines = list(dict.fromkeys((model, matching) for model, matching, _ in groups))
    with mpl.rc_context(STYLE):
        figure = new_figure(7.0, 1.1 + 0.34 * len(lines))
        axes = figure.subplots()
        for (model, matching, form), rows in groups.items():
            which = forms.index(form)
            # Float and int8 of one student sit close together on one line, never on each other.
            offset = (which - (len(forms) - 1) / 2) * 0.26
            y = lines.index((model, matching)) + offset
            _dot(axes, rows, key, y, which)
        axes.set_yticks(range(len(lines)), [f"{model}, {matching}" for model, matching in lines])
        axes.set_ylim(len(lines) - 0.5, -0.5)
        axes.set_xlabel(label(key))
        axes.grid(axis="x")
        axes.tick_params(axis="y", length=0)
        figure.legend(
            handles=[_sample(i, str(form)) for i, form in enumerate(forms)],
            loc="outside upper right",
            ncols=len(forms),
        )
    return figure


def _some(figures: Figures, keys: Sequence[str], key: str) -> dict[tuple[str, ...], list[Row]]:
    groups = {g: r for g, r in grouped(figures, keys).items() if summary(r, key) is not None}
    if not groups:
        raise DataError(f"figures of {figures.command!r} have no {key!r}; nothing to plot")
    return groups


def _dot(axes: Axes, rows: Sequence[Row], key: str, y: float, which: int) -> None:
    found = summary(rows, key)
    assert found is not None  # _some kept only these
    mean, low, high = found
    colour = COLOURS[which % len(COLOURS)]
    if low is not None and high is not None:
        axes.hlines(y, low, high, colors=colour, linewidth=1.6)
    axes.plot(mean, y, MARKERS[which % len(MARKERS)], color=colour, markersize=6)


def _sample(which: int, text: str, line: Literal["", "-"] = "") -> Line2D:
    return Line2D(
        [],
        [],
        linestyle=line,
        color=COLOURS[which % len(COLOURS)],
        marker=MARKERS[which % len(MARKERS)],
        label=text,
    )


def size_vs_fidelity(figures: Figures, key: str = "spearman") -> Figure:
    """Return a plot of `key` of every method (a line of its own) at every size (a panel).

    Args:
        figures: rows with `method`, `matching`, `share` (the teacher's bytes divided by the size)
            and `packed_bytes`. Rows of one method, matching and share are averaged.
        key: what is drawn; one mark for each matching, with its interval.
    """
    groups = _some(figures, ("method", "matching", "share"), key)
    groups = {g: r for g, r in groups.items() if summary(r, "packed_bytes") is not None}
    if not groups:
        raise DataError(f"figures of {figures.command!r} have no 'packed_bytes'; nothing to plot")
    methods = list(dict.fromkeys(method for method, _, _ in groups))
    matchings = list(dict.fromkeys(matching for _, matching, _ in groups))
    shares = sorted({share for _, _, share in groups}, key=float)
    with mpl.rc_context(STYLE):
        figure = new_figure(9.0, 1.2 + 0.4 * len(methods))
        panels = np.atleast_1d(figure.subplots(1, len(shares), sharex=True, sharey=True))
        for axes, share in zip(panels, shares, strict=True):
            inside = {group: rows for group, rows in groups.items() if group[2] == share}
            for (method, matching, _), rows in inside.items():
                which = matchings.index(matching)
                offset = (which - (len(matchings) - 1) / 2) * 0.19
                _dot(axes, rows, key, methods.index(method) + offset, which)
            sizes = [summary(rows, "packed_bytes") for rows in inside.values()]
            middle = float(np.median([size[0] for size in sizes if size is not None]))
            axes.set_title(f"1/{share}: about {middle:,.0f} bytes", fontsize=9)
            axes.set_yticks(range(len(methods)), methods)
            axes.set_ylim(len(methods) - 0.5, -0.5)
            axes.set_yticks(np.arange(len(methods) - 1) + 0.5, minor=True)
            axes.grid(axis="x")
            axes.grid(axis="y", which="minor")
            axes.tick_params(axis="y", which="both", length=0)
        figure.supxlabel(label(key), fontsize=9)
        figure.legend(
            handles=[_sample(i, str(matching)) for i, matching in enumerate(matchings)],
            loc="outside upper right",
            ncols=len(matchings),
            title="matching loss",
            title_fontsize=9,
        )
    return figure
