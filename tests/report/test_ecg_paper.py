"""The drawing is true to scale, and the same for teacher and device."""

import re
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest

from beatlens.errors import DataError
from beatlens.report.ecg_paper import LEFT, STYLE, WIDTH, amplitude_range, strip_svg
from beatlens.report.levels import LEVEL_COLOURS, level_edges, quantise, runs
from beatlens.report.words import STATEMENT, reading


def numbers(text):
    return [float(n) for n in re.findall(r"-?(?:\d+\.?\d*|\.\d+)", text)]


def relative(path):
    """Return the points of a path `M x y l dx dy ...`."""
    values = np.array(numbers(path)).reshape(-1, 2)
    return values.cumsum(axis=0)


def trace_of(svg):
    paths = [p.get("d") for p in ElementTree.fromstring(svg).iter("path")]
    return relative(max((p for p in paths if "l" in p), key=len))


def bands(svg, index, level=None):
    """Return (y, x, width) of the bands behind the trace of the class drawn at `index`."""
    found = []
    for group in ElementTree.fromstring(svg).iter("g"):
        if group.get("class") == f"k k{index}":
            found += [
                tuple(float(r.get(k)) for k in ("y", "x", "width"))
                for r in group.iter("rect")
                if re.fullmatch("l[123]" if level is None else f"l{level}", r.get("class"))
            ]
    return found


def test_trace_is_25_mm_per_second_and_10_mm_per_millivolt(strip):
    ramp = np.linspace(-1.0, 1.0, 1280)
    points = trace_of(strip_svg(strip(millivolts=ramp)))
    assert points.shape == (1280, 2)
    np.testing.assert_allclose(points[:, 0], LEFT + np.arange(1280) / 128 * 25, atol=0.006)
    np.testing.assert_allclose(points[:, 1], -10 * ramp, atol=0.006)


def test_a_unit_of_the_drawing_is_a_millimetre(strip):
    root = ElementTree.fromstring(strip_svg(strip()))
    _, _, width, height = numbers(root.get("viewBox"))
    assert (root.get("width"), root.get("height")) == (f"{width:g}mm", f"{height:g}mm")
    assert width == WIDTH


def test_calibration_pulse_is_one_millivolt_for_200_ms(strip):
    root = ElementTree.fromstring(strip_svg(strip()))
    assert any("v-10h5v10" in p.get("d", "") for p in root.iter("path"))


def test_grid_has_all_lines_at_whole_millimetres(strip):
    view = strip()
    root = ElementTree.fromstring(strip_svg(view))
    grid = {p.get("class"): p.get("d") for p in root.iter("path") if p.get("class") in ("g1", "g5")}
    high = amplitude_range(view.millivolts).height
    bold = int(WIDTH) // 5 + 1 + int(high) // 5 + 1
    assert grid["g5"].count("M") == bold
    assert grid["g1"].count("M") == int(WIDTH) + 1 + int(high) + 1 - bold


def test_tallest_strip_fits_a_page_and_says_that_it_is_cut(strip):
    extreme = strip(
        millivolts=np.tile([6.35, -6.35], 640),
        truth={name: [(64.0, 65.0)] for name in ("pvc", "sve", "afib", "bbb")},
    )
    svg = strip_svg(extreme)
    assert "trace cut off" in svg
    assert "trace cut off" not in strip_svg(strip())
    # A4 landscape less the margins, the heading and three lines of caption.
    assert numbers(ElementTree.fromstring(svg).get("height"))[0] <= 210 - 2 * 8 - 20
    assert 270 <= WIDTH <= 297 - 2 * 9


@pytest.mark.parametrize(("low", "high"), [(-0.1, 0.2), (-2.0, 0.4), (-0.5, 3.1), (0.3, 0.4)])
def test_range_holds_trace_and_pulse(low, high):
    found = amplitude_range(np.array([low, high]))
    assert not found.cut
    assert found.low <= min(10 * low, 0.0)
    assert found.high >= max(10 * high, 10.0)
    assert found.low % 5 == found.high % 5 == 0


def test_quantise_refuses_what_is_not_finite():
    with pytest.raises(DataError, match="not finite"):
        quantise(np.array([1.0, np.nan]), (1.0, 2.0, 4.0))


def test_runs_rebuild_the_levels():
    levels = np.random.default_rng(3).integers(0, 4, 200)
    rebuilt = np.zeros(200, dtype=int)
    for start, stop, level in runs(levels):
        rebuilt[start:stop] = level
    np.testing.assert_array_equal(rebuilt, levels)


def test_edges_come_from_both_models_and_all_strips(strip, evidence_map):
    loud = {"pvc": np.full(160, 40.0), "sve": np.zeros(160)}
    device = evidence_map("Device", evidence=loud)
    assert level_edges([strip(), strip(device=device)], "pvc") == (8.0, 20.0, 32.0)


