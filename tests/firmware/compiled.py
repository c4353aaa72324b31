"""Compiles C of the firmware for this machine, with the sanitizers on.

They end a program at the first overflow, undefined shift or access beside a block of memory.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from beatlens.firmware import CSource

from . import objects

FIRMWARE = Path(__file__).parents[2] / "firmware_export"
HERE = Path(__file__).parent
ENGINE = ("bl_net", "bl_kernels", "bl_pairs", "bl_long", "bl_taps", "bl_mve")
"""Sources of the network's engine."""
WARNINGS = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror")
SANITIZERS = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def source(name: str) -> Path:
    """A source of the firmware."""
    return FIRMWARE / "src" / f"{name}.c"


def write_c(made: CSource, folder: Path, name: str) -> Path:
    """Write NAME.h and NAME.c, and return the latter."""
    (folder / f"{name}.h").write_text(made.header, encoding="ascii")
    written = folder / f"{name}.c"
    written.write_text(made.source, encoding="ascii")
    return written


def compile_c(sources: Sequence[Path], to: Path, *options: str) -> Path:
    """Compile and link; skips the test, loudly, where there is no compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("NO C COMPILER (cc, gcc): the firmware's C was not tested")
    include = f"-I{FIRMWARE / 'include'}"
    flags = [*WARNINGS, *SANITIZERS, include, *options]
    if "-c" not in options:
        sources = objects.with_objects(compiler, flags, sources, objects.folder())
    command = [compiler, *flags, *sources, "-o", to]
    subprocess.run(command, check=True)
    return to


def run_c(program: Path, stdin: bytes, *arguments: str) -> bytes:
    """What a program writes; it has to end well."""
    done = subprocess.run([program, *arguments], input=stdin, capture_output=True, check=False)
    assert done.returncode == 0, (done.returncode, done.stderr.decode()[:2000])
    return done.stdout
