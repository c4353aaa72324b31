"""Curves of the noise stress test: what falls, and what is flagged, as noise grows.

>>> rows = [{"model": "m", "noise": "bw", "snr_db": level, "wrong": 9.0} for level in (6, 0)]
>>> figures = Figures("python -m benchmarks noise", "abc", "made", "any", rows)
>>> figure = noise_curves(figures, "m", ["wrong"])
>>> figure.axes[0].get_ylabel(), len(figure.axes[0].lines)
('wrong', 1)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from beatlens.errors import DataError
from beatlens.report.plots import COLOURS, LINES, MARKERS, STYLE, new_figure
from beatlens.report.tables import Figures, Row
from benchmarks.robustness.noise_stress import NOISES

WORDS: Mapping[str, str] = {
    "veb_sensitivity": "V sensitivity, %",
    "veb_predictivity": "V +P, %",
    "ap_pvc": "average precision, PVC",
    "macro_ap": "macro average precision",
    "wrong": "wrong",
    "wrong_warned": "wrong calls with a warning, %",
    "warned": "calls with a warning, %",
    "same_peak": "same top column as clean",
}


def noise_curves(figures: Figures, model: str, keys: Sequence[str]) -> Figure:
    """Return a panel per key, a line per kind of noise, over the signal-to-noise ratio.

    Args:
        figures: of `python -m benchmarks noise`.
        model: the bundle's name; its row without noise is drawn as a level line.
        keys: of the rows.

    Raises:
        DataError: the figures have no row of the model.
    """
    rows = [row for row in figures.rows if row["model"] == model]
    if not rows:
        raise DataError(f"figures of {figures.command!r} have no model {model!r}; nothing to plot")
    with mpl.rc_context(STYLE):
        figure = new_figure(9.0, 2.5)
        panels = figure.subplots(1, len(keys), squeeze=False)[0]
        for axes, key in zip(panels, keys, strict=True):
            _panel(axes, rows, key)
        handles, names = panels[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside upper right", ncols=len(names))
    return figure


def _panel(axes: Axes, rows: Sequence[Row], key: str) -> None:
    for which, (kind, words) in enumerate(NOISES.items()):
        points = sorted((r["snr_db"], r[key]) for r in rows if r["noise"] == kind and key in r)
        if points:
            axes.plot(
                *zip(*points, strict=True),
                color=COLOURS[which],
                marker=MARKERS[which],
                linestyle=LINES[which],
                label=words,
            )
    clean = [r[key] for r in rows if r["snr_db"] is None and r.get(key) is not None]
    if clean:
        axes.axhline(clean[0], color="#666666", linewidth=0.8)
    axes.set_xlabel("signal to noise, dB")
    axes.set_ylabel(WORDS.get(key, key))
    axes.invert_xaxis()
    axes.grid()
