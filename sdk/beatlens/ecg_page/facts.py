"""The summary as rows of text, for the page and the terminal alike."""

from __future__ import annotations

from beatlens.ecg_page.summary import ClassCount, Summary
from beatlens.ecg_page.words import clock, plural, share
from beatlens.signals.heart_rate import WINDOW

NO_BEATS = "no beats found"


def rate_words(summary: Summary) -> tuple[str, str]:
    """Heart rate as "45 - 67 - 102", least, mean and most, and what is to be known of it."""
    rate = summary.rate
    if rate.mean is None:
        return "-", NO_BEATS if not len(summary.peaks_s) else "no RR interval"
    if rate.least is None or rate.most is None:
        return f"{rate.mean:.0f}", f"mean of {plural(rate.intervals, 'RR interval')}"
    return (
        f"{rate.least:.0f} \N{EN DASH} {rate.mean:.0f} \N{EN DASH} {rate.most:.0f}",
        f"a minute: least, mean, most, over {WINDOW} beats; least at "
        f"{clock(rate.least_at_s or 0)}, most at {clock(rate.most_at_s or 0)}",
    )


def summary_facts(summary: Summary) -> list[tuple[str, str, str]]:
    """Name, value and a remark of each fact."""
    facts = [
        ("Duration", clock(summary.seconds), "h:mm:ss"),
        ("Heart rate", *rate_words(summary)),
    ]
    if summary.unit == "beat":
        refused = plural(summary.undecided, "beat") + " not assessable"
        count = summary.decided + summary.undecided
        facts.append(("Beats", f"{count:,}", NO_BEATS if not count else refused))
    elif summary.unit == "span":
        shown = f"{plural(summary.undecided, 'span')} not assessable"
        facts.append(("Decisions", f"{summary.decided:,}", shown))
    else:
        found = "not assessable" if summary.decision is None else summary.decision.upper()
        facts.append(("Decision", found, ", ".join(summary.notes)))
    if summary.longest is not None:
        at, seconds = summary.longest
        facts.append(("Longest RR interval", f"{seconds:.2f} s", f"from {clock(at, 2)}"))
    return facts


def class_table(summary: Summary) -> list[list[str]]:
    """Head and rows of the table of classes."""
    if summary.unit == "beat":
        head = [
            "Class",
            "Beats",
            "Burden",
            "Couplets",
            "Runs \N{GREATER-THAN OR EQUAL TO} 3",
            "Longest run",
        ]
        return [head, *(_beat_row(row, summary) for row in summary.classes)]
    if summary.unit == "span":
        head = ["Class", "Spans", "Burden", "Time", "Episodes", "Longest"]
        return [head, *(_span_row(row, summary) for row in summary.classes)]
    return [["Class", "Probability", "Decided"], *map(_recording_row, summary.classes)]


def quality_notes(summary: Summary) -> list[str]:
    """What is to be known of the signal, in sentences without a full stop."""
    unusable = sum(end - start for start, end in summary.breaks)
    notes = [
        f"No usable signal for {clock(unusable)} of {clock(summary.seconds)} "
        f"({share(unusable, summary.seconds)})"
        if unusable
        else "Signal throughout"
    ]
    for fault, seconds in summary.faults.items():
        if seconds >= 0.005:
            long = clock(seconds, 2 if seconds < 60 else 0)
            notes.append(f"{fault} for {long} ({share(seconds, summary.seconds)})")
    if not len(summary.peaks_s):
        notes.append("No R peaks were found: is this an ECG lead, and was it attached?")
    if summary.undecided:
        why = ", ".join(f"{note} ({count:,})" for note, count in summary.notes.items())
        what = {"beat": "beat", "span": "span"}.get(summary.unit, "recording")
        notes.append(f"{plural(summary.undecided, what)} not assessable: {why}")
    return notes


def _name(row: ClassCount) -> str:
    return f"{row.name.upper()} {row.title}"


def _beat_row(row: ClassCount, summary: Summary) -> list[str]:
    ectopic = row.name != summary.classes[0].name
    burden = share(row.count, summary.decided)
    if not ectopic:
        return [_name(row), f"{row.count:,}", burden, "", "", ""]
    longest = "-"
    if row.longest_at_s is not None and row.longest >= 2:
        longest = f"{row.longest:.0f} beats at {clock(row.longest_at_s)}"
    return [
        _name(row), f"{row.count:,}", burden, f"{row.couplets:,}", f"{row.runs:,}", longest
    ]  # fmt: skip


def _span_row(row: ClassCount, summary: Summary) -> list[str]:
    longest = "-"
    if row.longest_at_s is not None:
        longest = f"{clock(row.longest)} from {clock(row.longest_at_s)}"
    return [
        _name(row), f"{row.count:,}", share(row.count, summary.decided), clock(row.seconds),
        f"{row.runs:,}", longest,
    ]  # fmt: skip


def _recording_row(row: ClassCount) -> list[str]:
    chance = "-" if row.chance is None else f"{100 * row.chance:.0f} %"
    return [_name(row), chance, "yes" if row.count else "no"]
