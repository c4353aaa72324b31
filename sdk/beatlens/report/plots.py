"""Plots for documentation and reports, from figures: the same look, no global state, Agg only.

Every function returns a matplotlib `Figure`; `save` writes it as SVG or PNG, whole or not at
all, and the same figure gives the same bytes. Colours are from the Okabe-Ito set and never carry a
meaning alone: shape or line style says it too.

>>> rows = [{"model": "m", "matching": "none", "form": "int8", "seed": 0, "spearman": 0.8}]
>>> figure = fidelity_by_matching(Figures("python -m benchmarks", "abc", "simulated", "any", rows))
>>> figure.axes[0].get_xlabel()
'Spearman agreement with the teacher'
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, MultipleLocator

from beatlens.errors import DataError
from beatlens.report import views
from beatlens.report.ecg_paper import amplitude_range
from beatlens.report.files import write_atomic
from beatlens.report.levels import LEVEL_COLOURS, LEVEL_NAMES, level_edges, quantise, runs
from beatlens.report.tables import Figures, Row, grouped, summary
from beatlens.report.views import MM_PER_MV, MM_PER_SECOND, MapView, StripView
from beatlens.report.words import STATEMENT, heading, short

# Okabe-Ito without red and green, its yellow darkened for white paper.
COLOURS = ("#0072B2", "#E69F00", "#56B4E9", "#CC79A7", "#000000", "#B8A900")
MARKERS = ("o", "s", "D", "^", "v", "P")
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)))
LABELS = {
    "spearman": "Spearman agreement with the teacher",
    "spearman_p5": "Spearman agreement, 5th percentile",
    "cosine": "cosine agreement with the teacher",
    "same_peak": "strips with the same peak segment",
    "macro_ap": "macro average precision",
    "bytes": "bytes of weights as shipped",
    "packed_bytes": "bytes of packed weights",
    "macs": "multiply-accumulates",
}
# matplotlib types its keys as literals; Any spares a cast at every use.
STYLE: Any = {
    "svg.hashsalt": "beatlens",
    "svg.fonttype": "path",
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
}


def label(key: str) -> str:
    """Return the words for a row key, or the key itself."""
    return LABELS.get(key, key.replace("_", " "))


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of so many inches that can be drawn without a screen."""
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def image(figure: Figure, kind: str, dpi: int = 160) -> bytes:
    """Return the figure as the bytes of an "svg" or "png" file, the same each time."""
    if kind not in ("svg", "png"):
        raise DataError(f"a plot is written as svg or png, not {kind!r}")
    # A date or a version in the file would change it without a change in what it shows.
    metadata = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
    buffer = BytesIO()
    with mpl.rc_context(STYLE):
        figure.savefig(buffer, format=kind, dpi=dpi, metadata=metadata)
    return buffer.getvalue()


def save(figure: Figure, path: str | Path, dpi: int = 160) -> Path:
    """Write the figure to `path`, which ends in .svg or .png."""
    path = Path(path)
    return write_atomic(path, image(figure, path.suffix.lstrip(".").lower(), dpi))


def report_figure(figure: Figure, caption: str, alt: str) -> views.Figure:
    """Return the figure as one for `ReportData.figures`."""
    return views.Figure(caption, image(figure, "svg").decode("utf-8"), alt)


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


def training_curves(history: Sequence[Mapping[str, float]], keys: Sequence[str] = ()) -> Figure:
    """Return one panel per key over "step". `history` is one mapping per logged step.

    Without `keys`, everything but "step" is drawn. A key may be missing in some steps
    (validation is rarer than training). Raises `DataError` where there is nothing to draw.
    """
    found = list(dict.fromkeys(k for entry in history for k in entry if k != "step"))
    chosen = list(keys) or found
    absent = [key for key in chosen if key not in found]
    if not chosen or absent:
        raise DataError(f"training history holds {found}; nothing to draw for {absent or 'it'}")
    with mpl.rc_context(STYLE):
        figure = new_figure(7.0, 1.7 * len(chosen) + 0.4)
        panels = np.atleast_1d(figure.subplots(len(chosen), 1, sharex=True))
        for axes, key in zip(panels, chosen, strict=True):
            points = [(e["step"], e[key]) for e in history if key in e and "step" in e]
            axes.plot(*zip(*points, strict=True), color=COLOURS[0], linewidth=1.4)
            axes.set_ylabel(label(key))
            axes.grid()
        panels[-1].set_xlabel("step")
        panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


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
