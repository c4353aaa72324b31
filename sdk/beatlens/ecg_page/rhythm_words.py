"""Rhythms as readers see them: a line each, and lines of the summary."""

from __future__ import annotations

from beatlens.ecg_page.words import clock, plural
from beatlens.tasks.beats.rhythm_kinds import BRADYCARDIA, PAUSE, TACHYCARDIA, RhythmEvent
from beatlens.tasks.beats.rhythm_log import RhythmCount, RhythmSummary

SHORT = {
    "tachycardia": "tachycardia",
    "bradycardia": "bradycardia",
    "pause": "pauses",
    "ventricular_couplet": "V couplets",
    "ventricular_tachycardia": "VT",
    "idioventricular_rhythm": "idioventr.",
    "ventricular_bigeminy": "V bigeminy",
    "ventricular_trigeminy": "V trigeminy",
    "supraventricular_couplet": "S couplets",
    "supraventricular_tachycardia": "SVT",
    "supraventricular_run": "S runs",
    "supraventricular_bigeminy": "S bigeminy",
    "supraventricular_trigeminy": "S trigeminy",
}
"""Names in the first column of the summary."""
MANY = 99
"""Longer rhythms are told by their time, not by their beats."""


def rhythm_name(kind: str) -> str:
    """A kind of rhythm as text.

    >>> rhythm_name("ventricular_couplet")
    'ventricular couplet'
    """
    return kind.replace("_", " ")


def rhythm_line(event: RhythmEvent) -> str:
    """One rhythm as a line, as `line` has findings.

    >>> rhythm_line(RhythmEvent("ventricular_couplet", 1280, 1344, 12, 13, 120))
    '0:00:10.00 to 0:00:10.50  ventricular couplet: 2 beats, 120 a minute'
    """
    what = f"{plural(event.count, 'beat')}, {event.rate} a minute"
    if event.kind == PAUSE:
        what = f"{event.seconds:.2f} s"
    times = f"{clock(event.start_s, 2)} to {clock(event.end_s, 2)}"
    return f"{times}  {rhythm_name(event.kind)}: {what}"


def rhythm_lines(summary: RhythmSummary) -> list[str]:
    """The rhythms as lines of the summary, one for each kind that was found."""
    return [_kind_line(kind, one) for kind, one in summary.kinds.items()]


def rhythm_table(summary: RhythmSummary) -> list[list[str]]:
    """Head and rows of the table of rhythms; no rows where none was found."""
    rows = [
        [
            rhythm_name(kind).capitalize(),
            f"{one.count:,}",
            clock(one.seconds),
            _extent(one.longest),
            "" if kind == PAUSE else f"{one.fastest.rate} a minute at {clock(one.fastest.start_s)}",
        ]
        for kind, one in summary.kinds.items()
    ]
    return [["Rhythm", "Number", "Time", "Longest", "Fastest"], *rows]


def _extent(event: RhythmEvent) -> str:
    long = f"{event.seconds:.2f} s" if event.kind == PAUSE else plural(event.count, "beat")
    return f"{long} at {clock(event.start_s)}"


def _kind_line(kind: str, one: RhythmCount) -> str:
    text = f"{SHORT[kind]:<11} {one.count:,}"
    if kind.endswith("couplet"):
        return text
    long = one.longest
    if kind == PAUSE:
        return f"{text}, the longest {long.seconds:.2f} s from {clock(long.start_s, 2)}"
    if long.count > MANY or kind in (BRADYCARDIA, TACHYCARDIA):
        text += f", {clock(one.seconds)} in all, the longest {clock(long.seconds)}"
    else:
        text += f", the longest {plural(long.count, 'beat')}"
    text += f" from {clock(long.start_s, 2)} at {long.rate} a minute"
    if one.fastest.rate > long.rate and kind != BRADYCARDIA and "geminy" not in kind:
        text += f", the fastest at {one.fastest.rate} from {clock(one.fastest.start_s, 2)}"
    return text
