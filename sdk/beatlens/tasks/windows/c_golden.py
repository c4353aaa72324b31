"""Golden findings on windows as C, for `firmware_export/src/bl_selftest_windows.c`."""

from __future__ import annotations

from math import ceil

import numpy as np

from beatlens.c_source.golden import golden_counts, golden_source
from beatlens.c_source.text import CSource, array, check_identifier, numbers, row
from beatlens.runtime.contents import Contents
from beatlens.runtime.finding import Finding
from beatlens.runtime.quality import Limits
from beatlens.runtime.stream import Stream
from beatlens.runtime.warning_bits import pack_warnings
from beatlens.signals.frontend import MODEL_RATE_HZ, FrontEnd
from beatlens.signals.rhythm_features import STEPS


def window_golden_source(
    bundle: Contents,
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
        limits: as for `window_task_source`.

    Raises:
        RecipeError: a name is not a C identifier.
    """
    for what in (task, sensor, name):
        check_identifier(what, "golden vectors")
    counts = golden_counts(bundle.golden.inputs, frontend, _count_seconds(bundle))
    stream = Stream(
        bundle, frontend.rate_hz, frontend.counts_per_mv, rails=frontend.rails, limits=limits,
        engine="simulator",
    )  # fmt: skip
    found = [*stream.push(counts), *stream.flush()]
    rows = [
        _finding(bundle, finding, f"{name}_sums_{i}", f"{name}_features_{i}")
        for i, finding in enumerate(found)
    ]
    sums = [
        numbers("int32_t", f"{name}_sums_{i}", _sums(bundle, finding))
        for i, finding in enumerate(found)
        if finding.assessable
    ]
    features = [
        numbers("uint8_t", f"{name}_features_{i}", _features(finding))
        for i, finding in enumerate(found)
        if finding.features
    ]
    values = row(
        f"&{task}", f"&{sensor}", f"{name}_counts", len(counts), f"{name}_findings", len(found)
    )
    parts = [
        numbers("int16_t", f"{name}_counts", counts.tolist()),
        *sums,
        *features,
        array("bl_golden_finding", f"{name}_findings", rows),
        f"const bl_golden_stream {name} = {values};\n",
    ]
    return golden_source(name, "bl_golden_stream", [task, sensor], parts, "bl_selftest_windows.h")


def _count_seconds(bundle: Contents) -> float:
    """Seconds of counts that are enough for two findings and a rest."""
    needed = 1.5 * bundle.span_s + bundle.geometry.receptive_field / MODEL_RATE_HZ
    return float(ceil(needed))  # whole columns, to the last one


def _finding(bundle: Contents, finding: Finding, sums: str, features: str) -> str:
    column_s = bundle.geometry.stride / MODEL_RATE_HZ
    start, end = (round(at / column_s) for at in (finding.start_s, finding.end_s))
    decisions = sum(1 << bundle.classes.index(name) for name in finding.predicted)
    named = sums if finding.assessable else 0
    warnings = pack_warnings(finding.warnings)
    measured = features if finding.features else 0
    return row(start, end - start, decisions, int(finding.assessable), warnings, named, measured)


def _features(finding: Finding) -> list[int]:
    """Features in steps, from ratios."""
    return [round(ratio * STEPS[name]) for name, ratio in finding.features.items()]


def _sums(bundle: Contents, finding: Finding) -> list[int]:
    """Sums of int8 evidence, from evidence in logits."""
    evidence = bundle.tensors["evidence"]
    assert finding.evidence is not None
    values = np.rint(finding.evidence / evidence.scale) + evidence.zero_point
    return [int(value) for value in values.sum(axis=1)]
