"""How a training went, as a file beside its network."""

from __future__ import annotations

import json
from pathlib import Path

from beatlens.checked_read import checked_read
from beatlens.output import write_whole
from beatlens.training.loop import History


def write_history(path: Path, history: History) -> None:
    """Write how a training went as JSON."""
    rows = {"best_step": history.best_step, "best_score": history.best_score, "rows": history.rows}
    write_whole(path, (json.dumps(rows, indent=1) + "\n").encode())


def read_history(path: Path) -> list[dict[str, float]]:
    """The validations of a training, as `write_history` wrote them.

    Raises `DataError` where the file is something else.
    """
    with checked_read(path, "a training's history", "delete it: a report does without"):
        rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
        return [{name: float(value) for name, value in row.items()} for row in rows]
