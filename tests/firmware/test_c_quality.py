"""The firmware's C as compilers and checkers see it: no warning, nothing of libc, no state.

Every source of the library is looked at, new ones too, and one model with its sensor and task as
the generator writes them.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from beatlens.firmware import sensor_source
from beatlens.signals.frontend import FrontEnd
from beatlens.tasks.windows.c_task import window_task_source
from benchmarks.device import measure

from ..runtime.conftest import make_bundle
from .compiled import FIRMWARE, HERE, WARNINGS, write_c

SOURCES = sorted((FIRMWARE / "src").glob("*.c"))
HEADERS = sorted((FIRMWARE / "include").glob("*.h"))
QEMU = FIRMWARE / "ports" / "qemu"
CORES = ("m0", "m3", "m4", "m7", "m33", "m55")
CHECKS = "--enable=warning,style,performance,portability"

COPIES = {"memcpy", "memmove", "memset"}
"""What a compiler may make of a loop or an assignment, freestanding or not."""
DIVISION = {"__aeabi_idiv", "__aeabi_idivmod", "__aeabi_uidiv", "__aeabi_uidivmod"}
"""The M0 has no divider,"""
LONG = {"__aeabi_lmul", "__aeabi_lasr", "__aeabi_llsl", "__aeabi_llsr"}
"""and no product or, compiled for size, shift of 64 bits."""
SWITCH = {"__gnu_thumb1_case_sqi", "__gnu_thumb1_case_uqi", "__gnu_thumb1_case_shi",
          "__gnu_thumb1_case_uhi", "__gnu_thumb1_case_si"}  # fmt: skip
"""Tables of jumps, of the M0 when compiled for size."""
HELPERS = {"m0": DIVISION | LONG | SWITCH}
FORBIDDEN = re.compile(r"malloc|calloc|realloc|free|printf|__aeabi_[fd]|__(add|sub|mul|div)[sd]f3")


def require(*tools: str) -> None:
    """Skip, loudly, where a tool is missing."""
    for tool in tools:
        if shutil.which(tool) is None:
            pytest.skip(f"NO {tool}: the firmware's C was not checked with it")


def run_tool(*command: str | Path) -> str:
    """The output of a tool, which must not fail."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A model, its task and a sensor as C."""
    folder = tmp_path_factory.mktemp("generated")
    made = window_task_source(
        make_bundle("residual", tmp_path_factory.mktemp("bundle") / "b"), "strips"
    )
    sensor = sensor_source(FrontEnd(250, 200.0, (-2048, 2047)), "chest")
    parts = {"strips": made.task, "strips_net": made.net, "chest": sensor}
    return [write_c(part, folder, name) for name, part in parts.items()]


def compile_all(command: Sequence[str], sources: Sequence[Path], folder: Path) -> None:
    """Compile each source to an object, warnings being errors."""
    for source in sources:
        run_tool(*command, f"-I{FIRMWARE / 'include'}", f"-I{source.parent}", "-c", source,
             "-o", folder / f"{source.stem}.o")  # fmt: skip


@pytest.mark.parametrize("level", ["-Os", "-O3"])
def test_gcc_has_no_warning(level: str, generated: list[Path], tmp_path: Path) -> None:
    """Some of its warnings come from how it optimises."""
    require("gcc")
    compile_all(["gcc", *WARNINGS, "-ffreestanding", level], [*SOURCES, *generated], tmp_path)


def test_clang_has_no_warning(generated: list[Path], tmp_path: Path) -> None:
    """Its warnings come from what it reads, at any level."""
    require("clang")
    command = ["clang", *WARNINGS, "-ffreestanding", "-fsyntax-only"]
    compile_all(command, [*SOURCES, *generated], tmp_path)


def test_the_port_compiles_without_a_warning(tmp_path: Path) -> None:
    """Its vector table holds functions as pointers to data, which pedantic C does not know."""
    require(f"{measure.PREFIX}gcc")
    warnings = [option for option in WARNINGS if option != "-Wpedantic"]
    command = [f"{measure.PREFIX}gcc", *warnings, "-ffreestanding", "-mthumb", "-mcpu=cortex-m4"]
    compile_all(command, [QEMU / "startup.c", QEMU / "semihost.c"], tmp_path)
    if shutil.which("gcc"):
        compile_all(["gcc", *WARNINGS, "-fPIC"], [QEMU / "count.c"], tmp_path)


@pytest.mark.parametrize("compiler", ["g++", "clang++"])
def test_headers_are_cpp_headers_too(compiler: str, generated: list[Path], tmp_path: Path) -> None:
    require(compiler)
    headers = [*HEADERS, *(source.with_suffix(".h") for source in generated)]
    for header in headers:  # each by itself: it includes what it needs
        unit = tmp_path / f"{header.stem}.cpp"
        unit.write_text(f'#include "{header.name}"\n#include "{header.name}"\n', encoding="ascii")
        for standard in ("-std=c++11", "-std=c++20"):
            run_tool(compiler, standard, "-Wall", "-Wextra", "-Werror", "-fsyntax-only",
                 f"-I{header.parent}", f"-I{FIRMWARE / 'include'}", unit)  # fmt: skip


