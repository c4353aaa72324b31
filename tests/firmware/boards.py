"""Boards for tests: what `benchmarks.device.boards` has, skipping loudly without the tools."""

from __future__ import annotations

import pytest

from benchmarks.device.boards import BOARDS, COMPILER, Board, Outcome, build, missing_tools, run

__all__ = ["BOARDS", "COMPILER", "Board", "Outcome", "build", "require_tools", "run"]


def require_tools() -> None:
    """Skip the test, loudly, where compiler or emulator are missing."""
    if missing := missing_tools():
        pytest.skip(f"NO {', '.join(missing)}: the firmware was not run on Cortex-M")
