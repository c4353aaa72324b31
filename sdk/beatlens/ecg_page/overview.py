"""The whole recording on one small drawing: heart rate, where each class is, and bad signal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from beatlens.ecg_page.collect import BeatsCollected, Collected, SpansCollected
from beatlens.ecg_page.strips import Strip
from beatlens.ecg_page.summary import Summary
from beatlens.ecg_page.words import clock
from beatlens.report.svg import num, text
from beatlens.signals.heart_rate import windowed_rates

WIDE, NARROW = 266.0, 95.0
RATE, ROW, BAD, AXIS, MARKS = 23.0, 8.0, 5.0, 6.0, 5.5
RIGHT = 4.0
HALF_LABEL = 6.5
"""Half of the width of a time's label, mm."""
STEPS_S = (
    *(1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800),
    *(3600, 7200, 10_800, 14_400, 21_600, 43_200, 86_400),
)

STYLE = """
.o-t{font:2.8px system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;fill:#333}
.o-b{font-weight:700;fill:#000}.o-m{text-anchor:middle}.o-e{text-anchor:end}
.o-l{stroke:#ddd;stroke-width:.15;fill:none}.o-x{stroke:#777;stroke-width:.2;fill:none}
.o-r{stroke:#1f5f99;stroke-width:.35;fill:none;stroke-linejoin:round}.o-a{fill:#cfe3f5}
.o-c{fill:#1f5f99}.o-bad{fill:#8a8a8a}.o-n{fill:#fff;stroke:#333;stroke-width:.2}
"""


@dataclass(frozen=True)
class _Row:
    """One class over time: its label, what is most in a bin, and each bin's height, 0 to 1."""

    label: str
    most: str
    heights: NDArray[np.float64]


def overview_svg(
    collected: Collected, summary: Summary, strips: Sequence[Strip], *, narrow: bool
) -> str:
    """The overview as one `<svg>`; `narrow` for phones, else as wide as a strip.

    `strips` are marked with their numbers, from 1 on.
    """
    width = NARROW if narrow else WIDE
    left = 17.0 if narrow else 29.0
    return _Overview(collected, summary, strips, width, left, narrow).svg()


def tick_step(seconds: float, most: int) -> int:
    """Seconds between ticks so that there are at most `most` of them.

    >>> tick_step(1806, 10), tick_step(86_400, 4), tick_step(30, 10)
    (300, 21600, 5)
    """
    return next((step for step in STEPS_S if seconds / step <= most), STEPS_S[-1])


