"""`python -m benchmarks firmware`: instructions, flash, RAM and stack of the C on Cortex-M.

Instructions are those executed on QEMU's boards, exact, as the difference of two runs of different
length, so that what happens once does not count; they are not cycles. Flash is all that is linked
but the model's constants. Networks that see windows are run window by window; bundles as the whole
chain, counts of a sensor in, findings with evidence out.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beatlens.c_source.files import c_folder
from beatlens.c_source.model import model_source
from beatlens.c_source.plan import Plan, lay_out
from beatlens.c_source.sensor import sensor_source
from beatlens.c_source.text import CSource, numbers
from beatlens.errors import BeatlensError
from beatlens.firmware.golden import example_inputs
from beatlens.integer.graph import Convolution
from beatlens.integer.tflite_read import read_tflite
from beatlens.runtime.bundle import Bundle
from beatlens.runtime.c_task import TaskSource
from beatlens.signals.frontend import MODEL_RATE_HZ, FrontEnd
from beatlens.signals.simulate import COUNTS_PER_MV, simulate_patient
from beatlens.tasks.beats.c_task import beat_memory_bytes, beat_task_source
from beatlens.tasks.windows.c_task import memory_bytes, window_task_source
from beatlens.tasks.windows.rule import window_rule
from benchmarks.device import measure
from benchmarks.device.boards import BOARDS, COMPILER, Board, build, port, run

SENSOR = FrontEnd(256, 400.0, (-2048, 2047))
PATIENT = 7
"""Seed of the simulated patient."""
WINDOWS = (1, 3)
SECONDS = (30, 60)
TFLM = Path(__file__).parents[2] / "docs" / "figures" / "tflm.json"
"""Instructions a window of TensorFlow Lite Micro with CMSIS-NN takes on the same boards, measured
once by building it, not by this benchmark; the file says how. On M55 tiny_cam's output is wrong."""
_SYMBOL = re.compile(r"^\w+ (\w+) [tTrRwWdD] (\S+)$", re.MULTILINE)
Row = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """Something to measure on a board: its sources, and how long it may run.

    Args:
        model: its name.
        plan: its network.
        made: C of the model, by file name.
        main: of `ports/qemu`.
        entry: functions whose stack counts.
        lengths: macro, and two lengths.
        products: multiply-accumulates per unit of length.
        ram: bytes of memory.
        unit: of length.
        pointers: where those of the C lead.
        state: type of the state beside that memory, and its header; None for networks alone.
    """

    model: str
    plan: Plan
    made: Mapping[str, CSource]
    main: str
    entry: tuple[str, ...]
    lengths: tuple[str, int, int]
    products: int
    ram: int
    unit: str
    pointers: Mapping[str, Sequence[str]]
    state: tuple[str, str] | None = None


def window_case(path: Path, board: Board) -> Case:
    """A network that sees windows, from a `.tflite`."""
    graph = read_tflite(path.read_bytes())
    plan = lay_out(graph, kernels=board.core.kernels)
    window = example_inputs(graph, 1)[0].ravel().tolist()
    made = {
        "model": model_source(plan, "model"),
        "input": CSource("#include <stdint.h>\n" + numbers("int8_t", "input", window), ""),
    }
    lengths = ("WINDOWS", *WINDOWS)
    pointers = {**measure.STREAM_POINTERS, "on_column": ()}
    return Case(path.stem, plan, made, "bench_net.c", ("bl_net_push", "bl_net_end"), lengths,
                graph.macs, plan.state_bytes, "window", pointers)  # fmt: skip


def stream_case(bundle: Bundle, board: Board) -> Case:
    """The whole chain of a bundle: a second of ECG, a finding on every hop."""
    plan = lay_out(read_tflite(bundle.tflite), kernels=board.core.kernels)
    made = _chain(window_task_source(bundle, "model", plan=plan), _simulate_window_counts(bundle))
    ram = memory_bytes(bundle, plan, SENSOR.taps.shape[1])
    entry = ("bl_push", "bl_gap", "bl_end")
    has_tables = window_rule(bundle).tables is not None
    pointers = measure.TABLE_POINTERS if has_tables else measure.STREAM_POINTERS
    return Case(bundle.name, plan, made, "bench_chain.c", entry, ("SECONDS", *SECONDS),
                products_per_second(plan), ram, "second", pointers,
                ("bl_stream", "beatlens.h"))  # fmt: skip


