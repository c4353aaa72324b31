"""The C engine on Cortex-M under QEMU: reference models, every bit of every vector."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from beatlens.firmware import KernelSet, lay_out, model_source
from beatlens.integer.tflite_read import read_tflite

from .boards import BOARDS, build, require_tools, run
from .compiled import ENGINE, HERE, source, write_c

ANCHORS = ("std_cam", "ds_cam", "tiny_cam")
ALL = 48
"""Windows of a reference model."""


def write_case(
    shared: Path,
    name: str,
    folder: Path,
    windows: int | None = None,
    kernels: KernelSet = "portable",
) -> list[Path]:
    """Sources of a program that compares a reference model's vectors."""
    graph = read_tflite((shared / f"{name}.tflite").read_bytes())
    model = write_c(model_source(lay_out(graph, kernels=kernels), "model"), folder, "model")
    with np.load(shared / f"{name}.npz") as vectors:
        x, evidence = vectors["input"][:windows], vectors["evidence"][:windows]
    lines = [
        f"#define WINDOWS {len(x)}",
        f"#define VALUES {evidence.size}",
        f"static const int8_t inputs[] = {{{', '.join(map(str, x.ravel()))}}};",
        f"static const int8_t expected[] = {{{', '.join(map(str, evidence.ravel()))}}};",
    ]
    (folder / "vectors.h").write_text("\n".join(lines) + "\n", encoding="ascii")
    return [*map(source, ENGINE), model, HERE / "board_main.c"]


@pytest.mark.parametrize("kernels", get_args(KernelSet))
@pytest.mark.parametrize("name", ANCHORS)
@pytest.mark.parametrize("core", [core for core in BOARDS if not core.endswith("-long")])
def test_no_value_differs(
    core: str, name: str, kernels: KernelSet, shared_dir: Path, tmp_path: Path
) -> None:
    require_tools()
    board = BOARDS.get(f"{core}-{kernels}", BOARDS[core])
    windows = ALL if kernels == board.core.kernels else 2  # QEMU takes its time
    sources = write_case(shared_dir / "anchors", name, tmp_path, windows, kernels)
    outcome = run(board, build(board, sources, tmp_path, f"-I{tmp_path}"))
    compared, different = map(int, outcome.text.split())
    assert (outcome.status, different) == (0, 0)
    assert compared == windows * {"std_cam": 79, "ds_cam": 79, "tiny_cam": 40}[name] * 5


def test_a_difference_is_seen(shared_dir: Path, tmp_path: Path) -> None:
    require_tools()
    sources = write_case(shared_dir / "anchors", "tiny_cam", tmp_path, windows=1)
    vectors = tmp_path / "vectors.h"
    head, numbers = vectors.read_text().rsplit("{", 1)
    first, rest = numbers.split(",", 1)
    vectors.write_text(f"{head}{{{(int(first) + 1) % 100},{rest}", encoding="ascii")
    outcome = run(BOARDS["m4"], build(BOARDS["m4"], sources, tmp_path, f"-I{tmp_path}"))
    assert outcome.status != 0
    assert outcome.text.split()[1] == "1"


def test_counts_of_instructions_repeat(shared_dir: Path, tmp_path: Path) -> None:
    require_tools()
    sources = write_case(shared_dir / "anchors", "tiny_cam", tmp_path, windows=1)
    program = build(BOARDS["m4"], sources, tmp_path, f"-I{tmp_path}")
    first, second = run(BOARDS["m4"], program), run(BOARDS["m4"], program)
    assert first.instructions == second.instructions > 100_000
