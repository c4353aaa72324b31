"""The report: whole, self-contained, honest, to scale, and safe to open."""

import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from beatlens.errors import BeatlensError, DataError, SignalError
from beatlens.report.ecg_paper import strip_svg
from beatlens.report.html import STATEMENT, render_report, write_report
from beatlens.report.levels import level_edges, quantise
from beatlens.report.views import ReportData, Table

from .views import map_view, strip_view

VOID = {"meta", "input", "img", "br", "link"}


class Nesting(HTMLParser):
    """Fails on a tag that closes another than the newest open one."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def report(**changes: object) -> ReportData:
    values: dict = {
        "title": "a run",
        "subtitle": "",
        "data_description": "SIMULATED ECG, no patient",
        "strips": [strip_view(), strip_view(record="200", device=None)],
        "tables": [Table("test", ["model", "AP"], [["teacher", "0.91"]], "beatlens evaluate")],
        "facts": {"bytes": 123},
    }
    return ReportData(**{**values, **changes})


def test_document_is_well_formed_and_needs_nothing_else() -> None:
    text = render_report(report())
    parser = Nesting()
    parser.feed(text)
    assert parser.open == []
    assert "<script" not in text
    assert not re.search(r"(src|href)\s*=\s*\"(?!#|data:)", text)
    assert "http" not in re.sub(r'http-equiv|xmlns="[^"]*"', "", text)


def test_document_says_what_it_must() -> None:
    text = render_report(report())
    assert STATEMENT == "Evidence used by the model, not cause."
    assert text.count(STATEMENT) >= 3
    assert "SIMULATED ECG" in text
    assert "Not a medical device" in text
    assert "Spearman 0.91, peak in the same segment" in text


@pytest.mark.parametrize("field", ["title", "subtitle"])
def test_hostile_text_is_escaped(field: str) -> None:
    hostile = '<script>alert("x")</script>'
    text = render_report(report(**{field: hostile}, strips=[strip_view(record=hostile)]))
    assert "<script" not in text
    assert "&lt;script&gt;" in text


def test_strip_is_true_to_scale() -> None:
    """25 mm/s and 10 mm/mV, in a drawing whose unit is the millimetre."""
    root = ET.fromstring(strip_svg(strip_view(), shown="pvc"))
    width, box = root.get("width"), root.get("viewBox")
    assert width is not None
    assert box is not None
    assert width.endswith("mm")
    assert float(width[:-2]) == float(box.split()[2])
    traces = [p.get("d", "") for p in root.iter() if p.get("class") == "trace"]
    pulse = next(d for d in traces if "v-10" in d)
    assert "h5v10" in pulse, "the calibration pulse is 1 mV high and 0.2 s long"
    trace = next(d for d in traces if d != pulse)
    steps = re.split(r"[ l]", trace)[2:]
    assert sum(float(x) for x in steps[0::2]) == pytest.approx(25 * 1279 / 128, abs=1.0)


def test_grid_and_trace_are_styled_where_use_clones_them() -> None:
    """Inside <use> selectors see no ancestors: `.ecg .trace` would leave the trace filled."""
    svg = strip_svg(strip_view(), shown="pvc")
    assert re.search(r"(^|\n)\.trace\{[^}]*fill:none", svg)
    assert re.search(r"(^|\n)\.g1\{[^}]*stroke:", svg)


def test_same_levels_for_teacher_and_device() -> None:
    view = strip_view()
    edges = level_edges([view], "pvc")
    assert edges[0] < edges[1] < edges[2]
    root = ET.fromstring(strip_svg(view, {"pvc": (1.0, 2.0, 4.0)}, shown="pvc"))
    bands = [r.get("class") for r in root.iter() if (r.get("class") or "").startswith("l")]
    assert {"l1", "l2", "l3"} == {b.split()[0] for b in bands if b}


def test_quantise_counts_the_edges_reached() -> None:
    values = np.array([-5.0, 0.99, 1.0, 1.99, 2.0, 3.99, 4.0, 100.0])
    assert quantise(values, (1.0, 2.0, 4.0)).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


def test_bad_samples_and_maps_are_refused() -> None:
    broken = np.zeros(1280)
    broken[7] = np.nan
    with pytest.raises(SignalError, match="sample 7"):
        strip_view(millivolts=broken)
    with pytest.raises(SignalError, match="10 s"):
        strip_view(millivolts=np.zeros(1400))
    with pytest.raises(DataError, match="columns"):
        strip_view(device=map_view("d", evidence={"pvc": np.zeros(9), "sve": np.zeros(9)}))
    with pytest.raises(DataError, match="not finite"):
        map_view(evidence={"pvc": np.full(160, np.inf), "sve": np.zeros(160)})
    with pytest.raises(DataError, match="probability"):
        map_view(probabilities={"pvc": 1.2, "sve": 0.0})
    with pytest.raises(DataError, match="real or simulated"):
        report(data_description="some ECG")


def test_nothing_is_left_of_a_report_that_fails(tmp_path: Path) -> None:
    with pytest.raises(BeatlensError, match="cannot write"):
        write_report(report(), tmp_path / "nowhere" / "report.html")
    assert list(tmp_path.iterdir()) == []
    path = write_report(report(), tmp_path / "report.html")
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
