"""Runs of ectopic beats after ANSI/AAMI EC57, as the WFDB program `rxr` counts them.

A run is a row of ventricular beats (`V` and `F`), or of supraventricular ones (`S`). One of 2 is a
couplet, one of 3 to 5 a short run, one of more a long run (its length counts as `MAX_LENGTH`). For
sensitivity, each run of the reference is held against the longest run that the test has from 150 ms
before it to 150 ms after it: it is found where that one is at least of its kind. For predictivity
the two change places. Ventricular flutter, from `[` to `]`, is a long ventricular run; atrial
fibrillation, its normal beats included, a long supraventricular one where that is asked for. A run
that the record's end cuts off is not counted.

The counts are those of `rxr.c` (WFDB 10): its comparison, compiled with another reader, gave the
same on the twelve records of `tests/evaluate/rxr_counts.json` and on 20,000 random annotations.

>>> from beatlens.signals.annotations import Annotations
>>> def said(symbols):
...     return Annotations("demo", 400_000, 110_000 + 300 * np.arange(len(symbols)),
...                        np.array(list(symbols)), np.zeros(len(symbols), int),
...                        ("",) * len(symbols))
>>> found = compare_runs(said("NVVNVVVVN"), said("NVVNVVNVN"), rate_hz=360)
>>> found.couplets.sensitivity, found.short_runs.sensitivity, found.couplets.predictivity
(1.0, 0.0, 1.0)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from beatlens.evaluate.ec57 import START_S, WINDOW_S, Pair
from beatlens.signals.annotations import MAPPINGS, AamiMapping, Annotations

Ectopic = Literal["V", "S"]
MAX_LENGTH = 6
MEMBERS: dict[Ectopic, str] = {"V": "VF", "S": "S"}
"""Labels of beats that make a run."""
BUCKETS: dict[str, tuple[int, int | None]] = {
    "1": (1, 1), "2": (2, 2), "3-9": (3, 9), "10 and more": (10, None),
}  # fmt: skip
"""Lengths of runs by which beats are told apart: first and last; None: no last one."""

_UNREADABLE = "U"
_OPENS, _CLOSES = {"V": "[", "S": "{"}, {"V": "]", "S": "}"}
_ENDS = {"V": "NSQ" + _UNREADABLE, "S": "NVFQ" + _UNREADABLE}


@dataclass(frozen=True)
class RunRate:
    """How many of the reference's runs were found, and how many of the test's are right."""

    found: int
    missed: int
    right: int
    wrong: int

    @property
    def sensitivity(self) -> float:
        """Share of the reference's runs that were found, NaN where there are none."""
        return _share(self.found, self.missed)

    @property
    def predictivity(self) -> float:
        """Share of the test's runs that are right, NaN where there are none."""
        return _share(self.right, self.wrong)


@dataclass(frozen=True)
class RunCounts:
    """Runs by length, 0 to `MAX_LENGTH`; sums are gross statistics.

    Args:
        reference: `[reference's length, longest of the test]`, int64, of the reference's runs.
        test: `[longest of the reference, test's length]`, int64, of the test's runs.
    """

    reference: NDArray[np.int64]
    test: NDArray[np.int64]

    def __add__(self, other: RunCounts) -> RunCounts:
        return RunCounts(self.reference + other.reference, self.test + other.test)

    @property
    def couplets(self) -> RunRate:
        """Runs of 2."""
        return self._rate(2, 2)

    @property
    def short_runs(self) -> RunRate:
        """Runs of 3 to 5."""
        return self._rate(3, 5)

    @property
    def long_runs(self) -> RunRate:
        """Runs of 6 and more."""
        return self._rate(MAX_LENGTH, MAX_LENGTH)

    def _rate(self, first: int, last: int) -> RunRate:
        asked, claimed = self.reference[first : last + 1], self.test[:, first : last + 1]
        return RunRate(
            found=int(asked[:, first:].sum()),
            missed=int(asked[:, :first].sum()),
            right=int(claimed[first:].sum()),
            wrong=int(claimed[:first].sum()),
        )


