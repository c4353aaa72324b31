"""Episodes of a rhythm after ANSI/AAMI EC57: how many were found, and how much of their time.

An episode is found if any of it is. Flutter is no part of fibrillation: the reference's `(AFL` is
taken out of both sides, and neither asked for nor held against a device.

>>> from beatlens.signals.annotations import Interval
>>> found = compare_intervals([Interval(0, 100, "AFIB"), Interval(500, 600, "AFIB")],
...                           [Interval(50, 150, "AFIB")])
>>> found.episodes_found, found.episodes_missed, found.episodes_wrong
(1, 1, 0)
>>> found.overlap, found.reference_length, found.test_length
(50, 200, 100)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

from beatlens.errors import DataError
from beatlens.signals.annotations import Annotations, Interval

RHYTHM = "AFIB"
LEFT_OUT = ("AFL",)
START_S = 300.0


@dataclass(frozen=True)
class EpisodeCounts:
    """What of the reference's episodes was found. Sums are gross statistics.

    Args:
        episodes_found: of the reference, touched by one of the test's.
        episodes_missed: of the reference, the others.
        episodes_right: of the test, touched by one of the reference's.
        episodes_wrong: of the test, the others.
        overlap: samples in an episode of both.
        reference_length: samples in episodes of the reference.
        test_length: samples in episodes of the test.
    """

    episodes_found: int = 0
    episodes_missed: int = 0
    episodes_right: int = 0
    episodes_wrong: int = 0
    overlap: int = 0
    reference_length: int = 0
    test_length: int = 0

    def __add__(self, other: EpisodeCounts) -> EpisodeCounts:
        names = [field.name for field in fields(self)]
        return EpisodeCounts(*(getattr(self, name) + getattr(other, name) for name in names))

    @property
    def episode_sensitivity(self) -> float:
        """Share of the reference's episodes that were found, NaN where there are none."""
        return _share(self.episodes_found, self.episodes_found + self.episodes_missed)

    @property
    def episode_predictivity(self) -> float:
        """Share of the test's episodes that are right, NaN where there are none."""
        return _share(self.episodes_right, self.episodes_right + self.episodes_wrong)

    @property
    def duration_sensitivity(self) -> float:
        """Share of the reference's time that was found, NaN where there is none."""
        return _share(self.overlap, self.reference_length)

    @property
    def duration_predictivity(self) -> float:
        """Share of the test's time that is right, NaN where there is none."""
        return _share(self.overlap, self.test_length)


def compare_episodes(
    reference: Annotations,
    test: Annotations,
    rate_hz: int,
    rhythm: str = RHYTHM,
    start_s: float = START_S,
) -> EpisodeCounts:
    """Compare the episodes of a rhythm in two annotations of one record.

    Args:
        reference: of the record.
        test: the device's, of the same record.
        rate_hz: samples per second of both.
        rhythm: label of the rhythm's changes, without `(`.
        start_s: what lies before is ignored.

    Raises:
        DataError: the two annotate records of different lengths, or a number is out of range.
    """
    if reference.length != test.length or rate_hz < 1 or start_s < 0:
        raise DataError(
            f"reference has {reference.length} samples, test {test.length}, at {rate_hz} Hz, from "
            f"{start_s:g} s; expected annotations of one record, a positive rate and a start from 0"
        )
    left_out = [r for r in reference.rhythms if r.label in LEFT_OUT]
    left_out.append(Interval(0, round(start_s * rate_hz), ""))
    sides = [
        _without([r for r in said.rhythms if r.label == rhythm], left_out)
        for said in (reference, test)
    ]
    return compare_intervals(*sides)


def compare_intervals(reference: Sequence[Interval], test: Sequence[Interval]) -> EpisodeCounts:
    """Compare intervals, which do not overlap within a side."""
    found = sum(_touched(one, test) for one in reference)
    right = sum(_touched(one, reference) for one in test)
    return EpisodeCounts(
        episodes_found=found,
        episodes_missed=len(reference) - found,
        episodes_right=right,
        episodes_wrong=len(test) - right,
        overlap=sum(_shared(a, b) for a in reference for b in test),
        reference_length=sum(one.length for one in reference),
        test_length=sum(one.length for one in test),
    )


def _without(intervals: Iterable[Interval], left_out: Iterable[Interval]) -> list[Interval]:
    """What is left of intervals, in pieces where something in the middle is taken out."""
    pieces = list(intervals)
    for gap in left_out:
        pieces = [
            Interval(start, end, piece.label)
            for piece in pieces
            for start, end in (
                (piece.start, min(piece.end, gap.start)),
                (max(piece.start, gap.end), piece.end),
            )
            if start < end
        ]
    return pieces


def _touched(one: Interval, others: Iterable[Interval]) -> bool:
    return any(_shared(one, other) for other in others)


def _shared(a: Interval, b: Interval) -> int:
    return max(0, min(a.end, b.end) - max(a.start, b.start))


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