def beat_case(bundle: Bundle, board: Board) -> Case:
    """The whole chain of a bundle that decides on beats: a second of ECG, a finding on each."""
    plan = lay_out(read_tflite(bundle.tflite), kernels=board.core.kernels)
    made = _chain(beat_task_source(bundle, "model", plan=plan), _simulate_counts(SECONDS[0]))
    ram = beat_memory_bytes(bundle, plan, SENSOR.taps.shape[1])
    entry = ("bl_beats_push", "bl_beats_gap", "bl_beats_end")
    return Case(bundle.name, plan, made, "bench_chain.c", entry, ("SECONDS", *SECONDS),
                products_per_second(plan), ram, "second", measure.BEAT_POINTERS,
                ("bl_beats", "bl_beats.h"))  # fmt: skip


def _simulate_window_counts(bundle: Bundle) -> NDArray[np.int16]:
    """Counts `[n]` of a simulated patient at the sensor, enough for two findings and a rest."""
    needed = 1.5 * bundle.span_s + bundle.geometry.receptive_field / MODEL_RATE_HZ
    return _simulate_counts(float(ceil(needed)))


def _simulate_counts(seconds: float) -> NDArray[np.int16]:
    """Counts `[n]` of a simulated patient with premature ventricular beats at the sensor."""
    patient = simulate_patient(PATIENT, seconds, rate_hz=SENSOR.rate_hz, pvc_per_minute=15)
    millivolts = patient.recording.counts[0] / COUNTS_PER_MV
    counts = np.rint(millivolts * SENSOR.counts_per_mv)
    return np.asarray(np.clip(counts, *SENSOR.rails), np.int16)


CASES = {"windows": stream_case, "beats": beat_case}
"""How the chain of each kind is measured."""


