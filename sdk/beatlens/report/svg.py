"""Numbers and texts of an SVG whose unit is the millimetre."""

from __future__ import annotations

from beatlens.report.words import safe


def num(value: float) -> str:
    """Return a coordinate in mm with at most two decimals and no more characters than needed.

    >>> num(0.5), num(-3.0), num(-0.001)
    ('.5', '-3', '0')
    """
    short = f"{value:.2f}".rstrip("0").rstrip(".")
    short = short.replace("0.", ".", 1) if short.startswith(("0.", "-0.")) else short
    return "0" if short in ("", "-", "-0") else short


def text(x: float, y: float, content: str, classes: str = "") -> str:
    """Return a `<text>` at a place, its content escaped."""
    style = f' class="{classes}"' if classes else ""
    return f'<text x="{num(x)}" y="{num(y)}"{style}>{safe(content)}</text>'
