"""Plots of the documentation show what the figures hold."""

import numpy as np
import pytest

from beatlens.errors import DataError
from beatlens.report.tables import Figures
from benchmarks.docs_tables.example_strip import example_strip
from benchmarks.docs_tables.fidelity_plots import fidelity_by_matching, size_vs_fidelity

from ..report.conftest import figures, strip

__all__ = ["figures", "strip"]


def test_fidelity_by_matching_has_a_dot_per_group_at_its_mean(figures):
    axes = fidelity_by_matching(figures).axes[0]
    dots = {(round(float(line.get_xdata()[0]), 3), line.get_marker()) for line in axes.lines}
    assert dots == {(0.62, "o"), (0.62, "s"), (0.86, "o"), (0.86, "s")}
    assert [t.get_text() for t in axes.get_yticklabels()] == ["small, none", "small, classwise"]
    spans = sorted(tuple(c.get_segments()[0][:, 0].round(3)) for c in axes.collections)
    assert spans == [(0.5, 0.7), (0.5, 0.7), (0.74, 0.94), (0.74, 0.94)]


def methods(shares=(20, 100)):
    rows = [
        {"method": m, "share": s, "matching": matching, "form": "int8", "seed": 0,
         "packed_bytes": 1000 / s + i, "spearman": 0.5 + i / 10 + (matching == "ewa") / 20}
        for s in shares for i, m in enumerate("abc") for matching in ("none", "ewa")
    ]  # fmt: skip
    return Figures("cmd", "abc", "simulated", "any", rows)


def test_size_vs_fidelity_names_the_method_of_every_point():
    figure = size_vs_fidelity(methods())
    assert [axes.get_title() for axes in figure.axes] == [
        "1/20: about 51 bytes",
        "1/100: about 11 bytes",
    ]
    names = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert names == ["a", "b", "c"]
    for axes in figure.axes:
        found = {}
        for line in axes.lines:
            method = names[round(float(line.get_ydata()[0]))]
            found[method, line.get_marker()] = round(float(line.get_xdata()[0]), 2)
        assert found == {
            ("a", "o"): 0.5, ("b", "o"): 0.6, ("c", "o"): 0.7,
            ("a", "s"): 0.55, ("b", "s"): 0.65, ("c", "s"): 0.75,
        }  # fmt: skip
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["none", "ewa"]


def test_example_strip_is_to_scale(strip):
    view = strip(millivolts=np.linspace(-0.5, 0.5, 1280))
    figure = example_strip(view)
    width, height = figure.get_size_inches() * 25.4
    for axes in figure.axes:
        box = axes.get_position()
        assert box.width * width == pytest.approx(250.0)
        low, high = axes.get_ylim()
        assert box.height * height == pytest.approx(10 * (high - low))
    assert len(figure.axes) == 2
    assert any(t.get_text() == "Evidence used by the model, not cause." for t in figure.texts)


def test_nothing_to_plot_is_said():
    empty = Figures("cmd", "abc", "simulated", "any", [])
    for draw in (fidelity_by_matching, size_vs_fidelity):
        with pytest.raises(DataError, match="nothing to plot"):
            draw(empty)


def test_a_class_without_a_map_is_refused(strip):
    with pytest.raises(DataError, match="'afib'"):
        example_strip(strip(), "afib")
