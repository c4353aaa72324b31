"""What a bundle decides, as C constants for `beatlens.c` on TensorFlow Lite Micro.

`beatlens.runtime.c_task` does the same for beatlens' own engine. Here the network is somebody
else's, and a stream keeps the newest window of samples for it.
"""

from __future__ import annotations

from beatlens.c_source.text import CSource, guarded, numbers
from beatlens.runtime.bundle import Bundle
from beatlens.runtime.c_task import QUALITY_BYTES, check_sizes
from beatlens.runtime.finding import Limits
from beatlens.signals.frontend import FrontEnd

COUNTER_BYTES = 8
"""Of a window: where its oldest sample is, and how many to wait for."""


def tflm_task_source(bundle: Bundle, name: str, limits: Limits | None = None) -> CSource:
    """C that defines `const bl_task NAME_task`, and `NAME_STATE_BYTES` of its network.

    Args:
        bundle: of a streaming network with one lead.
        name: a C identifier.
        limits: how much of a span may be bad, as for a `Stream`.

    Raises:
        ModelError: the bundle is larger than the firmware can count.
    """
    check_sizes(bundle)
    geometry, classes = bundle.geometry, bundle.classes
    allowed, total = limits or Limits(), bundle.span_samples
    sums = [bundle.sum_thresholds[key] for key in classes]
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
        "/* What beatlens.c asks of a network; TensorFlow Lite Micro has the rest. */\n"
        f"static const bl_model {name}_net = {{\n"
        f"    .chunk = {geometry.stride},\n"
        "    .leads = 1,\n"
        f"    .classes = {len(classes)},\n"
        f"    .state_bytes = {name.upper()}_STATE_BYTES\n"
        "};\n\n"
        f"{numbers('int32_t', f'{name}_sums', sums)}\n"
        f"const bl_task {name}_task = {{\n"
        f"    .model = &{name}_net,\n"
        f"    .sum_thresholds = {name}_sums,\n"
        f"    .span = {bundle.span_columns},\n"
        f"    .hop = {bundle.hop_columns},\n"
        f"    .left = {geometry.left},\n"
        f"    .right = {geometry.right},\n"
        f"    .stride = {geometry.stride},\n"
        f"    .most_unusable = {int(allowed.unusable * total)},\n"
        f"    .most_clipped = {int(allowed.clipped * total)},\n"
        f"    .most_noisy = {int(allowed.noisy * total)}\n"
        "};\n"
    )
    return CSource(header, source)


def state_bytes(bundle: Bundle) -> int:
    """Bytes a stream keeps for the network."""
    return COUNTER_BYTES + -(-bundle.input_length // 4) * 4


def memory_bytes(bundle: Bundle, frontend: FrontEnd) -> int:
    """Bytes of memory a stream needs: what `bl_memory_bytes` says of it."""
    geometry, classes = bundle.geometry, len(bundle.classes)
    waits = (geometry.right + geometry.stride) // geometry.stride + 2
    columns = bundle.span_columns * classes + (bundle.span_columns + waits) * QUALITY_BYTES
    ring = 2 * frontend.taps.shape[1]
    total = state_bytes(bundle) + 4 * classes + ring + columns + geometry.stride
    return -(-total // 4) * 4
