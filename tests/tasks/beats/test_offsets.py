"""Offsets on patients made by hand, who need to be decided on differently."""

from __future__ import annotations

import numpy as np
import pytest

from beatlens.tasks.beats.labels import ABSENT, UNKNOWN, BeatTrack
from beatlens.tasks.beats.metrics import BeatRun
from beatlens.tasks.beats.offsets import choose_offsets, f_score, score_databases

from ..recipes import beat_recipe

N, S, V, F = range(4)
CLASSES = beat_recipe().task.classes


def make_run(needs: dict[str, list[tuple[float, int]]]) -> BeatRun:
    """A run of patients whose S beats lie `need` logits below N; their normal beats 2 below that.

    Args:
        needs: by database, of every patient the need and how many S beats there are.
    """
    rng = np.random.default_rng(0)
    tracks, logits = [], []
    for database, patients in needs.items():
        for number, (need, count) in enumerate(patients):
            labels = np.array([N] * 200 + [S] * count + [V] * 20 + [UNKNOWN] * 5)
            scores = np.zeros((len(labels), 4))
            scores[labels == N, N], scores[labels == S, N] = need + 2, need
            scores[labels == V, V] = 6
            scores += rng.normal(0, 0.05, scores.shape)
            n, peaks = 128 * len(labels), 128 * np.arange(len(labels))
            features = np.zeros((len(labels), 8), np.int64)
            tracks.append(BeatTrack(f"{number}", database, np.zeros(n, np.int8), np.ones(n, bool),
                                    peaks, labels, features, 128, n))  # fmt: skip
            logits.append(scores)
    return BeatRun(tracks, [], logits)


def test_offsets_are_those_that_patients_need() -> None:
    run = make_run({"a": [(2.0, 30)] * 4, "b": [(2.0, 30)] * 3})
    offsets = choose_offsets(run, CLASSES)
    assert offsets[N] == 0
    assert 2 < offsets[S] < 4
    logits, labels, _ = run.beats()
    assert f_score((logits + offsets).argmax(axis=1), labels, CLASSES) > 0.99
    assert score_databases(run, CLASSES) < 0.6
    np.testing.assert_array_equal(
        choose_offsets(run, CLASSES), offsets
    )  # nothing is left to chance


def test_one_patient_of_many_beats_does_not_decide_alone() -> None:
    same = choose_offsets(make_run({"a": [(0.5, 20)] * 7}), CLASSES)[S]
    offset = choose_offsets(make_run({"a": [(0.5, 20)] * 6 + [(4.0, 400)]}), CLASSES)[S]
    alone = choose_offsets(make_run({"a": [(4.0, 400)]}), CLASSES)[S]
    assert same + 0.5 < offset < alone - 0.5  # the best of all would be `alone`


def test_what_is_not_known_to_be_of_a_class_does_not_count() -> None:
    assert f_score(np.array([S, S, V, V]), np.array([S, UNKNOWN, V, ABSENT]), CLASSES) == 1
    run = make_run({"a": [(1.0, 20)] * 4})
    for track in run.tracks:
        track.labels[track.labels == UNKNOWN] = ABSENT
    same = make_run({"a": [(1.0, 20)] * 4})
    np.testing.assert_array_equal(choose_offsets(run, CLASSES), choose_offsets(same, CLASSES))


@pytest.mark.parametrize(
    ("decided", "expected"),
    [
        ([N, S, V, V], 1.0),
        ([N, N, V, V], 0.5),
        ([S, S, V, V], (5 / 6 + 1) / 2),
        ([N, S, N, V], 0.5),
    ],
)
def test_the_score_is_the_mean_of_s_f2_and_v_f1(decided: list[int], expected: float) -> None:
    assert f_score(np.array(decided), np.array([N, S, V, F]), CLASSES) == pytest.approx(expected)


def test_where_there_are_no_such_beats_nothing_is_changed() -> None:
    assert choose_offsets(make_run({"a": [(1.0, 0)] * 4}), CLASSES)[S] == 0
    # A half without any says nothing; those with some are as before.
    few = choose_offsets(make_run({"a": [(1.0, 0)] * 3 + [(1.0, 20)]}), CLASSES)[S]
    assert 0 < few <= choose_offsets(make_run({"a": [(1.0, 20)] * 4}), CLASSES)[S]
