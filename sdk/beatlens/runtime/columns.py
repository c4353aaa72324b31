"""Columns of evidence with what is known of their samples, and counts of them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Columns:
    """Consecutive columns of a stream with what is known of their samples.

    `evidence` int8 `[T, C]`; `lost` and `padded` bool `[T]`; `flat`, `saturated`, `clipped`, `bad`
    (flat or saturated) and `noisy` int32 `[T]`, numbers of samples.
    """

    evidence: NDArray[np.int8]
    lost: NDArray[np.bool_]
    padded: NDArray[np.bool_]
    flat: NDArray[np.int32]
    saturated: NDArray[np.int32]
    clipped: NDArray[np.int32]
    bad: NDArray[np.int32]
    noisy: NDArray[np.int32]

    @classmethod
    def in_gap(cls, count: int, classes: int) -> Columns:
        """Columns of which no sample came."""
        none = np.zeros(count, np.int32)
        lost, padded = np.ones(count, bool), np.zeros(count, bool)
        evidence = np.zeros((count, classes), np.int8)
        return cls(evidence, lost, padded, none, none, none, none, none)

    def __len__(self) -> int:
        return len(self.lost)

    def __getitem__(self, part: slice) -> Columns:
        return Columns(*(getattr(self, field.name)[part] for field in fields(self)))

    def __add__(self, later: Columns) -> Columns:
        return Columns(
            *(
                np.concatenate([getattr(self, field.name), getattr(later, field.name)])
                for field in fields(self)
            )
        )

    def tally(self, stride: int) -> Tally:
        """What is counted over all of them, `stride` samples each."""
        padded = int(self.padded.sum())
        return Tally(
            columns=len(self),
            lost=int(self.lost.sum()) * stride,
            flat=int(self.flat.sum()),
            saturated=int(self.saturated.sum()),
            clipped=int(self.clipped.sum()),
            bad=int(self.bad.sum()),
            noisy=int(self.noisy.sum()),
            padded=padded,
            starts_padded=padded > 0 and bool(self.padded[0]),
            ends_padded=padded > 0 and bool(self.padded[-1]),
        )


class Tally(NamedTuple):
    """What is counted over consecutive columns.

    `columns` and `padded` are columns; `lost`, `flat`, `saturated`, `clipped`, `bad` (flat or
    saturated) and `noisy` samples at 128 Hz. The first, or the last, column may be a padded one.
    """

    columns: int
    lost: int
    flat: int
    saturated: int
    clipped: int
    bad: int
    noisy: int
    padded: int
    starts_padded: bool
    ends_padded: bool
