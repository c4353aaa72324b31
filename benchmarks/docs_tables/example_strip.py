"""One strip with the evidence of its networks as a picture, to scale."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MultipleLocator

from beatlens.errors import DataError
from beatlens.report.ecg_paper import amplitude_range
from beatlens.report.levels import LEVEL_COLOURS, LEVEL_NAMES, level_edges, quantise, runs
from beatlens.report.plots import STYLE
from beatlens.report.views import MM_PER_MV, MM_PER_SECOND, MapView, StripView
from beatlens.report.words import STATEMENT, heading, short


def example_strip(
    view: StripView, name: str | None = None, edges: Sequence[float] | None = None
) -> Figure:
    """Return one strip for class `name` (the shown one) as a picture at 25 mm/s and 10 mm/mV.

    For pages that take pixels only; `ecg_paper.strip_svg` is sharper and smaller.
    """
    name = name or view.shown
    if name not in view.classes:
        raise DataError(f"record {view.record} has maps for {view.classes}, not for {name!r}")
    edges = tuple(edges or level_edges([view], name))
    paper = amplitude_range(view.millivolts)
    width, height = view.seconds * MM_PER_SECOND, paper.height
    count = len(view.models)
    # Millimetres: margins left and right, and above each panel room for its line of text.
    left, right, above, heading_mm, below = 6.0, 4.0, 11.0, 6.0, 20.0
    total = heading_mm + count * (height + above) + below
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=((left + width + right) / 25.4, total / 25.4), facecolor="white")
        FigureCanvasAgg(figure)
        for index, model in enumerate(view.models):
            bottom = total - heading_mm - (index + 1) * (height + above)
            axes = figure.add_axes(
                (left / (left + width + right), bottom / total,
                 width / (left + width + right), height / total)
            )  # fmt: skip
            _panel(axes, view, model, name, edges)
        handles: list[Artist] = [
            Patch(facecolor=colour, edgecolor="#777777", label=f"{word}, ≥ {edge:g}")
            for colour, word, edge in zip(LEVEL_COLOURS[1:], LEVEL_NAMES[1:], edges, strict=True)
        ]
        if view.truth.get(name):
            handles.append(Line2D([], [], color="black", linewidth=3, label="reference annotation"))
        start = left / (left + width + right)
        figure.legend(
            handles=handles, loc="lower left", ncols=4, fontsize=8, borderaxespad=0,
            bbox_to_anchor=(start, 9.0 / total), title=f"evidence for {short(name)}, in logits",
            title_fontsize=8, alignment="left",
        )  # fmt: skip
        figure.text(start, 4.0 / total, STATEMENT, weight="bold", fontsize=8)
        title = f"{heading(view)}; 25 mm/s, 10 mm/mV"
        figure.text(start, 1 - 4.5 / total, title, fontsize=8)
    return figure


def _panel(axes: Axes, view: StripView, model: MapView, name: str, edges: Sequence[float]) -> None:
    """Draw one model's panel in data units of seconds and millivolts."""
    paper = amplitude_range(view.millivolts)
    low, high = paper.low / MM_PER_MV, paper.high / MM_PER_MV
    column = model.stride / view.rate_hz
    for start, stop, level in runs(quantise(model.evidence[name], edges)):
        axes.axvspan(start * column, stop * column, color=LEVEL_COLOURS[level], lw=0, zorder=0)
    axes.plot(np.arange(len(view.millivolts)) / view.rate_hz, view.millivolts, "k", lw=0.9)
    for begin, end in view.truth.get(name, ()):
        axes.hlines(low + 0.08, begin - view.start_s, end - view.start_s, colors="k", lw=3)
    for time, symbol in view.beats:
        weight = "normal" if symbol == "N" else "bold"
        axes.text(time - view.start_s, high + 0.06, symbol, ha="center", fontsize=8, weight=weight)
    axes.set(xlim=(0, view.seconds), ylim=(low, high))
    for axis, minor, major in ((axes.xaxis, 0.04, 0.2), (axes.yaxis, 0.1, 0.5)):
        axis.set_minor_locator(MultipleLocator(minor))
        axis.set_major_locator(MultipleLocator(major))
    axes.grid(which="minor", color="#f0c4c4", linewidth=0.25)
    axes.grid(which="major", color="#dd9a9a", linewidth=0.6)
    axes.tick_params(which="both", length=0, labelleft=False, labelbottom=False)
    axes.spines[:].set_visible(False)
    sign = "≥" if model.present(name) else "<"
    axes.set_title(
        f"{model.name}: {short(name)} {model.probabilities[name]:.2f} "
        f"{sign} {model.thresholds[name]:.2f}",
        loc="left", fontsize=9, weight="bold", pad=14,
    )  # fmt: skip
