"""`python -m benchmarks decoder`: what the C decoder of packed weights costs on a microcontroller.

Compiled for each core as firmware compiles it; nothing is run. Flash is code and constants, RAM the
state a caller keeps (a row buffer comes on top), stack the deepest chain of calls as the compiler
counts frames (`-fcallgraph-info=su`; the decoder does not recurse, so the figure is exact).
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from beatlens.errors import ModelError

FIRMWARE = Path(__file__).parents[2] / "firmware_export"
COMPILER = "arm-none-eabi-gcc"
CORES = ("cortex-m0plus", "cortex-m4", "cortex-m33", "cortex-m55")
OPTIONS = ("-std=c99", "-mthumb", "-Os", "-ffreestanding", "-Wall", "-Wextra", "-Werror")
STATE_PROBE = '#include "bl_unpack.h"\nchar state[sizeof(bl_unpack)];\n'
_NODE = re.compile(r'node: \{ title: "([^"]+)" label: "[^"]*\\n(\d+) bytes')
_EDGE = re.compile(r'edge: \{ sourcename: "([^"]+)" targetname: "([^"]+)"')


def has_compiler() -> bool:
    """Whether the compiler for microcontrollers is installed."""
    return shutil.which(COMPILER) is not None


def decoder_sizes(firmware: Path = FIRMWARE) -> list[dict[str, Any]]:
    """Rows `core, flash_bytes, state_bytes, stack_bytes, compiler` of the decoder, one per core.

    Raises ModelError if there is no compiler, or it refuses the source.
    """
    if not has_compiler():
        raise ModelError(
            f"{COMPILER}: not found; the decoder's size is measured with it "
            "(Debian: apt install gcc-arm-none-eabi)"
        )
    version = _run([COMPILER, "-dumpfullversion"]).strip()
    return [{**_sizes(firmware, core), "compiler": f"{COMPILER} {version}"} for core in CORES]


def _sizes(firmware: Path, core: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        compiled = folder / "unpack.o"
        source = firmware / "src" / "bl_unpack.c"
        _compile(firmware, core, source, compiled, "-fcallgraph-info=su")
        probe = folder / "probe.c"
        probe.write_text(STATE_PROBE, encoding="ascii")
        _compile(firmware, core, probe, folder / "probe.o")
        return {
            "core": core,
            "flash_bytes": _text_and_data(compiled),
            "state_bytes": _bss(folder / "probe.o"),
            "stack_bytes": deepest_stack(compiled.with_suffix(".ci").read_text(encoding="utf-8")),
        }


def _compile(firmware: Path, core: str, source: Path, to: Path, *more: str) -> None:
    include = f"-I{firmware / 'include'}"
    core_option = f"-mcpu={core}"
    _run([COMPILER, core_option, *OPTIONS, *more, include, "-c", str(source), "-o", str(to)])


def _text_and_data(compiled: Path) -> int:
    text, data, _ = _size(compiled)
    return text + data


def _bss(compiled: Path) -> int:
    return _size(compiled)[2]


def _size(compiled: Path) -> tuple[int, int, int]:
    """Bytes of code and constants, of initialised data, of zeroed data."""
    line = _run([COMPILER.replace("gcc", "size"), str(compiled)]).splitlines()[1].split()
    return int(line[0]), int(line[1]), int(line[2])


def deepest_stack(callgraph: str) -> int:
    """Bytes of the deepest chain of frames in what `-fcallgraph-info=su` wrote.

    Functions it has no frame of are the compiler's own helpers, and count as nothing.

    >>> deepest_stack('''node: { title: "a" label: "a\\\\nx.c:1:1\\\\n8 bytes (static)" }
    ... node: { title: "b" label: "b\\\\nx.c:2:1\\\\n16 bytes (static)" }
    ... edge: { sourcename: "b" targetname: "a" label: "x.c:3:1" }''')
    24
    """
    frames = {name: int(size) for name, size in _NODE.findall(callgraph)}
    calls: dict[str, set[str]] = {name: set() for name in frames}
    for caller, callee in _EDGE.findall(callgraph):
        if callee in frames:
            calls[caller].add(callee)

    def depth(name: str, above: tuple[str, ...]) -> int:
        if name in above:
            raise ModelError(f"{name} calls itself; the stack it needs has no bound")
        chain = (*above, name)
        return frames[name] + max((depth(callee, chain) for callee in calls[name]), default=0)

    return max((depth(name, ()) for name in frames), default=0)


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ModelError(f"{' '.join(command[:3])} ...: {done.stderr.strip()[:500]}")
    return done.stdout
