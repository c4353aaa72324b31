"""Rhythms of beats made by hand, each rule at its edges; and pieces against the whole."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beatlens.errors import RecipeError, SignalError
from beatlens.tasks.beats.rhythm_kinds import (
    KINDS,
    LARGEST_RATE,
    RhythmEvent,
    RhythmSettings,
    Role,
    round_rate,
)
from beatlens.tasks.beats.rhythms import RhythmWatch

ROLES = {"N": Role.N, "S": Role.S, "V": Role.V, "F": Role.OTHER, "-": Role.NONE}
CODES = "NSVF-"


def watch_beats(
    text: str,
    rr: int | Sequence[int] = 100,
    gaps: Iterable[int] = (),
    settings: RhythmSettings | None = None,
    start: int = 10,
) -> list[RhythmEvent]:
    """All rhythms of beats `NSVF-`; `rr` is before each but the first, unknown before `gaps`."""
    watch = RhythmWatch(settings or RhythmSettings())
    gone, peak, found = set(gaps), start, []
    intervals = [rr] * (len(text) - 1) if isinstance(rr, int) else list(rr)
    for number, code in enumerate(text):
        before = intervals[number - 1] if number else 0
        peak += before
        found += watch.push(peak, 0 if number in gone else before, ROLES[code])
    return found + watch.end()


def rhythms(
    text: str,
    rr: int | Sequence[int] = 100,
    gaps: Iterable[int] = (),
    settings: RhythmSettings | None = None,
) -> list[tuple[str, int, int]]:
    """Kind, first and last beat of all but minutes."""
    found = watch_beats(text, rr, gaps, settings)
    return [(event.kind, event.first, event.last) for event in found if event.kind != KINDS[0]]


def test_no_beat_and_one_beat() -> None:
    assert watch_beats("") == []
    assert watch_beats("V") == [RhythmEvent("minute", 0, 7680, 0, 0, 0, 0, 0, (0, 0, 1, 0))]
    assert watch_beats("-") == [RhythmEvent("minute", 0, 7680, 0, 0, 0, 0, 0, (0, 0, 0, 0))]


# Ectopic beats in a row


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("NVN", []),
        ("NVVN", [("ventricular_couplet", 1, 2)]),
        ("VV", [("ventricular_couplet", 0, 1)]),
        ("NVVVN", [("idioventricular_rhythm", 1, 3)]),
        ("NSSN", [("supraventricular_couplet", 1, 2)]),
        ("NSSSN", [("supraventricular_run", 1, 3)]),
        ("VVSSS", [("ventricular_couplet", 0, 1), ("supraventricular_run", 2, 4)]),
        ("VVFVV", [("ventricular_couplet", 0, 1), ("ventricular_couplet", 3, 4)]),
    ],
)
def test_beats_in_a_row(text: str, found: list[tuple[str, int, int]]) -> None:
    assert rhythms(text) == found


@pytest.mark.parametrize(("code", "names"), [
    ("V", ("idioventricular_rhythm", "ventricular_tachycardia")),
    ("S", ("supraventricular_run", "supraventricular_tachycardia")),
])  # fmt: skip
def test_the_rate_of_a_run(code: str, names: tuple[str, str]) -> None:
    """77 samples are 99.7 a minute, which is 100; 76 are 101."""
    for rr, rate in ((77, 100), (76, 101)):
        found = [e for e in watch_beats("N" + 3 * code + "N", [90, rr, rr, 90]) if e.count == 3]
        assert [(e.kind, e.rate, e.start, e.end) for e in found] == [
            (names[rate > 100], rate, 100, 100 + 2 * rr)
        ]


def test_a_run_ends_at_a_gap_and_at_a_beat_without_a_decision() -> None:
    assert rhythms("VVVVV", gaps=[2]) == [
        ("ventricular_couplet", 0, 1), ("idioventricular_rhythm", 2, 4),
    ]  # fmt: skip
    assert rhythms("VV-VVV") == [
        ("ventricular_couplet", 0, 1), ("idioventricular_rhythm", 3, 5),
    ]  # fmt: skip
    assert rhythms("V-V") == rhythms("VV", gaps=[1]) == []


# Ectopic beats in turn with normal ones


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("VNVN", []),
        ("VNVNV", [("ventricular_bigeminy", 0, 4)]),
        ("NVNVNVNN", [("ventricular_bigeminy", 1, 5)]),
        ("VNNVNN", []),
        ("VNNVNNV", [("ventricular_trigeminy", 0, 6)]),
        ("VNNNVNNNVNNNV", []),
        ("SNSNS", [("supraventricular_bigeminy", 0, 4)]),
        ("SNNSNNS", [("supraventricular_trigeminy", 0, 6)]),
        ("VNSNVNSNV", []),
        ("VNVFVNV", []),
        ("VNVNVNNVNNV", [("ventricular_bigeminy", 0, 4), ("ventricular_trigeminy", 4, 10)]),
        ("VNVNNVNVNV", [("ventricular_bigeminy", 5, 9)]),
        ("VVNVNVV", [
            ("ventricular_couplet", 0, 1), ("ventricular_bigeminy", 1, 5),
            ("ventricular_couplet", 5, 6),
        ]),
    ],
)  # fmt: skip
def test_beats_in_turn(text: str, found: list[tuple[str, int, int]]) -> None:
    assert sorted(rhythms(text), key=lambda e: e[1]) == found


def test_a_pattern_ends_at_a_gap_and_at_a_beat_without_a_decision() -> None:
    assert rhythms("VNVNV", gaps=[3]) == rhythms("VNV-VNV") == []
    assert rhythms("VNVNVNVNVNV", gaps=[5]) == [
        ("ventricular_bigeminy", 0, 4), ("ventricular_bigeminy", 6, 10),
    ]  # fmt: skip


def test_the_fewest_cycles() -> None:
    two, four = RhythmSettings(cycles=2), RhythmSettings(cycles=4)
    assert rhythms("VNV", settings=two) == [("ventricular_bigeminy", 0, 2)]
    assert rhythms("VNVNV", settings=four) == []
    assert rhythms("VNVNVNV", settings=four) == [("ventricular_bigeminy", 0, 6)]


# Pauses


def test_a_pause_is_longer_than_its_limit() -> None:
    assert rhythms("NNN", [256, 257]) == [("pause", 1, 2)]
    pause = next(e for e in watch_beats("NN", 384) if e.kind == "pause")
    assert (pause.start_s, pause.end_s, pause.rate) == (10 / 128, 10 / 128 + 3, 20)
    assert rhythms("NN", 257, settings=RhythmSettings(pause=384)) == []


def test_no_pause_over_a_gap_or_beside_a_beat_without_a_decision() -> None:
    assert rhythms("NN", 400, gaps=[1]) == rhythms("N-N", 400) == []


def test_a_pause_of_minutes_is_one_and_says_nothing_of_the_rate() -> None:
    found = watch_beats("N" * 20, [60] * 9 + [128 * 200] + [60] * 9)
    assert [e.kind for e in found if e.kind != "minute"] == ["pause", "tachycardia", "tachycardia"]
    assert all(e.rate == 128 for e in found if e.kind == "minute")


def test_an_interval_that_is_not_what_the_peaks_are_apart_is_unknown() -> None:
    watch = RhythmWatch()
    watch.push(100, 0, Role.V)
    watch.push(200, 90, Role.V)
    assert [e.kind for e in watch.end()] == ["minute"]


# Bradycardia and tachycardia


def test_tachycardia_begins_above_its_limit() -> None:
    """Eight intervals of 76 samples are 101 a minute, of 77 100."""
    assert rhythms("N" * 9, 76) == [("tachycardia", 0, 8)]
    assert rhythms("N" * 8, 76) == rhythms("N" * 40, 77) == []


def test_bradycardia_begins_below_its_limit() -> None:
    """154 samples are 49.9 a minute, which is 50; 156 are 49."""
    assert rhythms("N" * 9, 156) == [("bradycardia", 0, 8)]
    assert rhythms("N" * 8, 156) == rhythms("N" * 40, 154) == []


def test_episodes_last_until_their_second_limit() -> None:
    """80 samples are 96 a minute, 82 are 94; 140 are 55, 130 are 59."""
    fast = [70] * 10
    assert rhythms("N" * 61, [*fast, *[80] * 40, *fast]) == [("tachycardia", 0, 60)]
    assert rhythms("N" * 61, [*fast, *[82] * 40, *fast]) == [
        ("tachycardia", 0, 10), ("tachycardia", 50, 60),
    ]  # fmt: skip
    slow = [160] * 10
    assert rhythms("N" * 61, [*slow, *[140] * 40, *slow]) == [("bradycardia", 0, 60)]
    assert rhythms("N" * 61, [*slow, *[130] * 40, *slow]) == [
        ("bradycardia", 0, 10), ("bradycardia", 50, 60),
    ]  # fmt: skip


def test_ends_of_an_episode_are_intervals_beyond_the_limit() -> None:
    """However slow the intervals around it, that are in the windows too."""
    found = rhythms("N" * 41, [*[110] * 10, *[50] * 20, *[110] * 10])
    assert found == [("tachycardia", 10, 30)]


def test_a_burst_of_few_fast_beats_is_no_episode() -> None:
    assert rhythms("N" * 30, [*[110] * 10, *[30] * 5, *[110] * 14]) == []


def test_an_episode_ends_at_a_gap_and_at_a_beat_without_a_decision() -> None:
    assert rhythms("N" * 20, 60, gaps=[10]) == [("tachycardia", 0, 9), ("tachycardia", 10, 19)]
    text = "N" * 10 + "-" + "N" * 10
    assert rhythms(text, 60) == [("tachycardia", 0, 9), ("tachycardia", 11, 20)]


def test_ectopic_beats_count_in_the_rate() -> None:
    assert ("tachycardia", 0, 9) in rhythms("NNVNNNFNSN", 60)


# Minutes


def test_minutes_have_rates_and_beats() -> None:
    minutes = [e for e in watch_beats("NSVF-" * 30, 128, start=0) if e.kind == "minute"]
    assert [(e.start_s, e.end_s, e.first, e.last) for e in minutes] == [
        (0, 60, 0, 59), (60, 120, 60, 119), (120, 180, 120, 149),
    ]  # fmt: skip
    assert [e.beats for e in minutes] == [(12, 12, 12, 12)] * 2 + [(6, 6, 6, 6)]
    # Beside beats without a decision there is no interval, so never eight in a row.
    assert [(e.rate, e.least, e.most) for e in minutes] == [(60, 0, 0)] * 3


def test_least_and_most_rate_of_a_minute() -> None:
    [minute] = [e for e in watch_beats("N" * 30, [*[128] * 15, *[64] * 14]) if e.kind == "minute"]
    assert (minute.rate, minute.least, minute.most) == (79, 60, 120)


def test_minutes_without_a_beat_are_left_out() -> None:
    assert [e.start_s for e in watch_beats("NNN", [128, 128 * 400]) if e.kind == "minute"] == [
        0.0,
        360.0,
    ]


# The watch


def test_what_goes_on() -> None:
    watch, peak, seen = RhythmWatch(), 0, []
    for code in "NVVVVN" + "VN" * 4:
        peak += 50
        watch.push(peak, 50 if peak > 50 else 0, ROLES[code])
        seen.append(watch.going)
    assert seen[:3] == [(), (), ()]
    assert seen[3] == seen[4] == ("ventricular_tachycardia",)
    assert seen[5] == ()
    assert seen[-1] == ("tachycardia", "ventricular_bigeminy")


def test_a_watch_begins_anew_after_its_end() -> None:
    watch = RhythmWatch()
    for run in range(2):
        found = []
        for number in range(4):
            found += watch.push(100 * (number + 1), 100 * bool(number), Role.V)
        assert [e.kind for e in found + watch.end()] == ["idioventricular_rhythm", "minute"], run
    assert watch.end() == []


def test_a_beat_that_is_not_after_the_last_one_is_refused() -> None:
    watch = RhythmWatch()
    watch.push(100, 0, Role.N)
    with pytest.raises(SignalError, match="R peak at sample 100, expected one after"):
        watch.push(100, 0, Role.N)


@pytest.mark.parametrize("wrong", [
    {"pause": 0}, {"pause": 1 << 16}, {"cycles": 1}, {"cycles": 256}, {"run_above": 1.5},
    {"tachycardia_above": True}, {"tachycardia_until": 101}, {"bradycardia_until": 49},
    {"bradycardia_below": 95, "bradycardia_until": 95},
])  # fmt: skip
def test_settings_in_range(wrong: dict[str, int]) -> None:
    with pytest.raises(RecipeError, match="expected"):
        RhythmSettings(**wrong)


def test_rates_of_very_many_intervals() -> None:
    assert round_rate(1 << 20, 128 << 20) == 60
    assert round_rate(1 << 18, 1) == round_rate(1, 0) == LARGEST_RATE
    assert round_rate((1 << 18) + 1, 1 << 31) == 1


@given(
    st.lists(
        st.tuples(st.integers(1, 300), st.sampled_from(CODES), st.booleans()), max_size=120
    ),
    st.integers(0, 119),
)  # fmt: skip
def test_parts_of_a_stream_are_its_rhythms(beats: list[tuple[int, str, bool]], at: int) -> None:
    """A stream with a gap has the rhythms of its two parts, minutes left out."""
    beats = beats[:at] + [(rr, code, False) for rr, code, _ in beats[at : at + 1]] + beats[at + 1 :]

    def run(part: list[tuple[int, str, bool]], start: int) -> list[RhythmEvent]:
        watch, peak, found = RhythmWatch(), start, []
        for rr, code, known in part:
            peak += rr
            found += watch.push(peak, rr * known, ROLES[code])
        return [e for e in found + watch.end() if e.kind != "minute"]

    whole = run(beats, 0)
    first = run(beats[:at], 0)
    second = run(beats[at:], sum(rr for rr, _, _ in beats[:at]))
    moved = [
        RhythmEvent(e.kind, e.start, e.end, e.first + min(at, len(beats)),
                    e.last + min(at, len(beats)), e.rate)
        for e in second
    ]  # fmt: skip
    assert whole == first + moved


@given(st.lists(st.tuples(st.integers(1, 300), st.sampled_from(CODES)), max_size=200))
def test_what_every_rhythm_holds(beats: list[tuple[int, str]]) -> None:
    text = "".join(code for _, code in beats)
    found = watch_beats(text, [rr for rr, _ in beats][1:])
    for event in found:
        if event.kind == "minute":
            continue
        chosen = text[event.first : event.last + 1]
        assert "-" not in chosen
        assert event.start < event.end
        assert event.rate == round_rate(event.count - 1, event.end - event.start)
        if "couplet" in event.kind or "ventricular_tach" in event.kind or "run" in event.kind:
            assert set(chosen) <= {"V", "S"}
            assert len(set(chosen)) == 1
    minutes = [e for e in found if e.kind == "minute"]
    assert sum(e.count for e in minutes) == len(text)
    assert sum(sum(e.beats) for e in minutes) == len(text) - text.count("-")
