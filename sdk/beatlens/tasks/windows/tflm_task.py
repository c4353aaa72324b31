"""The task of a bundle as C constants for `beatlens.h` on TensorFlow Lite Micro.

`beatlens.tasks.windows.c_task` does the same for beatlens' own engine. Here TensorFlow Lite Micro
runs the network, and a stream keeps the newest window of samples for it.
"""

from __future__ import annotations

from beatlens.c_source.lead import round_to_words
from beatlens.c_source.text import CSource, guarded, numbers
from beatlens.runtime.c_task import TflmParts, limits_row
from beatlens.runtime.contents import Contents
from beatlens.runtime.quality import Limits
from beatlens.signals.frontend import FrontEnd
from beatlens.signals.qrs import find_floor
from beatlens.tasks.windows.c_task import (
    RHYTHM_SOURCES,
    build_lead,
    name_tables,
    rhythm_bytes,
    write_tables,
)
from beatlens.tasks.windows.rule import window_rule

COUNTER_BYTES = 8
"""Of a window: where its oldest sample is, and how many to wait for."""


def tflm_task_source(bundle: Contents, name: str, limits: Limits | None = None) -> CSource:
    """C that defines `const bl_task NAME_task`, and `NAME_STATE_BYTES` of its network.

    Args:
        bundle: of a streaming network with one lead.
        name: a C identifier.
        limits: how much of a span may be bad, as for a `Stream`.

    Raises:
        ModelError: the bundle is larger than the firmware can count.
    """
    lead, geometry, classes = build_lead(bundle), bundle.geometry, bundle.classes
    limits_text = limits_row(limits or Limits(), bundle.span_samples)
    rule = window_rule(bundle)
    sums = list(rule.sum_thresholds.values())
    tables, rhythm = name_tables(rule, name)
    header = guarded(
        f"{name}_task",
        '#include "beatlens.h"\n',
        '#ifdef __cplusplus\nextern "C" {\n#endif\n',
        f"#define {name.upper()}_STATE_BYTES {state_bytes(bundle)}u /* a window of samples */\n",
        f"extern const bl_task {name}_task;\n",
        "#ifdef __cplusplus\n}\n#endif\n",
    )
    source = (
        f'/* {bundle.name}; made by beatlens. */\n#include "{name}_task.h"\n\n'
        "/* What bl_lead.c needs to know; TensorFlow Lite Micro has the rest. */\n"
        f"static const bl_model {name}_net = {{\n"
        f"    .chunk = {geometry.stride},\n"
        "    .leads = 1,\n"
        f"    .classes = {len(classes)},\n"
        f"    .state_bytes = {name.upper()}_STATE_BYTES\n"
        "};\n\n"
        f"{numbers('int32_t', f'{name}_sums', sums)}\n"
        f"{write_tables(rule, name)}"
        f"const bl_task {name}_task = {{\n"
        f"    .lead = {lead.row(f'{name}_net')},\n"
        f"    .sum_thresholds = {name}_sums,\n"
        f"    .hop = {bundle.hop_columns},\n"
        f"    .limits = {limits_text},\n"
        f"    .tables = {tables},\n"
        f"    .rhythm = {rhythm},\n"
        f"    .qrs_floor = {find_floor(bundle.lsb_mv)}\n"
        "};\n"
    )
    return CSource(header, source)


def state_bytes(bundle: Contents) -> int:
    """Bytes a stream keeps for the network."""
    return COUNTER_BYTES + -(-bundle.input_length // 4) * 4


def memory_bytes(bundle: Contents, frontend: FrontEnd) -> int:
    """Bytes of memory a stream needs, as `bl_memory_bytes` gives it."""
    lead = build_lead(bundle)
    chunk = lead.geometry.stride
    own = 4 * lead.classes + rhythm_bytes(bundle, chunk)
    without = own + lead.memory_bytes(state_bytes(bundle), chunk)
    return round_to_words(without + 2 * frontend.taps.shape[1])


def write_tflm_parts(bundle: Contents, frontend: FrontEnd, name: str, limits: Limits) -> TflmParts:
    """See `beatlens.runtime.kind.Kind.write_tflm`."""
    has_tables = window_rule(bundle).tables is not None
    return TflmParts(
        tflm_task_source(bundle, name, limits),
        memory_bytes(bundle, frontend),
        tuple(f"src/{file}" for file in RHYTHM_SOURCES) if has_tables else (),
    )
