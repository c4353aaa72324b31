"""Findings: segments, what they add up to, and plain data."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from beatlens.errors import RecipeError
from beatlens.runtime.finding import Finding
from beatlens.runtime.stream import Stream
from beatlens.tasks.windows.rule import logit

from .cases import GAIN, RATE, ecg_counts

pytestmark = pytest.mark.export


def finding_of(evidence, level=0.0):
    evidence = np.asarray(evidence, np.float32)
    classes = tuple(f"c{i}" for i in range(len(evidence)))
    return Finding(
        start_s=20.0,
        end_s=20.0 + evidence.shape[1],
        assessable=True,
        quality_notes=(),
        quality=1.0,
        probabilities={},
        classes=classes,
        predicted=tuple(
            name for name, row in zip(classes, evidence, strict=True) if row.mean() >= level
        ),
        evidence=evidence,
        present=np.ones(evidence.shape[1], bool),
        constants=np.full(len(evidence), -level),
        independent=True,
    )


@pytest.fixture(scope="module")
def finding(bundle, engine):
    stream = Stream(bundle, RATE, GAIN, engine=engine)
    return stream.push(ecg_counts(20))[2]


def test_segments_are_columns_of_one_sign_from_the_threshold_on():
    finding = finding_of([[2, 3, 0, -1, 4, 0, 0, 1], [-1, -1, -1, -1, -1, -1, -1, -1]])
    above = [part for part in finding.explain("c0") if part.logits > 0]
    assert [(s.start_s, s.end_s, s.what) for s in above] == [
        (20, 22, "evidence"), (24, 25, "evidence"), (27, 28, "evidence")
    ]  # fmt: skip
    assert [s.logits for s in above] == [5 / 8, 4 / 8, 1 / 8]
    assert [part.logits for part in finding.explain("c1")] == [-1.0]
    assert finding.explain() == finding.explain("c0")


def test_a_span_full_of_evidence_is_one_segment():
    (segment,) = finding_of([[1, 1, 1, 1]], level=0.5).explain()
    assert (segment.start_s, segment.end_s, segment.logits) == (20, 24, 0.5)


def test_an_unknown_class_is_refused(finding):
    with pytest.raises(RecipeError, match="class is 'pac', expected one of pvc, sve, afib, bbb"):
        finding.explain("pac")
    with pytest.raises(RecipeError, match="expected none: each class is decided by itself"):
        finding.explain("pvc", against="sve")
    with pytest.raises(RecipeError, match="there is no second class"):
        finding.second()


def test_contributions_add_up_to_the_score(finding, bundle):
    for row, name in enumerate(bundle.classes):
        assert finding.constants[row] == -logit(bundle.rule.thresholds[name])
        total = sum(part.logits for part in finding.explain(name))
        assert total == pytest.approx(finding.scores()[row], abs=1e-9)


def test_probabilities_scores_evidence_and_decisions_agree(finding, bundle):
    for row, name in enumerate(bundle.classes):
        value = finding.scores()[row] - finding.constants[row]
        assert value == pytest.approx(finding.evidence[row].mean(dtype=np.float64), abs=1e-6)
        assert finding.probabilities[name] == pytest.approx(1 / (1 + math.exp(-value)), rel=1e-6)
        found = finding.probabilities[name] >= bundle.rule.thresholds[name]
        assert (name in finding.predicted) == found == (finding.scores()[row] >= 0)


def test_evidence_cannot_be_changed_by_accident(finding):
    with pytest.raises(ValueError, match="read-only"):
        finding.evidence[0, 0] = 1


def test_plain_data_is_json(finding, bundle, engine):
    text = json.dumps(finding.as_dict(contributions=2))
    read = json.loads(text)
    assert read["probabilities"] == finding.probabilities
    assert read["predicted"] == list(finding.predicted)
    assert 1 <= len(read["contributions"]) <= 8
    assert set(read["contributions"][0]) == {"class", "what", "logits", "start_s", "end_s"}
    assert "against" not in read
    stream = Stream(bundle, RATE, GAIN, engine=engine)
    stream.push(np.zeros(RATE, np.int16))
    (short,) = stream.flush()
    read = json.loads(json.dumps(short.as_dict()))
    assert (read["assessable"], read["probabilities"], read["contributions"]) == (False, None, [])
