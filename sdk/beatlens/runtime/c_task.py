"""What a bundle decides, as C constants for `firmware_export/src/beatlens.c`."""

from __future__ import annotations

from dataclasses import dataclass

from beatlens.c_source.model import model_source
from beatlens.c_source.plan import Plan, plan
from beatlens.c_source.text import CSource, check_identifier, guarded, numbers
from beatlens.errors import ModelError
from beatlens.integer.tflite_read import read_tflite
from beatlens.runtime.contents import Contents
from beatlens.runtime.finding import Limits

MOST_CLASSES = 32
LARGEST_STRIDE = 255
LARGEST_COUNT = (1 << 16) - 1
"""Of columns in a span, and of samples of context."""
QUALITY_BYTES = 6
HEADERS = {"bl_task": "beatlens.h", "bl_beat_task": "bl_beats.h"}


@dataclass(frozen=True)
class TaskSource:
    """C of a network and of what is decided with it."""

    net: CSource
    task: CSource


def task_source(
    bundle: Contents, name: str, limits: Limits | None = None, drawn: Plan | None = None
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
    source = (
        f"/* {bundle.name}; made by beatlens. */\n"
        f'#include "{name}.h"\n\n#include "{name}_net.h"\n\n'
        f"{task_constant(bundle, name, f'{name}_net', limits)}"
    )
    header = task_header(name, "bl_task", bundle.classes, bytes_without_ring(bundle, drawn))
    return TaskSource(model_source(drawn, f"{name}_net"), CSource(header, source))


def task_constant(
    bundle: Contents, name: str, net: str, limits: Limits | None = None, *, static: bool = False
) -> str:
    """C that defines `const bl_task NAME` with the network NET.

    Raises:
        ModelError: a size is too large for the engine.
    """
    geometry = bundle.geometry
    check_sizes(bundle)
    allowed, total = limits or Limits(), bundle.span_samples
    sums = [bundle.sum_thresholds[key] for key in bundle.classes]
    values = (
        f"    &{net}, {name}_sums, {bundle.span_columns}, {bundle.hop_columns},\n"
        f"    {geometry.left}, {geometry.right}, {geometry.stride},\n"
        f"    {sample_limits(allowed, total)}\n"
    )
    where = "static " if static else ""
    return (
        f"{numbers('int32_t', f'{name}_sums', sums)}\n"
        f"{where}const bl_task {name} = {{\n{values}}};\n"
    )


def sample_limits(limits: Limits, total: int) -> str:
    """Most unusable, clipped and noisy samples of `total`, as C."""
    shares = (limits.unusable, limits.clipped, limits.noisy)
    return ", ".join(str(int(share * total)) for share in shares)


def check_sizes(bundle: Contents) -> None:
    """Raise `ModelError` where a bundle is larger than the firmware's C can count."""
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


def memory_bytes(bundle: Contents, drawn: Plan, taps: int) -> int:
    """Bytes that a stream needs with a sensor of so many taps: `NAME_MEMORY_BYTES(taps)`."""
    return -(-(bytes_without_ring(bundle, drawn) + 2 * taps) // 4) * 4


def bytes_without_ring(bundle: Contents, drawn: Plan) -> int:
    """Bytes of memory that a stream needs without its sensor's ring."""
    classes, geometry = len(bundle.classes), bundle.geometry
    waits = (geometry.right + drawn.chunk) // geometry.stride + 2
    columns = bundle.span_columns * classes + (bundle.span_columns + waits) * QUALITY_BYTES
    return drawn.state_bytes + 4 * classes + columns + drawn.chunk


def task_header(name: str, kind: str, classes: tuple[str, ...], memory: int) -> str:
    """The header of a task: its classes, and the memory a stream needs beside its sensor's ring.

    Args:
        name: of the constant.
        kind: its type, `bl_task` or `bl_beat_task`.
        classes: their names.
        memory: bytes without the ring.
    """
    upper = name.upper()
    listed = ", ".join(f"{upper}_{key.upper()}" for key in classes)
    return guarded(
        name,
        f'#include "{HEADERS[kind]}"\n',
        f"enum {{ {listed} }}; /* classes */\n",
        "/* Bytes of memory a stream needs; `taps` are the sensor's, of a phase. */\n"
        f"#define {upper}_MEMORY_BYTES(taps) ((({memory}u + 2u * (taps)) + 3u) / 4u * 4u)\n",
        f"extern const {kind} {name};\n",
    )
