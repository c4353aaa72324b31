"""Evidence of a class shared by the beats of a cluster."""

from __future__ import annotations

import itertools

import numpy as np

from beatlens.tasks.beats.sharing import MEMORY, ClusterMargins, Sharing

SHARING = Sharing(number=2, others=(0, 1), limit=100)


def test_a_margin_is_to_the_largest_of_the_others_and_clipped() -> None:
    assert SHARING.margin(np.array([10, 20, 50, 900])) == 30
    assert SHARING.margin(np.array([10, 20, 500, 0])) == 100
    assert SHARING.margin(np.array([10, 400, 5, 0])) == -100


def test_a_beat_moves_half_of_the_way_to_the_mean_of_those_before() -> None:
    margins = ClusterMargins(SHARING)
    found = [margins.push(margin, 0, i == 0) for i, margin in enumerate([80, 40, -60, 60])]
    assert found == [0, 0, 60, 20 // 2 - 30 - 5 + 5]


def test_clusters_are_apart_and_a_new_one_knows_nothing() -> None:
    margins = ClusterMargins(SHARING)
    for i in range(5):
        margins.push(90, 1, i == 0)
        margins.push(-90, 2, i == 0)
    assert margins.push(0, 1, False) == 45
    assert margins.push(0, 2, False) == -45
    assert [margins.push(0, 1, begins) for begins in (True, False, False)] == [0, 0, 0]


def test_a_refused_beat_says_nothing_but_may_begin_a_cluster() -> None:
    margins = ClusterMargins(SHARING)
    for i in range(3):
        margins.push(80, 0, i == 0)
    assert margins.push(None, 0, False) == 0
    assert margins.push(0, 0, False) == 40
    assert margins.push(None, 0, True) == 0
    assert margins.push(0, 0, False) == 0


def test_the_mean_forgets() -> None:
    margins = ClusterMargins(SHARING)
    for i in range(200):
        margins.push(-100, 0, i == 0)
    moved = [margins.push(100, 0, False) for _ in range(6 * MEMORY)]
    assert moved[0] == -100
    assert moved[-1] >= -2
    assert all(before <= after for before, after in itertools.pairwise(moved))
