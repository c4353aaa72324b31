"""The decision on a beat, in integers: evidence summed around its R peak, plus its features.

    score[class] = sum of int8 evidence over the beat's columns
                 + sum over features of table[feature][class] + offset[class]
                 + what the last beats of its shape say of the one shared class, if there is one
                   (`beatlens.tasks.beats.sharing`)

The largest score wins; of equal ones the first. Of a beat with many clipped samples the classes
`never_if_clipped` are left out. Tables and offsets are whole numbers
in steps of the evidence sum, so the decision is the same on every device, and so is its
explanation: a sum of columns, features and a constant.

There are two results for a beat, by two rules. Its class is that of the largest score, offsets
included: they were chosen so that rare classes are found. Its probabilities are calibrated, and
made without offsets: how likely each class is. So the class decided on is often not the
likeliest one. Warnings (`WarningRule`) are made without offsets too. Needs numpy only.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beatlens.calibration import Calibration
from beatlens.errors import ModelError
from beatlens.geometry import beat_columns
from beatlens.runtime.contents import Contents
from beatlens.runtime.fields import Fields
from beatlens.runtime.quality import Limits
from beatlens.runtime.tables_section import (
    LARGEST_ENTRY,
    check_tables,
    read_tables,
    tables_document,
)
from beatlens.runtime.warning_bits import LOW_MARGIN, OUT_OF_DISTRIBUTION
from beatlens.signals.beat_features import FEATURES
from beatlens.signals.rr_features import BINS
from beatlens.signals.rr_features import FEATURES as RR
from beatlens.tasks.beats.beat_codes import guess_codes, read_codes, role_of
from beatlens.tasks.beats.rhythm_kinds import Role
from beatlens.tasks.beats.sharing import ClusterMargins, Sharing

LARGEST_LIMIT = 1 << 24
Shared = NDArray[np.int64] | int
BEAT_LIMITS = Limits(clipped=0.15)
"""The default for beats. Large ventricular beats are clipped for more than 5 % of a span of 1.06 s,
and what is left of them is enough: 991 of 994 beats that the limit of 5 % refused were decided
rightly. To change another limit for beats, use `dataclasses.replace(BEAT_LIMITS, unusable=0.2)`."""


@dataclass(frozen=True, eq=False)
class WarningRule:
    """When a decision gets a warning, in steps of the evidence sum.

    Args:
        odds: int64 `[C]`, the calibration's bias: with it, the largest score without offsets is
            that of the likeliest class.
        low_margin: least margin of the class decided on to the likeliest other one.
        out_of_distribution: least of the largest score, offsets left out.
    """

    odds: NDArray[np.int64]
    low_margin: int
    out_of_distribution: int

    @classmethod
    def from_logits(
        cls, calibration: Calibration, low_margin: float, out_of_distribution: float, step: float
    ) -> WarningRule:
        """Round to whole steps; both limits in logits of the scores."""
        odds = np.round(calibration.temperature * calibration.bias / step).astype(np.int64)
        return cls(odds, round(low_margin / step), round(out_of_distribution / step))


@dataclass(frozen=True, eq=False)
class BeatRule:
    """How beats are decided.

    Args:
        before, after: columns of a beat's span before its R peak's, and from that on.
        tables: int64 `[17, BINS, C]`, steps of the evidence sum.
        offsets: int64 `[C]`, likewise.
        scale: of evidence, logits a step.
        calibration: of probabilities.
        warning: when a decision gets a warning.
        never_if_clipped: numbers of the classes that a beat with the warning `clipped` is never
            called; at most C - 1.
        sharing: the class whose evidence beats of one shape share; None: there is none.
        codes: of each class WFDB's codes of its beats, the one that decided beats are written with
            first; empty: not known.

    Raises:
        ModelError: shapes that do not belong together, or an entry too large.
    """

    before: int
    after: int
    tables: NDArray[np.int64]
    offsets: NDArray[np.int64]
    scale: float
    calibration: Calibration
    warning: WarningRule
    never_if_clipped: tuple[int, ...] = ()
    sharing: Sharing | None = None
    codes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        classes = len(self.offsets)
        check_tables(self.tables, FEATURES, classes)
        entries = (self.tables, self.offsets, self.warning.odds)
        largest = max(int(np.abs(array).max()) for array in entries)
        if largest >= LARGEST_ENTRY or self.before < 0 or self.after < 1:
            raise ModelError(
                f"largest entry {largest}, {self.before} columns before and {self.after} after; "
                f"expected entries below {LARGEST_ENTRY}, at least 0 and at least 1 columns"
            )
        if self.codes and len(self.codes) != classes:
            raise ModelError(f"codes of {len(self.codes)} classes, expected of {classes} or none")

    @classmethod
    def from_logits(
        cls,
        tables: NDArray[np.floating],
        offsets: NDArray[np.floating],
        scale: float,
        columns: tuple[int, int],
        calibration: Calibration,
        low_margin: float,
        out_of_distribution: float,
        never_if_clipped: tuple[int, ...] = (),
        shares: tuple[int, tuple[int, ...], float] | None = None,
        codes: tuple[str, ...] = (),
    ) -> BeatRule:
        """Round tables `[17, BINS, C]`, offsets `[C]` and limits of warnings, logits, to steps.

        `shares`: number of the shared class, those of the classes its margin is to, and the largest
        margin, logits.
        """
        step = scale / sum(columns)
        return cls(
            *columns,
            np.round(tables / step).astype(np.int64),
            np.round(offsets / step).astype(np.int64),
            scale,
            calibration,
            WarningRule.from_logits(calibration, low_margin, out_of_distribution, step),
            never_if_clipped,
            None if shares is None else Sharing(shares[0], shares[1], round(shares[2] / step)),
            codes,
        )

    @property
    def roles(self) -> tuple[Role, ...]:
        """What beats of each class are for a rhythm."""
        return tuple(map(role_of, self.codes)) or (Role.OTHER,) * len(self.offsets)

    @property
    def step(self) -> float:
        """Logits of 1 in tables, offsets and scores."""
        return self.scale / (self.before + self.after)

    def sums(
        self, evidence: NDArray[np.int8], peaks: NDArray[np.int64], stride: int
    ) -> NDArray[np.int64]:
        """Evidence summed over the beats' spans, `[b, C]`.

        Args:
            evidence: int8 `[C, T]` of a recording, whose first column begins at sample 0.
            peaks: samples of R peaks `[b]`. A span that would leave the recording is moved in.
            stride: samples of a column.

        Raises:
            SignalError: the recording is shorter than a beat's span.
        """
        first = beat_columns(peaks, stride, self.before, self.after, evidence.shape[1])
        upto = np.pad(evidence.astype(np.int64).cumsum(axis=1), ((0, 0), (1, 0)))
        return np.asarray((upto[:, first + self.before + self.after] - upto[:, first]).T)

    def scores(
        self, sums: NDArray[np.int64], features: NDArray[np.int64], shared: Shared = 0
    ) -> NDArray[np.int64]:
        """Scores `[b, C]` without offsets.

        Args:
            sums: evidence summed over the beats' spans, `[b, C]`.
            features: `[b, 17]`.
            shared: what clusters add to the score of the shared class, `[b]`.
        """
        tables = (table[features[:, i]] for i, table in enumerate(self.tables))
        found = np.asarray(sums + sum(tables), np.int64)
        if self.sharing is not None:
            found[:, self.sharing.number] += shared
        return found

    def share(
        self,
        sums: NDArray[np.int64],
        features: NDArray[np.int64],
        clusters: NDArray[np.int64],
        begins: NDArray[np.bool_],
        decided: NDArray[np.bool_],
    ) -> NDArray[np.int64]:
        """What clusters add to the score of the shared class, `[b]`, of a recording's beats.

        Args:
            sums, features: as for `scores`.
            clusters, begins: of `beatlens.signals.beat_features.BeatRows`.
            decided: bool `[b]`, which beats are assessable.
        """
        if self.sharing is None:
            return np.zeros(len(sums), np.int64)
        likely = self.scores(sums, features) + self.warning.odds
        return ClusterMargins(self.sharing).push_all(likely, clusters, begins, decided)

    def decide(
        self, scores: NDArray[np.int64], excluded: Collection[int] = ()
    ) -> NDArray[np.int64]:
        """Numbers of the classes decided on, `[b]`.

        Args:
            scores: of `scores`, `[b, C]`.
            excluded: numbers of classes that are not decided on, at most C - 1
                (`never_if_clipped`).
        """
        open_to = scores + self.offsets
        open_to[:, list(excluded)] = np.iinfo(np.int64).min
        return np.asarray(open_to.argmax(axis=1), np.int64)

    def warnings(self, scores: NDArray[np.int64], decided: NDArray[np.int64]) -> NDArray[np.int64]:
        """Warnings of decisions `[b]`, `[b]`: bits `LOW_MARGIN` and `OUT_OF_DISTRIBUTION`."""
        likely = scores + self.warning.odds
        rows = np.arange(len(decided))
        chosen = likely[rows, decided]
        likely[rows, decided] = np.iinfo(np.int64).min
        low_margin = chosen - likely.max(axis=1) < self.warning.low_margin
        outside = scores.max(axis=1) < self.warning.out_of_distribution
        return np.asarray(LOW_MARGIN * low_margin + OUT_OF_DISTRIBUTION * outside, np.int64)

    def probabilities(self, scores: NDArray[np.int64]) -> NDArray[np.float64]:
        """Calibrated probabilities `[b, C]` of scores `[b, C]`."""
        return self.calibration.probabilities(self.step * scores)


def beat_rule(bundle: Contents) -> BeatRule:
    """The bundle's rule for beats; `ModelError` for one that decides on something else."""
    if not isinstance(bundle.rule, BeatRule):
        raise ModelError(
            f"bundle {bundle.name!r} is of kind {bundle.kind_name!r}, expected one of beats"
        )
    return bundle.rule


