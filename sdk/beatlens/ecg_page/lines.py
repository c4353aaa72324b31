"""Findings and summary as lines of text: one line each, whatever the width of the terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from beatlens.ecg_page.beat_words import describe_feature
from beatlens.ecg_page.facts import NO_BEATS, rate_words
from beatlens.ecg_page.reasons import evidence_above, waves
from beatlens.ecg_page.rhythm_words import rhythm_lines
from beatlens.ecg_page.summary import ClassCount, Summary
from beatlens.ecg_page.words import clock, plural, share, warning
from beatlens.runtime.finding import EVIDENCE, OFFSET, Contribution, Finding
from beatlens.signals.leads import is_lead_two


def lead_words(lead_names: Sequence[str], row: int, asked: bool) -> str:
    """The lead, and, where nobody named it, whether it is a guess.

    >>> lead_words(("EEG", "ECG"), 0, asked=False)
    'lead EEG (a guess: no lead is called MLII or II; leads: EEG, ECG; name one with --lead)'
    >>> lead_words(("V5", "MLII"), 1, asked=False), lead_words(("ECG",), 0, asked=False)
    ('lead MLII', 'lead ECG, the only one')
    """
    name = lead_names[row]
    if asked or is_lead_two(name):
        return f"lead {name}"
    if len(lead_names) == 1:
        return f"lead {name}, the only one"
    return (
        f"lead {name} (a guess: no lead is called MLII or II; leads: "
        f"{', '.join(lead_names)}; name one with --lead)"
    )


def line(finding: Finding) -> str:
    """One finding as a line."""
    if finding.peak_s is not None:
        text = _beat_line(finding)
    elif finding.shares:
        text = _recording_line(finding)
    else:
        text = _span_line(finding)
    if finding.warnings:
        text += f"  warning: {', '.join(map(warning, finding.warnings))}"
    return text


def summary_lines(summary: Summary, lead_names: Sequence[str]) -> list[str]:
    """The summary as lines, the last ones of the output."""
    lines = []
    what = {"beat": "beats", "span": "decisions", "recording": "recording"}[summary.unit]
    lines.append(f"duration    {clock(summary.seconds)}")
    if not len(summary.peaks_s):
        lines.append(
            f"beats       {NO_BEATS} in {clock(summary.seconds)}: is it an ECG lead, and was it "
            f"attached? leads: {', '.join(lead_names)}"
        )
    elif summary.unit == "beat":
        lines.append(
            f"beats       {summary.decided + summary.undecided:,} found, "
            f"{summary.undecided:,} of them not assessable"
        )
    else:
        lines.append(f"beats       {len(summary.peaks_s):,} R peaks found")
    if len(summary.peaks_s):
        value, remark = rate_words(summary)
        lines.append(f"heart rate  {value} {remark}".rstrip())
    if summary.longest is not None:
        at, seconds = summary.longest
        lines.append(f"longest RR  {seconds:.2f} s from {clock(at, 2)}")
    if summary.unit == "span":
        lines.append(
            f"{what}   {summary.decided:,} spans, {summary.undecided:,} more not assessable"
        )
    if summary.decided and summary.unit != "recording":
        lines += [_class_line(row, summary) for row in summary.classes]
    if summary.rhythms is not None:
        lines += rhythm_lines(summary.rhythms)
    unusable = sum(end - start for start, end in summary.breaks)
    if unusable:
        lines.append(
            f"no signal   {clock(unusable)} ({share(unusable, summary.seconds)}) is missing, flat "
            "or saturated"
        )
    if summary.undecided and summary.notes:
        notes = ", ".join(f"{note} ({count:,})" for note, count in summary.notes.items())
        lines.append(f"not assessable because of: {notes}")
    if summary.warnings and summary.unit != "recording":
        counted = ", ".join(f"{warning(name)} {n:,}" for name, n in summary.warnings.items())
        lines.append(f"warnings    {counted}")
    return lines


def _class_line(row: ClassCount, summary: Summary) -> str:
    text = f"{row.name.upper():<11} {row.count:,} ({share(row.count, summary.decided)}) {row.title}"
    if summary.unit == "span":
        if row.longest_at_s is not None:
            episodes = plural(row.runs, "episode")
            text += f"; {episodes}, the longest {clock(row.longest)} from {clock(row.longest_at_s)}"
        return text
    if row.name == summary.classes[0].name or row.longest_at_s is None or row.longest < 2:
        return text
    return (
        f"{text}; {plural(row.couplets, 'couplet')}, {plural(row.runs, 'run')} of 3 and more, the "
        f"longest {row.longest:.0f} beats at {clock(row.longest_at_s)}"
    )


def _span_line(finding: Finding) -> str:
    span = f"{clock(finding.start_s)} to {clock(finding.end_s)}  "
    if finding.probabilities is None:
        return f"{span}not assessable: {', '.join(finding.quality_notes)}"
    parts = []
    for name, chance in finding.probabilities.items():
        found = "*" if name in finding.predicted else " "
        text = f"{found}{name} {100 * chance:3.0f} %"
        if name in finding.predicted:
            where = ", ".join(segment_words(part) for part in evidence_above(finding, name)[:2])
            text = f"{text} ({where})"
        parts.append(text)
    note = f"  {', '.join(finding.quality_notes)}" if finding.quality_notes else ""
    return span + "  ".join(parts) + note


def _beat_line(finding: Finding) -> str:
    when = f"{clock(finding.time_s, 2)}  "
    if finding.class_name is None or finding.probabilities is None:
        return f"{when}not assessable: {', '.join(finding.quality_notes)}"
    chance = 100 * finding.probabilities[finding.class_name]
    normal = finding.classes[0]  # As on the page: what speaks for an ectopic beat, not a normal one
    reasons = finding.explain(against=None if finding.class_name == normal else normal)
    why = _said(reasons, 2, partial(_beat_segment, finding.time_s), describe_feature)
    return f"{when}{finding.class_name} {chance:3.0f} %  {why}"


def _beat_segment(peak_s: float, part: Contribution) -> str:
    start_s, end_s = (at - peak_s for at in (part.start_s or 0.0, part.end_s or 0.0))
    return f"{waves(start_s, end_s)} {1000 * start_s:+.0f} to {1000 * end_s:+.0f} ms"


def _recording_line(finding: Finding) -> str:
    span = f"{clock(finding.start_s)} to {clock(finding.end_s)}  "
    if finding.class_name is None or finding.probabilities is None:
        return f"{span}not assessable: {', '.join(finding.quality_notes)}"
    chances = "  ".join(f"{n} {100 * chance:.0f} %" for n, chance in finding.probabilities.items())
    why = _said(
        finding.explain(),
        4,
        segment_words,
        lambda name, ratio: f"{name} {ratio:.2f}",
    )
    return f"{span}{finding.class_name}  {chances}  {why}"


def segment_words(part: Contribution) -> str:
    """A segment of evidence as its times."""
    return f"{clock(part.start_s or 0.0, 1)}-{clock(part.end_s or 0.0, 1)}"


def _said(
    parts: Sequence[Contribution],
    count: int,
    segment: Callable[[Contribution], str],
    feature: Callable[[str, float], str],
) -> str:
    """The largest contributions in logits: segments of signal, and features; no offset."""
    words = []
    for part in [part for part in parts if part.what != OFFSET][:count]:
        is_evidence = part.what == EVIDENCE
        what = segment(part) if is_evidence else feature(part.what, part.ratio or 0.0)
        words.append(f"{what} ({part.logits:+.1f})")
    return ", ".join(words)
