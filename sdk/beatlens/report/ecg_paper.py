"""A strip drawn as ECG paper: inline SVG whose unit is the millimetre, true in print.

25 mm/s and 10 mm/mV, the 1 mV / 200 ms calibration pulse before the trace, 1 mm and 5 mm lines. The
teacher's panel is above the device's on one time axis; between them lie the reference annotation
and the agreement. Evidence stands behind the trace as bands, one per run of equal level, and again
below it as steps, which need no colour. All classes are drawn into one SVG, in groups of CSS class
`k0`, `k1`, ...; the page's style sheet decides which of them is seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor

import numpy as np

from beatlens.errors import DataError
from beatlens.report.levels import LEVEL_COLOURS, LEVEL_NAMES, level_edges, quantise, runs
from beatlens.report.svg import num, text
from beatlens.report.views import LONGEST_SECONDS, MM_PER_MV, MM_PER_SECOND, MapView, StripView
from beatlens.report.words import STATEMENT, agreement_text, clock, heading, reading, safe, short

LEFT, RIGHT = 20.0, 4.0
RIGHT_EDGE = LEFT + LONGEST_SECONDS * MM_PER_SECOND
WIDTH = RIGHT_EDGE + RIGHT
# Heights of the rows between the papers.
HEADER, BEATS, STEPS, TRUTH, AGREEMENT, AXIS, LEGEND = 6.0, 4.5, 3.6, 4.0, 7.5, 5.0, 5.5
# Two panels, all their rows and the caption fit A4 landscape (the front end's range is 6.35 mV
# either way; a trace that fills all of it is cut off, and says so).
TALLEST, FARTHEST = 55.0, 35.0

# `.trace`, `.g1` and `.g5` are drawn through <use>, where selectors do not see ancestors.
STYLE = """
.ecg text{font:2.9px system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;fill:#111}
.ecg .b{font-weight:700}.ecg .s{font-size:2.6px;fill:#333}.ecg .e{text-anchor:end}
.ecg .m{text-anchor:middle}.ecg .paper{fill:#fffdfb}
.ecg .frame{fill:none;stroke:#c97a7a;stroke-width:.2}
.g1{stroke:#f0c4c4;stroke-width:.08;fill:none}
.g5{stroke:#dd9a9a;stroke-width:.2;fill:none}
.trace{stroke:#000;stroke-width:.32;fill:none;stroke-linejoin:round}
.ecg .tick{stroke:#555;stroke-width:.2;fill:none}
.ecg .ref{stroke:#777;stroke-width:.45;fill:none}.ecg .ref.now{stroke:#000;stroke-width:.9}
.ecg .steps{fill:#1f5f99}.ecg .l1{fill:%s}.ecg .l2{fill:%s}.ecg .l3{fill:%s}
.ecg .swatch{stroke:#777;stroke-width:.15}.ecg .peak{fill:#000;stroke:#fff;stroke-width:.25}
.ecg .halo{paint-order:stroke;stroke:#fffdfb;stroke-width:1.2}
.ecg .chosen{stroke:#1f5f99;stroke-width:.6}
""" % LEVEL_COLOURS[1:]  # noqa: UP031  (braces are CSS here)


def strip_svg(
    view: StripView,
    edges: Mapping[str, Sequence[float]] | None = None,
    *,
    ident: str = "strip",
    shown: str | None = None,
) -> str:
    """Return the strip as one `<svg>` element, `WIDTH` mm wide, for a page that brings `STYLE`.

    All classes are in it, the i-th in groups of CSS class `ki` that the page hides or shows. With
    `shown` only that class is drawn and the SVG is a file of its own: name space, style, heading
    and a margin inside. `edges[class]` are the level edges; classes left out get them from this
    strip alone. `ident` must be unique in the page. Raises `DataError` where edges do not rise or
    the strip has no map for `shown`.
    """
    if shown is not None and shown not in view.classes:
        raise DataError(f"record {view.record} has maps for {view.classes}, not for {shown!r}")
    classes = view.classes if shown is None else (shown,)
    levels = {c: tuple((edges or {}).get(c) or level_edges([view], c)) for c in classes}
    sheet = _Sheet(view, classes, levels, ident)
    body = "".join(sheet.draw())
    left, top, width, height = 0.0, 0.0, WIDTH, sheet.height
    space = ""
    if shown is not None:
        # A file has no page around it: room, a white ground and the heading go inside.
        left, top, width, height = -3.0, -8.0, WIDTH + 6.0, sheet.height + 10.0
        space = 'xmlns="http://www.w3.org/2000/svg" '
        ground = f'x="{num(left)}" y="{num(top)}" width="{num(width)}" height="{num(height)}"'
        body = (
            f'<style>{STYLE}</style><rect {ground} fill="#fff"/>'
            f"{text(0, -3, heading(view), 'b')}{body}"
        )
    box = " ".join(map(num, (left, top, width, height)))
    name = safe(ident)
    words = " ".join(reading(view, c, levels[c][0]) for c in classes)
    return (
        f'<svg class="ecg" {space}width="{num(width)}mm" height="{num(height)}mm" viewBox="{box}" '
        f'role="img" aria-labelledby="{name}-t {name}-d"><title id="{name}-t">'
        f'{safe(heading(view))}</title><desc id="{name}-d">{safe(words)} {STATEMENT}</desc>'
        f"{body}</svg>"
    )


@dataclass(frozen=True)
class AmplitudeRange:
    """The amplitude a panel shows, in mm: whole 5 mm boxes around the zero line."""

    low: float
    high: float
    cut: bool

    @property
    def height(self) -> float:
        """Height of the paper."""
        return self.high - self.low


def amplitude_range(millivolts: np.ndarray) -> AmplitudeRange:
    """Return the boxes that hold the trace and the calibration mark, at most `TALLEST` mm."""
    mm = np.asarray(millivolts, dtype=float) * MM_PER_MV
    least, most = float(mm.min()), float(mm.max())
    low = max(min(5.0 * floor((least - 1.5) / 5.0), -5.0), -FARTHEST)
    high = min(max(5.0 * ceil((most + 1.5) / 5.0), 15.0), FARTHEST)
    if high - low > TALLEST:
        high, low = (high, high - TALLEST) if most >= -least else (low + TALLEST, low)
    return AmplitudeRange(low, high, least < low or most > high)


class _Sheet:
    """One pass from top to bottom; `y` is where the next row starts."""

    def __init__(
        self,
        view: StripView,
        classes: Sequence[str],
        edges: Mapping[str, Sequence[float]],
        ident: str,
    ) -> None:
        self.view, self.classes, self.edges, self.ident = view, classes, edges, safe(ident)
        self.range = amplitude_range(view.millivolts)
        self.height = 0.0

    def draw(self) -> Iterator[str]:
        yield self._definitions()
        y = 0.0
        for index, model in enumerate(self.view.models):
            yield from self._header(model, y)
            y += HEADER
            yield from self._beats(y)
            y += BEATS
            yield from self._paper(model, y)
            y += self.range.height
            yield from self._steps(model, y)
            y += STEPS
            if index == 0:
                for row in self._truth(y):
                    yield row
                    y += TRUTH
                if self.view.device is not None:
                    yield from self._agreement(y)
                    y += AGREEMENT
        yield from self._axis(y)
        yield from self._legend(y + AXIS)
        self.height = y + AXIS + LEGEND

    def _x(self, seconds: float) -> float:
        return LEFT + seconds * MM_PER_SECOND

    def _each_class(self, draw: Mapping[str, str]) -> Iterator[str]:
        for index, name in enumerate(self.classes):
            yield f'<g class="k k{index}">{draw[name]}</g>'

    def _definitions(self) -> str:
        """The trace and the grid once, with the zero line at y = 0; both panels use them."""
        mm = np.asarray(self.view.millivolts, dtype=float) * MM_PER_MV
        xs = np.round(LEFT + np.arange(len(mm)) * MM_PER_SECOND / self.view.rate_hz, 2)
        ys = np.round(-mm, 2)
        steps = zip(np.diff(xs), np.diff(ys), strict=True)
        trace = f"M{num(xs[0])} {num(ys[0])}l" + " ".join(f"{num(a)} {num(b)}" for a, b in steps)
        top, bottom, high = -self.range.high, -self.range.low, self.range.height
        fine = [f"M{x} {num(top)}v{num(high)}" for x in range(int(WIDTH) + 1) if x % 5]
        fine += [f"M0 {y}h{num(WIDTH)}" for y in range(int(top), int(bottom) + 1) if y % 5]
        bold = [f"M{x} {num(top)}v{num(high)}" for x in range(0, int(WIDTH) + 1, 5)]
        bold += [f"M0 {y}h{num(WIDTH)}" for y in range(int(top), int(bottom) + 1, 5)]
        pulse = f"M5 0h3v{num(-MM_PER_MV)}h{num(0.2 * MM_PER_SECOND)}v{num(MM_PER_MV)}h3"
        return (
            f'<defs><clipPath id="{self.ident}-c"><rect x="0" y="{num(top)}" width="{num(WIDTH)}" '
            f'height="{num(high)}"/></clipPath><g id="{self.ident}-g"><path class="g1" '
            f'd="{"".join(fine)}"/><path class="g5" d="{"".join(bold)}"/></g>'
            f'<g id="{self.ident}-w" clip-path="url(#{self.ident}-c)"><path class="trace" '
            f'd="{pulse}"/><path class="trace" d="{trace}"/></g></defs>'
        )

    def _header(self, model: MapView, y: float) -> Iterator[str]:
        yield text(0, y + 4, model.name, "b")
        lead = f"{self.view.lead}  " if self.view.lead else ""
        yield text(WIDTH, y + 4, f"{lead}25 mm/s  10 mm/mV", "s e")
        # The name to the left and the scale to the right leave 180 mm for the classes.
        step = min(47.0, 180.0 / len(self.classes))
        for index, name in enumerate(self.classes):
            present = model.present(name)
            mark, sign = ("■", "≥") if present else ("□", "<")
            said = (
                f"{mark} {short(name)} {model.probabilities[name]:.2f} "
                f"{sign} {model.thresholds[name]:.2f}"
            )
            yield text(50 + index * step, y + 4, said, "b" if present else "")
        lines = {
            name: f'<path class="chosen" d="M{num(50 + index * step)} {num(y + 5.1)}h33"/>'
            for index, name in enumerate(self.classes)
        }
        yield from self._each_class(lines)

    def _beats(self, y: float) -> Iterator[str]:
        yield text(0, y + 3.4, "beats", "s")
        ticks = []
        for time, symbol in self.view.beats:
            x = self._x(time - self.view.start_s)
            yield text(x, y + 3.4, symbol, "m s" if symbol == "N" else "m b")
            ticks.append(f"M{num(x)} {num(y + BEATS)}v-.8")
        yield f'<path class="tick" d="{"".join(ticks)}"/>' if ticks else ""

    def _paper(self, model: MapView, y: float) -> Iterator[str]:
        size = f'width="{num(WIDTH)}" height="{num(self.range.height)}"'
        yield f'<rect class="paper" y="{num(y)}" {size}/>'
        yield from self._each_class({c: self._bands(model, c, y) for c in self.classes})
        zero = num(y + self.range.high)
        yield f'<use href="#{self.ident}-g" y="{zero}"/><use href="#{self.ident}-w" y="{zero}"/>'
        yield f'<rect class="frame" y="{num(y)}" {size}/>'
        yield from self._each_class({c: self._peak(model, c, y) for c in self.classes})
        if self.range.cut:
            limits = f"{self.range.low / MM_PER_MV:g} to {self.range.high / MM_PER_MV:g} mV"
            yield text(RIGHT_EDGE, y + 3.5, f"trace cut off: shown {limits}", "b e halo")

    def _spans(self, model: MapView, name: str) -> Iterator[tuple[float, float, int]]:
        column = model.stride / self.view.rate_hz
        for start, stop, level in runs(quantise(model.evidence[name], self.edges[name])):
            # The last column may reach past the last sample.
            right = min(stop * column, self.view.seconds)
            yield self._x(start * column), self._x(right), level

    def _bands(self, model: MapView, name: str, y: float) -> str:
        top, high = num(y), num(self.range.height)
        return "".join(
            f'<rect class="l{level}" x="{num(a)}" y="{top}" width="{num(b - a)}" height="{high}"/>'
            for a, b, level in self._spans(model, name)
        )

    def _peak(self, model: MapView, name: str, y: float) -> str:
        peak = model.peak(name, self.edges[name][0])
        if peak is None:
            return ""
        x = self._x((peak + 0.5) * model.stride / self.view.rate_hz)
        return f'<path class="peak" d="M{num(x - 1.2)} {num(y + 0.2)}h2.4l-1.2 2.2z"/>'

    def _steps(self, model: MapView, y: float) -> Iterator[str]:
        yield text(0, y + 2.9, "evidence", "s")
        base = y + STEPS - 0.3
        yield f'<path class="tick" d="M{num(LEFT)} {num(base)}H{num(RIGHT_EDGE)}"/>'
        bars = {
            c: "".join(
                f'<rect class="steps" x="{num(a)}" y="{num(base - level)}" width="{num(b - a)}" '
                f'height="{level}"/>'
                for a, b, level in self._spans(model, c)
            )
            for c in self.classes
        }
        yield from self._each_class(bars)

    def _truth(self, y: float) -> Iterator[str]:
        """One row per class the reference marks; the shown class once more, bold."""
        known = [c for c in self.view.truth if self.view.truth[c]]
        for name in known:
            line = y + TRUTH / 2
            path = self._brackets(name, line)
            row = text(0, y + 3, f"ref. {short(name)}", "s") + f'<path class="ref" d="{path}"/>'
            if name in self.classes:
                index = self.classes.index(name)
                row += f'<g class="k k{index}"><path class="ref now" d="{path}"/></g>'
            yield row
            y += TRUTH
        if not known:
            said = "nothing marked in this strip" if self.view.truth else "not annotated"
            yield text(0, y + 3, f"reference: {said}", "s")

    def _brackets(self, name: str, y: float) -> str:
        path = []
        for start, stop in self.view.truth[name]:
            left, right = start - self.view.start_s, stop - self.view.start_s
            a, b = self._x(max(left, 0.0)), self._x(min(right, self.view.seconds))
            # An interval that goes on beyond the strip ends in an arrow head instead of a stroke.
            top = num(y - 1.2)
            first, last = f"M{num(a)} {top}v2.4", f"M{num(b)} {top}v2.4"
            if left < 0:
                first = f"M{num(a + 1.5)} {top}l-1.5 1.2 1.5 1.2"
            if right > self.view.seconds:
                last = f"M{num(b - 1.5)} {top}l1.5 1.2-1.5 1.2"
            path.append(f"{first}M{num(a)} {num(y)}H{num(b)}{last}")
        return "".join(path)

    def _agreement(self, y: float) -> Iterator[str]:
        x, line = (LEFT + RIGHT_EDGE) / 2, y + 4.6
        words = {c: text(x, line, agreement_text(self.view, c), "b m") for c in self.classes}
        yield from self._each_class(words)

    def _axis(self, y: float) -> Iterator[str]:
        seconds = range(floor(self.view.seconds) + 1)
        ticks = "".join(f"M{num(self._x(s))} {num(y)}v1.2" for s in seconds)
        yield f'<path class="tick" d="{ticks}"/>'
        yield text(0, y + 4, clock(self.view.start_s), "s")
        for s in seconds:
            yield text(self._x(s), y + 4, f"{s} s", "s m")

    def _legend(self, y: float) -> Iterator[str]:
        yield from self._each_class({c: self._key(c, y) for c in self.classes})

    def _key(self, name: str, y: float) -> str:
        low, *_ = edges = self.edges[name]
        parts = [text(0, y + 4, f"Evidence for {short(name)} (logit units):", "s")]
        x = 55.0
        for level, word in enumerate(LEVEL_NAMES):
            fill = "paper" if level == 0 else f"l{level}"
            sign = f"< {low:g}" if level == 0 else f"≥ {edges[level - 1]:g}"
            place = f'x="{num(x)}" y="{num(y + 1.4)}" width="5" height="3.2"'
            parts.append(f'<rect class="{fill} swatch" {place}/>')
            parts.append(text(x + 6.2, y + 4, f"{word}, {sign}", "s"))
            x += 31.0
        parts.append(f'<path class="peak" d="M{num(x)} {num(y + 1.9)}h2.4l-1.2 2.2z"/>')
        parts.append(text(x + 3.6, y + 4, "most", "s"))
        parts.append(text(WIDTH, y + 4, STATEMENT, "s b e"))
        return "".join(parts)
