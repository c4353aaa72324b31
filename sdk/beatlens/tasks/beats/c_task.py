"""The task of a bundle that decides on beats, as C constants for `bl_beats.h`."""

from __future__ import annotations

from dataclasses import astuple

from beatlens.c_source.lead import Lead, round_to_words, task_header
from beatlens.c_source.model import model_source
from beatlens.c_source.plan import Plan, lay_out
from beatlens.c_source.text import CSource, check_identifier, numbers, row
from beatlens.errors import ModelError
from beatlens.integer.tflite_read import read_tflite
from beatlens.runtime.c_task import ChainParts, TaskSource, limits_row
from beatlens.runtime.contents import Contents
from beatlens.runtime.quality import Limits
from beatlens.signals.beat_features import FEATURES
from beatlens.signals.frontend import FrontEnd
from beatlens.signals.qrs import BESIDE, NEIGHBOURS, REACH, find_floor
from beatlens.signals.qrs_decisions import RECENT, REFRACTORY
from beatlens.tasks.beats.c_golden import beat_golden_source
from beatlens.tasks.beats.rhythm_kinds import DEFAULT_SETTINGS
from beatlens.tasks.beats.rule import BEAT_LIMITS, BeatRule, beat_rule

MAX_WAITING = 24
"""BL_BEATS_WAITING of bl_beats.h."""
MAX_COLUMNS = 255
LATE = RECENT + REACH + BESIDE + NEIGHBOURS
"""Samples by which an R peak is found late at most."""


def beat_task_source(
    bundle: Contents, name: str, limits: Limits | None = None, plan: Plan | None = None
) -> TaskSource:
    """C that defines `const bl_beat_task NAME`, with `NAME_net` as its network.

    The header numbers the classes (`NAME_V`) and holds the memory a stream needs beside its
    sensor's taps (`NAME_MEMORY_BYTES(taps)`). For rhythms (`bl_rhythm.h`) there are the role of
    each class, `NAME_roles`, and settings, `NAME_rhythms`.

    Args:
        bundle: of a streaming network with one lead that decides on beats.
        name: a C identifier.
        limits: how much of a beat's span may be bad, as for a `Stream`.
        plan: how its network runs; `lay_out` of it if None.

    Raises:
        RecipeError: the name is not a C identifier.
        ModelError: the engine cannot run the bundle, or it decides on windows.
    """
    check_identifier(name, "the task")
    rule, plan = beat_rule(bundle), plan or lay_out(read_tflite(bundle.tflite))
    length = rule.before + rule.after
    _check(bundle, length, plan)
    allowed, total = limits or BEAT_LIMITS, length * bundle.geometry.stride
    excluded = sum(1 << number for number in rule.never_if_clipped)
    parts = (
        f'/* {bundle.name}; made by beatlens. */\n#include "{name}.h"\n\n#include "{name}_net.h"\n',
        numbers("int16_t", f"{name}_tables", rule.tables.ravel().tolist()),
        numbers("int16_t", f"{name}_offsets", rule.offsets.tolist()),
        numbers("int16_t", f"{name}_odds", rule.warning.odds.tolist()),
        f"const bl_beat_task {name} = {{\n"
        f"    {_build_lead(bundle, rule).row(f'{name}_net')},\n"
        f"    {name}_tables, {name}_offsets, {name}_odds,\n"
        f"    {rule.before}, {rule.after}, {limits_row(allowed, total)},\n"
        f"    {rule.warning.low_margin}, {rule.warning.out_of_distribution},\n"
        f"    {int(allowed.clipped_warning * total)}, {excluded},\n"
        f"    {_sharing_row(rule)}, {find_floor(bundle.lsb_mv)}\n}};\n",
        f"const uint8_t {name}_roles[] = {row(*map(int, rule.roles))};\n"
        f"const bl_rhythm_settings {name}_rhythms = {row(*astuple(DEFAULT_SETTINGS))};\n",
    )
    memory = _bytes_without_ring(bundle, rule, plan)
    header = task_header(
        name, "bl_beat_task", "bl_beats.h", bundle.classes, memory,
        '#include "bl_rhythm.h"\n',
        "/* What beats of each class are for a rhythm, and limits of rhythms. */\n"
        f"extern const uint8_t {name}_roles[{len(bundle.classes)}];\n"
        f"extern const bl_rhythm_settings {name}_rhythms;\n",
    )  # fmt: skip
    return TaskSource(model_source(plan, f"{name}_net"), CSource(header, "\n".join(parts)))


def _sharing_row(rule: BeatRule) -> str:
    """A `bl_sharing`; with a limit of 0 nothing is shared."""
    if rule.sharing is None:
        return row(0, 0, 0)
    others = sum(1 << number for number in rule.sharing.others)
    return row(rule.sharing.limit, others, rule.sharing.number)


def beat_memory_bytes(bundle: Contents, plan: Plan, taps: int) -> int:
    """Bytes that a stream needs with a sensor of so many taps: `NAME_MEMORY_BYTES(taps)`."""
    return round_to_words(_bytes_without_ring(bundle, beat_rule(bundle), plan) + 2 * taps)


def _build_lead(bundle: Contents, rule: BeatRule) -> Lead:
    """The lead of a bundle that decides on beats: the columns of a beat found late are kept."""
    kept = LATE // bundle.geometry.stride + rule.before + 2
    return Lead(bundle.geometry, len(bundle.classes), kept)


def _bytes_without_ring(bundle: Contents, rule: BeatRule, plan: Plan) -> int:
    """Bytes of memory that a stream needs without its sensor's ring."""
    lead = _build_lead(bundle, rule)
    beat = round_to_words((4 + rule.before + rule.after) * lead.classes)  # scores and evidence
    return beat + lead.memory_bytes(plan.state_bytes, plan.chunk)


def _check(bundle: Contents, length: int, plan: Plan) -> None:
    geometry = bundle.geometry
    lag = geometry.right + plan.chunk + length * geometry.stride
    waiting = lag // (REFRACTORY + 1) + 2
    for what, found, largest in (
        ("columns in a beat's span", length, MAX_COLUMNS),
        ("R peaks that may wait for their evidence", waiting, MAX_WAITING),
    ):
        if found > largest:
            raise ModelError(
                f"the bundle has {found} {what}, expected at most {largest}: give its network a "
                "smaller receptive field, or work on smaller chunks"
            )


def write_parts(
    bundle: Contents, frontend: FrontEnd, name: str, limits: Limits, plan: Plan
) -> ChainParts:
    """See `beatlens.runtime.kind.Kind.write_c`."""
    rule, golden = beat_rule(bundle), f"{name}_golden_beats"
    return ChainParts(
        task=beat_task_source(bundle, name, limits, plan),
        golden=beat_golden_source(bundle, frontend, name, f"{name}_sensor", golden, limits),
        chain="beats",
        sources=(
            "bl_beats.c",
            "bl_features.c",
            "bl_median.h",
            "bl_patient.c",
            "bl_qrs.c",
            "bl_qrs_shapes.c",
            "bl_rhythm.c",
            "bl_selftest_beats.c",
        ),
        headers=(
            "bl_beats.h",
            "bl_features.h",
            "bl_patient.h",
            "bl_qrs.h",
            "bl_qrs_shapes.h",
            "bl_rhythm.h",
            "bl_selftest_beats.h",
        ),
        memory_bytes=beat_memory_bytes(bundle, plan, frontend.taps.shape[1]),
        fact=f"a beat is decided on {rule.before + rule.after} columns of evidence and "
        f"{len(FEATURES)} features",
        selftest_state="selftest_beats",
    )
