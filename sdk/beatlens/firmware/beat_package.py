"""A firmware package of a bundle that decides on beats; as `beatlens.firmware.package`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from beatlens.c_source.plan import Plan
from beatlens.c_source.text import CSource, array, check_identifier, numbers, row
from beatlens.firmware.golden import golden_counts, golden_source
from beatlens.firmware.package import Chain, write_chain
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
        ModelError: as `write_task`, or the bundle decides on windows.
    """

    def build(plan: Plan) -> Chain:
        task = beat_task_source(bundle, name, limits, plan)
        rule = rule_of(bundle)
        return Chain(
            task=task,
            golden=beat_golden_source(
                bundle, frontend, name, f"{name}_sensor", f"{name}_golden_beats", limits
            ),
            kind="beats",
            sources=("bl_beats.c", "bl_features.c", "bl_qrs.c", "bl_selftest_beats.c"),
            headers=("bl_beats.h", "bl_features.h", "bl_qrs.h", "bl_selftest_beats.h"),
            memory_bytes=beat_memory_bytes(bundle, plan, frontend.taps.shape[1]),
            fact=f"a beat is decided on {rule.before + rule.after} columns of evidence and "
            f"{len(FEATURES)} features",
            selftest_state="selftest_beats",
        )

    return write_chain(bundle, frontend, folder, name, core, chunk, build)


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
