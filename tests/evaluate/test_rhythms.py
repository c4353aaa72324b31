"""Episodes out of evidence: where they begin and end, and as annotations that can be read again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from beatlens.errors import SignalError
from beatlens.evaluate.episodes import compare_episodes
from beatlens.evaluate.rhythms import episode_row, inside_episodes, rhythm_annotations
from beatlens.signals.annotations import Annotations, read_annotations, write_annotations

RATE, STRIDE = 360, 8
SAMPLES = 1000 * STRIDE * RATE // 128


def test_a_column_is_inside_where_the_span_around_it_is_decided() -> None:
    rng = np.random.default_rng(0)
    evidence, span, level = rng.normal(0, 1, 300), 16, 0.2
    inside = inside_episodes(evidence, level, span)
    for column in range(300):
        first = min(max(column - span // 2, 0), 300 - span)
        assert inside[column] == (evidence[first : first + span].mean() >= level), column
    with pytest.raises(SignalError, match="has 15 columns, expected at least a span's 16"):
        inside_episodes(evidence[:15], level, span)


def test_annotations_say_where_the_rhythm_changes(tmp_path: Path) -> None:
    inside = np.zeros(1000, bool)
    inside[200:500] = True
    inside[900:] = True
    said = rhythm_annotations(inside, "made", STRIDE, SAMPLES, RATE)
    assert said.aux == ("(N", "(AFIB", "(N", "(AFIB")
    assert said.sample.tolist() == [round(c * STRIDE * RATE / 128) for c in (0, 200, 500, 900)]
    write_annotations(tmp_path, "rhythm", said, RATE)
    again = read_annotations(tmp_path, "made", "rhythm", SAMPLES, rate_hz=RATE)
    assert [(r.start, r.label) for r in again.rhythms] == [(r.start, r.label) for r in said.rhythms]
    found = compare_episodes(said, again, RATE, start_s=0)
    assert found.episode_sensitivity == found.duration_predictivity == 1
    always = rhythm_annotations(np.ones(1000, bool), "made", STRIDE, SAMPLES, RATE)
    assert always.aux == ("(AFIB",)


def test_rows_are_gross() -> None:
    def episodes(*spans: tuple[int, int]) -> Annotations:
        inside = np.zeros(1000, bool)
        for start, end in spans:
            inside[start:end] = True
        return rhythm_annotations(inside, "made", STRIDE, SAMPLES, RATE)

    truth = episodes((100, 300), (600, 700))
    counts = {
        "a": compare_episodes(truth, episodes((100, 200)), RATE, start_s=0),
        "b": compare_episodes(truth, episodes((0, 50), (600, 700), (250, 320)), RATE, start_s=0),
    }
    row = episode_row(counts)
    assert row["episodes"] == 4
    assert row["episode_sensitivity"] == pytest.approx(75)
    assert row["episode_predictivity"] == pytest.approx(75)
    assert row["duration_sensitivity"] == pytest.approx(100 * 250 / 600, abs=0.2)
    assert row["duration_predictivity"] == pytest.approx(100 * 250 / 320, abs=0.2)
    assert row["duration_sensitivity_lo"] <= row["duration_sensitivity"]