class _Overview:
    def __init__(
        self,
        collected: Collected,
        summary: Summary,
        strips: Sequence[Strip],
        width: float,
        left: float,
        narrow: bool,
    ) -> None:
        self.collected, self.summary, self.strips = collected, summary, strips
        self.width, self.left, self.narrow = width, left, narrow
        self.plot = width - left - RIGHT
        self.seconds = max(summary.seconds, 1.0)
        self.bin_s = max(self.seconds / self.plot, self._least_bin_s())
        self.edges = np.append(np.arange(0, self.seconds, self.bin_s), self.seconds)

    def svg(self) -> str:
        parts, y = [], 0.0
        if self.strips:
            parts.append(self._strip_marks())
            y += MARKS
        parts.append(self._rate(y))
        y += RATE + 2
        for row in self._rows():
            parts.append(self._class_row(row, y))
            y += ROW
        parts.append(self._bad(y))
        y += BAD
        parts.append(self._axis(y))
        y += AXIS
        kind = "o-narrow" if self.narrow else "o-wide"
        return (
            f'<svg class="{kind}" width="{num(self.width)}mm" height="{num(y)}mm" '
            f'viewBox="0 0 {num(self.width)} {num(y)}" role="img" '
            f'aria-label="Heart rate, classes and signal quality over the recording">'
            f"{''.join(parts)}</svg>"
        )

    def _least_bin_s(self) -> float:
        """A bin holds at least one decision, so that bars do not look like a comb."""
        if isinstance(self.collected, SpansCollected):
            starts = self.collected.starts_s
            return float(np.median(np.diff(starts))) if len(starts) > 1 else self.seconds
        return 1.0

    def _x(self, seconds: float) -> float:
        return self.left + self.plot * min(max(seconds, 0.0), self.seconds) / self.seconds

    def _strip_marks(self) -> str:
        """Numbers of strips; where two would overlap the later one moves to the right."""
        parts, free = [], 0.0
        order = sorted(range(len(self.strips)), key=lambda i: self.strips[i].start_s)
        for i in order:
            strip = self.strips[i]
            x = self._x((strip.start_s + strip.end_s) / 2)
            shown = max(x, free)
            if shown > self.width - 1.5:
                continue
            free = shown + 4.4
            number = i + 1
            parts.append(
                f'<a href="#strip-{number}"><circle class="o-n" cx="{num(shown)}" cy="2.2" r="2"/>'
                f"{text(shown, 3.2, str(number), 'o-t o-m')}</a>"
                f'<path class="o-x" d="M{num(shown)} 4.2L{num(x)} 5.2"/>'
            )
        return "".join(parts)

    def _rate(self, y: float) -> str:
        middles, rates = windowed_rates(self.summary.peaks_s, self.summary.breaks)
        if not len(rates):
            return text(self.left, y + 8, "heart rate: fewer than 9 R peaks in a row", "o-t")
        low = 20 * int(rates.min() // 20)
        high = max(20 * int(-(-rates.max() // 20)), low + 20)

        def at(rate: float) -> float:
            return y + 2 + (RATE - 3) * (high - rate) / (high - low)

        label = text(0, y + 5, "rate" if self.narrow else "heart rate", "o-t o-b")
        if not self.narrow:
            label += text(0, y + 9, "a minute", "o-t")
        lines = []
        step = 20 if high - low <= 80 else 40
        for rate in range(low, high + 1, step):
            lines.append(
                f'<path class="o-l" d="M{num(self.left)} {num(at(rate))}h{num(self.plot)}"/>'
            )
            label += text(self.left - 1, at(rate) + 1, str(rate), "o-t o-e")
        return label + "".join(lines) + self._trend(middles, rates, at)

    def _trend(
        self, middles: NDArray[np.float64], rates: NDArray[np.float64], at: Callable[[float], float]
    ) -> str:
        if len(rates) <= 2 * self.plot:
            points = [(t, r) for t, r in zip(middles.tolist(), rates.tolist(), strict=True)]
            return f'<path class="o-r" d="{self._line(points, at, 15.0)}"/>'
        bins = np.minimum((middles / self.bin_s).astype(np.int64), len(self.edges) - 2)
        band, line = [], []
        for number in np.unique(bins):
            inside = rates[bins == number]
            start, end = self._x(self.edges[number]), self._x(self.edges[number + 1])
            top, bottom = at(float(inside.max())), at(float(inside.min()))
            band.append(
                f'<rect class="o-a" x="{num(start)}" y="{num(top)}" width="{num(end - start)}" '
                f'height="{num(max(bottom - top, 0.2))}"/>'
            )
            middle = float(self.edges[number] + self.edges[number + 1]) / 2
            line.append((middle, float(inside.mean())))
        gap = max(15.0, 2.5 * self.bin_s)
        return "".join(band) + f'<path class="o-r" d="{self._line(line, at, gap)}"/>'

    def _line(
        self, points: list[tuple[float, float]], at: Callable[[float], float], gap: float
    ) -> str:
        path: list[str] = []
        before: float | None = None
        for time_s, rate in points:
            pen = "L" if before is not None and time_s - before <= gap else "M"
            path.append(f"{pen}{num(self._x(time_s))} {num(at(rate))}")
            before = time_s
        return "".join(path)

    def _rows(self) -> list[_Row]:
        collected = self.collected
        if isinstance(collected, BeatsCollected):
            times, classes = collected.times_s, collected.classes
            return [
                self._counted(name, times[classes == number], "beat")
                for number, name in enumerate(collected.bundle.classes)
                if number
            ]
        if isinstance(collected, SpansCollected):
            decisions = collected.decisions
            middles = (collected.starts_s + collected.ends_s) / 2
            return [
                self._counted(name, middles[decisions[:, number] == 1], "span")
                for number, name in enumerate(collected.bundle.classes)
            ]
        return []

    def _counted(self, name: str, times: NDArray[np.float64], unit: str) -> _Row:
        counts = np.histogram(np.minimum(times, self.seconds), self.edges)[0]
        most = int(counts.max(initial=0))
        minutes = self.bin_s / 60
        each = f"{self.bin_s:.0f} s" if minutes < 2 else f"{minutes:.0f} min"
        shown = f"most {most:,}" if self.narrow else f"most {most:,} in {each}"
        if not most:
            shown = "none"
        most_letters = 8 if self.narrow else 13
        label = name.upper() if len(name) <= most_letters else f"{name.upper()[:most_letters]}…"
        return _Row(label, shown, counts / max(most, 1))

    def _class_row(self, row: _Row, y: float) -> str:
        base, tall = y + ROW - 1, ROW - 2
        bars = []
        for number in np.flatnonzero(row.heights):
            start, end = self._x(self.edges[number]), self._x(self.edges[number + 1])
            height = max(float(row.heights[number]) * tall, 0.6)
            bars.append(
                f'<rect class="o-c" x="{num(start)}" y="{num(base - height)}" '
                f'width="{num(max(end - start, 0.4))}" height="{num(height)}"/>'
            )
        line = f'<path class="o-l" d="M{num(self.left)} {num(base)}h{num(self.plot)}"/>'
        label = text(0, y + 4, row.label, "o-t o-b") + text(0, y + 7.2, row.most, "o-t")
        return line + "".join(bars) + label

    def _bad(self, y: float) -> str:
        label = text(0, y + 3.4, "no signal" if self.narrow else "no usable signal", "o-t")
        line = f'<path class="o-l" d="M{num(self.left)} {num(y + 4)}h{num(self.plot)}"/>'
        bars = "".join(
            f'<rect class="o-bad" x="{num(self._x(a))}" y="{num(y + 1)}" '
            f'width="{num(max(self._x(b) - self._x(a), 0.3))}" height="3"/>'
            for a, b in self.summary.breaks[:2000]
        )
        return label + line + bars

    def _axis(self, y: float) -> str:
        step = tick_step(self.seconds, 4 if self.narrow else 10)
        parts = [f'<path class="o-x" d="M{num(self.left)} {num(y)}h{num(self.plot)}"/>']
        free = 0.0
        for second in range(0, int(self.seconds) + 1, step):
            x = self._x(second)
            parts.append(f'<path class="o-x" d="M{num(x)} {num(y)}v1.2"/>')
            middle = min(x, self.width - HALF_LABEL)
            if middle - HALF_LABEL >= free:
                parts.append(text(middle, y + 4.4, clock(second), "o-t o-m"))
                free = middle + HALF_LABEL + 1
        if not self.narrow:
            parts.append(text(0, y + 4.4, "h:mm:ss", "o-t"))
        return "".join(parts)
