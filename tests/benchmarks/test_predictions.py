"""Predictions for a fold are read back as they were."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from beatlens.errors import DataError
from beatlens.tasks.recordings.evaluation import FORMS, Predictions
from benchmarks.crossval.predictions import load_predictions, save_predictions

OFFSETS = np.array([0.0, 0.3, 0.0, -0.2])


@pytest.fixture
def predictions() -> dict[str, Predictions]:
    rng, count = np.random.default_rng(2), 24
    labels = rng.integers(0, 4, count)
    found = {}
    for form in FORMS:
        logits = rng.normal(size=(count, 4))
        chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        found[form] = Predictions(
            np.array([f"A{i:05}" for i in range(count)]), labels, logits.argmax(axis=1), logits,
            chances, rng.uniform(size=(count, 3)), len(found),
        )  # fmt: skip
    return found


def test_predictions_are_kept(predictions: dict[str, Predictions], tmp_path: Path) -> None:
    path = tmp_path / "predictions.npz"
    save_predictions(path, predictions, OFFSETS)
    again = load_predictions(path, OFFSETS)
    assert again is not None
    for form in FORMS:
        for name in ("records", "labels", "decided", "logits", "chances", "agreement"):
            assert (getattr(again[form], name) == getattr(predictions[form], name)).all(), name
        assert again[form].bytes == predictions[form].bytes
    assert [p.name for p in tmp_path.iterdir()] == ["predictions.npz"]
    assert load_predictions(path, np.zeros(4)) is None
    joined = Predictions.joined([predictions["device"], again["student"]])
    assert len(joined.records) == 2 * len(predictions["device"].records)
    assert joined.bytes == max(predictions["device"].bytes, predictions["student"].bytes)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(DataError, match=r"not a file of predictions .*; delete it"):
        load_predictions(path, OFFSETS)
    np.savez(path, other=np.zeros(3))
    with pytest.raises(DataError, match=r"not a file of predictions .*; delete it"):
        load_predictions(path, OFFSETS)