def read_rule(fields: Fields, classes: tuple[str, ...], columns: int, scale: float) -> BeatRule:
    """Read what `write_rule` gave.

    Args:
        fields: the section `rule` of `bundle.json`.
        classes: names of the classes.
        columns: most that a beat's span may have.
        scale: of the evidence.

    Raises:
        ModelError: a field is missing, unknown or out of range.
    """
    count, largest = len(classes), LARGEST_ENTRY - 1
    before = fields.integer("before", 0, columns - 1)
    after = fields.integer("after", 1, columns - before)
    offsets = fields.integers("offsets", count, -largest, largest)
    section = fields.section("tables")
    # A bundle that was made before a feature was there has no table of it.
    known = (*RR, *(name for name in FEATURES[len(RR) :] if name in section.names()))
    tables = np.zeros((len(FEATURES), BINS, count), np.int64)
    tables[[FEATURES.index(name) for name in known]] = read_tables(section, known, count)
    temperature = fields.number("temperature", 1e-3, 1e3)
    bias = fields.numbers("bias", count, -100.0, 100.0)
    odds = fields.integers("odds", count, -largest, largest)
    limits = [
        fields.integer(name, -LARGEST_LIMIT, LARGEST_LIMIT)
        for name in ("low_margin", "out_of_distribution")
    ]
    never = fields.some_classes("never_if_clipped", classes)
    # A bundle that was made before clusters were there has no shared class.
    sharing = _read_sharing(fields, classes) if "sharing" in fields.names() else None
    codes = read_codes(fields.section("codes"), classes) if "codes" in fields.names() else None
    fields.finish()
    return BeatRule(
        before,
        after,
        tables,
        np.array(offsets, np.int64),
        scale,
        Calibration(temperature, np.array(bias)),
        WarningRule(np.array(odds, np.int64), *limits),
        tuple(classes.index(name) for name in never),
        sharing,
        guess_codes(classes) if codes is None else codes,
    )


