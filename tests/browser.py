"""Pages as Debian's chromium shows and prints them, measured in mm and px.

Tests that need it skip, and say so, where chromium or poppler is not installed.
"""

from __future__ import annotations

import html
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
PDFTOCAIRO = shutil.which("pdftocairo")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-component-update",
    "--disable-background-networking", "--disable-sync", "--hide-scrollbars",
)  # fmt: skip
MM_PER_PT = 25.4 / 72
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="NO CHROMIUM: the page is UNTESTED")
needs_print = pytest.mark.skipif(
    CHROMIUM is None or PDFTOCAIRO is None,
    reason="NO CHROMIUM OR POPPLER: the printed scale is UNTESTED",
)


@dataclass(frozen=True)
class Line:
    """A stroked path of a printed page: its points in mm from the page's top left corner."""

    page: int
    width: float
    colour: str
    points: tuple[tuple[float, float], ...]

    @property
    def size(self) -> tuple[float, float]:
        """Width and height in mm."""
        xs, ys = zip(*self.points, strict=True)
        return max(xs) - min(xs), max(ys) - min(ys)


def _run(folder: Path, *options: str) -> str:
    assert CHROMIUM is not None
    done = subprocess.run(
        [CHROMIUM, *FLAGS, f"--user-data-dir={folder / 'profile'}", *options],
        capture_output=True, text=True, check=True, timeout=180,
    )  # fmt: skip
    return done.stdout


def scroll_widths(pages: Sequence[tuple[str, int]], folder: Path) -> list[int]:
    """How wide pages are, in px, each in a window of a width; more than that scrolls sideways."""
    frames = "".join(
        f'<iframe style="border:0;width:{width}px;height:900px" srcdoc="{html.escape(page)}">'
        "</iframe>"
        for page, width in pages
    )
    file = folder / "frames.html"
    file.write_text(
        f'<!doctype html>{frames}<p id="o"></p><script>onload=()=>'
        '{document.getElementById("o").textContent=[...document.querySelectorAll("iframe")].map('
        "f=>f.contentDocument.documentElement.scrollWidth)}</script>",
        encoding="utf-8",
    )
    found = re.search(r'<p id="o">([\d,]+)</p>', _run(folder, "--dump-dom", file.as_uri()))
    assert found is not None
    return [int(width) for width in found[1].split(",")]


def printed_lines(page: Path, folder: Path) -> list[Line]:
    """All stroked paths of the page, printed to PDF at 100 %."""
    pdf = folder / "page.pdf"
    _run(folder, f"--print-to-pdf={pdf}", "--no-pdf-header-footer", page.as_uri())
    lines: list[Line] = []
    assert PDFTOCAIRO is not None
    for number in range(1, _pages(pdf) + 1):
        drawn = folder / "page.svg"
        subprocess.run(
            [PDFTOCAIRO, "-svg", "-f", str(number), "-l", str(number), pdf, drawn],
            check=True, timeout=120,
        )  # fmt: skip
        lines += _lines(drawn.read_text(encoding="utf-8"), number)
    return lines


def _pages(pdf: Path) -> int:
    done = subprocess.run(["pdfinfo", pdf], capture_output=True, text=True, check=True)
    found = re.search(r"^Pages:\s+(\d+)", done.stdout, re.MULTILINE)
    assert found is not None
    return int(found[1])


def _lines(svg: str, page: int) -> list[Line]:
    found = []
    for path in re.findall(r"<path [^>]*>", svg):
        width = re.search(r"stroke-width:([\d.]+)", path)
        colour = re.search(r"stroke:(rgb\([^)]*\))", path)
        data = re.search(r' d="([^"]*)"', path)
        if width is None or colour is None or data is None:
            continue
        matrix = re.search(r"matrix\(([^)]*)\)", path)
        a, b, c, d, e, f = map(float, matrix[1].split(",")) if matrix else (1, 0, 0, 1, 0, 0)
        numbers = [float(n) for n in re.findall(r"-?[\d.]+", data[1])]
        points = tuple(
            ((a * x + c * y + e) * MM_PER_PT, (b * x + d * y + f) * MM_PER_PT)
            for x, y in zip(numbers[::2], numbers[1::2], strict=True)
        )
        found.append(Line(page, float(width[1]), colour[1], points))
    return found
