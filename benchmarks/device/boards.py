"""Cortex-M boards under QEMU: compile, run, count executed instructions.

Counts are exact and repeatable; they are not cycles.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from beatlens.c_source.files import c_folder
from beatlens.errors import BeatlensError
from beatlens.firmware.cores import CORES, Core

COMPILER = "arm-none-eabi-gcc"
EMULATOR = "qemu-system-arm"
OPTIONS = ("-std=c99", "-ffreestanding", "-nostdlib", "-ffunction-sections",
           "-Wall", "-Wextra", "-Werror", "-Wl,--gc-sections")  # fmt: skip
LIMIT_S = 300
_COUNT = re.compile(r"^instructions (\d+)\n", re.MULTILINE)


@dataclass(frozen=True)
class Board:
    """A board of QEMU's, its core, and where code and data lie."""

    machine: str
    core: Core
    code: int = 0
    data: int = 0x2000_0000


BOARDS: Mapping[str, Board] = {
    "m3": Board("mps2-an385", CORES["m3"]),
    "m4": Board("mps2-an386", CORES["m4"]),
    "m4-long": Board("mps2-an386", CORES["m4-long"]),
    "m7": Board("mps2-an500", CORES["m7"]),
    "m33": Board("mps2-an505", CORES["m33"], 0x1000_0000, 0x3800_0000),
    "m55": Board("mps3-an547", CORES["m55"]),
}


@dataclass(frozen=True)
class Outcome:
    """What a program wrote, how it ended, and how many instructions it took."""

    text: str
    status: int
    instructions: int


def missing_tools() -> list[str]:
    """Those of compiler, emulator and this machine's compiler that are not installed."""
    return [tool for tool in (COMPILER, EMULATOR, "cc") if shutil.which(tool) is None]


def port() -> Path:
    """Start, linker script and text for these boards."""
    return c_folder() / "ports" / "qemu"


def build(board: Board, sources: Sequence[Path], folder: Path, *options: str) -> Path:
    """Compile and link a program, with its `main`, for a board.

    Raises:
        BeatlensError: there is no compiler, or it refuses a source.
    """
    program = folder / "program.elf"
    layout = [f"-Wl,--defsym=CODE={board.code:#x}", f"-Wl,--defsym=DATA={board.data:#x}"]
    start = [port() / f"{name}.c" for name in ("startup", "semihost", "memory")]
    include = [f"-I{c_folder() / 'include'}", f"-I{port()}"]
    _run([COMPILER, *board.core.flags, board.core.optimise, *OPTIONS, *options, *include,
          *sources, *start, f"-T{port() / 'board.ld'}", *layout, "-lgcc",
          "-o", program])  # fmt: skip
    return program


def run(board: Board, program: Path) -> Outcome:
    """Run a program to its end.

    Raises:
        BeatlensError: the emulator is missing or did not count, or the program does not end.
    """
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "counted"  # its own file: a program's text shares no stream with it
        done = _try([EMULATOR, "-M", board.machine, "-nographic", "-monitor", "none",
                     "-serial", "none", "-semihosting-config", "enable=on,target=native",
                     "-plugin", _counter(), "-d", "plugin", "-D", log,
                     "-kernel", program])  # fmt: skip
        text = done.stdout + done.stderr
        counted = _COUNT.search(log.read_text(encoding="ascii") if log.exists() else "")
    if counted is None:
        raise BeatlensError(f"{EMULATOR}: counted no instructions: {text[:500]}")
    return Outcome(text, done.returncode, int(counted[1]))


@cache
def _counter() -> Path:
    """The plugin that counts, compiled for this machine."""
    made = Path(tempfile.mkdtemp(prefix="beatlens-")) / "libcount.so"
    _run(["cc", "-shared", "-fPIC", "-O2", port() / "count.c", "-o", made])
    return made


def _run(command: Sequence[str | Path]) -> None:
    done = _try(command)
    if done.returncode:
        raise BeatlensError(f"{command[0]}: {done.stderr.strip()[:1000]}")


def _try(command: Sequence[str | Path]) -> subprocess.CompletedProcess[str]:
    if shutil.which(command[0]) is None:
        raise BeatlensError(
            f"{command[0]}: not found, expected it on the path; Debian has it in gcc, "
            "gcc-arm-none-eabi and qemu-system-arm"
        )
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT_S)
    except subprocess.TimeoutExpired as error:
        raise BeatlensError(f"{command[0]}: did not end within {LIMIT_S} s") from error
