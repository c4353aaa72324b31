"""From a recording's counts to the samples that a network takes: the lead, and the clock."""

from __future__ import annotations

import numpy as np
import pytest

from beatlens.errors import DataError
from beatlens.tasks.common.tracks import condition, to_model_rate

from ..recordings_made import make_recording


@pytest.mark.parametrize("rate", [125, 128, 200, 250, 256, 300, 360, 500, 512, 1000])
def test_sample_numbers_move_to_the_nearest_model_sample(rate: int) -> None:
    samples = np.arange(0, 5 * rate + 7)
    moved = to_model_rate(samples, rate)
    assert moved.dtype == np.int64
    assert np.abs(moved / 128 - samples / rate).max() <= 0.5 / 128 + 1e-12
    assert moved[rate] == 128


def test_the_lead_is_chosen_by_name_and_its_own_gain_and_rails_are_used() -> None:
    counts = np.round(200 * np.sin(np.arange(7200) * 0.2)).astype(np.int64)  # 1 mV
    x = condition(make_recording(counts), "MLII").x.astype(int)
    assert 18 <= np.abs(x[256:-256]).max() <= 21  # 1 mV is 20 steps
    assert np.abs(condition(make_recording(counts), "V1").x).max() == 0
    with pytest.raises(DataError, match="has no lead 'V5'"):
        condition(make_recording(counts), "V5")


def test_missing_samples_count_as_saturated() -> None:
    rng = np.random.default_rng(0)
    counts = rng.integers(-100, 100, 7200)
    missing = np.zeros(7200, bool)
    missing[3600:3700] = True
    out = condition(make_recording(counts, missing), "MLII")
    assert out.saturated[1281:1315].all()
    assert not out.saturated[:1200].any()
    assert not condition(make_recording(counts), "MLII").saturated.any()
