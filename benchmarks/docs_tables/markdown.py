"""Tables as Markdown, and their places on a page.

>>> rows = [{"model": "m", "form": "int8", "seed": s, "ap": v} for s, v in [(0, 0.8), (1, 0.9)]]
>>> figures = Figures("python -m benchmarks", "abc1234", "simulated ECG", "any", rows)
>>> print(markdown_table(figures, [Column("ap", "AP")], ["model", "form"]).split("\\n\\n")[0])
| model | form | AP |
|:--|:--|--:|
| m | int8 | 0.850 [0.800, 0.900] |
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from beatlens.errors import DataError
from beatlens.report.files import write_atomic
from beatlens.report.tables import Column, Figures, make_table


def markdown_table(
    figures: Figures, columns: Sequence[Column | str], group_by: Sequence[str]
) -> str:
    """Return the aggregated table as Markdown, the command that made it below."""
    table = make_table(figures, columns, group_by)
    heads = [_plain(head) for head in table.columns]
    marks = [":--"] * len(group_by) + ["--:"] * (len(heads) - len(group_by))
    lines = [f"| {' | '.join(heads)} |", f"|{'|'.join(marks)}|"]
    lines += [f"| {' | '.join(_plain(cell) for cell in row)} |" for row in table.rows]
    ends = any("[" in cell for row in table.rows for cell in row)
    legend = "Mean [interval]. " if ends else ""
    return "\n".join(lines) + f"\n\n{legend}From {_code(table.command)}.\n"


def _plain(text: str) -> str:
    return re.sub(r"\s+", " ", text.replace("|", "\\|").replace("<", "&lt;"))


def _code(text: str) -> str:
    return "`" + re.sub(r"\s+", " ", text).replace("`", "'") + "`"


def fill_table(page: str | Path, marker: str, markdown: str) -> bool:
    """Replace what stands between `<!-- table:MARKER -->` and `<!-- /table:MARKER -->`.

    Returns whether the file changed; writes whole or not at all. Raises `DataError` where the file
    cannot be read or the two marks are not there exactly once, in this order.
    """
    first, last = f"<!-- table:{marker} -->", f"<!-- /table:{marker} -->"
    path = Path(page)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    counts = text.count(first), text.count(last)
    if counts != (1, 1) or text.index(first) > text.index(last):
        raise DataError(
            f"{path}: found {counts[0]} of {first!r} and {counts[1]} of {last!r}; expected one of "
            "each, in this order, around the place of the table"
        )
    head, rest = text.split(first)
    changed = f"{head}{first}\n{markdown.strip()}\n{last}{rest.split(last)[1]}"
    if changed == text:
        return False
    write_atomic(path, changed)
    return True
