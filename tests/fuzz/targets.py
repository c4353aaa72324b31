"""Fuzz targets: C compiled with libFuzzer and the sanitizers, a model and sensors generated for it.

The harnesses are in `tests/` and not in `firmware_export/`: that folder is installed with the
package, and holds what goes onto a device.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from beatlens.errors import BeatlensError
from beatlens.firmware import CSource, Plan, lay_out, model_source, sensor_source
from beatlens.integer.graph import IntegerGraph
from beatlens.signals.frontend import FrontEnd

from ..integer.graphs import Builder

HERE = Path(__file__).parent
CORPUS = HERE / "corpus"
FIRMWARE = HERE.parents[1] / "firmware_export"
COMPILER = "clang"
OPTIONS = (
    "-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror", "-O2", "-g",
    "-fno-omit-frame-pointer", "-fno-sanitize-recover=all",
)  # fmt: skip
SANITIZERS = "-fsanitize=fuzzer,address,undefined"
SOURCES = {
    "unpack": ("bl_unpack",),
    "qrs": ("bl_qrs", "bl_qrs_shapes"),
    "stream": (
        "beatlens",
        "bl_lead",
        "bl_frontend",
        "bl_net",
        "bl_kernels",
        "bl_pairs",
        "bl_long",
        "bl_taps",
        "bl_mve",
    ),
}
RATES_HZ = (125, 128, 250, 360, 1000)
MOST_MB = 1024
LIMIT_S = 10
"""Of one input; the slowest take some hundredths of a second."""


@dataclass(frozen=True)
class Outcome:
    """How a run of libFuzzer ended."""

    executions: int
    edges: int
    corpus: int
    status: int
    output: str


def has_fuzzer() -> bool:
    """Whether clang is there with its fuzzing library."""
    if shutil.which(COMPILER) is None:
        return False
    code = "int LLVMFuzzerTestOneInput(const char *d, unsigned long n) { return d == 0 && n; }\n"
    probe = [COMPILER, SANITIZERS, "-x", "c", "-", "-o", "/dev/null"]
    return subprocess.run(probe, input=code, text=True, capture_output=True).returncode == 0


def small_graph() -> IntegerGraph:
    """One lead, stride 4, 3 classes, a residual block: every kind of buffer, little work."""
    builder = Builder(np.random.default_rng(4), 200, leads=1)
    shared = {"padding": "valid", "depthwise": False, "relu": True}
    source = builder.convolution("input", "a", channels=3, kernel=4, stride=2, **shared)
    source = builder.residual(source, "b")
    source = builder.convolution(source, "c", channels=4, kernel=3, stride=2, **shared)
    return builder.head(source, classes=3)


def receptive_field(plan: Plan) -> int:
    """Input columns behind one column of evidence."""
    field, graph = plan.graph.tensors[plan.graph.input].length, plan.graph
    columns = graph.tensors[graph.outputs["evidence"]].length
    return field - (columns - 1) * plan.stride


def write_sources(folder: Path) -> list[Path]:
    """The model and the sensors of the stream's target as C."""
    plan = lay_out(small_graph())
    made: dict[str, CSource] = {"model": model_source(plan, "model")}
    for rate in RATES_HZ:
        made[f"hz{rate}"] = sensor_source(FrontEnd(rate, 200.0, (-1900, 2047)), f"hz{rate}")
    for name, part in made.items():
        (folder / f"{name}.h").write_text(part.header, encoding="ascii")
        (folder / f"{name}.c").write_text(part.source, encoding="ascii")
    names = [name for name in made if name != "model"]
    lines = [f'#include "{name}.h"' for name in names]
    lines += [
        f"#define FIELD {receptive_field(plan)}u",
        f"#define STRIDE {plan.stride}u",
        f"#define SENSORS {len(names)}u",
        f"static const bl_sensor *const sensors[] = {{{', '.join(f'&{n}' for n in names)}}};",
    ]
    (folder / "sensors.h").write_text("\n".join(lines) + "\n", encoding="ascii")
    return [folder / f"{name}.c" for name in made]


def build(name: str, folder: Path) -> Path:
    """The program of a target.

    Raises:
        BeatlensError: clang refuses it.
    """
    sources = [FIRMWARE / "src" / f"{source}.c" for source in SOURCES[name]]
    if name == "stream":
        sources += write_sources(folder)
    sources.append(HERE / f"{name}_fuzz.c")
    program = folder / f"{name}_fuzz"
    includes = [f"-I{FIRMWARE / 'include'}", f"-I{folder}", f"-I{HERE}"]
    command = [COMPILER, *OPTIONS, SANITIZERS, *includes, *sources, "-o", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BeatlensError(f"{COMPILER}: {done.stderr[:3000]}")
    return program


def fuzz(
    program: Path, folders: Sequence[Path], seconds: int, seed: int, artifacts: Path
) -> Outcome:
    """Run a target; new inputs go to the first folder, one that breaks a promise to `artifacts`."""
    done = subprocess.run(
        [program, *folders, f"-max_total_time={seconds}", f"-seed={seed}", f"-timeout={LIMIT_S}",
         "-rss_limit_mb=0", "-max_len=2048", "-print_final_stats=1",
         f"-artifact_prefix={artifacts}/"],
        # The sanitizer's limit: libFuzzer's counts memory of the process that started it.
        env={**os.environ, "ASAN_OPTIONS": f"hard_rss_limit_mb={MOST_MB}"},
        capture_output=True, text=True, check=False, timeout=seconds + 120,
    )  # fmt: skip
    output = done.stdout + done.stderr
    return Outcome(
        executions=_last_number(r"stat::number_of_executed_units:\s*(\d+)", output),
        edges=_last_number(r"cov: (\d+)", output),
        corpus=_last_number(r"corp: (\d+)/", output),
        status=done.returncode,
        output=output,
    )


def _last_number(pattern: str, text: str) -> int:
    found = re.findall(pattern, text)
    return int(found[-1]) if found else 0
