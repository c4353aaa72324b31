"""The beats task: which kind of beat each R peak is, by EC57's classes.

A beat's decision is the mean of the evidence over a span around its R peak, plus what its contexts
are worth (`beatlens.nets.lookup_tables`); the largest class wins. R peaks are the system's own
(`beatlens.signals.qrs`), in training too; annotations only say what kind of beat a peak is. Escape
beats `e`, `j` count as normal, as in the literature (de Chazal et al. 2004, table I).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from beatlens.geometry import beat_columns
from beatlens.signals.annotations import Annotations
from beatlens.signals.beat_features import FEATURES, TRAINED, beat_features
from beatlens.signals.databases import ECTOPIC, Codes, database_type
from beatlens.signals.frontend import MODEL_RATE_HZ, Conditioned
from beatlens.signals.qrs import detect_qrs
from beatlens.signals.recording import Recorded
from beatlens.signals.rr_features import BINS
from beatlens.tasks.windows.tracks import condition, to_model_rate

CLASSES = ("n", "s", "v", "f")
LONG_NAMES = {
    "n": "normal beat",
    "s": "supraventricular ectopic beat",
    "v": "ventricular ectopic beat",
    "f": "fusion of ventricular and normal beat",
}
NEVER_IF_CLIPPED = ("s",)
"""Classes that a clipped beat is never called: of 163 clipped beats called S 139 were not."""
SYMBOLS = ("N", "S", "V", "F")
"""Annotation codes of the classes, in their order."""
UNKNOWN = -1
"""Label of a peak that no beat was annotated at, of a paced or unclassifiable beat, and of one in
ventricular flutter."""
NOT_S = -2
"""Label of a beat of which only that is known: its patient's atria fibrillate."""
BEFORE, AFTER = 64, 72
"""Samples of a beat's span before its R peak's column, and then on: from the T wave before it,
where an early P wave hides, to the end of its own T wave."""
ERRATIC = (6, 18)
"""Steps of `rr_irregularity` up to which it says nothing, and from which on a rhythm
surely fibrillates."""
FIBRILLATES = {"s": -4.0, "v": -1.5}
"""What a rhythm that surely fibrillates says of a beat, logits."""
ON_TIME = (12, 16)
"""Sixteenths of an interval up to which a beat is surely early, and from which on it is not."""
NOT_EARLY = {"rr_over_mean": {"s": -1.0, "v": -0.5}, "rr_before_over_after": {"s": -1.0, "v": -0.5}}
"""What it says, logits, that a beat is not early: by the last intervals, by the next one."""
STRIDE = 8
"""Samples of a column, of all networks that decide on beats."""
PARTNER = 19
"""Samples within which an annotated beat is the peak's: EC57's 150 ms."""


def labels_beats(name: str) -> bool:
    """Whether a database's annotations decide ectopic beats; DataError: no such database.

    >>> labels_beats("svdb"), labels_beats("afdb")
    (True, False)
    """
    return database_type(name).annotated.covers(Codes.of(ECTOPIC))


def beat_tables(learnt: NDArray[np.floating]) -> NDArray[np.float64]:
    """What the contexts of a beat are worth: the tables that were learnt, and what is set.

    In atrial fibrillation there is no focus for an early beat of the atria to come from, so an
    erratic rhythm speaks against S, and what is then no S is no V more often. And a premature beat
    is early by definition (escape beats, which are not, are few), so a beat that is not early
    speaks against S, and against V, which its shape tells as well, half as much: more than tables
    say that were learnt with a network that knew its patients. That is set, not learnt: hardly any
    patient to learn from fibrillates, and tables that were learnt, or fitted afterwards, tell
    patients out of fold worse. The numbers were chosen on DS1 and svdb out of fold
    (docs/limits.md).

    Args:
        learnt: `[7, BINS, C]`, logits, of the contexts `beatlens.signals.beat_features.TRAINED`.

    Returns:
        `[8, BINS, C]`, of all of them.

    >>> tables = beat_tables(np.zeros((7, 32, 4)))
    >>> tables[FEATURES.index("rr_irregularity"), [0, 6, 9, 18, 31], CLASSES.index("s")].tolist()
    [0.0, 0.0, -1.0, -4.0, -4.0]
    >>> tables[FEATURES.index("rr_over_mean"), [0, 12, 14, 16, 31], CLASSES.index("s")].tolist()
    [0.0, 0.0, -0.5, -1.0, -1.0]
    """
    tables = np.zeros((len(FEATURES), BINS, len(CLASSES)))
    tables[: len(TRAINED)] = learnt
    early, usual = ON_TIME
    on_time = np.clip((np.arange(BINS) - early) / (usual - early), 0, 1)
    for context, said in NOT_EARLY.items():
        for name, worth in said.items():
            tables[FEATURES.index(context), :, CLASSES.index(name)] += worth * on_time
    none, surely = ERRATIC
    fibrillates = np.clip((np.arange(BINS) - none) / (surely - none), 0, 1)
    for name, worth in FIBRILLATES.items():
        tables[FEATURES.index("rr_irregularity"), :, CLASSES.index(name)] += worth * fibrillates
    return tables


