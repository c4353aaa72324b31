"""What a bundle decides, as C constants for `firmware_export/src/beatlens.c`."""

from __future__ import annotations

from dataclasses import dataclass

from beatlens.errors import ModelError
from beatlens.firmware.c_text import CSource, check_identifier, guarded, numbers
from beatlens.firmware.model import model_source
from beatlens.firmware.plan import Plan, plan
from beatlens.integer.tflite_read import read_tflite
from beatlens.runtime.bundle import Bundle
from beatlens.runtime.finding import Limits

MOST_CLASSES = 32
LARGEST_STRIDE = 255
LARGEST_COUNT = (1 << 16) - 1
"""Of columns in a span, and of samples of context."""
QUALITY_BYTES = 5


@dataclass(frozen=True)
class TaskSource:
    """C of a network and of what is decided with it."""

    net: CSource
    task: CSource


def task_source(
    bundle: Bundle, name: str, limits: Limits | None = None, drawn: Plan | None = None
) -> TaskSource:
    """C that defines `const bl_task NAME`, with `NAME_net` as its network.

    The header numbers the classes (`NAME_PVC`) and holds the memory a stream needs beside its
    sensor's taps (`NAME_MEMORY_BYTES(taps)`).

    Args:
        bundle: of a streaming network with one lead.
        name: a C identifier.
        limits: how much of a span may be bad, as for a `Stream`.
        drawn: how its network runs; `plan` of it if None.

    Raises:
        RecipeError: the name is none.
        ModelError: the engine cannot run the bundle; the message says why.
    """
    check_identifier(name, "the task")
    drawn = drawn or plan(read_tflite(bundle.tflite))
    geometry, classes = bundle.geometry, bundle.classes
    _check_sizes(bundle)
    allowed, total = limits or Limits(), bundle.span_samples
    sums = [bundle.sum_thresholds[key] for key in classes]
    values = (
        f"    &{name}_net, {name}_sums, {bundle.span_columns}, {bundle.hop_columns},\n"
        f"    {geometry.left}, {geometry.right}, {geometry.stride},\n"
        f"    {int(allowed.unusable * total)}, {int(allowed.clipped * total)}\n"
    )
    source = (
        f"/* {bundle.name}; made by beatlens. */\n"
        f'#include "{name}.h"\n\n#include "{name}_net.h"\n\n'
        f"{numbers('int32_t', f'{name}_sums', sums)}\n"
        f"const bl_task {name} = {{\n{values}}};\n"
    )
    header = _header(name, classes, _without_ring(bundle, drawn))
    return TaskSource(model_source(drawn, f"{name}_net"), CSource(header, source))


def _check_sizes(bundle: Bundle) -> None:
    geometry = bundle.geometry
    for what, found, most in (
        ("classes", len(bundle.classes), MOST_CLASSES),
        ("samples of stride", geometry.stride, LARGEST_STRIDE),
        ("columns in a span", bundle.span_columns, LARGEST_COUNT),
        ("samples of context", geometry.receptive_field, LARGEST_COUNT),
    ):
        if found > most:
            raise ModelError(
                f"the bundle has {found} {what}, expected at most {most}: the firmware counts them "
                "in fewer bits"
            )


def memory_bytes(bundle: Bundle, drawn: Plan, taps: int) -> int:
    """Bytes that a stream needs with a sensor of so many taps: `NAME_MEMORY_BYTES(taps)`."""
    return -(-(_without_ring(bundle, drawn) + 2 * taps) // 4) * 4


def _without_ring(bundle: Bundle, drawn: Plan) -> int:
    """Bytes without the sensor's ring."""
    classes, geometry = len(bundle.classes), bundle.geometry
    waits = (geometry.right + drawn.chunk) // geometry.stride + 2
    columns = bundle.span_columns * classes + (bundle.span_columns + waits) * QUALITY_BYTES
    return drawn.state_bytes + 4 * classes + columns + drawn.chunk


def _header(name: str, classes: tuple[str, ...], memory: int) -> str:
    upper = name.upper()
    listed = ", ".join(f"{upper}_{key.upper()}" for key in classes)
    return guarded(
        name,
        '#include "beatlens.h"\n',
        f"enum {{ {listed} }}; /* classes */\n",
        "/* Bytes of memory a stream needs; `taps` are the sensor's, of a phase. */\n"
        f"#define {upper}_MEMORY_BYTES(taps) ((({memory}u + 2u * (taps)) + 3u) / 4u * 4u)\n",
        f"extern const bl_task {name};\n",
    )
