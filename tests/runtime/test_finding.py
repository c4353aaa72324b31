"""Findings: segments, what they add up to, and plain data."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from beatlens.errors import RecipeError
from beatlens.runtime.finding import Finding
from beatlens.runtime.manifest import logit
from beatlens.runtime.stream import Stream

from .cases import GAIN, RATE, ecg_counts

pytestmark = pytest.mark.export


def finding_of(evidence, level=0.0):
    evidence = np.asarray(evidence, np.float32)
    return Finding(
        start_s=20.0,
        end_s=20.0 + evidence.shape[1],
        assessable=True,
        quality_notes=(),
        quality=1.0,
        probabilities={},
        decisions={},
        evidence=evidence,
        levels={f"c{i}": level for i in range(len(evidence))},
    )


@pytest.fixture(scope="module")
def finding(bundle, engine):
    stream = Stream(bundle, RATE, GAIN, engine=engine)
    return stream.push(ecg_counts(20))[2]


def test_segments_are_columns_above_the_level():
    finding = finding_of([[2, 3, 0, -1, 4, 0, 0, 1], [-1, -1, -1, -1, -1, -1, -1, -1]])
    found = [(s.start_s, s.end_s, s.class_name, s.evidence) for s in finding.segments]
    assert found == [(20, 22, "c0", 2.5), (24, 25, "c0", 4.0), (27, 28, "c0", 1.0)]
    assert [s.contribution for s in finding.segments] == [5 / 8, 4 / 8, 1 / 8]
    assert len(finding.top_segments("c0", 2)) == 2
    assert finding.top_segments("c1") == finding.top_segments("c0", 0) == ()


def test_a_span_full_of_evidence_is_one_segment():
    (segment,) = finding_of([[1, 1, 1, 1]], level=0.5).segments
    assert (segment.start_s, segment.end_s, segment.contribution) == (20, 24, 0.5)


def test_an_unknown_class_is_refused(finding):
    with pytest.raises(RecipeError, match="class is 'pac', expected one of pvc, sve, afib, bbb"):
        finding.top_segments("pac")


def test_contributions_add_up_to_the_logit_above_the_threshold(finding, bundle):
    for row, (name, level) in enumerate(finding.levels.items()):
        assert level == logit(bundle.thresholds[name])
        values = finding.evidence[row].astype(float)
        above = sum(s.contribution for s in finding.top_segments(name, 999))
        below = np.minimum(values - level, 0).sum() / len(values)
        assert above + below == pytest.approx(finding.logits[name] - level, abs=1e-6)


def test_probabilities_logits_evidence_and_decisions_agree(finding, bundle):
    for row, name in enumerate(bundle.classes):
        value = finding.logits[name]
        assert value == pytest.approx(finding.evidence[row].mean(dtype=np.float64), abs=1e-6)
        assert finding.probabilities[name] == pytest.approx(1 / (1 + math.exp(-value)), rel=1e-12)
        assert finding.decisions[name] == (finding.probabilities[name] >= bundle.thresholds[name])


def test_evidence_cannot_be_changed_by_accident(finding):
    with pytest.raises(ValueError, match="read-only"):
        finding.evidence[0, 0] = 1


def test_plain_data_is_json(finding, bundle, engine):
    text = json.dumps(finding.as_dict(segments=2))
    read = json.loads(text)
    assert read["probabilities"] == finding.probabilities
    assert read["decisions"] == finding.decisions
    assert 1 <= len(read["segments"]) <= 8
    assert set(read["segments"][0]) == {
        "start_s", "end_s", "class_name", "evidence", "contribution"
    }  # fmt: skip
    stream = Stream(bundle, RATE, GAIN, engine=engine)
    stream.push(np.zeros(RATE, np.int16))
    (short,) = stream.flush()
    read = json.loads(json.dumps(short.as_dict()))
    assert (read["assessable"], read["probabilities"], read["segments"]) == (False, None, [])