@dataclass(frozen=True)
class BeatTrack:
    """One lead of one recording at 128 Hz with its R peaks.

    Args:
        record, database: names.
        x: int8 `[n]`, front end output.
        usable: bool `[n]`, false where the front end raised a flag.
        peaks: R peaks found by the detector, int64 `[b]`.
        labels: number of the class of each, int64 `[b]`, `NOT_S` or `UNKNOWN`.
        contexts: of each, int64 `[b, 8]`, see `beatlens.signals.beat_features`.
        rate_hz, samples: of the recording itself.
        defects: int64 `[b, 2]`, samples of each beat's span that are flat or saturated, and that
            are clipped (see `beat_defects`); empty where nobody counted them.
    """

    record: str
    database: str
    x: NDArray[np.int8]
    usable: NDArray[np.bool_]
    peaks: NDArray[np.int64]
    labels: NDArray[np.int64]
    contexts: NDArray[np.int64]
    rate_hz: int
    samples: int
    defects: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 2), np.int64))

    def first(self, seconds: int) -> BeatTrack:
        """The track's beginning; beats whose span is not in it as a whole are left out."""
        n = min(seconds * MODEL_RATE_HZ, len(self.x))
        kept = self.peaks < n - AFTER
        return replace(
            self,
            x=self.x[:n],
            usable=self.usable[:n],
            peaks=self.peaks[kept],
            labels=self.labels[kept],
            contexts=self.contexts[kept],
            defects=self.defects[kept] if len(self.defects) else self.defects,
            samples=n * self.rate_hz // MODEL_RATE_HZ,
        )

    def annotations(self, decided: NDArray[np.integer]) -> Annotations:
        """The peaks as WFDB annotations, with the classes decided on, numbers `[b]`.

        Those that were not decided, `UNKNOWN`, get the code Q.
        """
        at = np.round(self.peaks * self.rate_hz / MODEL_RATE_HZ).astype(np.int64)
        inside = at < self.samples
        numbers = np.asarray(decided)[inside]
        symbols = np.where(numbers == UNKNOWN, "Q", np.array(SYMBOLS)[numbers])
        none = np.zeros(int(inside.sum()), np.int64)
        return Annotations(
            self.record, self.samples, at[inside], symbols, none, ("",) * len(none)
        )  # fmt: skip


def beat_track(recording: Recorded, known: Annotations | int, lead: str) -> BeatTrack:
    """Condition a lead, find its R peaks, and label them by the annotated beats near them.

    Args:
        recording: of any rate.
        known: the annotations; without, the label of all beats, `UNKNOWN` or `NOT_S`.
        lead: its name.
    """
    out = condition(recording, lead)
    peaks = detect_qrs(out.x)
    if isinstance(known, int):
        found = np.full(len(peaks), known, np.int64)
    else:
        found = _annotated(peaks, known, recording.rate_hz)
    return BeatTrack(
        record=recording.name,
        database=recording.database,
        x=out.x,
        usable=out.usable,
        peaks=peaks,
        labels=found,
        contexts=beat_features(out.x, peaks),
        rate_hz=recording.rate_hz,
        samples=recording.samples,
        defects=beat_defects(out, peaks),
    )


def beat_defects(out: Conditioned, peaks: NDArray[np.int64]) -> NDArray[np.int64]:
    """Bad samples of beats' spans `[b, 2]`: flat or saturated ones, and clipped ones.

    Counted over the columns that a network of `STRIDE` looks at, as a stream counts them; spans
    that would leave the recording are moved in. All are bad where it is shorter than a span.
    """
    span, columns = BEFORE + AFTER, len(out.x) // STRIDE
    if columns * STRIDE < span:
        return np.full((len(peaks), 2), span, np.int64)
    first = beat_columns(peaks, STRIDE, BEFORE // STRIDE, AFTER // STRIDE, columns) * STRIDE
    counted = []
    for flags in (out.flat | out.saturated, out.clipped):
        upto = np.pad(flags.astype(np.int64).cumsum(), (1, 0))
        counted.append(upto[first + span] - upto[first])
    return np.stack(counted, axis=1)


def _annotated(
    peaks: NDArray[np.int64], annotations: Annotations, rate_hz: int
) -> NDArray[np.int64]:
    """Labels of peaks, samples at 128 Hz, by annotations of samples at `rate_hz`."""
    beats = to_model_rate(annotations.beats.sample, rate_hz)
    kinds = annotations.beats.classes("aami")
    labels = np.array([SYMBOLS.index(k) if k in SYMBOLS else UNKNOWN for k in kinds], np.int64)
    found = labels_of_peaks(peaks, beats, labels)
    for flutter in annotations.flutter:
        start, end = to_model_rate(np.array([flutter.start, flutter.end]), rate_hz)
        found[(peaks >= start) & (peaks < end)] = UNKNOWN
    return found


def labels_of_peaks(
    peaks: NDArray[np.int64], beats: NDArray[np.int64], labels: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The label of the annotated beat nearest to each peak, `UNKNOWN` where none is near.

    Args:
        peaks: `[b]`, samples.
        beats, labels: of the annotated beats `[a]`, in time order.

    >>> labels_of_peaks(np.array([100, 200]), np.array([95, 260]), np.array([2, 0])).tolist()
    [2, -1]
    """
    if not len(beats):
        return np.full(len(peaks), UNKNOWN, np.int64)
    after = np.searchsorted(beats, peaks).clip(max=len(beats) - 1)
    before = (after - 1).clip(min=0)
    closer = np.abs(peaks - beats[before]) <= np.abs(beats[after] - peaks)
    nearest = np.where(closer, before, after)
    near = np.abs(beats[nearest] - peaks) <= PARTNER
    return np.where(near, labels[nearest], UNKNOWN)
