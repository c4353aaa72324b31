"""The task of a bundle that decides on windows, as C constants for `beatlens.h`."""

from __future__ import annotations

from dataclasses import dataclass

from beatlens.c_source.lead import Lead, round_to_words, task_header
from beatlens.c_source.model import model_source
from beatlens.c_source.plan import Plan, lay_out
from beatlens.c_source.text import CSource, check_identifier, numbers, row
from beatlens.integer.tflite_read import read_tflite
from beatlens.runtime.contents import Contents
from beatlens.runtime.quality import Limits


@dataclass(frozen=True)
class TaskSource:
    """C of a network and of the task that decides with it."""

    net: CSource
    task: CSource


def task_source(
    bundle: Contents, name: str, limits: Limits | None = None, plan: Plan | None = None
) -> TaskSource:
    """C that defines `const bl_task NAME`, with `NAME_net` as its network.

    The header numbers the classes (`NAME_PVC`) and holds the memory a stream needs beside its
    sensor's taps (`NAME_MEMORY_BYTES(taps)`).

    Args:
        bundle: of a streaming network with one lead.
        name: a C identifier.
        limits: how much of a window may be bad, as for a `Stream`.
        plan: how its network runs; `lay_out` of it if None.

    Raises:
        RecipeError: the name is not a C identifier.
        ModelError: the engine cannot run the bundle; the message says why.
    """
    check_identifier(name, "the task")
    plan = plan or lay_out(read_tflite(bundle.tflite))
    lead = build_lead(bundle)
    sums = [bundle.sum_thresholds[key] for key in bundle.classes]
    source = (
        f"/* {bundle.name}; made by beatlens. */\n"
        f'#include "{name}.h"\n\n#include "{name}_net.h"\n\n'
        f"{numbers('int32_t', f'{name}_sums', sums)}\n"
        f"const bl_task {name} = {{\n"
        f"    {lead.row(f'{name}_net')}, {name}_sums, {bundle.hop_columns},\n"
        f"    {limits_row(limits or Limits(), bundle.span_samples)}\n}};\n"
    )
    memory = _bytes_without_ring(bundle, plan)
    header = task_header(name, "bl_task", "beatlens.h", bundle.classes, memory)
    return TaskSource(model_source(plan, f"{name}_net"), CSource(header, source))


def build_lead(bundle: Contents) -> Lead:
    """The lead of a bundle that decides on windows: a window's columns are kept."""
    return Lead(bundle.geometry, len(bundle.classes), bundle.span_columns)


def limits_row(limits: Limits, total: int) -> str:
    """A `bl_limits` of a span of `total` samples."""
    shares = (limits.unusable, limits.clipped, limits.noisy)
    return row(*(int(share * total) for share in shares))


def memory_bytes(bundle: Contents, plan: Plan, taps: int) -> int:
    """Bytes that a stream needs with a sensor of so many taps: `NAME_MEMORY_BYTES(taps)`."""
    return round_to_words(_bytes_without_ring(bundle, plan) + 2 * taps)


def _bytes_without_ring(bundle: Contents, plan: Plan) -> int:
    """Bytes of memory that a stream needs without its sensor's ring."""
    lead = build_lead(bundle)
    return 4 * lead.classes + lead.memory_bytes(plan.state_bytes, plan.chunk)
