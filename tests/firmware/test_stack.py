"""The stack of the C library: bounded along the call graph, and painted on boards under QEMU.

The bound has to hold what the paint shows, and be near enough to it to mean something. Calls that
go in circles, and frames without a size, are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from beatlens.errors import BeatlensError
from beatlens.firmware import KernelSet, lay_out, sensor_source
from beatlens.integer.tflite_read import read_tflite
from beatlens.packed import encode_tensor, name_coding
from beatlens.signals.frontend import FrontEnd
from beatlens.tasks.windows.c_task import window_task_source
from benchmarks.device import measure
from benchmarks.device.boards import port

from ..packed import tensors
from ..runtime.cases import GAIN, ecg_counts
from ..runtime.conftest import make_bundle
from .boards import BOARDS, Board, build, require_tools, run
from .compiled import ENGINE, HERE, source, write_c

STREAM = ("bl_init", "bl_push", "bl_gap", "bl_end")
UNPACK = ("bl_unpack_open", "bl_unpack_row")
LIBRARY = ("beatlens", "bl_lead", "bl_frontend", *ENGINE, "bl_unpack")
CONSTANTS = {"bl_window_rhythm_from_peaks"}
"""What the library defines that is no function."""
RATE = 250
MAX_BYTES = 800
"""What the README promises of every function and core; measured are 96 to 772."""
SLACK = 1.75
"""How much larger than the paint a bound may be: not every chain is walked to its end."""


def joined(values: Iterable[int]) -> str:
    """Numbers as C has them in an array."""
    return ", ".join(map(str, values))


@pytest.fixture(scope="module", params=get_args(KernelSet))
def kernels(request: pytest.FixtureRequest) -> KernelSet:
    """Kernels of the network."""
    return request.param


@pytest.fixture(scope="module")
def case(kernels: KernelSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a task, a sensor, counts, and packed tensors of every coding, as C."""
    folder = tmp_path_factory.mktemp("stack")
    bundle = make_bundle("residual", tmp_path_factory.mktemp("bundle") / "residual")
    plan = lay_out(read_tflite(bundle.tflite), kernels=kernels)
    made = window_task_source(bundle, "task", plan=plan)
    sensor = sensor_source(FrontEnd(RATE, GAIN), "sensor")
    for name, part in {"task": made.task, "task_net": made.net, "sensor": sensor}.items():
        write_c(part, folder, name)
    rng = np.random.default_rng(3)
    packed = [encode_tensor(make(rng, (6, 8, 16))) for make in tensors.MAKERS]
    assert len({name_coding(each) for each in packed}) == 7
    counts = ecg_counts(60, RATE)
    lines = [
        f"#define COUNTS {len(counts)}",
        f"static const int16_t counts[] = {{{joined(counts)}}};",
        f"#define ROW {8 * 16}",
        f"#define PACKED {len(packed)}",
        *(f"static const uint8_t packed_{i}[] = {{{joined(p)}}};" for i, p in enumerate(packed)),
        "static const uint8_t *const packed[] = {",
        *(f"    packed_{i}," for i in range(len(packed))),
        "};",
        f"static const uint32_t packed_bytes[] = {{{joined(map(len, packed))}}};",
    ]
    (folder / "cases.h").write_text("\n".join(lines) + "\n", encoding="ascii")
    return folder


def sources(case: Path) -> list[Path]:
    """All that a board runs but its port."""
    generated = [case / f"{name}.c" for name in ("task", "task_net", "sensor")]
    return [*map(source, LIBRARY), *generated, HERE / "stack_main.c"]


def painted(board: Board, case: Path, folder: Path) -> dict[str, int]:
    """Bytes each function of the library touched below its caller's stack."""
    program = build(board, sources(case), folder, f"-I{case}", "-fno-shrink-wrap")
    outcome = run(board, program)
    assert outcome.status == 0, outcome.text
    init, push, gap, end, again, opened, row, decided, rows = map(int, outcome.text.split())
    assert decided > 20
    assert rows == 6 * len(tensors.MAKERS)
    pushed = max(push, again)
    return dict(zip((*STREAM, *UNPACK), (init, pushed, gap, end, opened, row), strict=True))


RUNS = {
    f"{name}-{kernels}": (board, kernels)
    for kernels in get_args(KernelSet)
    for name, board in BOARDS.items()
    if kernels in ("portable", board.core.kernels)
}
"""Boards with the kernels that their cores run."""


@pytest.mark.parametrize(("board", "kernels"), RUNS.values(), ids=RUNS.keys(), indirect=["kernels"])
def test_the_bound_holds_what_paint_shows(
    board: Board, kernels: KernelSet, case: Path, tmp_path: Path
) -> None:
    """Of the library with one set of kernels."""
    require_tools()
    touched = painted(board, case, tmp_path)
    objects = measure.compile_objects(
        board.core.cpu, [*sources(case), port() / "memory.c"], tmp_path,
        f"-I{case}", f"-I{port()}", *board.core.flags, board.core.optimise,
    )  # fmt: skip
    used = set(re.findall(r"bl_(?:convolve_)?[a-z]+", (case / "task_net.c").read_text()))
    pointers = {
        **measure.STREAM_POINTERS,
        "on_finding": ("count_decided",),
        "kernel": tuple(used & set(measure.KERNELS)),
    }
    bounds = measure.stack_bytes(objects, (*STREAM, *UNPACK), pointers)
    for name, bytes_touched in touched.items():
        bound = bounds[name].bytes
        assert 0 < bytes_touched <= bound <= SLACK * bytes_touched + 16, (name, bounds[name])
        assert bound <= MAX_BYTES, bounds[name]


