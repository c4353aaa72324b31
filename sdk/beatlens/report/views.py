"""What a report is made of: plain data, checked when it is built, numpy and nothing else.

Times are seconds from the start of the *record*, for the strip's start as for beats and truth.
Every class is named by its short name ("pvc"); `ReportData.class_names` gives the long ones.

>>> import numpy as np
>>> teacher = MapView("Teacher", {"pvc": 0.97}, {"pvc": 0.5}, {"pvc": np.ones(160)}, stride=8)
>>> strip = StripView("119", 30.0, np.zeros(1280), teacher, beats=[(31.2, "V")])
>>> strip.seconds, strip.classes, strip.shown
(10.0, ('pvc',), 'pvc')
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite

import numpy as np

from beatlens.errors import DataError, SignalError

MM_PER_SECOND = 25.0
MM_PER_MV = 10.0
# 10 s are 250 mm: with the calibration mark as much as A4 landscape holds.
LONGEST_SECONDS = 10.0


def _probability(value: float, what: str) -> None:
    if not (isfinite(value) and 0.0 <= value <= 1.0):
        raise DataError(f"{what} is {value}; expected a probability between 0 and 1")


@dataclass(frozen=True)
class MapView:
    """What one model said about one strip, and from where.

    `probabilities` and `thresholds` per class, in [0, 1]; `evidence` per class float `[T]` in logit
    units, column t covering samples `[stride * t, stride * (t + 1))` of the strip. All three have
    the same classes. Raises `DataError` where they have not, or a number is not finite.
    """

    name: str
    probabilities: Mapping[str, float]
    thresholds: Mapping[str, float]
    evidence: Mapping[str, np.ndarray]
    stride: int

    def __post_init__(self) -> None:
        classes = list(self.evidence)
        if not classes:
            raise DataError(f"{self.name}: no evidence map; expected one per class")
        if self.stride < 1:
            raise DataError(f"{self.name}: stride is {self.stride}; expected at least 1 sample")
        for label, values in (
            ("probabilities", self.probabilities),
            ("thresholds", self.thresholds),
        ):
            if set(values) != set(classes):
                raise DataError(
                    f"{self.name}: {label} are for {sorted(values)} and evidence for "
                    f"{sorted(classes)}; expected the same classes"
                )
            for name, value in values.items():
                _probability(value, f"{self.name}: {label}[{name!r}]")
        columns = set()
        for name, find_columns in self.evidence.items():
            array = np.asarray(find_columns)
            if array.ndim != 1 or not array.size:
                raise DataError(
                    f"{self.name}: evidence[{name!r}] has shape {array.shape}; expected [columns]"
                )
            if not np.isfinite(array).all():
                raise DataError(
                    f"{self.name}: evidence[{name!r}] has a value that is not finite at column "
                    f"{int(np.flatnonzero(~np.isfinite(array))[0])}; draw only computed maps"
                )
            columns.add(array.size)
        if len(columns) > 1:
            raise DataError(
                f"{self.name}: maps have {sorted(columns)} columns; expected one length"
            )

    @property
    def columns(self) -> int:
        """Number of evidence columns T."""
        return int(np.asarray(next(iter(self.evidence.values()))).size)

    def present(self, name: str) -> bool:
        """Whether the model decides that class `name` is present."""
        return self.probabilities[name] >= self.thresholds[name]

    def peak(self, name: str, least: float) -> int | None:
        """Return the column with the most evidence for `name`, or None where none is `least`."""
        values = np.asarray(self.evidence[name])
        column = int(values.argmax())
        return column if values[column] >= least else None


@dataclass(frozen=True)
class StripView:
    """One strip of ECG with what the teacher (and, if given, the device) made of it.

    `millivolts` float `[n]` at `rate_hz`, at most 10 s. `beats` are `(time_s, symbol)`, `truth`
    holds per class the annotated intervals `(start_s, end_s)`, both in record time; an interval may
    reach beyond the strip. `agreement[class]` is `{"spearman": float or None, "same_peak": bool}`.
    A class that `truth` leaves out is not annotated; an empty list says that it is not present.
    `focus` is the class to show first; without it, see `shown`.
    Raises `SignalError` for samples, `DataError` for anything else that does not fit.
    """

    record: str
    start_s: float
    millivolts: np.ndarray
    teacher: MapView
    device: MapView | None = None
    beats: Sequence[tuple[float, str]] = ()
    truth: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)
    agreement: Mapping[str, Mapping[str, float | bool | None]] = field(default_factory=dict)
    lead: str = ""
    rate_hz: int = 128
    focus: str | None = None

    def __post_init__(self) -> None:
        if self.rate_hz < 1 or not isfinite(self.start_s):
            raise DataError(
                f"record {self.record}: rate {self.rate_hz} Hz, start {self.start_s} s; "
                "expected a positive rate and a finite start"
            )
        self._check_samples()
        for model in self.models:
            self._check_map(model)
        self._check_times()
        if self.focus is not None and self.focus not in self.classes:
            raise DataError(
                f"record {self.record}: focus is {self.focus!r}; expected one of {self.classes}"
            )
        for name, figures in self.agreement.items():
            if name not in self.classes:
                raise DataError(f"record {self.record}: agreement for {name!r}, which has no map")
            spearman = figures.get("spearman")
            if spearman is not None and not -1.0 <= spearman <= 1.0:
                raise DataError(
                    f"record {self.record}: Spearman agreement for {name!r} is {spearman}; "
                    "expected -1 to 1, or None where it is not defined (a constant map)"
                )

    def _check_samples(self) -> None:
        samples = np.asarray(self.millivolts)
        if samples.ndim != 1 or samples.size < 2:
            raise SignalError(
                f"record {self.record}: samples have shape {samples.shape}; expected [n], n >= 2"
            )
        if not np.isfinite(samples).all():
            first = int(np.flatnonzero(~np.isfinite(samples))[0])
            raise SignalError(
                f"record {self.record}: sample {first} of the strip is not finite; "
                "draw strips only from where the recording has signal"
            )
        if self.seconds > LONGEST_SECONDS:
            raise SignalError(
                f"record {self.record}: the strip is {self.seconds:g} s long; at 25 mm/s A4 holds "
                f"{LONGEST_SECONDS:g} s, cut it into shorter strips"
            )

    def _check_map(self, model: MapView) -> None:
        if set(model.evidence) != set(self.teacher.evidence):
            raise DataError(
                f"record {self.record}: {model.name} has maps for {sorted(model.evidence)}, "
                f"{self.teacher.name} for {sorted(self.teacher.evidence)}; expected the same"
            )
        expected = -(-len(self.millivolts) // model.stride)
        if model.columns != expected:
            raise DataError(
                f"record {self.record}: {model.name} has {model.columns} columns of {model.stride} "
                f"samples; a strip of {len(self.millivolts)} samples needs {expected}"
            )

    def _check_times(self) -> None:
        end = self.start_s + self.seconds
        for time, symbol in self.beats:
            if not self.start_s <= time <= end:
                raise DataError(
                    f"record {self.record}: beat {symbol!r} at {time} s is outside the strip "
                    f"({self.start_s:g} to {end:g} s); times count from the start of the record"
                )
        for name, spans in self.truth.items():
            for start, stop in spans:
                if not (start < stop and start < end and stop > self.start_s):
                    raise DataError(
                        f"record {self.record}: truth for {name!r} from {start} to {stop} s does "
                        f"not touch the strip ({self.start_s:g} to {end:g} s); times count from "
                        "the start of the record"
                    )

    @property
    def seconds(self) -> float:
        """Length of the strip."""
        return len(self.millivolts) / self.rate_hz

    @property
    def models(self) -> tuple[MapView, ...]:
        """The teacher and, where there is one, the device."""
        return (self.teacher,) if self.device is None else (self.teacher, self.device)

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes that have maps, in the teacher's order."""
        return tuple(self.teacher.evidence)

    @property
    def shown(self) -> str:
        """The class shown first: `focus`, else one the teacher finds, else one it misses."""
        if self.focus is not None:
            return self.focus
        teacher = self.teacher

        def rank(name: str) -> tuple[bool, bool, float]:
            margin = teacher.probabilities[name] - teacher.thresholds[name]
            return teacher.present(name), bool(self.truth.get(name)), margin

        return max(self.classes, key=rank)


