"""Plots of a training for reports, and the look of all plots: no global state, Agg only.

Every function that draws returns a matplotlib `Figure`; `save` writes it as SVG or PNG, whole or
not at all, and the same figure gives the same bytes. Colours are from the Okabe-Ito set and never
carry a meaning alone: shape or line style says it too.

>>> figure = training_curves([{"step": 0, "loss": 2.0}, {"step": 10, "loss": 1.0}])
>>> figure.axes[0].get_ylabel()
'loss'
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from beatlens.errors import DataError
from beatlens.report import views
from beatlens.report.files import write_atomic

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