@pytest.mark.parametrize("level", ["-O2", "-Os", "-O0"])
def test_no_function_calls_itself(level: str, tmp_path: Path) -> None:
    """However much is inlined, and through pointers too: a circle made on purpose is seen."""
    require_tools()
    objects = measure.compile_objects("cortex-m4", measure.engine_files(), tmp_path, level)
    defined = measure.symbols(objects).defined - CONSTANTS
    functions = [name for name in defined if name.startswith("bl_")]
    copies = {"memcpy": 0, "memset": 0}
    stacks = measure.stack_bytes(objects, functions, measure.TABLE_POINTERS, copies)
    assert stacks["bl_push"].bytes > stacks["bl_net_push"].bytes > 0
    circle = {**measure.TABLE_POINTERS, "on_column": ("bl_push",)}
    with pytest.raises(BeatlensError, match=r"bl_net_push -> .*bl_push: a circle"):
        measure.stack_bytes(objects, ["bl_push"], circle, copies)


def stack_of(code: str, folder: Path, **pointers: tuple[str, ...]) -> measure.Stack:
    """The stack of `f` in a piece of C."""
    (folder / "t.c").write_text(code, encoding="ascii")
    objects = measure.compile_objects("cortex-m4", [folder / "t.c"], folder, "-fno-inline")
    return measure.stack_bytes(objects, ["f"], pointers)["f"]


def test_circles_of_calls_are_refused(tmp_path: Path) -> None:
    require_tools()
    with pytest.raises(BeatlensError, match=r"f -> g -> f: a circle of calls"):
        stack_of("int g(int n);\nint f(int n) { return n ? g(n - 1) + 1 : 0; }\n"
                 "int g(int n) { return f(n / 2) * 3; }\n", tmp_path)  # fmt: skip


def test_circles_through_pointers_are_refused(tmp_path: Path) -> None:
    require_tools()
    code = "int f(int (*call)(int), int n) { return n ? call(n - 1) + 1 : 0; }\n"
    assert stack_of(code, tmp_path, call=()).chain == ("f",)
    with pytest.raises(BeatlensError, match="circle of calls"):
        stack_of(code, tmp_path, call=("f",))


def test_unknown_pointers_are_refused(tmp_path: Path) -> None:
    require_tools()
    code = "struct s { int (*run)(int); };\nint f(struct s *s) { return s->run(1) + 1; }\n"
    with pytest.raises(BeatlensError, match="calls through 'run'"):
        stack_of(code, tmp_path)


def test_frames_without_a_size_are_refused(tmp_path: Path) -> None:
    require_tools()
    code = "int g(char *);\nint f(int n) { char x[n]; return g(x) + 1; }\n"
    with pytest.raises(BeatlensError, match="its frame is dynamic"):
        stack_of(code, tmp_path)


def test_functions_without_a_known_frame_are_refused(tmp_path: Path) -> None:
    require_tools()
    code = "int g(int);\nint f(int n) { return g(n) + 1; }\n"
    with pytest.raises(BeatlensError, match="g: its frame is not known"):
        stack_of(code, tmp_path)
    objects = [tmp_path / "t.o"]
    found = measure.stack_bytes(objects, ["f"], {}, {"g": 100})["f"]
    assert found.bytes == 100 + measure.stack_bytes(objects, ["f"], {}, {"g": 0})["f"].bytes


def test_sources_that_do_not_compile_are_refused(tmp_path: Path) -> None:
    require_tools()
    with pytest.raises(BeatlensError, match="error"):
        stack_of("int f(int n) { return n +; }\n", tmp_path)


def test_a_missing_compiler_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure.shutil, "which", lambda name: None)
    assert not measure.has_tools()
    with pytest.raises(BeatlensError, match="arm-none-eabi-gcc: not found"):
        measure.compile_objects("cortex-m4", [tmp_path / "t.c"], tmp_path)


def test_flash_is_what_goes_into_flash(tmp_path: Path) -> None:
    require_tools()
    unit = tmp_path / "t.c"
    unit.write_text("const char table[1000] = {1};\nstatic int zeros[50], ones[7] = {1};\n"
                    "int *f(int n) { return n ? zeros : ones; }\n", encoding="ascii")  # fmt: skip
    found = measure.flash_bytes(measure.compile_objects("cortex-m4", [unit], tmp_path))
    assert 1000 + 4 * 7 + 4 <= found <= 1000 + 4 * 7 + 40
