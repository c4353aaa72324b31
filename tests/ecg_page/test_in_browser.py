"""The page in Debian's chromium: printed to scale, whole on a phone."""

from __future__ import annotations

from pathlib import Path

import pytest

from beatlens.ecg_page.paper import WIDTH
from beatlens.report.html import write_report
from beatlens.report.views import ReportData, Table

from ..browser import Line, needs_chromium, needs_print, printed_lines, scroll_widths
from ..report.views import strip_view
from .records import ectopic_counts, explain, write_record

pytestmark = pytest.mark.export
A4_LANDSCAPE = (297.0, 210.0)
FRAME, PULSE = 0.2, 0.32


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    record = write_record(folder, "one", {"MLII": ectopic_counts(60)})
    found = {}
    for bundle in ("beats", "strips", "wearable-af"):
        found[bundle] = folder / f"{bundle}.html"
        done = explain(record, bundle, "--html", str(found[bundle]))
        assert done.returncode == 0, done.stderr
    return found


def pulses(lines: list[Line]) -> list[Line]:
    """The calibration pulses: 1 mV for 0.2 s."""
    return [line for line in lines if line.width == PULSE and len(line.points) == 6]


@needs_print
@pytest.mark.parametrize("bundle", ["beats", "strips", "wearable-af"])
def test_strips_are_printed_to_scale_and_not_cut(
    pages: dict[str, Path], tmp_path: Path, bundle: str
) -> None:
    lines = printed_lines(pages[bundle], tmp_path)
    strips = pages[bundle].read_text(encoding="utf-8").count('<figure class="strip"')
    found = pulses(lines)
    assert len(found) == strips >= 1
    for pulse in found:
        (_, low), (foot, _), (_, top), (end, _), *_ = pulse.points
        assert end - foot == pytest.approx(5.0, abs=0.02), "0.2 s are 5 mm"
        assert low - top == pytest.approx(10.0, abs=0.02), "1 mV is 10 mm"
    frames = [
        line for line in lines
        if line.width == FRAME and len(line.points) <= 5 and min(line.size) > 15
    ]  # fmt: skip
    assert len(frames) == strips, "a strip that is cut has a frame on each of two pages"
    for frame in frames:
        assert frame.size[0] == pytest.approx(WIDTH, abs=0.1)
        assert all(0 < x < A4_LANDSCAPE[0] and 0 < y < A4_LANDSCAPE[1] for x, y in frame.points)


@needs_print
def test_a_wide_table_does_not_shrink_the_strips_of_a_run_report(tmp_path: Path) -> None:
    columns = ["model", *(f"a figure with a long name {i}" for i in range(14))]
    rows = [["teacher (float)", *["0.6565 [0.5280, 0.7798]"] * 14]] * 3
    table = Table("All of it", columns, rows, "beatlens evaluate --a-long-option with-a-value")
    report = ReportData("Run", "", "SIMULATED ECG", [strip_view()], [table])
    path = write_report(report, tmp_path / "report.html")
    found = [
        line for line in printed_lines(path, tmp_path)
        if line.width == PULSE and len(line.points) == 6
    ]  # fmt: skip
    assert found
    for pulse in found:
        (_, low), (foot, _), (_, top), (end, _), *_ = pulse.points
        assert end - foot == pytest.approx(5.0, abs=0.02)
        assert low - top == pytest.approx(10.0, abs=0.02)


@needs_chromium
def test_a_phone_does_not_scroll_sideways(pages: dict[str, Path], tmp_path: Path) -> None:
    record = write_record(tmp_path, "x", {"L" * 60: ectopic_counts(20)})
    long_name = tmp_path / "page.html"
    assert explain(record, "beats", "--html", str(long_name)).returncode == 0
    asked = [
        (path.read_text(encoding="utf-8"), width)
        for path in (*pages.values(), long_name)
        for width in (360, 390, 768)
    ]
    assert scroll_widths(asked, tmp_path) == [width for _, width in asked]
