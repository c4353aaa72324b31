"""A firmware package of a bundle that decides on beats; as `beatlens.firmware.package`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from beatlens.c_source.plan import lay_out
from beatlens.c_source.sensor import sensor_source
from beatlens.c_source.text import CSource, array, check_identifier, numbers, row
from beatlens.firmware.cores import find_core
from beatlens.firmware.golden import golden_counts, golden_source, net_golden_source
from beatlens.firmware.package import (
    BEAT_HEADERS,
    GOLDEN_CASES,
    LEAD_SOURCES,
    engine_sources,
    package_files,
    write_package,
)
from beatlens.integer.tflite_read import read_tflite
from beatlens.runtime.beat_chain import rule_of
from beatlens.runtime.beat_stream import BeatStream
from beatlens.runtime.bundle import Bundle
from beatlens.runtime.c_beat_task import beat_memory_bytes, beat_task_source
from beatlens.runtime.finding import Finding
from beatlens.runtime.quality import Limits
from beatlens.runtime.warning_bits import pack_warnings
from beatlens.signals.beat_features import FEATURES, STEPS
from beatlens.signals.frontend import MODEL_RATE_HZ, FrontEnd

GOLDEN_S = 16.0
"""Seconds of golden ECG: the first eight set the detector's thresholds."""
LARGE_FROM_S, LARGE = 10.0, 3
"""From when on golden ECG is how many times as large, so that the network's input clips, where the
sensor's rails are that far apart."""


def write_beats(
    bundle: Bundle,
    frontend: FrontEnd,
    folder: Path,
    name: str,
    core: str = "any",
    *,
    limits: Limits | None = None,
    chunk: int | None = None,
) -> Path:
    """Write the package of a bundle that decides on beats; as `write_task`.

    Raises:
        RecipeError, SignalError: as `write_task`.
        ModelError: as `write_task`, or the bundle decides on spans.
    """
    target = find_core(core)
    graph = read_tflite(bundle.tflite)
    plan = lay_out(graph, chunk, target.kernels)
    task = beat_task_source(bundle, name, limits, plan)
    inputs = bundle.golden.inputs[:GOLDEN_CASES, :, None]
    evidence = bundle.golden.evidence[:GOLDEN_CASES]
    made = {
        name: task.task,
        f"{name}_net": task.net,
        f"{name}_sensor": sensor_source(frontend, f"{name}_sensor"),
        f"{name}_golden_net": net_golden_source(
            graph, inputs, f"{name}_net", f"{name}_golden_net", evidence
        ),
        f"{name}_golden_beats": beat_golden_source(
            bundle, frontend, name, f"{name}_sensor", f"{name}_golden_beats", limits
        ),
    }
    engine = ["bl_beats.c", "bl_features.c", "bl_qrs.c", "bl_selftest_beats.c",
              *LEAD_SOURCES, *engine_sources(plan)]  # fmt: skip
    memory = f"{name.upper()}_MEMORY_BYTES({name.upper()}_SENSOR_TAPS)"
    tests = [
        f"bl_selftest_net(&{name}_golden_net, selftest_memory, sizeof selftest_memory)",
        f"bl_selftest_beats(&{name}_golden_beats, &selftest_beats, selftest_memory, "
        "sizeof selftest_memory)",
    ]
    rule, taps = rule_of(bundle), frontend.taps.shape[1]
    facts = [
        f"The whole chain for a sensor of {frontend.rate_hz} Hz with "
        f"{frontend.counts_per_mv:g} counts per mV: include `{name}.h` and `{name}_sensor.h`, "
        "and read `include/bl_beats.h`, which has an example.",
        f"A stream needs {beat_memory_bytes(bundle, plan, taps):,} bytes of memory (`{memory}`) "
        "and a `bl_beats`; a beat is decided on "
        f"{rule.before + rule.after} columns of evidence and {len(FEATURES)} features.",
    ]
    statics = "static bl_beats selftest_beats;"
    files = package_files(name, target, plan, made, engine, memory, tests, facts, statics)
    return write_package(folder, files, engine, BEAT_HEADERS)


def beat_golden_source(
    bundle: Bundle,
    frontend: FrontEnd,
    task: str,
    sensor: str,
    name: str,
    limits: Limits | None = None,
) -> CSource:
    """C that defines `const bl_golden_beats NAME`: golden ECG and all beats in it.

    Args:
        bundle: that decides on beats.
        frontend: of the sensor.
        task, sensor: names of their C constants, and of their headers.
        name: a C identifier.
        limits: as for `beat_task_source`.

    Raises:
        RecipeError: a name is not a C identifier.
    """
    for what in (task, sensor, name):
        check_identifier(what, "golden vectors")
    counts = golden_beat_counts(bundle, frontend)
    stream = BeatStream(
        bundle, frontend.rate_hz, frontend.counts_per_mv, rails=frontend.rails, limits=limits,
        engine=bundle.engine("simulator"),
    )  # fmt: skip
    found = [*stream.push(counts), *stream.flush()]
    rows = [_beat(bundle, finding, f"{name}_scores_{i}") for i, finding in enumerate(found)]
    scores = [
        numbers("int32_t", f"{name}_scores_{i}", _scores(bundle, finding))
        for i, finding in enumerate(found)
        if finding.assessable
    ]
    values = row(f"&{task}", f"&{sensor}", f"{name}_counts", len(counts), f"{name}_list",
                 len(found))  # fmt: skip
    parts = [
        numbers("int16_t", f"{name}_counts", counts.tolist()),
        *scores,
        array("bl_golden_beat", f"{name}_list", rows),
        f"const bl_golden_beats {name} = {values};\n",
    ]
    return golden_source(name, "bl_golden_beats", [task, sensor], parts, "bl_selftest_beats.h")


def golden_beat_counts(bundle: Bundle, frontend: FrontEnd) -> NDArray[np.int16]:
    """Golden ECG, counts `[n]` of a sensor; its last part is large, but not saturated."""
    counts = golden_counts(bundle, frontend, GOLDEN_S).astype(np.int64)
    counts[round(LARGE_FROM_S * frontend.rate_hz) :] *= LARGE
    low, high = frontend.rails
    return np.clip(counts, low + 1, high - 1).astype(np.int16)


def _beat(bundle: Bundle, finding: Finding, scores: str) -> str:
    peak = round(finding.time_s * MODEL_RATE_HZ)
    start = round(finding.start_s * MODEL_RATE_HZ / bundle.geometry.stride)
    if not finding.assessable:
        return row(peak, start, 0, 0, 0, "{0}", 0)
    assert finding.class_name is not None
    assert finding.features is not None
    features = row(*(round(v * STEPS[key]) for key, v in finding.features.items()))
    number, warnings = bundle.classes.index(finding.class_name), pack_warnings(finding.warnings)
    return row(peak, start, 1, number, warnings, features, scores)


def _scores(bundle: Bundle, finding: Finding) -> list[int]:
    """Scores in steps, from a finding's parts in logits: as the device sums them up."""
    rule, evidence = rule_of(bundle), bundle.tensors["evidence"]
    assert finding.evidence is not None
    assert finding.features is not None
    values = np.rint(finding.evidence / evidence.scale).astype(np.int64) + evidence.zero_point
    steps = [[round(v * STEPS[key]) for key, v in finding.features.items()]]
    return rule.scores(values.sum(axis=1)[None], np.array(steps))[0].tolist()
