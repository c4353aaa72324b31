"""Beat-by-beat comparison after ANSI/AAMI EC57, as the WFDB program `bxb` does it.

Beats of a reference and of a device under test are paired within 150 ms, from 5:00 on; every pair
and every beat without a partner is counted under both labels. Statistics are made of the counts.

>>> from beatlens.signals.annotations import Annotations
>>> def beats(*pairs):
...     samples, symbols = zip(*pairs)
...     return Annotations("demo", 200_000, np.array(samples), np.array(symbols),
...                        np.zeros(len(pairs), int), ("",) * len(pairs))
>>> reference = beats((110_000, "N"), (110_300, "V"), (110_600, "A"))
>>> device = beats((110_010, "N"), (110_295, "V"), (110_900, "N"))
>>> found = compare_beats(reference, device, rate_hz=360)
>>> dict(found.pairs)
{'NN': 1, 'VV': 1, 'SO': 1, 'ON': 1}
>>> found.veb.sensitivity, found.veb.predictivity, found.qrs.sensitivity
(1.0, 1.0, 0.6666666666666666)
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from beatlens.errors import DataError
from beatlens.signals.annotations import (
    AAMI_CLASSES,
    BEAT_SYMBOLS,
    MAPPINGS,
    AamiMapping,
    Annotations,
    Interval,
)

START_S = 300.0
WINDOW_S = 0.15
"""What EC57 asks for; figures with others are not standard and are to say so."""

FLUTTER_WAVE = "!"
"""Takes part in pairing, and is not counted."""
NONE, SHUTDOWN = "O", "X"
"""Labels of no partner, and of none because the other side could not read the signal."""
_FAR = 1 << 60


@dataclass(frozen=True)
class Rate:
    """How many of the reference's events were found, and how many of the found are right."""

    found: int
    missed: int
    wrong: int

    @property
    def sensitivity(self) -> float:
        """`found / (found + missed)`, NaN where there was nothing to find."""
        return _share(self.found, self.missed)

    @property
    def predictivity(self) -> float:
        """`found / (found + wrong)`, NaN where nothing was found."""
        return _share(self.found, self.wrong)


@dataclass(frozen=True)
class BeatCounts:
    """Pairs of labels, the reference's first: `N S V F Q`, `O` no partner, `X` shutdown.

    Sums of counts are gross statistics: `sum(counts, start=BeatCounts({}))`.
    """

    pairs: Mapping[str, int]

    def __add__(self, other: BeatCounts) -> BeatCounts:
        return BeatCounts(dict(Counter(self.pairs) + Counter(other.pairs)))

    def total(self, reference: str, test: str) -> int:
        """How often one of the labels `reference` met one of the labels `test`."""
        return sum(self.pairs.get(r + t, 0) for r in reference for t in test)

    @property
    def qrs(self) -> Rate:
        """Beats of any label."""
        beats, none = "".join(AAMI_CLASSES), NONE + SHUTDOWN
        return Rate(self.total(beats, beats), self.total(beats, none), self.total(none, beats))

    @property
    def veb(self) -> Rate:
        """Ventricular ectopic beats. Fusion and unknown ones called so are excused."""
        return Rate(
            self.total("V", "V"), self.total("V", "NSFQOX"), self.total("NSOX", "V")
        )  # fmt: skip

    @property
    def sveb(self) -> Rate:
        """Supraventricular ectopic beats. Unknown ones called so are excused."""
        return Rate(
            self.total("S", "S"), self.total("S", "NVFQOX"), self.total("NVFOX", "S")
        )  # fmt: skip


def compare_beats(
    reference: Annotations,
    test: Annotations,
    rate_hz: int,
    mapping: AamiMapping = "aami",
    start_s: float = START_S,
    window_s: float = WINDOW_S,
) -> BeatCounts:
    """Count how a device's beats agree with the reference's.

    Args:
        reference: of the record.
        test: the device's, of the same record.
        rate_hz: samples per second of both.
        mapping: of beat codes to classes; `bxb` counts escape beats `e`, `j` as S, papers as N.
        start_s: beats before are ignored.
        window_s: how far apart two beats of a pair may be.

    Raises:
        DataError: the two annotate records of different lengths, or a number is out of range.
    """
    pairs = pair_beats(reference, test, rate_hz, mapping, start_s, window_s)
    return count_pairs(pairs)


class Pair(NamedTuple):
    """Two beats that belong together, or one without a partner.

    `reference` and `test` are their samples, None for one that is not there; `labels` as in
    `BeatCounts.pairs`.
    """

    reference: int | None
    test: int | None
    labels: str


def count_pairs(pairs: Iterable[Pair]) -> BeatCounts:
    """Counts of pairs, all of a record or some of them."""
    return BeatCounts(Counter(pair.labels for pair in pairs))


