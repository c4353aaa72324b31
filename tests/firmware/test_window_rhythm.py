"""Bundles of windows whose rule has tables of the rhythm: the same findings in Python and C."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beatlens.c_source.plan import lay_out
from beatlens.firmware import tflm_project
from beatlens.firmware.package import write_bundle
from beatlens.integer.tflite_read import read_tflite
from beatlens.runtime import host_build
from beatlens.runtime.bundle import Bundle
from beatlens.runtime.finding import Finding
from beatlens.signals.frontend import FrontEnd
from beatlens.signals.rhythm_features import FEATURES, STEPS
from beatlens.signals.rr_features import BINS
from beatlens.tasks.windows.c_task import memory_bytes
from beatlens.tasks.windows.rule import build_rule

from ..runtime.cases import GAIN, RATE, ecg_counts
from ..runtime.conftest import make_bundle
from .compiled import compile_c, run_c
from .test_package import SENSOR, made_by_make

pytestmark = [
    pytest.mark.export,
    pytest.mark.skipif(
        not host_build.has_compiler(), reason="NO C COMPILER (cc, gcc, clang): engine 'c' UNTESTED"
    ),
]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Bundle:
    """Random weights and random tables, written and read again."""
    plain = make_bundle("dense", tmp_path_factory.mktemp("bundle") / "dense")
    shape = len(FEATURES), BINS, len(plain.classes)
    steps = np.random.default_rng(0).integers(-3000, 3000, shape)
    tables = steps * (plain.tensors["evidence"].scale / plain.span_columns)
    return Bundle.create(
        tmp_path_factory.mktemp("bundle") / "tables",
        name="tables",
        tflite=plain.tflite,
        classes=plain.titles,
        golden_inputs=plain.golden.inputs,
        kind="windows",
        rule=build_rule(read_tflite(plain.tflite), plain.rule.thresholds, tables),
    )


def run(bundle: Bundle, engine: str, steps: list[tuple[str, int]], hop_s: float) -> list[Finding]:
    stream = bundle.stream(RATE, GAIN, hop_s=hop_s, engine=engine)
    counts, at, found = ecg_counts(sum(n for _, n in steps) / RATE + 1), 0, []
    for what, count in steps:
        if what == "gap":
            found += stream.gap(count)
        else:
            found += stream.push(counts[at : at + count])
        at += count
    return [*found, *stream.flush()]


def assert_same(one: list[Finding], other: list[Finding]) -> None:
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        assert (a.start_s, a.end_s, a.assessable, a.predicted, a.features) == (
            b.start_s, b.end_s, b.assessable, b.predicted, b.features
        )  # fmt: skip
        assert a.probabilities == b.probabilities
        if a.feature_contributions is not None:
            assert (a.feature_contributions == b.feature_contributions).all()


def test_features_of_a_window_add_to_its_scores(bundle: Bundle) -> None:
    found = [f for f in run(bundle, "simulator", [("push", 30 * RATE)], 1.0) if f.assessable]
    assert len(found) == 21
    for finding in found:
        assert tuple(finding.features) == FEATURES
        steps = [round(finding.features[name] * STEPS[name]) for name in FEATURES]
        evidence = bundle.tensors["evidence"]
        values = np.rint(finding.evidence / evidence.scale) + evidence.zero_point
        totals = values.sum(axis=1) + bundle.rule.tables[[0, 1], steps].sum(axis=0)
        wanted = totals >= list(bundle.rule.sum_thresholds.values())
        assert [name in finding.predicted for name in bundle.classes] == wanted.tolist()
        scores = finding.scores()
        assert [name in finding.predicted for name in bundle.classes] == (scores >= 0).tolist()
        parts = finding.explain(bundle.classes[0])
        assert sum(part.logits for part in parts) == pytest.approx(scores[0], abs=1e-5)


@settings(max_examples=6, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["push", "push", "push", "gap"]), st.integers(1, 15 * RATE)),
        min_size=2, max_size=5,
    ),
    hop_s=st.sampled_from([0.0625, 1.0, 3.0, 10.0]),
)  # fmt: skip
def test_c_has_the_same_findings(bundle: Bundle, steps, hop_s: float) -> None:
    steps = [("push", 14 * RATE), *steps]
    assert_same(run(bundle, "simulator", steps, hop_s), run(bundle, "c", steps, hop_s))


def test_a_package_has_the_detector_only_where_there_are_tables(
    bundle: Bundle, tmp_path: Path
) -> None:
    folder = write_bundle(bundle, SENSOR, tmp_path / "tables", "strips")
    done = made_by_make(folder, "check")
    assert done.returncode == 0, done.stderr
    plain = replace(bundle, rule=replace(bundle.rule, tables=None))
    without = write_bundle(plain, SENSOR, tmp_path / "plain", "strips")
    assert (folder / "src" / "bl_qrs.c").exists()
    assert not (without / "src" / "bl_qrs.c").exists()


def test_memory_is_what_the_c_needs(bundle: Bundle, tmp_path: Path) -> None:
    folder = write_bundle(bundle, SENSOR, tmp_path / "tables", "strips")
    (tmp_path / "main.c").write_text(
        '#include "strips.h"\n#include "strips_sensor.h"\n#include <stdio.h>\n'
        'int main(void) { printf("%u %u", (unsigned)bl_memory_bytes(&strips, &strips_sensor),\n'
        "(unsigned)STRIPS_MEMORY_BYTES(STRIPS_SENSOR_TAPS)); return 0; }\n"
    )
    sources = [p for p in folder.glob("*.c") if p.name != "selftest.c"]
    sources += [*(folder / "src").glob("*.c"), tmp_path / "main.c"]
    program = compile_c(sources, tmp_path / "main", f"-I{folder}")
    told, macro = run_c(program, b"").decode().split()
    plan = lay_out(read_tflite(bundle.tflite))
    assert told == macro == str(memory_bytes(bundle, plan, SENSOR.taps.shape[1]))


def test_tflm_projects_hold_the_detector_where_there_are_tables(
    bundle: Bundle, tmp_path: Path
) -> None:
    frontend = FrontEnd(250, 400.0)
    files = tflm_project(bundle, frontend, tmp_path / "out", "strips", arena_bytes=1 << 16)
    assert {"bl_window_rhythm.c", "bl_qrs.c", "bl_median.h"} < {path.name for path in files}
    task = (tmp_path / "out" / "src" / "strips_task.c").read_text()
    assert ".rhythm = &bl_window_rhythm_from_peaks" in task
    plain = replace(bundle, rule=replace(bundle.rule, tables=None))
    without = tflm_project(plain, frontend, tmp_path / "plain", "strips", arena_bytes=1 << 16)
    assert "bl_qrs.c" not in {path.name for path in without}