NO_RUNS = RunCounts(*np.zeros((2, MAX_LENGTH + 1, MAX_LENGTH + 1), np.int64))
"""To begin sums with."""


def compare_runs(
    reference: Annotations,
    test: Annotations,
    rate_hz: int,
    ectopic: Ectopic = "V",
    mapping: AamiMapping = "aami",
    start_s: float = START_S,
    window_s: float = WINDOW_S,
    fibrillation: bool = False,
) -> RunCounts:
    """Count how a device's runs agree with the reference's.

    Args:
        reference, test, rate_hz, mapping, start_s, window_s: as for `ec57.compare_beats`.
        ectopic: `"V"` for ventricular runs, `"S"` for supraventricular ones.
        fibrillation: whether atrial fibrillation and flutter are runs of `"S"`, as for `rxr`.
    """
    ours, theirs = (_events(said, mapping, fibrillation) for said in (reference, test))
    start, window = round(start_s * rate_hz), int(window_s * rate_hz)
    found = np.zeros((2, MAX_LENGTH + 1, MAX_LENGTH + 1), np.int64)
    for run, longest in _held_against(ours, theirs, ectopic, start, window):
        found[0, run, longest] += 1
    for run, longest in _held_against(theirs, ours, ectopic, start, window):
        found[1, longest, run] += 1
    return RunCounts(found[0], found[1])


def beats_by_run(
    reference: Annotations,
    pairs: Sequence[Pair],
    ectopic: Ectopic = "V",
    mapping: AamiMapping = "aami",
) -> dict[str, tuple[int, int]]:
    """Of the reference's ectopic beats, by the length of their run: how many were found, and all.

    A run may begin before 5:00, from which on beats are counted. Fusion beats make a ventricular
    run longer, and are not counted themselves.

    Args:
        reference: of the record.
        pairs: of `ec57.pair_beats`, with the same mapping.
        ectopic: `"V"` or `"S"`.
        mapping: of beat codes to classes.

    Returns:
        Found and all by the keys of `BUCKETS`.

    >>> pairs = [Pair(1, 1, "VV"), Pair(2, 2, "VN"), Pair(4, None, "VO")]
    >>> said = Annotations("demo", 9, np.arange(5), np.array(list("NVVNV")), np.zeros(5), ("",) * 5)
    >>> beats_by_run(said, pairs)
    {'1': (0, 1), '2': (1, 2), '3-9': (0, 0), '10 and more': (0, 0)}
    """
    classes = reference.beats.classes(mapping)
    lengths = run_lengths(np.isin(classes, list(MEMBERS[ectopic])))
    length = dict(zip(reference.beats.sample.tolist(), lengths.tolist(), strict=True))
    counts = {name: [0, 0] for name in BUCKETS}
    for pair in pairs:
        if pair.reference is not None and pair.labels[0] == ectopic:
            row = counts[find_bucket(length[pair.reference])]
            row[0] += pair.labels[1] == ectopic
            row[1] += 1
    return {name: (found, whole) for name, (found, whole) in counts.items()}


def run_lengths(inside: NDArray[np.bool_]) -> NDArray[np.int64]:
    """For each True the number of True in its row, 0 for each False.

    >>> run_lengths(np.array([True, False, True, True])).tolist()
    [1, 0, 2, 2]
    """
    edges = np.flatnonzero(np.diff(inside.astype(np.int8), prepend=0, append=0))
    lengths = np.zeros(len(inside), np.int64)
    for first, after in zip(edges[::2], edges[1::2], strict=True):
        lengths[first:after] = after - first
    return lengths


def find_bucket(length: int) -> str:
    """Which of `BUCKETS` a length of at least 1 is in."""
    return next(n for n, (first, last) in BUCKETS.items() if length <= (last or length) >= first)


class _Event(NamedTuple):
    sample: int
    label: str