def test_faint_evidence_is_never_strong(strip, evidence_map):
    faint = evidence_map(evidence={"pvc": np.full(160, 0.1), "sve": np.zeros(160)})
    edges = level_edges([strip(teacher=faint, device=None)], "pvc")
    assert edges == (0.2, 0.5, 0.8)
    assert quantise(faint.evidence["pvc"], edges).max() == 0


def test_bands_lie_where_the_evidence_is_and_in_its_level(strip):
    svg = strip_svg(strip(), {"pvc": (2.0, 8.0, 16.0), "sve": (1.0, 2.0, 3.0)})
    column = 8 / 128 * 25
    start = LEFT + 80 * column
    for level, first in ((1, 0), (2, 1), (3, 2)):
        teacher = min(bands(svg, 0, level))
        assert teacher[1] == pytest.approx(start + first * column, abs=0.006)
        assert teacher[2] == pytest.approx(column, abs=0.006)
    assert bands(svg, 1) == []


def test_equal_maps_give_equal_bands_for_teacher_and_device(strip, evidence_map):
    rows = {}
    view = strip(device=evidence_map("Device (int8)", probabilities={"pvc": 0.2, "sve": 0.3}))
    for y, x, width in bands(strip_svg(view), 0):
        rows.setdefault(y, []).append((x, width))
    teacher, device = rows.values()
    assert teacher == device


def test_scale_is_shared_not_fitted_to_each_map(strip, evidence_map):
    weak = {"pvc": make_weak(), "sve": np.full(160, -1.0)}
    svg = strip_svg(strip(device=evidence_map("Device", evidence=weak)))
    assert len(bands(svg, 0, 3)) == 1
    assert len({y for y, _, _ in bands(svg, 0, 1)}) == 2


def make_weak():
    weak = np.full(160, -2.0)
    weak[80:84] = 4.0
    return weak


def test_interval_that_goes_on_ends_in_an_arrow(strip):
    svg = strip_svg(strip(truth={"afib": [(0.0, 1e4)]}))
    paths = ElementTree.fromstring(svg).iter("path")
    (path,) = [p.get("d") for p in paths if p.get("class") == "ref"]
    assert path.count("l") == 2
    assert "v2.4" not in path


def test_device_is_optional(strip):
    svg = strip_svg(strip(device=None, agreement={}))
    assert "Agreement" not in svg
    assert len(list(ElementTree.fromstring(svg).iter("use"))) == 2


def test_beats_reference_and_numbers_are_written(strip):
    svg = strip_svg(strip())
    texts = [t.text for t in ElementTree.fromstring(svg).iter("text")]
    assert texts.count("V") == 2
    assert texts.count("■ PVC 0.90 ≥ 0.50") == texts.count("□ SVE 0.10 < 0.35") == 2
    assert "ref. PVC" in texts
    assert "Agreement of the two maps for PVC: Spearman 0.91, peak in the same segment" in texts
    assert "Agreement of the two maps for SVE: not measured" in texts
    assert STATEMENT in texts
    assert sum("25 mm/s" in t and "10 mm/mV" in t for t in texts) == 2


def test_file_of_its_own_brings_its_style_and_one_class(strip, tmp_path):
    root = ElementTree.fromstring(strip_svg(strip(), shown="sve"))
    space = "{http://www.w3.org/2000/svg}"
    assert root.tag == f"{space}svg"
    assert root.find(f"{space}style").text == STYLE
    texts = [t.text for t in root.iter(f"{space}text")]
    assert not any("PVC 0.90" in t for t in texts)
    with pytest.raises(DataError, match="'afib'"):
        strip_svg(strip(), shown="afib")


def test_names_cannot_break_out_of_the_drawing(strip, evidence_map):
    bad = '<script>alert("1")</script>&\x00\ud800'
    view = strip(record=bad, lead=bad, teacher=evidence_map(bad), beats=[(61.0, bad)])
    root = ElementTree.fromstring(strip_svg(view, ident='"><script>'))
    assert not list(root.iter("script"))
    assert "\ufffd" in root.find("title").text


def test_reading_says_what_where_and_truth(strip):
    said = reading(strip(), "pvc", 2.0, "premature ventricular beat")
    assert said.startswith("Premature ventricular beat (PVC).")
    assert "present, probability 0.90 (threshold 0.50), most evidence 5.1 s into the strip" in said
    assert "Reference: present, 1 marked interval." in said
    assert "no segment with evidence" in reading(strip(), "sve", 2.0)
    assert "Reference: not present in this strip." in reading(strip(), "sve", 2.0)
    assert "not annotated" in reading(strip(truth={}), "pvc", 2.0)


def luminance(colour):
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def test_levels_differ_in_lightness_and_leave_the_black_trace_readable():
    light = [luminance(colour) for colour in LEVEL_COLOURS]
    contrasts = [(a + 0.05) / (b + 0.05) for a, b in pairwise(light)]
    assert min(contrasts) > 1.25
    assert (light[-1] + 0.05) / 0.05 > 6
