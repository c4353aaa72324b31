"""A strip on ECG paper with evidence behind the trace: SVG in millimetres, true in print.

25 mm/s and 10 mm/mV. What is on a strip is drawn once, in `<defs>`; the wide sheet shows it in one
row of 10 s, for print and wide screens, and the narrow rows show the same for phones. Selectors do
not see ancestors through `<use>`, so each rule of `STYLE` is a class alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

from beatlens.ecg_page.strips import STRIP_S, Strip
from beatlens.ecg_page.words import clock
from beatlens.report.ecg_paper import TALLEST, AmplitudeRange, amplitude_range
from beatlens.report.levels import LEVEL_COLOURS, quantise, runs
from beatlens.report.svg import num, text
from beatlens.report.views import MM_PER_MV, MM_PER_SECOND
from beatlens.report.words import safe

LEFT, RIGHT = 15.0, 5.0
WIDTH = LEFT + STRIP_S * MM_PER_SECOND + RIGHT
ROW_S, ROW_LEFT = 3.4, 10.0
"""Seconds of a narrow row (whole 5 mm boxes), and its margin."""
ROW_WIDTH = ROW_LEFT + ROW_S * MM_PER_SECOND
LETTERS, INTERVALS, STEPS, AXIS = 4.6, 3.4, 4.2, 4.6
TOP = LETTERS + INTERVALS
POINTS_PER_S = 250
"""Points of a trace a second; of more samples the lowest and the highest are drawn."""
LEAST_RR_MM = 8.0
"""Narrower intervals have no number."""

STYLE = """
.e-t{font:2.9px system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;fill:#222}
.e-s{font:2.5px system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;fill:#444}
.e-b{font:700 3.7px system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;fill:#000}
.e-m{text-anchor:middle}.e-e{text-anchor:end}
.e-paper{fill:#fffdfb}.e-frame{fill:none;stroke:#c97a7a;stroke-width:.2}
.e-g1{stroke:#f0c4c4;stroke-width:.08;fill:none}.e-g5{stroke:#dd9a9a;stroke-width:.2;fill:none}
.e-w{stroke:#000;stroke-width:.32;fill:none;stroke-linejoin:round}
.e-k{stroke:#555;stroke-width:.2;fill:none}.e-u{stroke:#1f5f99;stroke-width:.35;fill:none}
.e-st{fill:#1f5f99}.e-gap{fill:#e3e3e3}.e-f{fill:#000}
.e-1{fill:%s}.e-2{fill:%s}.e-3{fill:%s}
""" % LEVEL_COLOURS[1:]  # noqa: UP031  (braces are CSS here)

GRID = (
    '<svg width="0" height="0" style="position:absolute" aria-hidden="true"><defs>'
    '<g id="grid"><path class="e-g1" d="%s"/><path class="e-g5" d="%s"/></g></defs></svg>'
)


def grid() -> str:
    """The lines of the paper, once for a page: 1 mm and 5 mm, from 0 0 on."""
    width, height = int(WIDTH), int(TALLEST) + 5
    fine = [f"M{x} 0v{height}" for x in range(width + 1) if x % 5]
    fine += [f"M0 {y}h{width}" for y in range(height + 1) if y % 5]
    bold = [f"M{x} 0v{height}" for x in range(0, width + 1, 5)]
    bold += [f"M0 {y}h{width}" for y in range(0, height + 1, 5)]
    return GRID % ("".join(fine), "".join(bold))


def strip_svgs(
    strip: Strip,
    millivolts: NDArray[np.float64],
    rate_hz: float,
    edges: Sequence[float],
    ident: str,
) -> str:
    """The strip as HTML: `<svg>` elements of CSS classes `wide` and `row`, and their `<defs>`.

    Args:
        strip: what is on it.
        millivolts: samples `[n]` of the strip, NaN where missing; drawn around their median.
        rate_hz: their rate.
        edges: three rising edges of the evidence's levels, logits.
        ident: a name for the strip, one of its own in the page.
    """
    return _Strip(strip, millivolts, rate_hz, edges, ident).html()


def trace_points(
    millivolts: NDArray[np.float64], rate_hz: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Times in seconds and millivolts of the points of a trace, at most `POINTS_PER_S` a second.

    Of each few samples the lowest and the highest are kept, so that no R peak loses height.
    """
    samples = len(millivolts)
    if rate_hz <= POINTS_PER_S:
        return np.arange(samples) / rate_hz, millivolts
    size = ceil(2 * rate_hz / POINTS_PER_S)
    kept: list[int] = []
    for first in range(0, samples, size):
        group = millivolts[first : first + size]
        if np.isnan(group).any():
            kept += range(first, first + len(group))
        else:
            kept += sorted({first + int(group.argmin()), first + int(group.argmax())})
    at = np.array(kept, dtype=np.int64)
    return at / rate_hz, millivolts[at]


class _Strip:
    def __init__(
        self,
        strip: Strip,
        millivolts: NDArray[np.float64],
        rate_hz: float,
        edges: Sequence[float],
        ident: str,
    ) -> None:
        self.strip, self.ident, self.rate_hz, self.edges = strip, safe(ident), rate_hz, edges
        there = millivolts[~np.isnan(millivolts)]
        self.millivolts = millivolts - (float(np.median(there)) if len(there) else 0.0)
        kept = self.millivolts[~np.isnan(self.millivolts)]
        self.range: AmplitudeRange = amplitude_range(kept if len(kept) else np.zeros(1))
        self.seconds = strip.end_s - strip.start_s
        self.height = TOP + self.range.height + STEPS + AXIS

    def html(self) -> str:
        rows = max(1, ceil(self.seconds / ROW_S - 1e-6))
        return (
            f'<svg width="0" height="0" style="position:absolute" aria-hidden="true"><defs>'
            f'<clipPath id="{self.ident}-c"><rect x="0" y="{num(TOP)}" '
            f'width="{num(STRIP_S * MM_PER_SECOND)}" height="{num(self.range.height)}"/></clipPath>'
            f'<g id="{self.ident}-g">{self._marks()}{self._steps()}{self._axis()}'
            f'<g clip-path="url(#{self.ident}-c)">{self._trace()}</g></g>'
            f'<g id="{self.ident}-b">{self._bands()}{self._gaps()}</g></defs></svg>'
            + self._sheet("wide", WIDTH, LEFT, 0.0, STRIP_S)
            + "".join(
                self._sheet("row", ROW_WIDTH, ROW_LEFT, row * ROW_S, ROW_S) for row in range(rows)
            )
        )

    def _sheet(self, kind: str, width: float, left: float, from_s: float, length: float) -> str:
        """One row of paper with the calibration pulse, from `from_s` of the strip on."""
        plot = length * MM_PER_SECOND
        paper = f'y="{num(TOP)}" width="{num(width)}" height="{num(self.range.height)}"'
        zero = num(TOP + self.range.high)
        pulse = f"M{num(left - 8.5)} {zero}h1.5v{num(-MM_PER_MV)}h5v{num(MM_PER_MV)}h1.5"
        view = f"{num(from_s * MM_PER_SECOND)} 0 {num(plot)} {num(self.height)}"
        what = f"{self.strip.heading}, from {clock(self.strip.start_s + from_s, 1)}"
        cut = ""
        if self.range.cut:
            limits = f"{self.range.low / MM_PER_MV:g} to {self.range.high / MM_PER_MV:g} mV"
            cut = text(width - 1, TOP + 3.5, f"trace cut off: shown {limits}", "e-t e-e")
        return (
            f'<svg class="{kind}" width="{num(width)}mm" height="{num(self.height)}mm" '
            f'viewBox="0 0 {num(width)} {num(self.height)}" role="img" '
            f'aria-label="{safe(what)}"><rect class="e-paper" {paper}/>'
            # Bands lie below the lines of the paper and the trace above them.
            f"{self._inside(left, plot, view, f'{self.ident}-b')}"
            f'<svg {paper}><use href="#grid"/></svg><rect class="e-frame" {paper}/>'
            f"{self._labels()}"
            f'<path class="e-w" d="{pulse}"/>'
            f"{self._inside(left, plot, view, f'{self.ident}-g')}{cut}</svg>"
        )

    def _inside(self, left: float, plot: float, view: str, ident: str) -> str:
        return (
            f'<svg x="{num(left)}" y="0" width="{num(plot)}" height="{num(self.height)}" '
            f'viewBox="{view}"><use href="#{ident}"/></svg>'
        )

    def _labels(self) -> str:
        below = TOP + self.range.height
        evidence = text(0, below + 3.4, "evidence", "e-s") if self.strip.class_name else ""
        letters = any(mark.letter for mark in self.strip.marks)
        named = "beats" if letters else "R peaks"
        return text(0, 3.6, named, "e-s") + text(0, LETTERS + 2.4, "RR ms", "e-s") + evidence

    def _x(self, time_s: float) -> float:
        return (time_s - self.strip.start_s) * MM_PER_SECOND

    def _marks(self) -> str:
        parts, ticks = [], []
        marks = self.strip.marks
        for mark in marks:
            x = self._x(mark.time_s)
            letter = mark.letter + ("*" if mark.warned else "")
            if letter:
                parts.append(text(x, 3.7, letter, "e-m " + ("e-b" if mark.strong else "e-t")))
            if mark.focus:
                top = num(TOP + 0.2)
                parts.append(f'<path class="e-f" d="M{num(x - 1.3)} {top}h2.6l-1.3 2.3z"/>')
            ticks.append(f"M{num(x)} {num(TOP - 1)}v1")
        for a, b in itertools.pairwise(marks):
            if (b.time_s - a.time_s) * MM_PER_SECOND >= LEAST_RR_MM:
                middle = self._x((a.time_s + b.time_s) / 2)
                number = f"{1000 * (b.time_s - a.time_s):.0f}"
                parts.append(text(middle, LETTERS + 2.4, number, "e-m e-s"))
        if ticks:
            parts.append(f'<path class="e-k" d="{"".join(ticks)}"/>')
        return "".join(parts)

    def _columns(self) -> list[tuple[float, float, int]]:
        """Runs of evidence of one level above 0, as left and right in mm and the level."""
        evidence, first = self.strip.evidence, self.strip.evidence_start_s
        if not len(evidence):
            return []
        levels = quantise(np.nan_to_num(evidence, nan=-1e6), self.edges)
        return [(*self._clip(first, start, stop), level) for start, stop, level in runs(levels)]

    def _clip(self, first: float, start: int, stop: int) -> tuple[float, float]:
        """Columns as mm of the strip."""
        column_s = self.strip.column_s
        left, right = self._x(first + start * column_s), self._x(first + stop * column_s)
        return max(left, 0.0), min(right, self.seconds * MM_PER_SECOND)

    def _bands(self) -> str:
        top, high = num(TOP), num(self.range.height)
        return "".join(
            f'<rect class="e-{level}" x="{num(a)}" y="{top}" width="{num(b - a)}" height="{high}"/>'
            for a, b, level in self._columns()
        )

    def _steps(self) -> str:
        """Evidence once more as steps, which need no colour, over a line where it was used."""
        base = TOP + self.range.height + STEPS - 0.5
        bars = "".join(
            f'<rect class="e-st" x="{num(a)}" y="{num(base - level)}" width="{num(b - a)}" '
            f'height="{level}"/>'
            for a, b, level in self._columns()
        )
        if not len(self.strip.evidence):
            return ""
        used = runs((~np.isnan(self.strip.evidence)).astype(np.int64))
        lines = []
        for start, stop, _ in used:
            a, b = self._clip(self.strip.evidence_start_s, start, stop)
            lines.append(f"M{num(a)} {num(base)}H{num(b)}")
        return bars + (f'<path class="e-u" d="{"".join(lines)}"/>' if lines else "")

    def _gaps(self) -> str:
        missing = np.isnan(self.millivolts).astype(np.int64)
        step = MM_PER_SECOND / self.rate_hz
        return "".join(
            f'<rect class="e-gap" x="{num(a * step)}" y="{num(TOP)}" width="{num((b - a) * step)}" '
            f'height="{num(self.range.height)}"/>'
            for a, b, _ in runs(missing)
        )

    def _trace(self) -> str:
        times, values = trace_points(self.millivolts, self.rate_hz)
        xs = np.round(times * MM_PER_SECOND, 2)
        ys = np.round(TOP + self.range.high - values * MM_PER_MV, 2)
        there = ~np.isnan(ys)
        path = []
        for start, stop, _ in runs(there.astype(np.int64)):
            x, y = xs[start:stop], ys[start:stop]
            steps = zip(np.diff(x).tolist(), np.diff(y).tolist(), strict=True)
            path.append(f"M{num(x[0])} {num(y[0])}")
            if stop - start > 1:
                path.append("l" + " ".join(f"{num(a)} {num(b)}" for a, b in steps))
        return f'<path class="e-w" d="{"".join(path)}"/>'

    def _axis(self) -> str:
        y = TOP + self.range.height + STEPS
        first, last = ceil(self.strip.start_s - 1e-6), floor(self.strip.end_s + 1e-6)
        ticks, labels = [], []
        for second in range(first, last + 1):
            x = self._x(second)
            ticks.append(f"M{num(x)} {num(y - 0.5)}v1.2")
            if x > self.seconds * MM_PER_SECOND - 6:
                continue  # half of it would be cut off
            labels.append(text(max(x, 0.3), y + 3.6, clock(second), "e-s" if x < 5 else "e-m e-s"))
        return f'<path class="e-k" d="{"".join(ticks)}"/>{"".join(labels)}'
