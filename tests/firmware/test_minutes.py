"""One decision a minute in C: the same minutes as in Python."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from beatlens.runtime import host_build
from beatlens.tasks.windows.minutes import Minutes

from .compiled import HERE, compile_c, run_c, source

pytestmark = [
    pytest.mark.export,
    pytest.mark.skipif(not host_build.has_compiler(), reason="NO C COMPILER: UNTESTED"),
]


def findings(seed: int) -> list[tuple[int, int, int, int]]:
    """Start and columns, whether assessable and found: long spells, and gaps of minutes."""
    rng = np.random.default_rng(seed)
    made, start, share, usable = [], 0, 0.5, 1.0
    for _ in range(900):
        if rng.random() < 0.02:
            share, usable = rng.random(), rng.choice([0.05, 0.9, 1.0])
        if rng.random() < 0.005:
            columns = int(rng.integers(160, 6000))
            made.append((start, columns, 0, 0))
            start += columns
        made.append((start, 160, int(rng.random() < usable), int(rng.random() < share)))
        start += 16
    return made


@pytest.mark.parametrize("seed", range(3))
def test_minutes_are_those_of_python(seed: int, tmp_path: Path) -> None:
    made = findings(seed)
    program = compile_c([HERE / "minutes_harness.c", source("bl_minutes")], tmp_path / "minutes")
    lines = "\n".join(" ".join(map(str, row)) for row in made)
    told = [tuple(map(int, line.split())) for line in run_c(program, lines.encode()).split(b"\n")
            if line]  # fmt: skip
    minutes, wanted = Minutes("afib"), []
    for start, columns, assessable, found in made:
        middle_s = (start + columns / 2) / 16
        wanted += minutes.add(middle_s, bool(assessable), bool(found))
    wanted += minutes.end()
    assert told == [(m.start_s // 60, m.windows, m.found, m.known, m.inside) for m in wanted]
    assert len({m.inside for m in wanted}) == 2
