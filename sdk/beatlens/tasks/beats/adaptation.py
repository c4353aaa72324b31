"""A rule adapted to one patient, from a few minutes of beats that somebody reviewed.

The network stays as it is. What changes is the rule (`beatlens.tasks.beats.rule.BeatRule`): its
offsets, with the log odds of the classes, and its lookup tables. The change of a class is

    change[class] = offset[class] + sum over features of table[feature][class]

in logits of the calibrated probabilities. It makes the reviewed classes likeliest while a penalty
pulls it to zero, the rule as it was: a penalised multinomial logistic regression (le Cessie & van
Houwelingen, Applied Statistics 41, 1992), fitted by Newton's method. Tables are smooth in their
steps. A class of which fewer than `FEWEST` beats were reviewed stays as it is. Needs numpy only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from beatlens.calibration import Calibration
from beatlens.runtime.finding import Finding
from beatlens.runtime.tables_section import LARGEST_ENTRY
from beatlens.signals.beat_features import FEATURES, STEPS
from beatlens.signals.frontend import MODEL_RATE_HZ
from beatlens.signals.rr_features import BINS
from beatlens.tasks.beats.labels import PARTNER, UNKNOWN, labels_of_peaks
from beatlens.tasks.beats.recipe import BeatClass
from beatlens.tasks.beats.rule import BeatRule
from beatlens.tasks.beats.sharing import CLUSTER_EVIDENCE

FEWEST = 5
"""Reviewed beats of a class below which the class stays as it is."""
OFFSET, SMOOTH, SMALL = 0.1, 3.0, 0.3
"""Penalties of a squared offset, of the squared differences of neighbouring steps of a table, and
of its squared entries, each against the log-likelihood of one beat. Chosen by
`python -m benchmarks adapt` on patients that the network was not trained on."""
CURVES = 8
"""Curves that a change of a table is a sum of."""
ITERATIONS, HALVINGS, CLOSE = 30, 20, 1e-6
Rows = NDArray[np.float64]
Classes = Mapping[str, BeatClass]


@dataclass(frozen=True, eq=False)
class Beats:
    """Beats that a bundle found in a recording, with the classes that were annotated.

    Args:
        time_s: of the R peaks, float `[b]`.
        labels: number of the annotated class, int64 `[b]`, or `UNKNOWN`.
        sums: evidence summed over each span, int64 `[b, C]`, steps.
        features: int64 `[b, 17]`.
        shared: what clusters add to the score of the shared class, int64 `[b]`, steps.
        assessable: bool `[b]`.
        clipped: bool `[b]`, which beats are never called one of `BeatRule.never_if_clipped`.
    """

    time_s: NDArray[np.float64]
    labels: NDArray[np.int64]
    sums: NDArray[np.int64]
    features: NDArray[np.int64]
    shared: NDArray[np.int64]
    assessable: NDArray[np.bool_]
    clipped: NDArray[np.bool_]

    def select(self, chosen: NDArray[np.bool_]) -> Beats:
        """Some of the beats."""
        return Beats(*(getattr(self, field.name)[chosen] for field in fields(self)))

    @property
    def reviewed(self) -> Beats:
        """Those that were decided, and whose class is known."""
        return self.select(self.assessable & (self.labels >= 0))


@dataclass(frozen=True, eq=False)
class Change:
    """What a rule is changed by, in logits of the calibrated probabilities.

    Args:
        offsets: float64 `[C]`.
        tables: float64 `[17, BINS, C]`.
    """

    offsets: Rows
    tables: Rows


def read_beats(
    findings: Iterable[Finding],
    rule: BeatRule,
    scale: float,
    beats_s: NDArray[np.float64],
    labels: NDArray[np.int64],
) -> Beats:
    """Beats out of a bundle's findings on a recording.

    Args:
        findings: of the bundle, in time order.
        rule: of the bundle.
        scale: of its evidence, logits a step.
        beats_s: times of the annotated beats `[a]`, seconds, in time order.
        labels: numbers of their classes `[a]`, `UNKNOWN` for others.
    """
    found = [one for one in findings if one.peak_s is not None]
    count = len(rule.offsets)
    sums = np.zeros((len(found), count), np.int64)
    features = np.zeros((len(found), len(FEATURES)), np.int64)
    shared = np.zeros(len(found), np.int64)
    for row, one in enumerate(found):
        if one.assessable:
            sums[row] = np.rint(np.asarray(one.evidence, np.float64) / scale).sum(axis=1)
            features[row] = [round(one.features[name] * STEPS[name]) for name in FEATURES]
            shared[row] = round(one.features.get(CLUSTER_EVIDENCE, 0.0) / rule.step)
    time_s = np.array([one.peak_s for one in found], np.float64)
    near = labels_of_peaks(_at_model_rate(time_s), _at_model_rate(beats_s), labels)
    return Beats(
        time_s,
        near,
        sums,
        features,
        shared,
        np.array([one.assessable for one in found], bool),
        np.array([bool(one.excluded) for one in found], bool),
    )


def partner_share(time_s: NDArray[np.float64], beats_s: NDArray[np.float64]) -> float:
    """Share of annotated beats that have an R peak within 150 ms; 1 where there are none.

    >>> partner_share(np.array([1.0, 2.0]), np.array([1.1, 2.5]))
    0.5
    """
    if not len(beats_s):
        return 1.0
    peaks, beats = _at_model_rate(time_s), _at_model_rate(beats_s)
    if not len(peaks):
        return 0.0
    after = np.searchsorted(peaks, beats).clip(max=len(peaks) - 1)
    nearest = np.minimum(abs(peaks[after] - beats), abs(peaks[(after - 1).clip(0)] - beats))
    return float(np.mean(nearest <= PARTNER))


def _at_model_rate(seconds: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.rint(seconds * MODEL_RATE_HZ).astype(np.int64)


def decide(rule: BeatRule, beats: Beats) -> NDArray[np.int64]:
    """Numbers of the classes decided on, `[b]`; `UNKNOWN` where a beat is not assessable.

    What clusters add is taken as it was when the beats were read. A change of offsets does not
    change it; a change of tables does, a little.
    """
    scores = rule.scores(beats.sums, beats.features, beats.shared)
    found = np.where(beats.clipped, rule.decide(scores, rule.never_if_clipped), rule.decide(scores))
    return np.asarray(np.where(beats.assessable, found, UNKNOWN), np.int64)


def fit_change(rule: BeatRule, beats: Beats, strength: float = 1.0, tables: bool = True) -> Change:
    """The change that makes the reviewed classes of beats likely, close to the rule as it was.

    Args:
        rule: of the bundle.
        beats: of the patient; those of unknown class, or not assessable, are left out.
        strength: what the penalties are multiplied by.
        tables: whether tables change too.
    """
    known = beats.reviewed
    count = len(rule.offsets)
    there = np.bincount(known.labels, minlength=count)
    open_to = np.array([c for c in range(1, count) if there[c] >= FEWEST], np.int64)
    found = np.zeros((1 + len(FEATURES) * CURVES, count))
    curves, penalty = _curves()
    if len(open_to):
        scores = rule.scores(known.sums, known.features, known.shared)
        logits = rule.step * scores / rule.calibration.temperature + rule.calibration.bias
        design = np.ones((len(known.labels), 1))
        penalties = np.array([OFFSET])
        if tables:
            shapes = curves[known.features].reshape(len(design), -1)
            design = np.hstack([design, shapes])
            penalties = np.concatenate([penalties, np.tile(penalty, len(FEATURES))])
        best = _newton(design, strength * penalties, logits, known.labels, open_to)
        found[: design.shape[1], open_to] = best
    parts = found[1:].reshape(len(FEATURES), CURVES, count)
    return Change(found[0], np.einsum("sk,fkc->fsc", curves, parts))


def _curves() -> tuple[Rows, Rows]:
    """The curves that a change of a table is a sum of `[BINS, CURVES]`, and their penalties.

    They are the smoothest eigenvectors of the penalty of neighbouring steps: cosines (Strang, The
    Discrete Cosine Transform, SIAM Review 41, 1999).
    """
    order = np.arange(CURVES)
    curves = np.cos(np.pi * np.outer(np.arange(BINS) + 0.5, order) / BINS)
    curves *= np.where(order == 0, 1.0, 2.0) ** 0.5 / BINS**0.5
    return curves, SMALL + SMOOTH * 4 * np.sin(np.pi * order / (2 * BINS)) ** 2


def _newton(
    design: Rows,
    penalty: Rows,
    logits: Rows,
    labels: NDArray[np.int64],
    open_to: NDArray[np.int64],
) -> Rows:
    """Coefficients `[d, A]` of the classes `open_to`; convex, so Newton's method ends at the best.

    A step is halved until the penalised likelihood rises.
    """
    size, classes = design.shape[1], len(open_to)
    truth = np.eye(logits.shape[1])[labels][:, open_to]

    def value(theta: Rows) -> tuple[float, Rows]:
        moved = logits.copy()
        moved[:, open_to] += design @ theta
        top = moved.max(axis=1, keepdims=True)
        log_sum = (top + np.log(np.exp(moved - top).sum(axis=1, keepdims=True)))[:, 0]
        loss = (log_sum - moved[np.arange(len(labels)), labels]).sum()
        loss += 0.5 * float(np.sum(penalty[:, None] * theta**2))
        return float(loss), np.exp(moved[:, open_to] - log_sum[:, None])

    theta = np.zeros((size, classes))
    loss, chances = value(theta)
    for _ in range(ITERATIONS):
        slope = design.T @ (chances - truth) + penalty[:, None] * theta
        curve = np.zeros((classes, size, classes, size))
        for i in range(classes):
            for j in range(i, classes):
                weight = chances[:, i] * ((i == j) - chances[:, j])
                block = design.T @ (weight[:, None] * design)
                curve[i, :, j] = block + np.diag(penalty) if i == j else block
                curve[j, :, i] = curve[i, :, j]
        flat = curve.reshape(classes * size, classes * size)
        step = np.linalg.solve(flat, slope.T.reshape(-1)).reshape(classes, size).T
        for halving in range(HALVINGS):
            tried = theta - step / 2**halving
            lower, tried_chances = value(tried)
            if lower < loss:
                break
        else:
            break
        done = loss - lower < CLOSE
        theta, loss, chances = tried, lower, tried_chances
        if done:
            break
    return theta


def change_rule(rule: BeatRule, change: Change) -> BeatRule:
    """The rule with a change in it, in whole steps.

    Offsets, log odds and the bias of the calibration change alike, so the class decided on,
    probabilities and warnings are all of the patient.
    """
    unit = rule.calibration.temperature / rule.step
    most = LARGEST_ENTRY - 1
    offsets = np.rint(unit * change.offsets).astype(np.int64)
    tables = np.rint(unit * change.tables).astype(np.int64)
    bias = rule.calibration.bias + change.offsets
    return replace(
        rule,
        tables=(rule.tables + tables).clip(-most, most),
        offsets=(rule.offsets + offsets).clip(-most, most),
        calibration=Calibration(rule.calibration.temperature, bias),
        warning=replace(rule.warning, odds=(rule.warning.odds + offsets).clip(-most, most)),
    )


def block_decisions(
    rule: BeatRule, beats: Beats, blocks: int, strength: float = 1.0, tables: bool = True
) -> NDArray[np.int64]:
    """Decisions on beats by rules that were adapted on the other blocks of time, `[b]`."""
    edges = np.linspace(beats.time_s[0], beats.time_s[-1], blocks + 1)[1:-1]
    block = np.searchsorted(edges, beats.time_s, side="right")
    found = np.full(len(block), UNKNOWN, np.int64)
    for number in range(blocks):
        change = fit_change(rule, beats.select(block != number), strength, tables)
        held = block == number
        found[held] = decide(change_rule(rule, change), beats.select(held))
    return found


@dataclass(frozen=True)
class ClassCount:
    """Beats of one class: how many were annotated, called so, and rightly called so."""

    there: int
    called: int
    right: int

    @property
    def wrong(self) -> int:
        """Missed and false ones."""
        return self.there + self.called - 2 * self.right

    @property
    def f1(self) -> float | None:
        """None where there is nothing to count."""
        return 2 * self.right / (self.there + self.called) if self.there + self.called else None


def count_classes(
    decided: NDArray[np.int64],
    beats: Beats,
    annotated: NDArray[np.int64],
    classes: Classes,
) -> dict[str, ClassCount]:
    """Counts of the classes but the first and fusions, by name.

    A fusion that is called what it is a fusion with counts neither way, as in EC57; a beat of no
    known class that is called something does not count either.

    Args:
        decided: class numbers `[b]`.
        beats: with their labels.
        annotated: labels of all annotated beats of the same time, those without an R peak too.
        classes: of the bundle.
    """
    found = {}
    for number, (name, one) in enumerate(classes.items()):
        if number == 0 or one.fusion_with is not None:
            continue
        excused = beats.labels < 0
        for other, fused in enumerate(classes.values()):
            if fused.fusion_with == name:
                excused |= beats.labels == other
        called = (decided == number) & ~excused
        right = int((called & (beats.labels == number)).sum())
        found[name] = ClassCount(int((annotated == number).sum()), int(called.sum()), right)
    return found


def count_wrong(counts: Mapping[str, ClassCount]) -> int:
    """Missed and false beats of all classes that are counted."""
    return sum(one.wrong for one in counts.values())


def class_numbers(symbols: Sequence[str], classes: Classes) -> NDArray[np.int64]:
    """Class numbers of annotated beats by their codes, `UNKNOWN` for codes of no class."""
    numbers = {code: n for n, one in enumerate(classes.values()) for code in one.beats}
    return np.array([numbers.get(symbol, UNKNOWN) for symbol in symbols], np.int64)
