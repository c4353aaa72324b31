"""The page: one HTML file that needs nothing else, neither script, font nor network.

Built with the standard library, so that it works where models run. Printed on A4 landscape at
100 % the strips are true to scale: nothing on the page is wider than the sheet, since a browser
shrinks a whole page for one line that is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from beatlens.ecg_page import overview, paper
from beatlens.ecg_page.collect import BeatsCollected, Collected
from beatlens.ecg_page.facts import class_table, quality_notes, summary_facts
from beatlens.ecg_page.reasons import Reasons
from beatlens.ecg_page.rhythm_words import rhythm_table
from beatlens.ecg_page.strips import Strip
from beatlens.ecg_page.style import STYLE
from beatlens.ecg_page.summary import Summary
from beatlens.ecg_page.words import STATEMENT, WARNING_MEANS, mark_letters, plural, warning
from beatlens.report.levels import LEVEL_NAMES, find_edges
from beatlens.report.words import safe
from beatlens.version import __version__

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
LONGEST_BAR = 30.0
"""Of a contribution, in % of the table's width."""


@dataclass(frozen=True)
class About:
    """What the page is of.

    Attributes:
        record, lead: names.
        guessed: a note on the choice of the lead where nobody named it; else empty.
        recorded_at: when it was recorded, by the header; empty where that does not have it.
        calibrated: whether the header gives the gain.
        rate_hz: of the samples.
        model, digest: name of the model and the first digits of its SHA-256.
        decides_on: "beats", "spans of 10 s" or "whole recordings".
        versions: of the software that made the model.
    """

    record: str
    lead: str
    guessed: str
    recorded_at: str
    calibrated: bool
    rate_hz: float
    model: str
    digest: str
    decides_on: str
    versions: Mapping[str, str]


def render_page(
    about: About,
    collected: Collected,
    summary: Summary,
    strips: Sequence[Strip],
    traces: Sequence[NDArray[np.float64]],
) -> str:
    """The page as text.

    Args:
        about: record and model.
        collected, summary: what was found.
        strips: to draw, in the page's order.
        traces: samples of each strip in mV, NaN where missing, `about.rate_hz` a second.
    """
    title = f"ECG of {about.record}, lead {about.lead}"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        f'<meta name="generator" content="beatlens {safe(__version__)}">\n'
        f"<title>{safe(title)}</title>\n"
        f"<style>{STYLE}{paper.STYLE}{overview.STYLE}</style>\n</head>\n<body>\n"
        f"{_header(about, title)}<main>\n"
        f"{_summary(summary)}"
        f"{_overview(collected, summary, strips)}"
        f"{_quality(about, collected, summary)}"
        f"{_strips(about, collected, summary, strips, traces)}"
        f"{_how(about, collected)}</main>\n</body>\n</html>\n"
    )


def _header(about: About, title: str) -> str:
    when = f"Recorded {safe(about.recorded_at)}, says the header. " if about.recorded_at else ""
    guessed = f'<p class="note">{safe(about.guessed)}</p>' if about.guessed else ""
    return (
        f"<header>\n<h1>{safe(title)}</h1>\n"
        f'<p class="soft">{when}Model {safe(about.model)} ({safe(about.digest)}), decides on '
        f"{safe(about.decides_on)}. beatlens {safe(__version__)}.</p>\n"
        f'<p class="statement">{safe(STATEMENT)}</p>\n{guessed}</header>\n'
    )


def _summary(summary: Summary) -> str:
    facts = "".join(
        f"<div><dt>{safe(name)}</dt><dd>{safe(value)}"
        + (f'<span class="more">{safe(more)}</span>' if more else "")
        + "</dd></div>\n"
        for name, value, more in summary_facts(summary)
    )
    rhythms = "" if summary.rhythms is None else _table(rhythm_table(summary.rhythms))
    return (
        f'<section>\n<h2>Summary</h2>\n<dl class="facts">\n{facts}</dl>\n'
        f"{_table(class_table(summary))}{rhythms}</section>\n"
    )


def _table(table: Sequence[Sequence[str]]) -> str:
    """Head and rows as a table; nothing where there are no rows."""
    head, *rows = table
    if not rows:
        return ""
    names = "".join(f"<th>{safe(cell)}</th>" for cell in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{safe(cell)}</td>" for cell in row) + "</tr>\n" for row in rows
    )
    return (
        f'<table class="classes"><thead><tr>{names}</tr></thead><tbody>\n{body}</tbody></table>\n'
    )


