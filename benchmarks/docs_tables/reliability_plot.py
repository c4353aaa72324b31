"""Reliability plots: how often a class was there when a beat was given such a probability of it.

>>> rows = [{"model": "m", "class": "v", "probability": p, "observed": p} for p in (0.1, 0.9)]
>>> figure = reliability_plot(Figures("beatlens evaluate", "abc", "made", "any", rows))
>>> [axes.get_title() for axes in figure.axes]
['m']
"""

from __future__ import annotations

import matplotlib as mpl
from matplotlib.figure import Figure

from beatlens.errors import DataError
from beatlens.report.plots import COLOURS, LINES, MARKERS, STYLE, new_figure
from beatlens.report.tables import Figures


def reliability_plot(figures: Figures) -> Figure:
    """Return a panel per model, a line per class, with intervals by record.

    Args:
        figures: rows of `beatlens.evaluate.reliability.reliability_rows` with their `model`; rows
            without a probability (of all bins together) are left out.

    Raises:
        DataError: no row has a probability.
    """
    rows = [row for row in figures.rows if row.get("probability") is not None]
    models = list(dict.fromkeys(row["model"] for row in rows))
    classes = list(dict.fromkeys(row["class"] for row in rows))
    if not rows:
        raise DataError(f"figures of {figures.command!r} have no probability; nothing to plot")
    with mpl.rc_context(STYLE):
        figure = new_figure(3.6 * len(models) + 0.8, 3.6)
        panels = figure.subplots(1, len(models), squeeze=False)[0]
        for axes, model in zip(panels, models, strict=True):
            axes.plot([0, 1], [0, 1], color="#666666", linewidth=0.8)
            for which, name in enumerate(classes):
                points = [r for r in rows if (r["model"], r["class"]) == (model, name)]
                xs, ys = ([r[key] for r in points] for key in ("probability", "observed"))
                ends = [(r.get("observed_lo"), r.get("observed_hi")) for r in points]
                style = {"color": COLOURS[which], "linestyle": LINES[which]}
                axes.plot(xs, ys, marker=MARKERS[which], markersize=4, label=name, **style)
                for x, (low, high) in zip(xs, ends, strict=True):
                    if low is not None and high is not None:
                        axes.vlines(x, low, high, color=COLOURS[which], linewidth=0.8)
            axes.set(title=model, xlabel="probability", ylabel="share that were", aspect="equal")
            axes.grid()
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right upper")
    return figure
