"""One decision a minute, with hysteresis."""

from __future__ import annotations

import pytest

from beatlens.tasks.windows.minutes import MIN_WINDOWS, Minutes, list_episodes


def decide(shares: list[float], windows: int = 60) -> list[bool]:
    """Whether each minute is inside, of the share of its windows that found the class."""
    minutes, done = Minutes("afib"), []
    for number, share in enumerate(shares):
        for i in range(windows):
            done += minutes.add(60 * number + i, True, i < share * windows)
    return [minute.inside for minute in [*done, *minutes.end()]]


def test_an_episode_begins_at_three_quarters_and_ends_below_a_half() -> None:
    assert decide([0.5, 0.75, 0.5, 0.48, 0.7, 1.0]) == [False, True, True, False, False, True]


def test_a_minute_of_too_few_windows_ends_an_episode() -> None:
    minutes = Minutes("afib")
    done = [m for s in range(60) for m in minutes.add(s, True, True)]
    for second in range(60, 60 + MIN_WINDOWS - 1):
        done += minutes.add(second, True, True)
    for second in range(70, 120):
        done += minutes.add(second, False, True)
    for second in range(120, 180):
        done += minutes.add(second, True, second < 160)
    done += minutes.end()
    assert [(m.known, m.inside) for m in done] == [(True, True), (False, False), (True, False)]


def test_minutes_without_any_window_are_handed_out_too() -> None:
    minutes = Minutes("afib")
    minutes.add(0, True, True)
    assert [m.start_s for m in minutes.add(200, True, True)] == [0, 60, 120]
    assert [m.start_s for m in minutes.end()] == [180]
    assert minutes.end() == []


def test_what_comes_after_the_end_is_a_new_stream() -> None:
    minutes = Minutes("afib", enter=(1, 1), stay=(1, 1))
    for second in range(59):
        minutes.add(second, True, True)
    assert minutes.end()[0].inside
    assert not minutes.add(60, True, True)[0].inside


@pytest.mark.parametrize(
    ("inside", "wanted"),
    [([], []), ([0, 1, 1, 0, 1], [(60, 180), (240, 300)]), ([1], [(0, 60)])],
)
def test_episodes(inside: list[int], wanted: list[tuple[int, int]]) -> None:
    minutes = Minutes("afib", enter=(1, 1), stay=(1, 1))
    done = []
    for number, one in enumerate(inside):
        for i in range(MIN_WINDOWS):
            done += minutes.add(60 * number + i, True, bool(one))
    assert list_episodes([*done, *minutes.end()]) == wanted
