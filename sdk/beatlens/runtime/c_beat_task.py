"""What a bundle decides on beats, as C constants for `firmware_export/src/bl_beats.c`."""

from __future__ import annotations

from dataclasses import replace

from beatlens.c_source.model import model_source
from beatlens.c_source.plan import Plan, plan
from beatlens.c_source.text import CSource, check_identifier, numbers
from beatlens.errors import ModelError
from beatlens.integer.tflite_read import read_tflite
from beatlens.runtime.beat_chain import rule_of
from beatlens.runtime.beat_rule import BeatRule, excluded_if_clipped
from beatlens.runtime.c_task import (
    TaskSource,
    bytes_without_ring,
    sample_limits,
    task_constant,
    task_header,
)
from beatlens.runtime.contents import Contents
from beatlens.runtime.finding import BEAT_LIMITS, Limits
from beatlens.signals.qrs import BESIDE, NEIGHBOURS, REACH, RECENT, REFRACTORY

MOST_WAITING = 32
"""BL_BEATS_WAITING of bl_beats.h."""
LARGEST_SPAN = 255
LATE = RECENT + REACH + BESIDE + NEIGHBOURS
"""Samples by which an R peak is found late at most."""


def beat_task_source(
    bundle: Contents, name: str, limits: Limits | None = None, drawn: Plan | None = None
) -> TaskSource:
    """C that defines `const bl_beat_task NAME`, with `NAME_net` as its network.

    The header numbers the classes (`NAME_V`) and holds the memory a stream needs beside its
    sensor's taps (`NAME_MEMORY_BYTES(taps)`).

    Args:
        bundle: of a streaming network with one lead that decides on beats.
        name: a C identifier.
        limits: how much of a beat's span may be bad, as for a `BeatStream`.
        drawn: how its network runs; `plan` of it if None.

    Raises:
        RecipeError: the name is none.
        ModelError: the engine cannot run the bundle, or it decides on spans.
    """
    check_identifier(name, "the task")
    rule, drawn = rule_of(bundle), drawn or plan(read_tflite(bundle.tflite))
    length = rule.before + rule.after
    _check(bundle, length, drawn)
    columns = _kept(bundle, rule)
    allowed, total = limits or BEAT_LIMITS, length * bundle.geometry.stride
    excluded = sum(1 << number for number in excluded_if_clipped(bundle.classes))
    parts = (
        f'/* {bundle.name}; made by beatlens. */\n#include "{name}.h"\n\n#include "{name}_net.h"\n',
        task_constant(columns, f"{name}_columns", f"{name}_net", allowed, static=True),
        numbers("int16_t", f"{name}_tables", rule.tables.ravel().tolist()),
        numbers("int16_t", f"{name}_offsets", rule.offsets.tolist()),
        numbers("int16_t", f"{name}_odds", rule.warning.odds.tolist()),
        f"const bl_beat_task {name} = {{\n"
        f"    &{name}_columns, {name}_tables, {name}_offsets, {name}_odds,\n"
        f"    {rule.before}, {rule.after}, {sample_limits(allowed, total)},\n"
        f"    {rule.warning.low_margin}, {rule.warning.out_of_distribution},\n"
        f"    {int(allowed.clipped_warning * total)}, {excluded}\n}};\n",
    )
    memory = bytes_without_ring(columns, drawn) + _taken_bytes(bundle, length)
    header = task_header(name, "bl_beat_task", bundle.classes, memory)
    return TaskSource(model_source(drawn, f"{name}_net"), CSource(header, "\n".join(parts)))


def beat_memory_bytes(bundle: Contents, drawn: Plan, taps: int) -> int:
    """Bytes that a stream needs with a sensor of so many taps: `NAME_MEMORY_BYTES(taps)`."""
    rule = rule_of(bundle)
    taken = _taken_bytes(bundle, rule.before + rule.after)
    return -(-(bytes_without_ring(_kept(bundle, rule), drawn) + 2 * taps + taken) // 4) * 4


def _kept(bundle: Contents, rule: BeatRule) -> Contents:
    """A bundle that decides on all the columns that have to be kept for a beat found late."""
    kept = LATE // bundle.geometry.stride + rule.before + 2
    return replace(bundle, beats=None, span_columns=kept, hop_columns=kept)


def _taken_bytes(bundle: Contents, columns: int) -> int:
    """Of a beat whose columns are taken: scores and evidence, whole words."""
    classes = len(bundle.classes)
    return -(-(4 * classes + columns * classes) // 4) * 4


def _check(bundle: Contents, length: int, drawn: Plan) -> None:
    geometry = bundle.geometry
    lag = geometry.right + drawn.chunk + length * geometry.stride
    waiting = lag // (REFRACTORY + 1) + 2
    for what, found, most in (
        ("columns in a beat's span", length, LARGEST_SPAN),
        ("R peaks that may wait for their evidence", waiting, MOST_WAITING),
    ):
        if found > most:
            raise ModelError(
                f"the bundle has {found} {what}, expected at most {most}: give its network a "
                "smaller receptive field, or work on smaller chunks"
            )