def pair_beats(
    reference: Annotations,
    test: Annotations,
    rate_hz: int,
    mapping: AamiMapping = "aami",
    start_s: float = START_S,
    window_s: float = WINDOW_S,
) -> list[Pair]:
    """The pairs that `compare_beats` counts, in time order; arguments and errors are the same."""
    if reference.length != test.length:
        raise DataError(
            f"reference has {reference.length} samples, test {test.length}; expected annotations "
            "of one record"
        )
    if rate_hz < 1 or start_s < 0 or window_s <= 0:
        raise DataError(
            f"rate {rate_hz}, start {start_s:g} s, window {window_s:g} s; expected a positive rate "
            "and window, and a start from 0"
        )
    sides = _Side.of(reference, mapping), _Side.of(test, mapping)
    found = _pair(*sides, round(start_s * rate_hz), int(window_s * rate_hz))
    return [pair for pair in found if FLUTTER_WAVE not in pair.labels]


class _Beat(NamedTuple):
    sample: int
    label: str


@dataclass(frozen=True)
class _Side:
    """What one of the two annotators says."""

    beats: tuple[_Beat, ...]
    flutter: tuple[Interval, ...]
    shutdown: tuple[Interval, ...]

    @classmethod
    def of(cls, said: Annotations, mapping: AamiMapping) -> _Side:
        """Beats outside of flutter, with their classes."""
        table = {**MAPPINGS[mapping], FLUTTER_WAVE: FLUTTER_WAVE}
        chosen = np.isin(said.symbol, list(BEAT_SYMBOLS + FLUTTER_WAVE))
        beats = (
            _Beat(int(sample), table[str(symbol)])
            for sample, symbol in zip(said.sample[chosen], said.symbol[chosen], strict=True)
        )
        outside = tuple(beat for beat in beats if not _within(said.flutter, beat.sample))
        return cls(outside, said.flutter, said.shutdown)


def _pair(reference: _Side, test: _Side, start: int, window: int) -> list[Pair]:
    pairs: list[Pair] = []
    reference_beats, test_beats = list(reference.beats), list(test.beats)
    i = bisect_left(reference_beats, start, key=lambda beat: beat.sample)
    j = bisect_left(test_beats, start, key=lambda beat: beat.sample)
    j = _at_the_start(_at(reference_beats, i).sample, test_beats, j, start, window)
    while i < len(reference_beats) or j < len(test_beats):
        beat, found = _at(reference_beats, i), _at(test_beats, j)
        if _paired(
            beat.sample, found.sample, _at(reference_beats, i + 1), _at(test_beats, j + 1), window
        ):
            pairs.append(Pair(beat.sample, found.sample, beat.label + found.label))
            i, j = i + 1, j + 1
        elif found.sample < beat.sample:
            if not _within(reference.flutter, found.sample):
                labels = _without(reference, found.sample) + found.label
                pairs.append(Pair(None, found.sample, labels))
            j += 1
        else:
            labels = beat.label + _without(test, beat.sample)
            pairs.append(Pair(beat.sample, None, labels))
            i += 1
    return pairs


def _paired(beat: int, found: int, next_beat: _Beat, next_found: _Beat, window: int) -> bool:
    """Whether two beats belong together: neither has a better partner in the other's next one."""
    apart = abs(beat - found)
    to_next = abs(beat - next_found.sample) if found < beat else abs(found - next_beat.sample)
    both_next = abs(next_beat.sample - next_found.sample)
    return apart <= window and (apart < to_next or both_next < to_next)


def _at_the_start(first: int, test_beats: Sequence[_Beat], j: int, start: int, window: int) -> int:
    """Where the test's beats begin, given the reference's first one.

    The two need not be on the same side of 5:00: the one before may belong to the reference's first
    beat, and one behind to a beat of the reference that came before.
    """
    one, two = _at(test_beats, j).sample, _at(test_beats, j + 1).sample
    if j > 0:
        before = first - test_beats[j - 1].sample
        if before <= window and before < abs(first - one):
            return j - 1
    return j + 1 if one - start <= window and abs(first - two) < abs(first - one) else j


def _at(beats: Sequence[_Beat], index: int) -> _Beat:
    """A beat, or one so far away that nothing is paired with it."""
    return beats[index] if index < len(beats) else _Beat(_FAR * (1 + index - len(beats)), "")


def _without(other: _Side, sample: int) -> str:
    """The label of the partner that is not there."""
    return SHUTDOWN if _within(other.shutdown, sample) else NONE


def _within(intervals: Iterable[Interval], sample: int) -> bool:
    return any(interval.start <= sample < interval.end for interval in intervals)


def _share(part: int, rest: int) -> float:
    return part / (part + rest) if part + rest else float("nan")
