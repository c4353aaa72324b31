"""The beats of one patient's recording: a rule adapted to them, and what that gained.

What was gained is counted on beats that the rule was not fitted on: those that are annotated after
the reviewed time, or, where there are none, block by block of the reviewed time, by rules that were
fitted on the other blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beatlens.errors import DataError
from beatlens.runtime.bundle import Bundle
from beatlens.runtime.finding import Finding
from beatlens.tasks.beats.adaptation import (
    FEWEST,
    Beats,
    ClassCount,
    block_decisions,
    change_rule,
    class_numbers,
    count_classes,
    count_wrong,
    decide,
    fit_change,
    partner_share,
    read_beats,
)
from beatlens.tasks.beats.recipe import BeatClass
from beatlens.tasks.beats.rule import BeatRule, beat_rule
from beatlens.tasks.contract import Adapted, Reviewed, Summary

LEAST = 30
"""Annotated beats below which nothing is fitted, or judged."""
PARTNERS = 0.75
"""Share of the reviewed beats that have an R peak near, below which they are of something else."""
BLOCKS = 5
WINDOW_S = 0.15
"""Seconds by which a beat that was found may lie after the last annotated one."""


@dataclass(frozen=True, eq=False)
class _Judged:
    """Beats that nothing was fitted on, with the decisions before and after."""

    how: str
    before: Mapping[str, ClassCount]
    after: Mapping[str, ClassCount]


def adapt_to_patient(
    bundle: Bundle,
    classes: Mapping[str, BeatClass],
    run: Callable[[Bundle], Iterable[Finding]],
    reviewed: Reviewed,
) -> Adapted:
    """Adapt a bundle's rule to the reviewed beats of a recording.

    Args:
        bundle: decides on beats, for these classes.
        classes: with the codes of their beats.
        run: gives the findings of a bundle on the recording.
        reviewed: the annotations, and the time in which all beats were reviewed.

    Raises:
        DataError: there are too few reviewed beats, or they are not of this recording.
    """
    rule, scale = beat_rule(bundle), bundle.tensors["evidence"].scale
    marks = reviewed.annotations.beats
    beats_s = marks.sample / reviewed.rate_hz
    labels = class_numbers(marks.symbol.tolist(), classes)
    asked = (beats_s >= reviewed.start_s) & (beats_s < reviewed.end_s)
    where = f"{reviewed.annotations.name}, {reviewed.start_s:g} to {reviewed.end_s:g} s"
    _check_count(where, int((labels[asked] >= 0).sum()), "annotated beats of the model's classes")
    whole = read_beats(run(bundle), rule, scale, beats_s, labels)
    if (share := partner_share(whole.time_s, beats_s[asked])) < PARTNERS:
        raise DataError(
            f"{where}: {100 * share:.0f} % of the annotated beats have an R peak within 150 ms, "
            f"expected {100 * PARTNERS:.0f} % or more; are the annotations of this recording?"
        )
    seen = whole.select((whole.time_s >= reviewed.start_s) & (whole.time_s < reviewed.end_s))
    known = seen.reviewed
    _check_count(where, len(known.labels), "annotated beats that the model decides on")
    there = {name: int((known.labels == number).sum()) for number, name in enumerate(classes)}
    about: dict[str, Any] = {"reviewed_beats": there}
    if all(there[name] < FEWEST for name in list(classes)[1:]):
        first, *others = classes
        reason = (
            f"{where}: fewer than {FEWEST} beats of any class but {first} were reviewed "
            f"({', '.join(f'{name} {there[name]}' for name in others)}), so there is nothing to "
            "learn of the others"
        )
        return Adapted(None, reason, None, about)
    changed = change_rule(rule, fit_change(rule, seen))
    later = (beats_s >= reviewed.end_s) & (labels >= 0)
    if later.sum() >= LEAST:
        judged = _judge_rest(bundle, changed, classes, run, reviewed, whole, (beats_s, labels))
    else:
        judged = _judge_blocks(rule, classes, seen, labels[asked])
    wrong = count_wrong(judged.before), count_wrong(judged.after)
    summary = _summary(judged)
    about |= {"judged": judged.how, "wrong_before": wrong[0], "wrong_after": wrong[1]}
    for name, after in judged.after.items():
        about[f"beats_{name}"] = after.there
        pairs = {f"f1_{name}_before": judged.before[name].f1, f"f1_{name}_after": after.f1}
        about |= {key: value for key, value in pairs.items() if value is not None}
    if wrong[1] >= wrong[0]:
        reason = (
            f"nothing is gained {judged.how}: {wrong[1]:,} beats missed or false after, "
            f"{wrong[0]:,} before"
        )
        return Adapted(None, reason, summary, about)
    return Adapted(changed, "", summary, about)


def _check_count(where: str, count: int, what: str) -> None:
    if count < LEAST:
        raise DataError(f"{where}: {count} {what}, expected {LEAST} or more to adapt to")


def _judge_rest(
    bundle: Bundle,
    changed: BeatRule,
    classes: Mapping[str, BeatClass],
    run: Callable[[Bundle], Iterable[Finding]],
    reviewed: Reviewed,
    whole: Beats,
    annotated: tuple[NDArray[np.float64], NDArray[np.int64]],
) -> _Judged:
    """By the beats that are annotated after the reviewed time."""
    beats_s, labels = annotated
    rule, last = beat_rule(bundle), beats_s[-1] + WINDOW_S

    def rest(beats: Beats) -> Beats:
        return beats.select((beats.time_s >= reviewed.end_s) & (beats.time_s <= last))

    before = after = rest(whole)
    if rule.sharing is not None:  # Other tables move what clusters share: run the bundle itself.
        adapted, scale = replace(bundle, rule=changed), bundle.tensors["evidence"].scale
        after = rest(read_beats(run(adapted), changed, scale, beats_s, labels))
    there = labels[beats_s >= reviewed.end_s]
    return _Judged(
        f"on the beats after {reviewed.end_s:g} s",
        count_classes(decide(rule, before), before, there, classes),
        count_classes(decide(changed, after), after, there, classes),
    )


def _judge_blocks(
    rule: BeatRule,
    classes: Mapping[str, BeatClass],
    seen: Beats,
    there: NDArray[np.int64],
) -> _Judged:
    """By blocks of the reviewed time, each by a rule that was fitted on the others."""
    held_out = block_decisions(rule, seen, BLOCKS)
    return _Judged(
        f"in {BLOCKS} blocks of the reviewed time, each judged by the others",
        count_classes(decide(rule, seen), seen, there, classes),
        count_classes(held_out, seen, there, classes),
    )


def _summary(judged: _Judged) -> Summary:
    rows = []
    for name, before in judged.before.items():
        after = judged.after[name]
        rows.append((name, f"{before.there:,}", *_percent(before), *_percent(after)))
    heads = ("Se", "+P", "F1")
    return Summary(
        "Before and after",
        f"Counted {judged.how}. Percent; a dash where there is nothing to count.",
        ("class", "beats", *heads, *(f"{head} after" for head in heads)),
        rows,
    )


def _percent(count: ClassCount) -> Sequence[str]:
    def share(of: int) -> str:
        return f"{100 * count.right / of:.1f}" if of else "–"

    f1 = "–" if count.f1 is None else f"{100 * count.f1:.1f}"
    return share(count.there), share(count.called), f1
