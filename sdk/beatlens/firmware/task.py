"""What a bundle decides, as C constants for `firmware_export/src/beatlens.c`."""

from __future__ import annotations

from dataclasses import dataclass

from beatlens.errors import ModelError
from beatlens.firmware.model import ModelSource, check_identifier, model_source
from beatlens.firmware.plan import Plan, plan
from beatlens.integer.tflite_read import read_tflite
from beatlens.runtime.bundle import Bundle
from beatlens.runtime.finding import Limits
from beatlens.signals.frontend import FrontEnd

MOST_CLASSES = 32
LARGEST_STRIDE = 255
QUALITY_BYTES = 5


@dataclass(frozen=True)
class TaskSource:
    """C of a network and of what is decided with it."""

    model: ModelSource
    header: str
    source: str


def task_source(bundle: Bundle, name: str, limits: Limits | None = None) -> TaskSource:
    """C that defines `const bl_task NAME`, with `NAME_net` as its network.

    The header numbers the classes (`NAME_PVC`) and holds the memory a stream needs beside its
    sensor's taps (`NAME_MEMORY_BYTES(taps)`).

    Args:
        bundle: of a streaming network with one lead.
        name: a C identifier.
        limits: how much of a span may be bad, as for a `Stream`.

    Raises:
        RecipeError: the name is none.
        ModelError: the engine cannot run the bundle; the message says why.
    """
    check_identifier(name, "the task")
    drawn = plan(read_tflite(bundle.tflite))
    geometry, classes = bundle.geometry, bundle.classes
    if len(classes) > MOST_CLASSES or geometry.stride > LARGEST_STRIDE:
        raise ModelError(
            f"the bundle has {len(classes)} classes and a stride of {geometry.stride} samples, "
            f"expected at most {MOST_CLASSES} and {LARGEST_STRIDE}"
        )
    allowed, total = limits or Limits(), bundle.span_samples
    sums = ", ".join(str(bundle.sum_thresholds[key]) for key in classes)
    values = (
        f"    &{name}_net, {name}_sums, {bundle.span_columns}, {bundle.hop_columns},\n"
        f"    {geometry.left}, {geometry.right}, {geometry.stride},\n"
        f"    {int(allowed.unusable * total)}, {int(allowed.clipped * total)}\n"
    )
    source = (
        f"/* {bundle.name}; made by beatlens. */\n"
        f'#include "{name}.h"\n\n#include "{name}_net.h"\n\n'
        f"static const int32_t {name}_sums[{len(classes)}] = {{{sums}}};\n\n"
        f"const bl_task {name} = {{\n{values}}};\n"
    )
    header = _header(name, classes, _memory_bytes(bundle, drawn))
    return TaskSource(model_source(drawn, f"{name}_net"), header, source)


def memory_bytes(bundle: Bundle, frontend: FrontEnd) -> int:
    """Bytes of memory a stream needs, as `bl_memory_bytes` says."""
    taps = frontend.taps.shape[1]
    return -(-(_memory_bytes(bundle, plan(read_tflite(bundle.tflite))) + 2 * taps) // 4) * 4


def _memory_bytes(bundle: Bundle, drawn: Plan) -> int:
    """Bytes without the sensor's ring."""
    classes, geometry = len(bundle.classes), bundle.geometry
    waits = (geometry.right + drawn.chunk) // geometry.stride + 2
    columns = bundle.span_columns * classes + (bundle.span_columns + waits) * QUALITY_BYTES
    return drawn.state_bytes + 4 * classes + columns + drawn.chunk


def _header(name: str, classes: tuple[str, ...], memory: int) -> str:
    upper = name.upper()
    numbers = ", ".join(f"{upper}_{key.upper()}" for key in classes)
    return (
        f'#ifndef {upper}_H\n#define {upper}_H\n\n#include "beatlens.h"\n\n'
        f"enum {{ {numbers} }}; /* classes */\n\n"
        "/* Bytes of memory a stream needs; `taps` are the sensor's, of a phase. */\n"
        f"#define {upper}_MEMORY_BYTES(taps) ((({memory}u + 2u * (taps)) + 3u) / 4u * 4u)\n\n"
        f"extern const bl_task {name};\n\n#endif\n"
    )
