"""Contributions of every kind of span sum to what is decided, on simulated and on real ECG."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from beatlens.runtime.bundle import Bundle
from beatlens.runtime.finding import Finding
from beatlens.signals.databases import find_database
from beatlens.signals.recording import Recording
from beatlens.signals.simulate import simulate_patient

pytestmark = pytest.mark.export
MODELS = Path(__file__).parents[2] / "models"
SECONDS = 60


def simulated(_: Path) -> tuple[Recording, int]:
    return simulate_patient(7, SECONDS, pvc_per_minute=8).recording, 0


def holter(data: Path) -> tuple[Recording, int]:
    recording = find_database("mitdb", data).read("207")
    return recording, recording.lead("MLII")


def handheld(data: Path) -> tuple[Recording, int]:
    return find_database("cinc2017", data).read("A00004"), 0


def assert_sums(finding: Finding) -> None:
    """Of every class, or of every pair of classes."""
    scores = dict(zip(finding.classes, finding.scores(), strict=True))
    if finding.independent:
        for name, score in scores.items():
            total = sum(part.logits for part in finding.explain(name))
            assert total == pytest.approx(score, abs=1e-9)
            if abs(score) > 1e-6:
                assert (name in finding.predicted) == (score >= 0)
        return
    assert finding.class_name is not None
    open_to = {name: s for name, s in scores.items() if name not in finding.excluded}
    assert scores[finding.class_name] == pytest.approx(max(open_to.values()), abs=1e-6)
    for one in finding.classes:
        for other in finding.classes:
            parts = finding.explain(one, other)
            assert sum(p.logits for p in parts) == pytest.approx(
                scores[one] - scores[other], abs=1e-9
            )
    assert finding.explain() == finding.explain(finding.class_name, finding.second())


@pytest.mark.parametrize("model", ["strips-6k", "beats-6k", "wearable-af-6k"])
@pytest.mark.parametrize("signal", [simulated, holter, handheld])
def test_contributions_sum_to_the_decision(
    model: str, signal: Callable[[Path], tuple[Recording, int]], data_dir: Path
) -> None:
    bundle, (recording, lead) = Bundle.load(MODELS / model / "bundle"), signal(data_dir)
    part = slice(0, SECONDS * recording.rate_hz)
    found = list(
        bundle.explain(
            recording.counts[lead, part],
            recording.rate_hz,
            recording.counts_per_mv[lead],
            missing=None if recording.missing is None else recording.missing[lead, part],
            rails=recording.rails[lead],
        )
    )
    decided = [finding for finding in found if finding.assessable]
    assert len(decided) >= (1 if bundle.kind.unit == "recording" else 5)
    for finding in found:
        said = json.loads(json.dumps(finding.as_dict()))
        assert said["predicted"] == list(finding.predicted)
        assert bool(said["contributions"]) <= finding.assessable
        assert ("peak_s" in said) == (bundle.kind.unit == "beat")
    for finding in decided:
        assert np.isfinite(finding.scores()).all()
        assert_sums(finding)
