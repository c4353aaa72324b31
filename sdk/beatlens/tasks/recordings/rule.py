"""The decision on a whole recording, in integers: mean evidence plus mean RR contribution.

With T columns of int8 evidence and b beats, for every class

    S = sum of the evidence over all columns
    R = sum over beats and features of table[feature][class]
    score = FRACTION * S * b + R * T + offset * T * b          (without a beat: R is 0, b is 1)

The largest score wins; of equal ones the first. That is mean evidence plus mean rhythm plus offset,
times `FRACTION * T * b`, so nothing is divided and nothing is rounded: the decision is the same on
every device. A device keeps S, R, T and b, whatever the recording's length: with at most
`MAX_COLUMNS` columns and a beat in each, scores stay below 2^52. Tables and offsets are whole
numbers in steps of `1 / FRACTION` of an evidence step. Probabilities are made without offsets.
Needs numpy only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beatlens.calibration import Calibration
from beatlens.errors import ModelError, SignalError
from beatlens.runtime.contents import Contents
from beatlens.runtime.fields import Fields
from beatlens.runtime.tables_section import (
    LARGEST_ENTRY,
    check_tables,
    read_tables,
    tables_document,
)
from beatlens.signals.rr_features import FEATURES

FRACTION = 64
"""Steps of tables and offsets in one step of evidence."""
MAX_COLUMNS = 1 << 16
"""Of a recording: 68 minutes at a stride of 8."""


@dataclass(frozen=True, eq=False)
class Sums:
    """What a device keeps of a recording.

    Args:
        evidence: S, int64 `[C]`.
        columns: T, at least 1.
        rhythm: R, int64 `[C]`.
        beats: how many.

    Raises:
        SignalError: no column, or more than `MAX_COLUMNS`, or more beats than columns.
    """

    evidence: NDArray[np.int64]
    columns: int
    rhythm: NDArray[np.int64]
    beats: int

    def __post_init__(self) -> None:
        if not 1 <= self.columns <= MAX_COLUMNS or not 0 <= self.beats <= self.columns:
            raise SignalError(
                f"the recording has {self.columns} columns of evidence and {self.beats} beats, "
                f"expected 1 to {MAX_COLUMNS} columns and no more beats than columns: cut it into "
                "shorter ones"
            )


@dataclass(frozen=True, eq=False)
class RecordingRule:
    """How a whole recording is decided.

    Args:
        tables: int64 `[6, BINS, C]`, in steps of `scale / FRACTION`.
        offsets: int64 `[C]`, likewise.
        scale: of evidence, logits a step.
        calibration: of probabilities.

    Raises:
        ModelError: shapes that do not belong together, or an entry too large.

    >>> tables = np.zeros((6, 32, 2), np.int64)
    >>> rule = RecordingRule(tables, np.array([0, 3]), 0.5, Calibration(1.0, np.zeros(2)))
    >>> rule.scores(rule.sums(np.array([[7, 8], [8, 7]], np.int8), np.zeros((0, 6), int))).tolist()
    [960, 966]
    """

    tables: NDArray[np.int64]
    offsets: NDArray[np.int64]
    scale: float
    calibration: Calibration

    def __post_init__(self) -> None:
        check_tables(self.tables, FEATURES, len(self.offsets))
        _check_largest(self.tables, self.offsets, self.scale)

    @classmethod
    def from_logits(
        cls,
        tables: NDArray[np.floating],
        offsets: NDArray[np.floating],
        scale: float,
        calibration: Calibration,
    ) -> RecordingRule:
        """Round tables `[6, BINS, C]` and offsets `[C]`, logits, to whole steps."""
        step = scale / FRACTION
        tables, offsets = np.round(tables / step), np.round(offsets / step)
        # Before they are whole numbers: what is none, or beyond 64 bits, would become any.
        _check_largest(tables, offsets, scale)
        return cls(tables.astype(np.int64), offsets.astype(np.int64), scale, calibration)

    @property
    def step(self) -> float:
        """Logits of 1 in tables and offsets."""
        return self.scale / FRACTION

    def sums(self, evidence: NDArray[np.int8], features: NDArray[np.integer]) -> Sums:
        """Sums over a recording.

        Args:
            evidence: int8 `[C, T]`, the columns that are there.
            features: RR features of its beats `[b, 6]`.

        Raises:
            SignalError: see `Sums`.
        """
        rhythm = self.looked_up(features).sum(axis=(0, 1))
        total = evidence.sum(axis=1, dtype=np.int64)
        return Sums(total, evidence.shape[1], rhythm, len(features))

    def looked_up(self, features: NDArray[np.integer]) -> NDArray[np.int64]:
        """Table entries of beats' features `[b, 6]`, `[b, 6, C]`."""
        return np.asarray(self.tables[np.arange(len(FEATURES)), features])

    def scores(self, sums: Sums) -> NDArray[np.int64]:
        """Scores `[C]`; see the module."""
        columns, beats = sums.columns, max(1, sums.beats)
        evidence = FRACTION * beats * sums.evidence
        return np.asarray(evidence + columns * sums.rhythm + columns * beats * self.offsets)

    def decide(self, sums: Sums) -> int:
        """Number of the class decided on."""
        return int(self.scores(sums).argmax())

    def logits(self, sums: Sums) -> NDArray[np.float64]:
        """Mean evidence plus mean rhythm, `[C]`, without offsets."""
        evidence = self.scale * sums.evidence / sums.columns
        return np.asarray(evidence + self.step * sums.rhythm / max(1, sums.beats), np.float64)

    def probabilities(self, sums: Sums) -> NDArray[np.float64]:
        """Calibrated probabilities `[C]`."""
        return self.calibration.probabilities(self.logits(sums))


def recording_rule(bundle: Contents) -> RecordingRule:
    """The bundle's rule for recordings; `ModelError` for one that decides on something else."""
    if not isinstance(bundle.rule, RecordingRule):
        raise ModelError(
            f"bundle {bundle.name!r} is of kind {bundle.kind_name!r}, expected one of recordings"
        )
    return bundle.rule


def read_rule(fields: Fields, classes: int, scale: float) -> RecordingRule:
    """Read what `write_rule` gave, for `classes` classes and evidence of a scale.

    Raises:
        ModelError: a field is missing, unknown or out of range.
    """
    largest = LARGEST_ENTRY - 1
    offsets = fields.integers("offsets", classes, -largest, largest)
    tables = read_tables(fields.section("tables"), FEATURES, classes)
    temperature = fields.number("temperature", 1e-3, 1e3)
    bias = fields.numbers("bias", classes, -100.0, 100.0)
    fields.finish()
    calibration = Calibration(temperature, np.array(bias))
    return RecordingRule(tables, np.array(offsets, np.int64), scale, calibration)


def write_rule(rule: Any) -> dict[str, Any]:
    """What `read_rule` reads; `ModelError` for a rule of another kind."""
    if not isinstance(rule, RecordingRule):
        raise ModelError(f"the rule is a {type(rule).__name__}, expected a RecordingRule")
    return {
        "offsets": rule.offsets.tolist(),
        "tables": tables_document(rule.tables, FEATURES),
        "temperature": rule.calibration.temperature,
        "bias": rule.calibration.bias.tolist(),
    }


def _check_largest(tables: NDArray[Any], offsets: NDArray[Any], scale: float) -> None:
    """Raise `ModelError` unless all entries are numbers of less than `LARGEST_ENTRY`."""
    largest = float(np.max([np.abs(array.astype(float)).max() for array in (tables, offsets)]))
    if not largest < LARGEST_ENTRY:  # NaN neither
        raise ModelError(
            f"largest entry of tables and offsets is {largest:.6g}, expected one below "
            f"{LARGEST_ENTRY}: the evidence's scale of {scale:g} is too small for them"
        )