def test_cpp_reaches_what_c_defines(generated: list[Path], tmp_path: Path) -> None:
    """Names are not mangled: a C++ program links with the objects and runs."""
    require("g++", "gcc")
    main = tmp_path / "main.cpp"
    main.write_text(
        '#include "beatlens.h"\n#include "chest.h"\n#include "strips.h"\n'
        "int main() {\n"
        "    static uint32_t memory[STRIPS_MEMORY_BYTES(CHEST_TAPS) / 4];\n"
        "    bl_stream stream;\n"
        "    return bl_init(&stream, &strips, &chest, memory, sizeof memory);\n"
        "}\n",
        encoding="ascii",
    )
    compile_all(["gcc", "-std=c99"], [*SOURCES, *generated], tmp_path)
    include = [f"-I{generated[0].parent}", f"-I{FIRMWARE / 'include'}"]
    program = tmp_path / "main"
    run_tool(
        "g++", "-Wall", "-Wextra", "-Werror", *include, main, *tmp_path.glob("*.o"), "-o", program
    )
    run_tool(program)


def test_cppcheck_finds_nothing(generated: list[Path]) -> None:
    require("cppcheck")
    checked = [*SOURCES, *generated, *QEMU.glob("*.c")]
    include = [f"-I{FIRMWARE / 'include'}", f"-I{generated[0].parent}", f"-I{QEMU}"]
    text = run_tool("cppcheck", "-q", CHECKS, "--error-exitcode=1", "--std=c99", "--inline-suppr",
                *include, *checked)  # fmt: skip
    assert text == ""


def test_cppcheck_finds_a_defect(tmp_path: Path) -> None:
    require("cppcheck")
    bad = tmp_path / "bad.c"
    bad.write_text("int f(int n) { int x; if (n) x = 1; return x; }\n", encoding="ascii")
    done = subprocess.run(
        ["cppcheck", "-q", CHECKS, "--error-exitcode=1", "--std=c99", bad],
        capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1


@pytest.mark.parametrize("level", ["-O2", "-Os", "-O0"])
@pytest.mark.parametrize("core", CORES)
def test_the_cross_compiler_has_no_warning_and_wants_nothing(
    core: str, level: str, generated: list[Path], tmp_path: Path
) -> None:
    """All that is wanted of others is named above: no heap, no text, no floating point.

    There is no global state, neither in the library nor in what is generated: models and sensors
    stay in flash.
    """
    require(f"{measure.PREFIX}gcc", f"{measure.PREFIX}nm")
    include = f"-I{generated[0].parent}"
    cpu, options = f"cortex-{core}", (*WARNINGS, level, include)
    library = measure.compile_objects(cpu, SOURCES, tmp_path, *options)
    found = measure.symbols(library)
    assert found.wanted <= COPIES | HELPERS.get(core, set())
    assert not [name for name in found.wanted if FORBIDDEN.search(name)]
    assert {"bl_init", "bl_push", "bl_gap", "bl_end", "bl_unpack_row"} <= found.defined
    assert {name for name in found.defined if not name.startswith("bl_")} == set()
    models = measure.compile_objects(cpu, generated, tmp_path, *options)
    assert measure.symbols([*library, *models]).writable == frozenset()


def test_names_of_libc_are_found(tmp_path: Path) -> None:
    require(f"{measure.PREFIX}gcc", f"{measure.PREFIX}nm")
    bad = tmp_path / "bad.c"
    bad.write_text(
        "void *malloc(unsigned);\nstatic int calls;\n"
        "void *f(float x, double y)\n"
        "{ calls++; return malloc((unsigned)(x * x + (float)(y / x))); }\n",
        encoding="ascii",
    )
    found = measure.symbols(measure.compile_objects("cortex-m3", [bad], tmp_path))
    assert {"malloc", "__aeabi_fmul", "__aeabi_ddiv"} <= found.wanted
    assert found.writable == {"calls"}


def test_sources_include_freestanding_headers_only() -> None:
    """Of the system's headers only those that a freestanding compiler has."""
    ours = {path.name for path in (FIRMWARE).rglob("*.h")}
    freestanding = {"stdint.h", "stddef.h", "stdbool.h", "limits.h", "arm_acle.h", "arm_mve.h"}
    for path in [*SOURCES, *HEADERS]:
        text = path.read_text(encoding="ascii")
        included = set(re.findall(r"#include\s+[<\"](.*?)[>\"]", text))
        assert included <= ours | freestanding, path.name


def test_harnesses_compile_without_a_warning_of_clang(tmp_path: Path) -> None:
    """Those that need no generated header."""
    require("clang")
    compile_all(["clang", *WARNINGS], [HERE / "unpack_harness.c"], tmp_path)
