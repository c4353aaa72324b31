"""The decision on a beat, in integers: evidence summed around its R peak, plus its contexts.

    score[class] = sum of int8 evidence over the beat's columns
                 + sum over contexts of table[context][class] + offset[class]

The largest score wins; of equal ones the first. A beat with many clipped samples is never S: there
the largest score of the other classes wins (`NEVER_CLIPPED`). Tables and offsets are whole numbers
in steps of the evidence sum, so the decision is the same on every device, and so is its
explanation: a sum of columns, contexts and a constant.

Two things are said of a beat, by two rules. Its class is that of the largest score, offsets
included: they were chosen so that rare classes are found. Its probabilities are calibrated, and
made without offsets: they say how likely each class is. So the class decided on is often not the
likeliest one. Warnings (`Doubt`) are made without offsets too. Needs numpy only.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beatlens.calibration import Calibration
from beatlens.errors import ModelError
from beatlens.geometry import beat_columns
from beatlens.runtime.doubts import CLOSE, UNFAMILIAR
from beatlens.runtime.fields import Fields
from beatlens.runtime.tables_section import (
    LARGEST_ENTRY,
    check_tables,
    read_tables,
    tables_document,
)
from beatlens.signals.beat_contexts import CONTEXTS
from beatlens.signals.rhythm import BINS
from beatlens.signals.rhythm import CONTEXTS as RHYTHM

LARGEST_DOUBT = 1 << 24
NEVER_CLIPPED = ("s",)
"""Classes that a clipped beat is never called: of 163 clipped beats called S 139 were not."""


@dataclass(frozen=True, eq=False)
class Doubt:
    """When a decision is doubted, in steps of the evidence sum.

    Args:
        odds: int64 `[C]`, the calibration's bias: with it, scores without offsets say which class
            is likeliest.
        close: a decision whose class is ahead of the likeliest other one by less is close.
        familiar: a beat without any score, offsets left out, of as much is unfamiliar.
    """

    odds: NDArray[np.int64]
    close: int
    familiar: int

    @classmethod
    def of(cls, calibration: Calibration, close: float, familiar: float, step: float) -> Doubt:
        """Round to whole steps; `close` and `familiar` in logit units of the scores."""
        odds = np.round(calibration.temperature * calibration.bias / step).astype(np.int64)
        return cls(odds, round(close / step), round(familiar / step))


@dataclass(frozen=True, eq=False)
class BeatRule:
    """How beats are decided.

    Args:
        before, after: columns of a beat's span before its R peak's, and from that on.
        tables: int64 `[8, BINS, C]`, steps of the evidence sum.
        offsets: int64 `[C]`, likewise.
        scale: what one step of evidence is worth, logit units.
        calibration: of probabilities.
        doubt: when a decision is doubted.

    Raises:
        ModelError: shapes that do not belong together, or an entry too large.
    """

    before: int
    after: int
    tables: NDArray[np.int64]
    offsets: NDArray[np.int64]
    scale: float
    calibration: Calibration
    doubt: Doubt

    def __post_init__(self) -> None:
        classes = len(self.offsets)
        check_tables(self.tables, CONTEXTS, classes)
        entries = (self.tables, self.offsets, self.doubt.odds)
        largest = max(int(np.abs(array).max()) for array in entries)
        if largest >= LARGEST_ENTRY or self.before < 0 or self.after < 1:
            raise ModelError(
                f"largest entry {largest}, {self.before} columns before and {self.after} after; "
                f"expected entries below {LARGEST_ENTRY}, at least 0 and at least 1 columns"
            )

    @classmethod
    def of(
        cls,
        tables: NDArray[np.floating],
        offsets: NDArray[np.floating],
        scale: float,
        columns: tuple[int, int],
        calibration: Calibration,
        close: float,
        familiar: float,
    ) -> BeatRule:
        """Round tables `[8, BINS, C]`, offsets `[C]` and limits of doubt, all logits, to steps."""
        step = scale / sum(columns)
        return cls(
            *columns,
            np.round(tables / step).astype(np.int64),
            np.round(offsets / step).astype(np.int64),
            scale,
            calibration,
            Doubt.of(calibration, close, familiar, step),
        )

    @property
    def step(self) -> float:
        """What a whole number of tables, offsets and scores is worth, logit units."""
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
        return (upto[:, first + self.before + self.after] - upto[:, first]).T

    def scores(
        self, sums: NDArray[np.int64], contexts: NDArray[np.int64], *, offsets: bool = True
    ) -> NDArray[np.int64]:
        """Scores `[b, C]` of evidence sums `[b, C]` and contexts `[b, 8]`."""
        found = sums + sum(table[contexts[:, i]] for i, table in enumerate(self.tables))
        return np.asarray(found + self.offsets if offsets else found, np.int64)

    def decide(
        self,
        sums: NDArray[np.int64],
        contexts: NDArray[np.int64],
        excluded: Collection[int] = (),
    ) -> NDArray[np.int64]:
        """Numbers of the classes decided on, `[b]`.

        Args:
            sums, contexts: as for `scores`.
            excluded: numbers of classes that are not decided on, at most C - 1
                (`excluded_if_clipped`).
        """
        scores = self.scores(sums, contexts)
        scores[:, list(excluded)] = np.iinfo(np.int64).min
        return np.asarray(scores.argmax(axis=1), np.int64)

    def doubts(
        self,
        sums: NDArray[np.int64],
        contexts: NDArray[np.int64],
        decided: NDArray[np.int64],
    ) -> NDArray[np.int64]:
        """Why decisions `[b]` are doubted, `[b]`: bits `CLOSE` and `UNFAMILIAR`."""
        scores = self.scores(sums, contexts, offsets=False)
        likely = scores + self.doubt.odds
        rows = np.arange(len(decided))
        mine = likely[rows, decided]
        likely[rows, decided] = np.iinfo(np.int64).min
        close = mine - likely.max(axis=1) < self.doubt.close
        unfamiliar = scores.max(axis=1) < self.doubt.familiar
        return np.asarray(CLOSE * close + UNFAMILIAR * unfamiliar, np.int64)

    def probabilities(
        self, sums: NDArray[np.int64], contexts: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Calibrated probabilities `[b, C]`."""
        step = self.step
        return self.calibration.probabilities(step * self.scores(sums, contexts, offsets=False))

    def document(self) -> dict[str, Any]:
        """What `bundle.json` says of the rule."""
        return {
            "before": self.before,
            "after": self.after,
            "offsets": self.offsets.tolist(),
            "tables": tables_document(self.tables, CONTEXTS),
            "temperature": self.calibration.temperature,
            "bias": self.calibration.bias.tolist(),
            "odds": self.doubt.odds.tolist(),
            "close": self.doubt.close,
            "familiar": self.doubt.familiar,
        }

    @classmethod
    def read(cls, fields: Fields, classes: int, columns: int, scale: float) -> BeatRule:
        """Read what `document` gave.

        Args:
            fields: the section.
            classes: C.
            columns: most that a beat's span may have.
            scale: of the evidence.

        Raises:
            ModelError: a field is missing, unknown or out of range.
        """
        most = LARGEST_ENTRY - 1
        before = fields.integer("before", 0, columns - 1)
        after = fields.integer("after", 1, columns - before)
        offsets = fields.integers("offsets", classes, -most, most)
        section = fields.section("tables")
        # Bundles made before there were all contexts have no tables of the last ones.
        later = [name for name in CONTEXTS[len(RHYTHM) :] if name in section.names()]
        tables = np.zeros((len(CONTEXTS), BINS, classes), np.int64)
        known = (*RHYTHM, *later)
        at = [CONTEXTS.index(name) for name in known]
        tables[at] = read_tables(section, known, classes)
        temperature = fields.number("temperature", 1e-3, 1e3)
        bias = fields.numbers("bias", classes, -100.0, 100.0)
        odds = fields.integers("odds", classes, -most, most)
        close = fields.integer("close", -LARGEST_DOUBT, LARGEST_DOUBT)
        familiar = fields.integer("familiar", -LARGEST_DOUBT, LARGEST_DOUBT)
        fields.finish()
        calibration = Calibration(temperature, np.array(bias))
        doubt = Doubt(np.array(odds, np.int64), close, familiar)
        return cls(before, after, tables, np.array(offsets, np.int64), scale, calibration, doubt)


def excluded_if_clipped(classes: Sequence[str]) -> tuple[int, ...]:
    """Numbers of the classes that a clipped beat is never called.

    >>> excluded_if_clipped(("n", "s", "v", "f")), excluded_if_clipped(("s",))
    ((1,), ())
    """
    found = tuple(number for number, name in enumerate(classes) if name in NEVER_CLIPPED)
    return found if len(found) < len(classes) else ()
