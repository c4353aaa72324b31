"""A firmware package: one folder with all C that a model needs on a device, and how to build it.

    include/, src/          the engine: what this model needs of it
    NAME.h, NAME.c          the task, of a bundle
    NAME_net.*, NAME_sensor.*, NAME_golden_*.*    network, sensor and golden vectors
    selftest.c              a program that runs them: `make check` on a computer
    Makefile, CMakeLists.txt, README.md

>>> from beatlens.integer.tflite_read import read_tflite  # doctest: +SKIP
>>> write_network(Path("model.tflite").read_bytes(), Path("out"), "net", "m4")  # doctest: +SKIP
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from string import Template

from beatlens.c_source.files import c_folder
from beatlens.c_source.model import model_source
from beatlens.c_source.plan import Plan, lay_out
from beatlens.c_source.sensor import sensor_source
from beatlens.c_source.text import CSource
from beatlens.errors import ModelError
from beatlens.firmware.cores import Core, find_core
from beatlens.firmware.golden import example_inputs, net_golden_source
from beatlens.integer.graph import Convolution
from beatlens.integer.tflite_read import read_tflite
from beatlens.runtime.bundle import Bundle
from beatlens.runtime.quality import Limits
from beatlens.signals.frontend import FrontEnd

KERNEL_FILES: Mapping[str, tuple[str, ...]] = {
    "bl_convolve_long": ("bl_long.c", "bl_long_asm.h", "bl_dsp.h"),
    "bl_convolve_pairs": ("bl_pairs.c", "bl_pairs_asm.h", "bl_dsp.h"),
    "bl_convolve_taps": ("bl_taps.c", "bl_dsp.h"),
    "bl_convolve_vectors": ("bl_mve.c", "bl_scale.h"),
    "bl_convolve_channels": ("bl_mve.c", "bl_scale.h"),
}
"""Sources of kernels; those of all others are `PORTABLE`."""
PORTABLE = ("bl_kernels.c", "bl_scale.h")
GOLDEN_CASES = 2
NET_HEADERS = ("bl_error.h", "bl_kernels.h", "bl_net.h", "bl_selftest.h", "bl_version.h")
LEAD_HEADERS = (*NET_HEADERS, "bl_frontend.h", "bl_lead.h")
LEAD_SOURCES = ("bl_frontend.c", "bl_lead.c", "bl_selftest.c")
Files = dict[str, str]


def write_bundle(
    bundle: Bundle,
    frontend: FrontEnd,
    folder: Path,
    name: str,
    core: str = "any",
    *,
    limits: Limits | None = None,
    chunk: int | None = None,
) -> Path:
    """Write the package of a bundle that decides on windows: counts of a sensor in, findings out.

    Args:
        bundle: of a streaming network with one lead.
        frontend: of the sensor; its samples become steps of the bundle's.
        folder: a new one.
        name: a C identifier.
        core: of `CORES`; the package runs on every other one too.
        limits: how much of a window may be bad, as for a `Stream`.
        chunk: input columns the network works on at once, as for `lay_out`.

    Returns:
        The folder.

    Raises:
        RecipeError: the name is not a C identifier, or there is no such core.
        ModelError: there is no C for the bundle's kind, the engine cannot run the bundle, or
            something is in the way.
        SignalError: the sensor's counts do not fit.
    """
    target, frontend = find_core(core), frontend.with_lsb(bundle.lsb_mv)
    graph = read_tflite(bundle.tflite)
    plan = lay_out(graph, chunk, target.kernels)
    kind = bundle.kind
    parts = kind.write_c(bundle, frontend, name, limits or kind.limits, plan)
    inputs = bundle.golden.inputs[:GOLDEN_CASES, :, None]
    evidence = bundle.golden.evidence[:GOLDEN_CASES]
    golden = f"{name}_golden_{parts.chain}"
    made = {
        name: parts.task.task,
        f"{name}_net": parts.task.net,
        f"{name}_sensor": sensor_source(frontend, f"{name}_sensor"),
        f"{name}_golden_net": net_golden_source(
            graph, inputs, f"{name}_net", f"{name}_golden_net", evidence
        ),
        golden: parts.golden,
    }
    engine = [*parts.sources, *LEAD_SOURCES, *engine_sources(plan)]
    memory = f"{name.upper()}_MEMORY_BYTES({name.upper()}_SENSOR_TAPS)"
    room = "selftest_memory, sizeof selftest_memory"
    state = f"&{parts.selftest_state}, " if parts.selftest_state else ""
    tests = [
        f"bl_selftest_net(&{name}_golden_net, {room})",
        f"bl_selftest_{parts.chain}(&{golden}, {state}{room})",
    ]
    facts = [
        f"The whole chain for a sensor of {frontend.rate_hz} Hz with "
        f"{frontend.counts_per_mv:g} counts per mV: include `{name}.h` and `{name}_sensor.h`, "
        f"and read `include/{parts.headers[0]}`, which has an example.",
        f"A stream needs {parts.memory_bytes:,} bytes of memory (`{memory}`) and a "
        f"`bl_{parts.chain}`; {parts.fact}.",
    ]
    statics = f"static bl_{parts.chain} {parts.selftest_state};" if parts.selftest_state else ""
    files = package_files(name, target, plan, made, engine, memory, tests, facts, statics)
    return write_package(folder, files, engine, (*LEAD_HEADERS, *parts.headers))


def write_network(
    tflite: bytes, folder: Path, name: str, core: str = "any", *, chunk: int | None = None
) -> Path:
    """Write the package of a network alone, of any maker: int8 columns in, evidence out.

    Args and errors are as those of `write_bundle`.
    """
    target = find_core(core)
    graph = read_tflite(tflite)
    plan = lay_out(graph, chunk, target.kernels)
    golden = f"{name}_golden_net"
    made = {
        name: model_source(plan, name),
        golden: net_golden_source(graph, example_inputs(graph), name, golden),
    }
    engine = ["bl_selftest.c", *engine_sources(plan)]
    memory = f"{name.upper()}_STATE_BYTES"
    tests = [f"bl_selftest_net(&{golden}, selftest_memory, sizeof selftest_memory)"]
    kind = f"windows of {plan.window} columns" if plan.window else "an endless stream"
    facts = [f"A network alone, which sees {kind}: include `{name}.h`, and read "
             "`include/bl_net.h`, which has an example."]  # fmt: skip
    files = package_files(name, target, plan, made, engine, memory, tests, facts)
    return write_package(folder, files, engine, NET_HEADERS)


def engine_sources(plan: Plan) -> list[str]:
    """Sources of the engine that a network needs."""
    kernels = {layer.code.kernel for layer in plan.layers}
    files = {file for kernel in kernels for file in KERNEL_FILES.get(kernel, PORTABLE)}
    return ["bl_net.c", *sorted(files)]


def package_files(
    name: str,
    core: Core,
    plan: Plan,
    made: Mapping[str, CSource],
    engine: list[str],
    memory: str,
    tests: list[str],
    facts: list[str],
    statics: str = "",
) -> Files:
    """All texts that are made, by file name; `statics` is what the tests need beside memory."""
    texts = {f"{file}.h": source.header for file, source in made.items()}
    texts |= {f"{file}.c": source.source for file, source in made.items()}
    kernels = [f"src/{file}" for file in engine if file.endswith(".c")]
    model = [f"{file}.c" for file in made if "_golden_" not in file]
    values = {
        "name": name,
        "core": core.title,
        "flags": " ".join(core.flags),
        "optimise": core.optimise,
        "library": " ".join([*model, *(k for k in kernels if not k.startswith("src/bl_selftest"))]),
        "golden": " ".join([*(f"{file}.c" for file in made if "_golden_" in file),
                            *(k for k in kernels if k.startswith("src/bl_selftest"))]),
        "includes": "\n".join(f'#include "{file}.h"' for file in made),
        "memory": memory,
        "statics": f"\n{statics}" if statics else "",
        "tests": " ||\n        ".join(f"{test} != 0" for test in tests),
        "facts": "\n\n".join(facts),
        "layers": _layers(plan),
        "state": f"{plan.state_bytes:,}",
        "chunk": str(plan.chunk),
    }  # fmt: skip
    templates = c_folder() / "package"
    for template in sorted(templates.iterdir()):
        text = Template(template.read_text(encoding="utf-8"))
        texts[template.name] = text.substitute(values)
    return texts


def _layers(plan: Plan) -> str:
    """A Markdown table of the layers."""
    lines = [
        "| operator | taps | stride | channels | kernel | proven |",
        "|---|---|---|---|---|---|",
    ]
    for layer in plan.layers:
        op = layer.op
        channels = plan.graph.tensors[op.output].channels
        taps = layer.taps if isinstance(op, Convolution) else ""
        lines.append(
            f"| {op.name} | {taps} | {layer.stride} | {channels} | `{layer.code.kernel}` | "
            f"{layer.code.bound} |"
        )
    return "\n".join(lines)


def write_package(
    folder: Path, files: Files, engine: Iterable[str], headers: Iterable[str]
) -> Path:
    """Write a new folder whole, or not at all: texts, and the engine's sources and headers."""
    if folder.exists():
        raise ModelError(f"{folder}: is there already, expected a name that is free")
    part = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.part")
    try:
        part.mkdir(parents=True)
        for name, text in files.items():
            (part / name).write_text(text, encoding="utf-8")
        for kind, wanted in (("src", engine), ("include", headers)):
            (part / kind).mkdir()
            for file in wanted:
                shutil.copy(c_folder() / kind / file, part / kind)
        part.rename(folder)
    except OSError as error:
        raise ModelError(f"{folder}: the package cannot be written ({error})") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder
