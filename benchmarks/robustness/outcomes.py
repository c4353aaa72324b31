"""What noise does to an int8 model: decisions, warnings, and evidence beside the clean one's.

One recording under one condition is an *outcome*, of beats or of strips; outcomes of several
recordings make a row. Only segments with noise are looked at; for the clean recording the same.

A call is *wrong* where a beat decided on has another class than its partner in the reference, or
none (beats of unknown kind are left out); of strips, where a class that is known is decided
otherwise. It is *warned* where the finding has a warning.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beatlens.attribution.fidelity import same_peak, spearman
from beatlens.evaluate.bootstrap import (
    Statistic,
    average_precision_statistic,
    interval,
    macro_average_precision_statistic,
    mean_statistic,
    ratio_statistic,
)
from beatlens.evaluate.ec57 import BeatCounts, Pair, count_pairs, pair_beats
from beatlens.runtime.finding import Finding
from beatlens.signals.annotations import Annotations

Segments = Sequence[tuple[int, int]]
Floats = NDArray[np.float64]
SYMBOLS = {"n": "N", "s": "S", "v": "V", "f": "F"}
UNKNOWN = "Q"
ECTOPIC = ("s", "v")
SLACK = 2
"""Columns by which the spans of one beat may differ, with noise and without."""
REPLICATES = 400


@dataclass(frozen=True)
class BeatOutcome:
    """Beats of one recording under one condition, in its noisy segments.

    Attributes:
        counts: by EC57.
        found: beats found; `decided` of them; `warned` of those have a warning.
        wrong: calls that are wrong; `wrong_warned` of them have a warning.
        compared: `[k]`, what a beat was called without noise, of beats decided on in both.
        spearman, same_peak: `[k]`, agreement of that class's evidence with the clean recording's.
        by_beat: findings by their partner's sample in the reference.
    """

    counts: BeatCounts
    found: int
    decided: int
    warned: int
    wrong: int
    wrong_warned: int
    compared: NDArray[np.str_]
    spearman: Floats
    same_peak: Floats
    by_beat: Mapping[int, Finding]


def beat_outcome(
    findings: Sequence[Finding],
    reference: Annotations,
    rate_hz: int,
    segments: Segments,
    column_s: float,
    clean: BeatOutcome | None = None,
) -> BeatOutcome:
    """Hold findings against the reference, and against those of the clean recording.

    Args:
        findings: of a whole recording.
        reference: its annotations.
        rate_hz: of both.
        segments: with noise, in samples.
        column_s: seconds of a column.
        clean: of the same recording without noise; None where it is this one.
    """
    at = np.round([beat.time_s * rate_hz for beat in findings]).astype(np.int64)
    inside = at < reference.length
    symbols = [SYMBOLS.get(beat.class_name or "", UNKNOWN) for beat in findings]
    none = np.zeros(int(inside.sum()), np.int64)
    predicted = Annotations(
        reference.name, reference.length, at[inside], np.array(symbols)[inside], none,
        ("",) * len(none),
    )  # fmt: skip
    by_sample = dict(zip(at.tolist(), findings, strict=True))
    pairs = [pair for pair in pair_beats(reference, predicted, rate_hz) if _within(pair, segments)]
    matched = [(pair, by_sample[pair.test]) for pair in pairs if pair.test is not None]
    calls = [(pair, beat) for pair, beat in matched if beat.assessable]
    wrong = [b for p, b in calls if p.labels[0] not in (p.labels[1], UNKNOWN)]
    by_beat = {p.reference: b for p, b in calls if p.reference is not None}
    agreement = _agreement(clean.by_beat if clean else by_beat, by_beat, column_s)
    return BeatOutcome(
        count_pairs(pairs),
        len(matched),
        len(calls),
        sum(bool(beat.warnings) for _, beat in calls),
        len(wrong),
        sum(bool(beat.warnings) for beat in wrong),
        *agreement,
        by_beat,
    )


def _within(pair: Pair, segments: Segments) -> bool:
    at = pair.reference if pair.reference is not None else pair.test
    return any(start <= at < end for start, end in segments if at is not None)


def _agreement(
    clean: Mapping[int, Finding], noisy: Mapping[int, Finding], column_s: float
) -> tuple[NDArray[np.str_], Floats, Floats]:
    """Classes without noise, Spearman and same peak `[k]` of the maps of beats that are in both."""
    names: list[str] = []
    clean_maps, noisy_maps = [], []
    for sample in clean.keys() & noisy.keys():
        a, b = clean[sample], noisy[sample]
        shift = round((b.start_s - a.start_s) / column_s)
        if a.evidence is None or b.evidence is None or abs(shift) > SLACK or not a.class_name:
            continue
        number, length = a.classes.index(a.class_name), a.evidence.shape[1] - SLACK
        first = max(0, shift)
        names.append(a.class_name)
        clean_maps.append(_map(a.evidence, number)[first : first + length])
        noisy_maps.append(_map(b.evidence, number)[first - shift : first - shift + length])
    if not clean_maps:
        return np.array(names, str), np.zeros(0), np.zeros(0)
    pair = np.array(clean_maps, np.float64), np.array(noisy_maps, np.float64)
    return np.array(names, str), np.nan_to_num(spearman(*pair)), same_peak(*pair)


def _map(evidence: NDArray[np.float32], number: int) -> NDArray[np.float32]:
    """A class's evidence `[T]` less the mean of all classes: what decides between them."""
    return np.asarray(evidence[number] - evidence.mean(axis=0))


@dataclass(frozen=True)
class StripOutcome:
    """Strips of one recording under one condition; arrays have one entry per strip.

    Attributes:
        labels: `[S, C]`, NaN where not known.
        logits: `[S, C]`; the lowest there is where nothing was decided.
        decided: bool `[S]`; `warned` bool `[S]`, of those decided on.
        decisions: bool `[S, C]`.
        evidence: `[S, C, T]`, zeros where nothing was decided.
        classes: names of the classes.
    """

    labels: Floats
    logits: Floats
    decided: NDArray[np.bool_]
    warned: NDArray[np.bool_]
    decisions: NDArray[np.bool_]
    evidence: NDArray[np.float32]
    classes: Sequence[str]

    @property
    def wrong(self) -> NDArray[np.bool_]:
        """Whether a strip that is decided on has a wrong decision, bool `[S]`."""
        known = np.isfinite(self.labels)
        differs = ((self.decisions != (self.labels == 1)) & known).any(axis=1)
        return np.asarray(self.decided & differs, np.bool_)


UNDECIDED_LOGIT = -99.0


def strip_outcome(
    findings: Sequence[Finding], labels: Floats, classes: Sequence[str]
) -> StripOutcome:
    """Line up findings on strips with their labels `[S, C]` of the classes."""
    columns = next((f.evidence.shape[1] for f in findings if f.evidence is not None), 1)
    nothing = np.zeros((len(classes), columns), np.float32)
    return StripOutcome(
        labels,
        np.array([
            _mean_evidence(f) if f.assessable else [UNDECIDED_LOGIT] * len(classes)
            for f in findings
        ]),
        np.array([f.assessable for f in findings]),
        np.array([bool(f.warnings) for f in findings]),
        np.array([[name in f.predicted for name in classes] for f in findings]),
        np.stack([nothing if f.evidence is None else f.evidence for f in findings]),
        classes,
    )  # fmt: skip


def _mean_evidence(finding: Finding) -> Floats:
    """Logits `[C]`: scores without the thresholds."""
    assert finding.constants is not None
    return finding.scores() - finding.constants


def beat_row(outcomes: Sequence[BeatOutcome], clean: Sequence[BeatOutcome]) -> dict[str, float]:
    """Figures of recordings under one condition, in percent, with intervals by record.

    Sensitivity and +P of QRS, V and S; `veb_loss`, points of sensitivity less than `clean`; shares
    of beats undecided, of calls with a warning, of wrong calls, and of those with a warning;
    and agreement with the clean evidence, 0 to 1: of all beats, and `same_peak_CLASS` of those that
    were called ectopic without noise.
    """
    row: dict[str, float] = {}
    for name in ("qrs", "veb", "sveb"):
        rates = [getattr(o.counts, name) for o in outcomes]
        found = np.array([r.found for r in rates])
        _ratio(row, f"{name}_sensitivity", found, found + [r.missed for r in rates])
        _ratio(row, f"{name}_predictivity", found, found + [r.wrong for r in rates])
    before = sum((o.counts for o in clean), start=BeatCounts({})).veb.sensitivity
    row["veb_loss"] = 100 * before - row["veb_sensitivity"]
    row |= shares(outcomes)
    groups = np.concatenate([np.full(len(o.spearman), i) for i, o in enumerate(outcomes)])
    for name in ("spearman", "same_peak"):
        scores = np.concatenate([getattr(o, name) for o in outcomes])
        _interval(row, name, mean_statistic(scores), groups)
    compared = np.concatenate([o.compared for o in outcomes])
    same = np.concatenate([o.same_peak for o in outcomes])
    for name in ECTOPIC:
        there = compared == name
        _interval(row, f"same_peak_{name}", mean_statistic(same[there]), groups[there])
    return row


def shares(outcomes: Sequence[BeatOutcome]) -> dict[str, float]:
    """Shares in percent, with intervals by record: of beats undecided, of calls with a
    warning, of wrong calls, and of those with a warning."""
    row: dict[str, float] = {}
    found, decided, warned, wrong, wrong_warned = (
        np.array([getattr(outcome, name) for outcome in outcomes])
        for name in ("found", "decided", "warned", "wrong", "wrong_warned")
    )
    _ratio(row, "undecided", found - decided, found)
    _ratio(row, "warned", warned, decided)
    _ratio(row, "wrong", wrong, decided)
    _ratio(row, "wrong_warned", wrong_warned, wrong)
    return row


def strip_row(outcomes: Sequence[StripOutcome], clean: Sequence[StripOutcome]) -> dict[str, float]:
    """Figures of recordings under one condition: average precision, shares, agreement; as above."""
    row: dict[str, float] = {}
    groups = np.concatenate([np.full(len(o.decided), i) for i, o in enumerate(outcomes)])

    def joined(pick: Callable[[StripOutcome], NDArray[Any]]) -> NDArray[Any]:
        return np.concatenate([pick(o) for o in outcomes])

    labels, logits = joined(lambda o: o.labels), joined(lambda o: o.logits)
    _interval(row, "macro_ap", macro_average_precision_statistic(labels, logits), groups)
    for number, name in enumerate(outcomes[0].classes):
        if name == "pvc":
            statistic = average_precision_statistic(labels[:, number], logits[:, number])
            _interval(row, "ap_pvc", statistic, groups)
    decided, warned = joined(lambda o: o.decided), joined(lambda o: o.warned)
    wrong = joined(lambda o: o.wrong)
    each = np.ones(len(decided))
    for name, part, whole in (
        ("undecided", ~decided, each),
        ("warned", warned, decided),
        ("wrong", wrong, decided),
        ("wrong_warned", wrong & warned, wrong),
    ):
        _interval(row, name, ratio_statistic(100 * part, whole), groups)
    clean_maps = np.concatenate([o.evidence for o in clean]).astype(np.float64)
    noisy_maps = joined(lambda o: o.evidence).astype(np.float64)
    found = np.concatenate([o.decisions for o in clean]) & decided[:, None]
    pair = clean_maps[found], noisy_maps[found]
    for name, measure in (("spearman", spearman), ("same_peak", same_peak)):
        statistic = mean_statistic(np.nan_to_num(measure(*pair)))
        _interval(row, name, statistic, groups[np.nonzero(found)[0]])
    return row


def _ratio(row: dict[str, float], key: str, part: NDArray[Any], whole: NDArray[Any]) -> None:
    """A share in percent; `part` and `whole` have one number per recording."""
    _interval(row, key, ratio_statistic(100 * part, whole), np.arange(len(part)))


def _interval(row: dict[str, float], key: str, statistic: Statistic, groups: NDArray[Any]) -> None:
    if len(set(groups.tolist())) < 2:
        row |= {key: float("nan"), f"{key}_lo": float("nan"), f"{key}_hi": float("nan")}
        return
    ends = interval(statistic, groups, n=REPLICATES)
    row |= {key: ends.estimate, f"{key}_lo": ends.lo, f"{key}_hi": ends.hi}