@dataclass(frozen=True)
class Table:
    """A table of figures as text, with the command that makes it again (may be empty)."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    command: str = ""

    def __post_init__(self) -> None:
        for index, row in enumerate(self.rows):
            if len(row) != len(self.columns):
                raise DataError(
                    f"table {self.caption!r}: row {index} has {len(row)} cells; "
                    f"expected {len(self.columns)}"
                )


@dataclass(frozen=True)
class Figure:
    """A picture: `image` is SVG text or the bytes of a PNG; `alt` says in words what it shows."""

    caption: str
    image: str | bytes
    alt: str

    def __post_init__(self) -> None:
        if isinstance(self.image, bytes):
            known = self.image.startswith(b"\x89PNG\r\n\x1a\n")
        else:
            known = self.image.lstrip().startswith(("<svg", "<?xml"))
        if not known:
            raise DataError(f"figure {self.caption!r} is neither SVG text nor PNG bytes")


@dataclass(frozen=True)
class ReportData:
    """One run's report. `data_description` must say whether the ECG is real or simulated.

    `facts` are name and value (bytes, MACs, operators, seeds, commit ...), shown in their order.
    `edges[class]` are the three rising level edges of the evidence in logit units; classes left out
    get them from the strips (`ecg_paper.level_edges`). Raises `DataError` where the description
    is empty or edges do not rise.
    """

    title: str
    subtitle: str
    data_description: str
    strips: Sequence[StripView] = ()
    tables: Sequence[Table] = ()
    facts: Mapping[str, object] = field(default_factory=dict)
    figures: Sequence[Figure] = ()
    notes: Sequence[str] = ()
    class_names: Mapping[str, str] = field(default_factory=dict)
    edges: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not re.search(r"\b(real|simulated)\b", self.data_description, re.IGNORECASE):
            raise DataError(
                f"data description is {self.data_description!r}; expected it to say whether the "
                "ECG is real or simulated"
            )
        for name, edges in self.edges.items():
            check_edges(name, edges)


def check_edges(name: str, edges: Iterable[float]) -> None:
    """Raise `DataError` unless `edges` are three finite numbers, positive and rising."""
    values = tuple(edges)
    if (
        len(values) != 3
        or not all(map(isfinite, values))
        or not 0 < values[0] < values[1] < values[2]
    ):
        raise DataError(
            f"level edges for {name!r} are {values}; expected three positive rising numbers"
        )
