"""Plots show what the figures hold, in colours anyone can tell apart, the same bytes each time."""

from xml.etree import ElementTree

import pytest

from beatlens.errors import DataError
from beatlens.report import plots

HISTORY = [{"step": 0, "loss": 2.0}, {"step": 10, "loss": 1.0, "macro_ap": 0.5}]


def test_training_curves_skip_steps_without_the_figure():
    figure = plots.training_curves(HISTORY)
    assert [a.get_ylabel() for a in figure.axes] == ["loss", "macro average precision"]
    assert figure.axes[1].lines[0].get_xydata().tolist() == [[10.0, 0.5]]


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_same_figure_gives_the_same_bytes(tmp_path, kind):
    first, second = (
        plots.save(plots.training_curves(HISTORY), tmp_path / f"{i}.{kind}").read_bytes()
        for i in range(2)
    )
    assert first == second
    assert first.startswith(b"\x89PNG" if kind == "png" else b"<?xml")
    if kind == "svg":
        ElementTree.fromstring(first)


def test_report_takes_the_plot(report):
    picture = plots.report_figure(plots.training_curves(HISTORY), "Size", "a plot")
    assert report(figures=[picture]).figures[0].caption == "Size"


def test_nothing_to_plot_is_said():
    with pytest.raises(DataError, match="nothing to draw"):
        plots.training_curves([])
    with pytest.raises(DataError, match="nothing to draw"):
        plots.training_curves([{"step": 0, "loss": 1.0}], ["accuracy"])


def test_unknown_kind_is_refused(tmp_path):
    with pytest.raises(DataError, match="svg or png"):
        plots.save(plots.training_curves(HISTORY), tmp_path / "plot.gif")
    assert not list(tmp_path.iterdir())


def test_no_pure_red_or_green_among_the_colours():
    for colour in plots.COLOURS:
        red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
        assert not (red > 1.5 * max(green, blue) and green < 100)
        assert not (green > 1.3 * max(red, blue))
