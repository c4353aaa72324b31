"""Golden vectors as C, for `firmware_export/src/bl_selftest.c`: what a device has to compute.

Those of a bundle's network are the ones recorded in the bundle. Findings depend on the sensor, so
they are computed here, on the ECG of the same golden inputs. Labels and thresholds are in them as
`bundle.json` has them; `beatlens.runtime.bundle_checks` says how they are checked.
"""

from __future__ import annotations

from math import ceil

import numpy as np
from numpy.typing import NDArray

from beatlens.c_source.text import CSource, array, check_identifier, guarded, numbers, row
from beatlens.errors import ModelError
from beatlens.integer.graph import IntegerGraph
from beatlens.integer.simulate import simulate
from beatlens.runtime.bundle import Bundle
from beatlens.runtime.finding import Finding
from beatlens.runtime.quality import Limits
from beatlens.runtime.stream import Stream
from beatlens.runtime.warning_bits import pack_warnings
from beatlens.signals.frontend import LSB_MV, MODEL_RATE_HZ, FrontEnd

Int8 = NDArray[np.int8]


def example_inputs(graph: IntegerGraph, cases: int = 2) -> Int8:
    """Inputs int8 `[cases, N, leads]`: first noise over the whole range, then random walks."""
    source = graph.tensors[graph.input]
    rng = np.random.default_rng(0)
    steps = rng.integers(-12, 13, (cases, source.length, source.channels))
    steps[0] = rng.integers(-128, 128, steps[0].shape)
    walks = np.cumsum(steps, axis=1)
    walks[0] = steps[0]
    return ((walks + 128) % 256 - 128).astype(np.int8)


def net_golden_source(
    graph: IntegerGraph, inputs: Int8, model: str, name: str, evidence: Int8 | None = None
) -> CSource:
    """C that defines `const bl_golden_net NAME`.

    Args:
        graph: of the network.
        inputs: int8 `[cases, N, leads]`, `N` the graph's length.
        evidence: int8 `[cases, T, C]`, what the network has to give for them, as recorded when its
            bundle was made; None computes it from the graph, for a network without a bundle.
        model: name of its C constants, and of their header.
        name: a C identifier.

    Raises:
        RecipeError: a name is not a C identifier.
        ModelError: inputs have another shape.
    """
    for what in (model, name):
        check_identifier(what, "golden vectors")
    source = graph.tensors[graph.input]
    if inputs.ndim != 3 or inputs.shape[1:] != (source.length, source.channels):
        raise ModelError(
            f"golden inputs have shape {inputs.shape}, expected "
            f"[cases, {source.length}, {source.channels}]"
        )
    if evidence is None:
        evidence = simulate(graph, inputs)["evidence"]
    values = row(
        f"&{model}", f"{name}_inputs", f"{name}_evidence", *inputs.shape[:2], evidence.shape[1]
    )
    parts = [
        numbers("int8_t", f"{name}_inputs", inputs.ravel().tolist()),
        numbers("int8_t", f"{name}_evidence", evidence.ravel().tolist()),
        f"const bl_golden_net {name} = {values};\n",
    ]
    return golden_source(name, "bl_golden_net", [model], parts, "bl_selftest.h")


def stream_golden_source(
    bundle: Bundle,
    frontend: FrontEnd,
    task: str,
    sensor: str,
    name: str,
    limits: Limits | None = None,
) -> CSource:
    """C that defines `const bl_golden_stream NAME`: golden ECG and all findings on it.

    Args:
        bundle: of a streaming network.
        frontend: of the sensor.
        task, sensor: names of their C constants, and of their headers.
        name: a C identifier.
        limits: as for `task_source`.

    Raises:
        RecipeError: a name is not a C identifier.
    """
    for what in (task, sensor, name):
        check_identifier(what, "golden vectors")
    counts = golden_counts(bundle, frontend, _count_seconds(bundle))
    stream = Stream(
        bundle, frontend.rate_hz, frontend.counts_per_mv, rails=frontend.rails, limits=limits,
        engine=bundle.engine("simulator"),
    )  # fmt: skip
    found = [*stream.push(counts), *stream.flush()]
    rows = [_finding(bundle, finding, f"{name}_sums_{i}") for i, finding in enumerate(found)]
    sums = [
        numbers("int32_t", f"{name}_sums_{i}", _sums(bundle, finding))
        for i, finding in enumerate(found)
        if finding.assessable
    ]
    values = row(
        f"&{task}", f"&{sensor}", f"{name}_counts", len(counts), f"{name}_findings", len(found)
    )
    parts = [
        numbers("int16_t", f"{name}_counts", counts.tolist()),
        *sums,
        array("bl_golden_finding", f"{name}_findings", rows),
        f"const bl_golden_stream {name} = {values};\n",
    ]
    return golden_source(name, "bl_golden_stream", [task, sensor], parts, "bl_selftest_windows.h")


def golden_counts(bundle: Bundle, frontend: FrontEnd, seconds: float) -> NDArray[np.int16]:
    """Counts `[n]` of a sensor: the ECG of a bundle's golden inputs, one behind the other.

    Inputs are samples at 128 Hz, and each is held until the next one, so that the front end's
    filter has steps to smooth. They are repeated where they are shorter than `seconds`.
    """
    wanted = round(seconds * frontend.rate_hz)
    samples = np.resize(bundle.golden.inputs, ceil(seconds * MODEL_RATE_HZ))
    millivolts = samples[np.arange(wanted) * MODEL_RATE_HZ // frontend.rate_hz] * LSB_MV
    counts = np.rint(millivolts * frontend.counts_per_mv)
    return np.clip(counts, *frontend.rails).astype(np.int16)


def _count_seconds(bundle: Bundle) -> float:
    """Seconds of counts that are enough for two findings and a rest."""
    needed = 1.5 * bundle.span_s + bundle.geometry.receptive_field / MODEL_RATE_HZ
    return float(ceil(needed))  # whole columns, to the last one


def _finding(bundle: Bundle, finding: Finding, sums: str) -> str:
    column_s = bundle.geometry.stride / MODEL_RATE_HZ
    start, end = (round(at / column_s) for at in (finding.start_s, finding.end_s))
    decisions = sum(1 << bundle.classes.index(name) for name in finding.predicted)
    named = sums if finding.assessable else 0
    warnings = pack_warnings(finding.warnings)
    return row(start, end - start, decisions, int(finding.assessable), warnings, named)


def _sums(bundle: Bundle, finding: Finding) -> list[int]:
    """Sums of int8 evidence, from evidence in logits."""
    evidence = bundle.tensors["evidence"]
    assert finding.evidence is not None
    values = np.rint(finding.evidence / evidence.scale) + evidence.zero_point
    return values.sum(axis=1).astype(int).tolist()


def golden_source(
    name: str, kind: str, needs: list[str], parts: list[str], include: str
) -> CSource:
    """C that defines `const KIND NAME`, a type of the header `include`, out of parts; it includes
    the headers of what it needs."""
    header = guarded(name, f'#include "{include}"\n', f"extern const {kind} {name};\n")
    includes = "".join(f'#include "{header}.h"\n' for header in (name, *needs))
    return CSource(header, "\n".join([f"/* Made by beatlens. */\n{includes}", *parts]))
