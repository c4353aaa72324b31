"""Boards for tests: what `benchmarks.device.boards` has, skipping loudly without the tools."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.device import boards
from benchmarks.device.boards import (
    BOARDS,
    COMPILER,
    OPTIONS,
    Board,
    Outcome,
    missing_tools,
    run,
)

from . import objects

__all__ = ["BOARDS", "COMPILER", "Board", "Outcome", "build", "require_tools", "run"]


def require_tools() -> None:
    """Skip the test, loudly, where compiler or emulator are missing."""
    if missing := missing_tools():
        pytest.skip(f"NO {', '.join(missing)}: the firmware was not run on Cortex-M")


def build(board: Board, sources: Sequence[Path], folder: Path, *options: str) -> Path:
    """As `benchmarks.device.boards.build`; the library's sources are compiled once a run."""
    flags = [*board.core.flags, board.core.optimise, *OPTIONS, *options]
    made = objects.with_objects(COMPILER, flags, sources, objects.folder())
    return boards.build(board, made, folder, *options)