def _read_sharing(fields: Fields, classes: tuple[str, ...]) -> Sharing:
    section = fields.section("sharing")
    name = section.text("class", "|".join(classes), f"one of {', '.join(classes)}")
    others = section.some_classes("others", classes)
    limit = section.integer("limit", 1, LARGEST_LIMIT)
    if name in others or not others:
        section.refuse("others", f"one or more of the classes, without {name}")
    section.finish()
    return Sharing(classes.index(name), tuple(classes.index(one) for one in others), limit)


def write_rule(rule: Any, classes: tuple[str, ...]) -> dict[str, Any]:
    """What `read_rule` reads; `ModelError` for a rule of another kind."""
    if not isinstance(rule, BeatRule):
        raise ModelError(f"the rule is a {type(rule).__name__}, expected a BeatRule")
    return {
        "before": rule.before,
        "after": rule.after,
        "offsets": rule.offsets.tolist(),
        "tables": tables_document(rule.tables, FEATURES),
        "temperature": rule.calibration.temperature,
        "bias": rule.calibration.bias.tolist(),
        "odds": rule.warning.odds.tolist(),
        "low_margin": rule.warning.low_margin,
        "out_of_distribution": rule.warning.out_of_distribution,
        "never_if_clipped": [classes[number] for number in rule.never_if_clipped],
        **_sharing_document(rule.sharing, classes),
        **({"codes": dict(zip(classes, rule.codes, strict=True))} if rule.codes else {}),
    }


def _sharing_document(sharing: Sharing | None, classes: tuple[str, ...]) -> dict[str, Any]:
    if sharing is None:
        return {}
    others = [classes[number] for number in sharing.others]
    return {"sharing": {"class": classes[sharing.number], "others": others, "limit": sharing.limit}}
