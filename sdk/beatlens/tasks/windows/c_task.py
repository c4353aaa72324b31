"""The task of a bundle that decides on windows, as C constants for `beatlens.h`."""

from __future__ import annotations

from beatlens.c_source.lead import Lead, round_to_words, task_header
from beatlens.c_source.model import model_source
from beatlens.c_source.plan import Plan, lay_out
from beatlens.c_source.text import CSource, check_identifier, numbers
from beatlens.integer.tflite_read import read_tflite
from beatlens.runtime.c_task import ChainParts, TaskSource, limits_row
from beatlens.runtime.contents import Contents
from beatlens.runtime.quality import Limits
from beatlens.signals.frontend import FrontEnd
from beatlens.signals.qrs import find_floor
from beatlens.signals.rhythm_features import FEATURES
from beatlens.tasks.windows.c_golden import window_golden_source
from beatlens.tasks.windows.rule import WindowRule, window_rule

RHYTHM_BYTES, END_BYTES = 1048, 8
"""A `bl_window_rhythm` and a `bl_window_end`."""
RHYTHM_SOURCES = ("bl_window_rhythm.c", "bl_qrs.c", "bl_qrs_shapes.c", "bl_median.h")
RHYTHM_HEADERS = ("bl_window_rhythm.h", "bl_qrs.h", "bl_qrs_shapes.h")


def window_task_source(
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
        ModelError: the engine cannot run the bundle; the message has the reason.
    """
    check_identifier(name, "the task")
    plan = plan or lay_out(read_tflite(bundle.tflite))
    lead, rule = build_lead(bundle), window_rule(bundle)
    sums = list(rule.sum_thresholds.values())
    source = (
        f"/* {bundle.name}; made by beatlens. */\n"
        f'#include "{name}.h"\n\n#include "{name}_net.h"\n\n'
        f"{numbers('int32_t', f'{name}_sums', sums)}\n"
        f"{write_tables(rule, name)}"
        f"const bl_task {name} = {{\n"
        f"    {lead.row(f'{name}_net')}, {name}_sums, {bundle.hop_columns},\n"
        f"    {limits_row(limits or Limits(), bundle.span_samples)},\n"
        f"    {', '.join(name_tables(rule, name))}, {find_floor(bundle.lsb_mv)}\n}};\n"
    )
    memory = _bytes_without_ring(bundle, plan)
    header = task_header(name, "bl_task", "beatlens.h", bundle.classes, memory)
    return TaskSource(model_source(plan, f"{name}_net"), CSource(header, source))


def write_tables(rule: WindowRule, name: str) -> str:
    """C of a rule's lookup tables; empty where it has none."""
    if rule.tables is None:
        return ""
    return numbers("int16_t", f"{name}_tables", rule.tables.ravel().tolist()) + "\n"


def name_tables(rule: WindowRule, name: str) -> tuple[str, str]:
    """Two fields of a `bl_task`: its tables, and what measures their features."""
    if rule.tables is None:
        return "0", "0"
    return f"{name}_tables", "&bl_window_rhythm_from_peaks"


def rhythm_bytes(bundle: Contents, chunk: int) -> int:
    """Bytes of the rhythm in a stream's memory.

    Args:
        bundle: whose rule may have tables.
        chunk: samples that its network gets at once.
    """
    if window_rule(bundle).tables is None:
        return 0
    waits = build_lead(bundle).waiting_columns(chunk)
    return RHYTHM_BYTES + END_BYTES * (waits // bundle.hop_columns + 1)


def build_lead(bundle: Contents) -> Lead:
    """The lead of a bundle that decides on windows: a window's columns are kept."""
    return Lead(bundle.geometry, len(bundle.classes), bundle.span_columns)


def memory_bytes(bundle: Contents, plan: Plan, taps: int) -> int:
    """Bytes that a stream needs with a sensor of so many taps: `NAME_MEMORY_BYTES(taps)`."""
    return round_to_words(_bytes_without_ring(bundle, plan) + 2 * taps)


def _bytes_without_ring(bundle: Contents, plan: Plan) -> int:
    """Bytes of memory that a stream needs without its sensor's ring."""
    lead = build_lead(bundle)
    own = 4 * lead.classes + rhythm_bytes(bundle, plan.chunk)
    return own + lead.memory_bytes(plan.state_bytes, plan.chunk)


def write_parts(
    bundle: Contents, frontend: FrontEnd, name: str, limits: Limits, plan: Plan
) -> ChainParts:
    """See `beatlens.runtime.kind.Kind.write_c`."""
    golden, has_tables = f"{name}_golden_stream", window_rule(bundle).tables is not None
    return ChainParts(
        task=window_task_source(bundle, name, limits, plan),
        golden=window_golden_source(bundle, frontend, name, f"{name}_sensor", golden, limits),
        chain="stream",
        sources=("beatlens.c", "bl_selftest_windows.c", *(RHYTHM_SOURCES if has_tables else ())),
        headers=("beatlens.h", *RHYTHM_HEADERS, "bl_selftest_windows.h"),
        memory_bytes=memory_bytes(bundle, plan, frontend.taps.shape[1]),
        fact=f"a decision is the sum of {bundle.span_columns} columns of evidence, "
        f"{bundle.span_s:g} s"
        + (f", and of {len(FEATURES)} features of the rhythm" if has_tables else ""),
    )
