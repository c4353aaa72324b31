"""What annotations of a record are: beats, rhythms, flutter and unreadable segments.

`beatlens.signals.annotations` reads and writes their files. EC57's classes: ANSI/AAMI EC57.

>>> aami_class(np.array(["N", "e", "A", "V", "F", "/"])).tolist()
['N', 'N', 'S', 'V', 'F', 'Q']
>>> aami_class(np.array(["N", "e"]), mapping="bxb").tolist()
['N', 'S']
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from beatlens.errors import DataError

BEAT_SYMBOLS = "NLRBAaJSVrFejnE/fQ?"
"""Codes of beats; all others (rhythm changes, waves, artefacts, comments) are not beats."""

LASTING_BEATS = "LR"
"""Codes of beats whose cause lasts: bundle branch block."""

AAMI_CLASSES = ("N", "S", "V", "F", "Q")
"""Classes of ANSI/AAMI EC57: normal, supraventricular, ventricular, fusion, unknown or paced."""

AamiMapping = Literal["aami", "bxb"]

MAPPINGS: dict[AamiMapping, dict[str, str]] = {
    # The literature's table (de Chazal 2004, table I): escape beats e and j count as normal.
    "aami": dict.fromkeys("NLRBej", "N")
    | dict.fromkeys("AaJSn", "S")
    | dict.fromkeys("VrE", "V")
    | {"F": "F"}
    | dict.fromkeys("/fQ?", "Q"),
    # What the WFDB program bxb counts: escape beats are supraventricular.
    "bxb": dict.fromkeys("NLRB", "N")
    | dict.fromkeys("AaJSejn", "S")
    | dict.fromkeys("VrE", "V")
    | {"F": "F"}
    | dict.fromkeys("/fQ?", "Q"),
}

# Two of `~`'s subtype bits: both leads unreadable.
_SHUTDOWN = 0x30


@dataclass(frozen=True)
class Interval:
    """Samples [start, end) that carry one label."""

    start: int
    end: int
    label: str

    @property
    def length(self) -> int:
        """Samples in the interval."""
        return self.end - self.start


@dataclass(frozen=True)
class Beats:
    """Beats in time order: `sample` int64 [beats], `symbol` one-letter strings [beats]."""

    sample: NDArray[np.int64]
    symbol: NDArray[np.str_]

    def __len__(self) -> int:
        return int(self.sample.size)

    def classes(self, mapping: AamiMapping = "aami") -> NDArray[np.str_]:
        """EC57 class of each beat, see `aami_class`."""
        return aami_class(self.symbol, mapping)


@dataclass(frozen=True)
class Annotations:
    """All annotations of a record, in time order.

    Attributes
    ----------
    name: the record.
    length: samples of the record.
    sample: int64 [annotations], sample numbers from the record's start.
    symbol: one-letter strings [annotations].
    subtype: int64 [annotations]; of `~` it codes signal quality.
    aux: text of each annotation, trailing NULs removed.
    """

    name: str
    length: int
    sample: NDArray[np.int64]
    symbol: NDArray[np.str_]
    subtype: NDArray[np.int64]
    aux: tuple[str, ...]

    @cached_property
    def beats(self) -> Beats:
        """Annotations that mark beats."""
        chosen = np.isin(self.symbol, list(BEAT_SYMBOLS))
        return Beats(self.sample[chosen], self.symbol[chosen])

    @cached_property
    def rhythms(self) -> tuple[Interval, ...]:
        """Rhythms, labels as in `"AFIB"`, each to the next rhythm's start or the record's end.

        The segment before the first label belongs to no interval.
        """
        marks = [
            (int(sample), aux[1:])
            for sample, symbol, aux in zip(self.sample, self.symbol, self.aux, strict=True)
            if symbol == "+" and aux.startswith("(")
        ]
        return tuple(_until_next(marks, self.length))

    @cached_property
    def flutter(self) -> tuple[Interval, ...]:
        """Ventricular flutter or fibrillation, from `[` to `]` (or the record's end)."""
        return tuple(
            interval
            for interval in _until_next(self._marks("[]"), self.length)
            if interval.label == "["
        )

    @cached_property
    def shutdown(self) -> tuple[Interval, ...]:
        """Both leads unreadable: `~` with both high bits set, to the next `~` without."""
        marks = [
            (int(sample), "shutdown" if (subtype & _SHUTDOWN) == _SHUTDOWN else "")
            for sample, symbol, subtype in zip(self.sample, self.symbol, self.subtype, strict=True)
            # A subtype of -1 (MIT-BIH: no signal) has all bits set.
            if symbol == "~"
        ]
        return tuple(i for i in _until_next(marks, self.length) if i.label)

    def _marks(self, symbols: str) -> list[tuple[int, str]]:
        return [
            (int(sample), str(symbol))
            for sample, symbol in zip(self.sample, self.symbol, strict=True)
            if symbol in symbols
        ]


def rhythm_mask(annotations: Annotations, labels: Iterable[str]) -> NDArray[np.bool_]:
    """bool [record length], True in rhythms named in `labels` (such as `("AFIB", "AFL")`)."""
    mask = np.zeros(annotations.length, dtype=np.bool_)
    wanted = set(labels)
    for rhythm in annotations.rhythms:
        if rhythm.label in wanted:
            mask[rhythm.start : rhythm.end] = True
    return mask


def aami_class(symbols: NDArray[np.str_], mapping: AamiMapping = "aami") -> NDArray[np.str_]:
    """EC57 class (`N S V F Q`) of each beat symbol.

    `mapping="aami"` is the literature's table, where `e` and `j` are N; `"bxb"` is what the WFDB
    program bxb counts, where they are S. State which with every figure.

    Raises
    ------
    DataError: a symbol is not a beat's.
    """
    table = MAPPINGS[mapping]
    unknown = sorted(set(np.unique(symbols).tolist()) - table.keys())
    if unknown:
        raise DataError(f"symbols {unknown} are not beats; expected some of {' '.join(table)}")
    return np.array([table[symbol] for symbol in symbols.tolist()], dtype="<U1")


def _until_next(marks: list[tuple[int, str]], length: int) -> list[Interval]:
    ends = [start for start, _ in marks[1:]] + [length][: len(marks)]
    return [
        Interval(start, end, label)
        for (start, label), end in zip(marks, ends, strict=True)
        if end > start
    ]
