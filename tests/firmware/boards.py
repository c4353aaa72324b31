"""Cortex-M boards under QEMU: compile, run, count executed instructions.

Counts are exact and repeatable; they are not cycles.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from beatlens.firmware import KernelSet

from .compiled import FIRMWARE

PORT = FIRMWARE / "ports" / "qemu"
COMPILER = "arm-none-eabi-gcc"
EMULATOR = "qemu-system-arm"
OPTIONS = (
    "-std=c99",
    "-mthumb",
    "-O2",
    "-ffreestanding",
    "-nostdlib",
    "-Wall",
    "-Wextra",
    "-Werror",
)
LIMIT_S = 300


@dataclass(frozen=True)
class Board:
    """A board of QEMU's, its core, that one's kernels, and where code and data lie."""

    machine: str
    cpu: str
    kernels: KernelSet = "dsp"
    code: int = 0
    data: int = 0x2000_0000
    options: tuple[str, ...] = ()


BOARDS = {
    "m3": Board("mps2-an385", "cortex-m3", "portable"),
    "m4": Board("mps2-an386", "cortex-m4"),
    "m7": Board("mps2-an500", "cortex-m7"),
    "m33": Board("mps2-an505", "cortex-m33", "dsp", 0x1000_0000, 0x3800_0000),
    # Compilers use vectors with a hardware floating point ABI only.
    "m55": Board("mps3-an547", "cortex-m55", "mve", options=("-mfloat-abi=hard",)),
}


@dataclass(frozen=True)
class Outcome:
    """What a program wrote, how it ended, and how many instructions it took."""

    text: str
    status: int
    instructions: int


def require_tools() -> None:
    """Skip the test, loudly, where compiler or emulator are missing."""
    for tool in (COMPILER, EMULATOR):
        if shutil.which(tool) is None:
            pytest.skip(f"NO {tool}: the firmware was not run on Cortex-M")


def build(board: Board, sources: Sequence[Path], folder: Path, *options: str) -> Path:
    """A program for a board."""
    program = folder / f"{board.cpu}.elf"
    port = [PORT / "startup.c", PORT / "semihost.c"]
    layout = [f"-Wl,--defsym=CODE={board.code:#x}", f"-Wl,--defsym=DATA={board.data:#x}"]
    subprocess.run(
        [COMPILER, f"-mcpu={board.cpu}", *board.options, *OPTIONS, *options,
         f"-I{FIRMWARE / 'include'}",
         f"-I{PORT}", *sources, *port, f"-T{PORT / 'board.ld'}", *layout, "-lgcc", "-o", program],
        check=True,
    )  # fmt: skip
    return program


def run(board: Board, program: Path) -> Outcome:
    """Run a program to its end."""
    done = subprocess.run(
        [EMULATOR, "-M", board.machine, "-nographic", "-monitor", "none", "-serial", "none",
         "-semihosting-config", "enable=on,target=native", "-plugin", counter(), "-d", "plugin",
         "-kernel", program],
        capture_output=True, text=True, check=False, timeout=LIMIT_S,
    )  # fmt: skip
    counted = re.search(r"instructions (\d+)", done.stderr + done.stdout)
    assert counted is not None, done.stderr[:2000]
    text = re.sub(r"instructions \d+\n", "", done.stderr + done.stdout)
    return Outcome(text, done.returncode, int(counted[1]))


@cache
def counter() -> Path:
    """The plugin that counts, compiled for this machine."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("NO C COMPILER (cc, gcc): the counting plugin was not made")
    made = Path(tempfile.mkdtemp()) / "libcount.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O2", PORT / "count.c", "-o", made], check=True)
    return made
