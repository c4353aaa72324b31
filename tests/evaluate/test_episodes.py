"""Episodes of atrial fibrillation: found, missed, and how much of their time."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beatlens.errors import DataError
from beatlens.evaluate.episodes import EpisodeCounts, compare_episodes
from beatlens.signals.annotations import Annotations, rhythm_mask
from beatlens.signals.databases import find_database

RATE = 360
START = 300 * RATE


def said(*marks: tuple[int, str], length: int = 4 * START) -> Annotations:
    samples = np.array([sample for sample, _ in marks], np.int64)
    symbols = np.array(["+"] * len(marks), dtype="<U1")
    aux = tuple(text for _, text in marks)
    return Annotations("made", length, samples, symbols, np.zeros(len(marks), np.int64), aux)


def test_an_episode_ends_with_the_next_rhythm_or_the_record() -> None:
    reference = said((START, "(AFIB"), (START + 1000, "(N"), (4 * START - 500, "(AFIB"))
    test = said((START + 900, "(AFIB"), (START + 1100, "(N"))
    found = compare_episodes(reference, test, RATE)
    assert found == EpisodeCounts(1, 1, 1, 0, 100, 1500, 200)
    assert (found.episode_sensitivity, found.episode_predictivity) == (0.5, 1.0)
    assert found.duration_predictivity == 0.5
    assert math.isnan(EpisodeCounts().duration_sensitivity)


def test_time_before_five_minutes_and_flutter_are_left_out() -> None:
    reference = said((START - 800, "(AFIB"), (START + 1000, "(AFL"), (START + 2000, "(N"))
    test = said((0, "(AFIB"), (START + 3000, "(N"))
    found = compare_episodes(reference, test, RATE)
    assert found == EpisodeCounts(1, 0, 1, 1, 1000, 1000, 2000)


def test_of_another_record() -> None:
    with pytest.raises(DataError, match="test 7"):
        compare_episodes(said(), said(length=7), RATE)


marks = st.lists(
    st.tuples(st.integers(0, 2 * START), st.sampled_from(["(AFIB", "(AFL", "(N"])), max_size=8
).map(lambda found: said(*sorted(found)))


@given(marks, marks)
def test_durations_are_those_of_masks(reference: Annotations, test: Annotations) -> None:
    ours, theirs = (rhythm_mask(side, ["AFIB"]) for side in (reference, test))
    counted = ~rhythm_mask(reference, ["AFL"])
    counted[:START] = False
    found = compare_episodes(reference, test, RATE)
    assert found.overlap == (ours & theirs & counted).sum()
    assert found.reference_length == (ours & counted).sum()
    assert found.test_length == (theirs & counted).sum()


def test_a_real_record_with_itself(mitdb_dir: Path) -> None:
    truth = find_database("mitdb", mitdb_dir.parent).annotations("219")
    found = compare_episodes(truth, truth, RATE)
    assert found.episodes_found == found.episodes_right > 3
    assert found.duration_sensitivity == found.duration_predictivity == 1
