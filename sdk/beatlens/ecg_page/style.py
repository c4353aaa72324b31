"""The page's style sheet, without that of the drawings: `page.css` and the colours of levels."""

from pathlib import Path

from beatlens.report.levels import LEVEL_COLOURS

STYLE = Path(__file__).with_name("page.css").read_text(encoding="utf-8") + "".join(
    f".e-swatch-{level}{{background:{colour}}}\n" for level, colour in enumerate(LEVEL_COLOURS)
)
