"""Recordings that the int8 model decides otherwise than their label are named, surest first."""

from __future__ import annotations

import numpy as np
import pytest

from beatlens.tasks.recordings.evaluation import FORMS, Predictions, misclassified_rows
from beatlens.tasks.recordings.recipe import RecordingRecipe

from ...pipeline.recording_runs import TINY

RECIPE = RecordingRecipe.parse(TINY)
CLASSES = RECIPE.classes


@pytest.fixture
def predictions() -> dict[str, Predictions]:
    rng, count = np.random.default_rng(2), 24
    labels = rng.integers(0, len(CLASSES), count)
    found = {}
    for form in FORMS:
        logits = rng.normal(size=(count, len(CLASSES)))
        chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        found[form] = Predictions(
            np.array([f"A{i:05}" for i in range(count)]), labels, logits.argmax(axis=1), logits,
            chances, rng.uniform(size=(count, 3)), len(found),
        )  # fmt: skip
    return found


def test_misclassified_recordings_are_named(predictions: dict[str, Predictions]) -> None:
    device, teacher = predictions["device"], predictions["teacher"]
    rows = misclassified_rows(RECIPE, predictions)
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