def _overview(collected: Collected, summary: Summary, strips: Sequence[Strip]) -> str:
    drawn = "".join(
        overview.overview_svg(collected, summary, strips, narrow=narrow) for narrow in (False, True)
    )
    marked = " The numbered circles are the strips below." if strips else ""
    return (
        '<section class="overview">\n<h2>Overview of the recording</h2>\n'
        f'<div class="sheet">{drawn}</div>\n<p class="soft">Heart rate over 8 beats; where a line '
        f"stands for many, the band is from least to most.{marked}</p>\n</section>\n"
    )


def _quality(about: About, collected: Collected, summary: Summary) -> str:
    notes = "".join(f"<li>{safe(note)}</li>\n" for note in quality_notes(summary))
    if not about.calibrated:
        notes += (
            "<li>The header gives no gain, so 200 counts per mV are assumed: heights in mV may be "
            "wrong.</li>\n"
        )
    warned = "".join(
        f"<li><strong>{safe(warning(name))}</strong>: "
        f"{safe(plural(count, summary.unit))}; {safe(_meaning(name, collected))}</li>\n"
        for name, count in summary.warnings.items()
    )
    return (
        f'<section class="columns">\n<div><h2>Signal quality</h2>\n<ul>\n{notes}</ul></div>\n'
        f"<div><h2>Warnings of the model</h2>\n<ul>\n{warned or '<li>none</li>'}</ul></div>\n"
        "</section>\n"
    )


def _meaning(name: str, collected: Collected) -> str:
    """What a warning means, and what the model's rule makes of it."""
    never = [
        collected.bundle.classes[number].upper()
        for number in getattr(collected.bundle.rule, "never_if_clipped", ())
    ]
    besides = f"; never called {' or '.join(never)}" if name == "clipped" and never else ""
    return WARNING_MEANS.get(name, "") + besides


def _strips(
    about: About,
    collected: Collected,
    summary: Summary,
    strips: Sequence[Strip],
    traces: Sequence[NDArray[np.float64]],
) -> str:
    if not strips:
        return f"<section>\n<h2>Strips</h2>\n<p>{safe(_no_strips(summary))}</p>\n</section>\n"
    edges = {
        name: find_edges(
            [np.nan_to_num(strip.evidence, nan=0.0) for strip in strips if strip.class_name == name]
        )
        for name in {strip.class_name for strip in strips}
    }
    parts = [
        '<section class="strips">\n<h2>Strips with most evidence</h2>\n<p class="soft">25 mm/s and '
        "10 mm/mV when printed at 100 %; the pulse before each trace is 1 mV for 0.2 s. "
        f"As recorded, around the median of the strip.{safe(_letters(collected))}</p>\n",
        paper.grid(),
    ]
    if summary.unit == "recording":
        parts.append(f'<div class="decision">{_caption(strips[0])}</div>\n')
    for number, (strip, trace) in enumerate(zip(strips, traces, strict=True), 1):
        drawn = paper.strip_svgs(strip, trace, about.rate_hz, edges[strip.class_name], f"s{number}")
        legend = _legend(strip, edges[strip.class_name])
        parts.append(
            f'<figure class="strip" id="strip-{number}">\n'
            f'<h3><span class="number">{number}</span> {safe(strip.heading)}</h3>\n'
            f'<div class="sheet">{drawn}</div>\n{legend}'
            f"{'' if summary.unit == 'recording' else _captioned(strip)}</figure>\n"
        )
    parts.append("</section>\n")
    return "".join(parts)


def _letters(collected: Collected) -> str:
    """Which class each mark above a strip is of, where marks are not the names themselves."""
    names = collected.bundle.classes
    letters = mark_letters(names)
    if not isinstance(collected, BeatsCollected) or letters == tuple(n.upper() for n in names):
        return ""
    pairs = zip(letters, names, strict=True)
    return f" Beats: {', '.join(f'{letter} is {name.upper()}' for letter, name in pairs)}."


def _no_strips(summary: Summary) -> str:
    if summary.unit == "beat" and not len(summary.peaks_s):
        return "No beats were found in this lead, so there is nothing to show."
    if summary.decided == 0:
        return "Nothing in this lead was assessable, so there is nothing to show."
    return "None of the model's classes was found."


