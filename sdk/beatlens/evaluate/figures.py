"""Figures files: what a benchmark measured, with where, when and by which command."""

from __future__ import annotations

import json
import math
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from beatlens.checked_read import checked_read
from beatlens.output import write_whole, writing


def write_figures(path: Path, command: str, data: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write `{"command", "commit", "data", "machine", "rows"}`, whole or not at all.

    Numbers that are not finite become null: a figure that does not exist is not a number.
    """
    content = {
        "command": command,
        "commit": commit(),
        "data": data,
        "machine": machine(),
        "rows": [{key: _plain(value) for key, value in row.items()} for row in rows],
    }
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, text.encode())


def merge_figures(
    path: Path, command: str, data: str, rows: Sequence[Mapping[str, Any]], key: Sequence[str]
) -> None:
    """As `write_figures`, keeping the file's older rows but those that differ in no `key` column.

    For benchmarks whose rows are measured one recipe at a time.
    """
    older: list[Mapping[str, Any]] = []
    if path.exists():
        with checked_read(path, "a figures file", "delete it, or name another folder"):
            older = [dict(row) for row in json.loads(path.read_text(encoding="utf-8"))["rows"]]
    new = {tuple(row[column] for column in key) for row in rows}
    kept = [row for row in older if tuple(row[column] for column in key) not in new]
    write_figures(path, command, data, [*kept, *rows])


def commit() -> str:
    """Short hash of the checkout this code runs from, with `+` where it has changes."""
    here = Path(__file__).parent
    try:
        head = subprocess.run(
            ["git", "-C", str(here), "rev-parse", "--short", "HEAD"],
            capture_output=True, text=True, check=True,
        ).stdout.strip()  # fmt: skip
        dirty = subprocess.run(
            ["git", "-C", str(here), "status", "--porcelain", "--", str(here)],
            capture_output=True, text=True, check=True,
        ).stdout.strip()  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return "not a git checkout"
    return head + ("+" if dirty else "")


def machine() -> str:
    """Processor, cores and Python of this machine."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(s.split(":", 1)[1].strip() for s in lines if s.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.machine()
    return f"{name}, {os.cpu_count()} cores, Python {platform.python_version()}"


def _plain(value: Any) -> Any:
    if isinstance(value, str | bool | int) or value is None:
        return value
    number = float(value)
    return round(number, 6) if math.isfinite(number) else None
