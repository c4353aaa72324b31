"""One run's report as one HTML file that needs nothing else: no script, no font, no other file.

The strips are inline SVG in millimetres (`ecg_paper`); which class's evidence is seen is chosen by
radio buttons and CSS alone. Printed on A4 landscape at 100 % the scale is true. Pictures are
embedded as data, so that nothing inside them can run.

>>> import tempfile, numpy as np
>>> from beatlens.report.views import MapView, StripView
>>> model = MapView("Teacher", {"pvc": 0.97}, {"pvc": 0.5}, {"pvc": np.ones(160)}, stride=8)
>>> strip = StripView("sim-1", 0.0, np.zeros(1280), model)
>>> data = ReportData("Demo", "", "Simulated ECG, no patient.", [strip])
>>> with tempfile.TemporaryDirectory() as folder:
...     path = write_report(data, folder + "/report.html")
...     path.read_text(encoding="utf-8").startswith("<!doctype html>")
True
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from beatlens.report.ecg_paper import STYLE, WIDTH, strip_svg
from beatlens.report.files import write_atomic
from beatlens.report.levels import level_edges
from beatlens.report.tables import html_table
from beatlens.report.views import Figure, ReportData, StripView
from beatlens.report.words import STATEMENT, agreement_text, heading, reading, short
from beatlens.version import __version__

__all__ = ["STATEMENT", "ReportData", "render_report", "write_report"]


def write_report(data: ReportData, path: str | Path) -> Path:
    """Write the report to `path`, whole or not at all; return the path.

    Raises `DataError` where the folder is missing or not writable.
    """
    return write_atomic(path, render_report(data))


def render_report(data: ReportData) -> str:
    """Return the report as the text of an HTML document."""
    environment = Environment(
        loader=PackageLoader("beatlens.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    names = list(dict.fromkeys(c for strip in data.strips for c in strip.classes))
    # One scale per class for the whole report: the same blue is the same evidence on every strip.
    edges = {c: data.edges.get(c) or level_edges(data.strips, c) for c in names}
    strips = [
        {
            "ident": f"s{index}",
            "heading": heading(strip),
            "svg": Markup(strip_svg(strip, edges, ident=f"s{index}")),
            "classes": _readings(strip, data, edges),
        }
        for index, strip in enumerate(data.strips)
    ]
    return environment.get_template("report.html.j2").render(
        data=data,
        statement=STATEMENT,
        version=__version__,
        style=Markup(STYLE),
        width=WIDTH,
        strips=strips,
        most_classes=max((len(strip.classes) for strip in data.strips), default=0),
        tables=[Markup(html_table(table)) for table in data.tables],
        figures=[{"figure": figure, "uri": _uri(figure)} for figure in data.figures],
    )


def _readings(
    strip: StripView, data: ReportData, edges: Mapping[str, Sequence[float]]
) -> list[dict[str, object]]:
    return [
        {
            "label": short(name),
            "checked": name == strip.shown,
            "reading": reading(strip, name, edges[name][0], data.class_names.get(name)),
            "agreement": "" if strip.device is None else f"{agreement_text(strip, name)}.",
        }
        for name in strip.classes
    ]


def _uri(figure: Figure) -> str:
    if isinstance(figure.image, bytes):
        return f"data:image/png;base64,{b64encode(figure.image).decode()}"
    return f"data:image/svg+xml;base64,{b64encode(figure.image.encode()).decode()}"