def _legend(strip: Strip, edges: Sequence[float]) -> str:
    if not strip.class_name:
        return ""
    steps = "".join(
        f'<li><span class="swatch e-swatch-{level}"></span>{word}, from {edges[level - 1]:g}</li>'
        for level, word in enumerate(LEVEL_NAMES)
        if level
    )
    letters = "<li>* with a warning</li>" if any(m.warned for m in strip.marks) else ""
    focus = "<li>\N{BLACK DOWN-POINTING TRIANGLE} the beat described below</li>"
    return (
        f'<ul class="legend"><li>Evidence for {safe(strip.evidence_for)}, in logits:</li>{steps}'
        f"{focus if any(m.focus for m in strip.marks) else ''}{letters}</ul>\n"
    )


def _captioned(strip: Strip) -> str:
    return f"<figcaption>{_caption(strip)}</figcaption>\n"


def _caption(strip: Strip) -> str:
    text = f"<p>{safe(strip.verdict)}" if strip.verdict else ""
    if strip.reasons is not None and strip.reasons.sentence:
        text += f" Used most for it: {safe(strip.reasons.sentence)}."
    if strip.warnings:
        text += f" Warning: {safe(', '.join(strip.warnings))}."
    text += "</p>\n" if text else ""
    return text + (_reasons(strip.reasons) if strip.reasons is not None else "")


def _reasons(reasons: Reasons) -> str:
    most = max((abs(part.logits) for part in reasons.parts), default=1.0) or 1.0
    rows = []
    for part in reasons.parts:
        length = LONGEST_BAR * abs(part.logits) / most
        side = "for" if part.logits >= 0 else "against"
        rows.append(
            f'<tr><td>{safe(part.words)}</td><td class="n">{_signed(part.logits)}</td>'
            f'<td class="bar"><span class="{side}" style="width:{length / LONGEST_BAR:.0%}">'
            "</span></td></tr>\n"
        )
    return (
        f'<table class="reasons"><thead><tr><th>What the decision is the sum of: '
        f'{safe(reasons.question)}</th><th class="n">logits</th><th></th></tr></thead>'
        f"<tbody>\n{''.join(rows)}</tbody><tfoot><tr><td>together (above 0: decided so)</td>"
        f'<td class="n">{_signed(reasons.total)}</td><td></td></tr></tfoot></table>\n'
    )


def _signed(value: float) -> str:
    return f"{value:+.1f}".replace("-", "\N{MINUS SIGN}").replace("+0.0", "0.0")


def _how(about: About, collected: Collected) -> str:
    titles = "; ".join(
        f"{name.upper()}: {title}" for name, title in collected.bundle.titles.items()
    )
    versions = ", ".join(f"{name} {value}" for name, value in about.versions.items())
    rules = [
        f"Classes. {titles}.",
        "Heart rate. Least and most: 8 RR intervals in a row. Mean: all RR intervals. An interval "
        "that touches signal that is missing, flat or saturated, or longer than 8 s, does not "
        "count.",
        "Evidence. The network gives each class a number (a logit) every "
        f"{1000 * collected.track.column_s:.1f} ms; the decision is their mean over a span, plus "
        "what beat features add where a model has some. Bands and steps show where the evidence "
        "for a class is above 0, in three levels; the line below them marks the signal that "
        "decisions used. Evidence against a class is not drawn.",
        "Words. Beat features are kept in steps of 1/16 (6 %) of an RR interval; the middle of the "
        "step is given. Waves are named by their time from the R peak, as at a usual heart rate: "
        "P \N{MINUS SIGN}250 to \N{MINUS SIGN}60 ms, QRS \N{MINUS SIGN}60 to +80 ms, ST and T +80 "
        "to +450 ms. What the model did not use is not named.",
        f"No usable signal: more than 10 % of a second is missing, flat or saturated. Recording: "
        f"{about.rate_hz:g} samples a second. Model made with {versions or 'unknown versions'}.",
    ]
    items = "".join(f"<li>{safe(rule)}</li>\n" for rule in rules)
    return f'<section class="how">\n<h2>How this was made</h2>\n<ul>\n{items}</ul>\n</section>\n'
