"""Decisions of a fold are read back as they were, and misclassified recordings are named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from beatlens.errors import DataError
from beatlens.tasks.recordings.evaluation import FORMS, Told
from beatlens.tasks.recordings.labels import CLASSES
from beatlens.tasks.recordings.recipe import RecordingRecipe
from benchmarks.crossval.decisions import load_decisions, misclassified_rows, save_decisions

from ..pipeline.wearable_runs import TINY

OFFSETS = np.array([0.0, 0.3, 0.0, -0.2])


@pytest.fixture
def decisions() -> dict[str, Told]:
    rng, count = np.random.default_rng(2), 24
    labels = rng.integers(0, len(CLASSES), count)
    found = {}
    for form in FORMS:
        logits = rng.normal(size=(count, len(CLASSES)))
        chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        found[form] = Told(
            np.array([f"A{i:05}" for i in range(count)]), labels, logits.argmax(axis=1), logits,
            chances, rng.uniform(size=(count, 3)), len(found),
        )  # fmt: skip
    return found


def test_misclassified_recordings_are_named(decisions: dict[str, Told]) -> None:
    device, teacher = decisions["device"], decisions["teacher"]
    rows = misclassified_rows(RecordingRecipe.parse(TINY), decisions)
    wrong = device.decided != device.labels
    assert {row["record"] for row in rows} == set(device.records[wrong].tolist())
    assert len(rows) == wrong.sum() > 0
    for row in rows:
        (i,) = np.flatnonzero(device.records == row["record"])
        assert CLASSES[device.labels[i]] == row["label"] != row["decided"]
        assert CLASSES[teacher.decided[i]] == row["teacher"]
        assert row["probability"] == device.chances[i, device.decided[i]]
        assert row["probability_of_label"] == device.chances[i, device.labels[i]]
        assert row["spearman"] == device.agreement[i, 0]
    probabilities = [row["probability"] for row in rows]
    assert probabilities == sorted(probabilities, reverse=True)


def test_decisions_are_kept(decisions: dict[str, Told], tmp_path: Path) -> None:
    path = tmp_path / "decisions.npz"
    save_decisions(path, decisions, OFFSETS)
    again = load_decisions(path, OFFSETS)
    assert again is not None
    for form in FORMS:
        for name in ("records", "labels", "decided", "logits", "chances", "agreement"):
            assert (getattr(again[form], name) == getattr(decisions[form], name)).all(), name
        assert again[form].bytes == decisions[form].bytes
    assert [p.name for p in tmp_path.iterdir()] == ["decisions.npz"]
    assert load_decisions(path, np.zeros(4)) is None
    joined = Told.joined([decisions["device"], again["student"]])
    assert len(joined.records) == 2 * len(decisions["device"].records)
    assert joined.bytes == max(decisions["device"].bytes, decisions["student"].bytes)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(DataError, match=r"not a file of decisions .*; delete it"):
        load_decisions(path, OFFSETS)
    np.savez(path, other=np.zeros(3))
    with pytest.raises(DataError, match=r"not a file of decisions .*; delete it"):
        load_decisions(path, OFFSETS)