def _chain(task: TaskSource, counts: NDArray[np.int16]) -> dict[str, CSource]:
    """C of a chain, and whole seconds of counts to run it on."""
    counts = counts[: len(counts) // SENSOR.rate_hz * SENSOR.rate_hz]
    listed = "\n".join([
        "#include <stdint.h>",
        f"#define RATE {SENSOR.rate_hz}u\n#define SIZE {len(counts)}u",
        numbers("int16_t", "input", counts.tolist()),
    ])  # fmt: skip
    return {
        "model": task.task,
        "model_net": task.net,
        "model_sensor": sensor_source(SENSOR, "model_sensor"),
        "input": CSource(listed, ""),
    }


def products_per_second(plan: Plan) -> int:
    """Multiply-accumulates of one second of a stream."""
    strides = {plan.graph.input: 1}
    products = 0
    for layer in plan.layers:
        source = plan.buffers[layer.input].tensor
        strides[layer.op.output] = strides[source] * layer.stride
        if isinstance(layer.op, Convolution):
            products += layer.op.taps.size * MODEL_RATE_HZ // strides[layer.op.output]
    return products


def measure_case(case: Case, name: str, board: Board) -> Row:
    """One row: a case on a board.

    Raises:
        BeatlensError: a tool is missing, or the program does not end well.
    """
    macro, *lengths = case.lengths
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        model = []
        for file, source in case.made.items():
            (folder / f"{file}.h").write_text(source.header, encoding="ascii")
            if source.source:
                model.append(folder / f"{file}.c")
                model[-1].write_text(source.source, encoding="ascii")
        engine = [p for p in sorted((c_folder() / "src").glob("*.c")) if p.name != "bl_unpack.c"]
        programs = [
            build(board, [*engine, *model, port() / case.main], folder, f"-I{folder}",
                  f"-D{macro}={length}").rename(folder / f"{length}.elf")
            for length in lengths
        ]  # fmt: skip
        counts = [_counted(board, program) for program in programs]
        used = {layer.code.kernel for layer in case.plan.layers}
        flags = (*board.core.flags, board.core.optimise, f"-I{folder}")
        objects = measure.compile_objects(board.core.cpu, engine, folder, *flags)
        pointers = {**case.pointers, "kernel": tuple(sorted(used))}
        stack = measure.stack_bytes(objects, case.entry, pointers, {"memcpy": 0, "memset": 0})
        instructions = (counts[1] - counts[0]) / (lengths[1] - lengths[0])
        state = 0 if case.state is None else _state_bytes(*case.state, objects[0].parent, board)
        return {
            "model": case.model,
            "core": name,
            "kernels": board.core.kernels,
            "per": case.unit,
            "instructions": round(instructions),
            "macs": case.products,
            "per_mac": instructions / case.products,
            **_flash(programs[0], model, port() / case.main, folder, board),
            "ram_bytes": case.ram + state,
            "stack_bytes": max(found.bytes for found in stack.values()),
            **against_tflm(case.model, name, round(instructions)),
            "compiler": f"{_version()} {board.core.optimise}",
        }


def rows(windows: list[Path], bundles: list[Bundle], cores: list[str]) -> Iterator[Row]:
    """Rows of all models on all cores."""
    for name in cores:
        board = BOARDS[name]
        for path in windows:
            yield measure_case(window_case(path, board), name, board)
        for bundle in bundles:
            case = CASES[bundle.kind_name]
            yield measure_case(case(bundle, board), name, board)


def against_tflm(model: str, core: str, instructions: int) -> Row:
    """What TensorFlow Lite Micro takes for a model's window, as a multiple of ours.

    A stream with a decision every second runs a window a second there. Measured apart from this
    benchmark, see `TFLM`; None where it was not.
    """
    found = None
    if TFLM.exists():
        listed = json.loads(TFLM.read_text(encoding="utf-8"))["rows"]
        plain = core.removesuffix("-long")
        found = next((r for r in listed if (r["model"], r["core"]) == (model, plain)), None)
    of_tflm = found and found["instructions"]
    return {"tflm_instructions": of_tflm, "tflm_ratio": of_tflm and of_tflm / instructions}


def _counted(board: Board, program: Path) -> int:
    outcome = run(board, program)
    if outcome.status:
        raise BeatlensError(f"{program.name} on {board.machine}: failed: {outcome.text[:200]!r}")
    return outcome.instructions


def _flash(
    program: Path, model: list[Path], main: Path, folder: Path, board: Board
) -> dict[str, int]:
    """Bytes of the model, and of all else that is linked but the main program and the start."""
    options = (*board.core.flags, f"-I{folder}", f"-I{port()}", "-DWINDOWS=1", "-DSECONDS=1")
    start = [main, port() / "startup.c", port() / "semihost.c"]
    named = []
    for kind, sources in (("model", model), ("others", start)):
        places = folder / f"{kind}_objects"
        places.mkdir()
        made = measure.compile_objects(board.core.cpu, sources, places, *options)
        named.append({name for one in made for name, _ in _sizes(one)})
    sizes = _sizes(program)
    return {
        "flash_bytes": sum(size for name, size in sizes if name not in named[0] | named[1]),
        "model_bytes": sum(size for name, size in sizes if name in named[0] - {"input"}),
    }


def _sizes(made: Path) -> list[tuple[str, int]]:
    """Functions and constants of an object or a program, with their bytes."""
    listed = subprocess.run(
        ["arm-none-eabi-nm", "-S", made], capture_output=True, text=True, check=True
    ).stdout
    return [(name, int(size, 16)) for size, name in _SYMBOL.findall(listed)]


def _state_bytes(kind: str, header: str, folder: Path, board: Board) -> int:
    """Bytes of a type of the C."""
    probe = folder / "probe.c"
    probe.write_text(f'#include "{header}"\nconst char size[sizeof({kind})] = {{1}};\n')
    made = measure.compile_objects(board.core.cpu, [probe], folder, *board.core.flags)
    return dict(_sizes(made[0]))["size"]


def _version() -> str:
    printed = subprocess.run([COMPILER, "-dumpfullversion"], capture_output=True, check=True).stdout
    return f"GCC {printed.decode().strip()}"


GATED = ("instructions", "flash_bytes", "model_bytes", "ram_bytes", "stack_bytes")
GROWTH = 1.02


def grown(measured: Row, committed: list[Row]) -> list[str]:
    """What of a row is over 2 % more than in the committed figures, in words.

    Rows of another compiler are not compared: their figures are their compiler's.
    """
    same = ("model", "core", "per", "compiler")
    older = [row for row in committed if all(row[key] == measured[key] for key in same)]
    return [
        f"{measured['model']} on {measured['core']}: {key} {row[key]:,} became {measured[key]:,}"
        for row in older
        for key in GATED
        if measured[key] > GROWTH * row[key]
    ]


def window_models(folder: Path) -> list[Path]:
    """Reference models in a folder, largest first."""
    return sorted(folder.glob("*.tflite"), key=lambda path: -path.stat().st_size)
