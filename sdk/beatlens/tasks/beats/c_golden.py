"""Golden findings on beats as C, for `firmware_export/src/bl_selftest_beats.c`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from beatlens.c_source.golden import golden_counts, golden_source
from beatlens.c_source.text import CSource, array, check_identifier, numbers, row
from beatlens.runtime.contents import Contents
from beatlens.runtime.finding import Finding
from beatlens.runtime.quality import Limits
from beatlens.runtime.stream import Stream
from beatlens.runtime.warning_bits import pack_warnings
from beatlens.signals.beat_features import STEPS
from beatlens.signals.frontend import MODEL_RATE_HZ, FrontEnd
from beatlens.tasks.beats.rule import beat_rule
from beatlens.tasks.beats.sharing import CLUSTER_EVIDENCE

GOLDEN_S = 16.0
"""Seconds of golden ECG: the first eight set the detector's thresholds."""
LARGE_FROM_S, LARGE = 10.0, 6
"""From when on golden ECG is how many times as large, so that the network's input clips, where the
sensor's rails are farther apart than the range of that input."""


def beat_golden_source(
    bundle: Contents,
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
    stream = Stream(
        bundle, frontend.rate_hz, frontend.counts_per_mv, rails=frontend.rails, limits=limits,
        engine="simulator",
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


def golden_beat_counts(bundle: Contents, frontend: FrontEnd) -> NDArray[np.int16]:
    """Golden ECG, counts `[n]` of a sensor; its last part is large, but not saturated."""
    counts = golden_counts(bundle.golden.inputs, frontend, GOLDEN_S).astype(np.int64)
    counts[round(LARGE_FROM_S * frontend.rate_hz) :] *= LARGE
    low, high = frontend.rails
    return np.clip(counts, low + 1, high - 1).astype(np.int16)


def _beat(bundle: Contents, finding: Finding, scores: str) -> str:
    peak = round(finding.time_s * MODEL_RATE_HZ)
    start = round(finding.start_s * MODEL_RATE_HZ / bundle.geometry.stride)
    if not finding.assessable:
        return row(peak, start, 0, 0, 0, "{0}", 0)
    assert finding.class_name is not None
    features = row(*_steps(finding))
    number, warnings = bundle.classes.index(finding.class_name), pack_warnings(finding.warnings)
    return row(peak, start, 1, number, warnings, features, scores)


def _scores(bundle: Contents, finding: Finding) -> list[int]:
    """Scores in steps, from a finding's parts in logits: as the device sums them up."""
    rule, evidence = beat_rule(bundle), bundle.tensors["evidence"]
    assert finding.evidence is not None
    values = np.rint(finding.evidence / evidence.scale).astype(np.int64) + evidence.zero_point
    shared = round(finding.features.get(CLUSTER_EVIDENCE, 0.0) / rule.step)
    scores = rule.scores(values.sum(axis=1)[None], np.array([_steps(finding)]), shared)
    return [int(score) for score in (scores + rule.offsets)[0]]


def _steps(finding: Finding) -> list[int]:
    """The features of a beat in steps."""
    return [round(finding.features[key] * steps) for key, steps in STEPS.items()]