def _events(said: Annotations, mapping: AamiMapping, fibrillation: bool) -> list[_Event]:
    """Beats by class, and where signals become unreadable (`U`), flutter begins and ends (`[`,
    `]`) and atrial fibrillation does (`{`, `}`)."""
    table = MAPPINGS[mapping]
    events: list[_Event] = []
    atria = ventricles = unreadable = False
    for sample, symbol, subtype, aux in zip(
        said.sample.tolist(), said.symbol.tolist(), said.subtype.tolist(), said.aux, strict=True
    ):
        label = ""
        if symbol in table:
            label = table[symbol]
            label = "S" if atria and label == "N" else label
        elif symbol == "~":
            begins = (int(subtype) & 0x30) == 0x30
            label = _UNREADABLE if begins and not unreadable else ""
            unreadable = begins
        elif symbol == "[" or (symbol == "+" and aux.startswith("(VF")):
            label = "" if ventricles else "["
            atria, ventricles = atria and ventricles, True
        elif symbol == "]" and ventricles:
            label, ventricles = "]", False
        elif symbol == "+":
            if fibrillation and aux.startswith("(AF"):
                label = "" if atria else "{"
                atria, ventricles = True, False
            elif atria:
                label, atria = "}", False
            elif ventricles:
                label, ventricles = "]", False
        if label:
            events.append(_Event(sample, label))
    return events


def _held_against(
    runs_of: list[_Event], other: list[_Event], ectopic: Ectopic, start: int, window: int
) -> list[tuple[int, int]]:
    """Length of each run of one side from `start` on, and of the other side's longest beside it."""
    members, ends = MEMBERS[ectopic], _ENDS[ectopic]
    opens, closes = _OPENS[ectopic], _CLOSES[ectopic]
    longest = _Longest(other, ectopic)
    found: list[tuple[int, int]] = []
    length, first, last = 0, start - window, 0
    for sample, label in runs_of:
        if sample < start:  # only what lasts is in progress at the start
            if label == opens:
                length, last = MAX_LENGTH, start + window
            elif label in "]}":
                length, last = 0, 0
        elif length and label in ends:
            found.append((length, longest.between(first, last)))
            length = 0
        elif label in members or (label == opens and not length):
            if not length:
                first = sample - window
            length = MAX_LENGTH if label == opens else min(length + 1, MAX_LENGTH)
            last = last if label == opens else sample + window
        elif length and label == closes:
            last = sample + window
    return found


class _Longest:
    """Finds the longest run in windows that come one after the other; reads each event once."""

    def __init__(self, events: list[_Event], ectopic: Ectopic) -> None:
        self._events, self._at, self._lasts_to = events, 0, -1.0
        self._members, self._opens = MEMBERS[ectopic], _OPENS[ectopic]
        # What ends flutter or fibrillation, or a row of beats.
        self._closes = {"V": "]{", "S": "}["}[ectopic] + _UNREADABLE
        self._ends = _ENDS[ectopic] + {"V": "{", "S": "["}[ectopic]

    def between(self, first: int, last: int) -> int:
        """Length of the longest run from `first` to `last`, both included."""
        if self._lasts_to > first:
            return MAX_LENGTH
        while self._at < len(self._events) and self._events[self._at].sample < first:
            if self._events[self._at].label == self._opens and self._skip() > first:
                return MAX_LENGTH
            self._at += 1
        longest = length = 0
        while self._at < len(self._events) and self._events[self._at].sample <= last:
            label = self._events[self._at].label
            if label == self._opens:
                self._skip()
                return MAX_LENGTH
            if label in self._members:
                length = min(length + 1, MAX_LENGTH)
            elif label in self._ends:
                length = 0
            longest = max(longest, length)
            self._at += 1
        return longest

    def _skip(self) -> float:
        """Go to where flutter or fibrillation ends, and return when that is."""
        events = self._events
        while self._at < len(events) and events[self._at].label not in self._closes:
            self._at += 1
        self._lasts_to = events[self._at].sample if self._at < len(events) else float("inf")
        return self._lasts_to


def _share(part: int, rest: int) -> float:
    return part / (part + rest) if part + rest else float("nan")
