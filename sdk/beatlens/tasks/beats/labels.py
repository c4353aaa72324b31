"""Beats: which class each R peak is.

A beat's decision is the mean of the evidence over a span around its R peak, plus the entries of its
features in lookup tables (`beatlens.nets.lookup_tables`); the largest class wins. R peaks are the
system's own (`beatlens.signals.qrs`), in training too; annotations only give the class of a peak.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from beatlens.geometry import beat_columns
from beatlens.signals.annotations import Annotations
from beatlens.signals.beat_features import FEATURES, TRAINED, beat_features
from beatlens.signals.databases import ECTOPIC, Codes, Database
from beatlens.signals.frontend import MODEL_RATE_HZ, Conditioned
from beatlens.signals.qrs import detect_qrs
from beatlens.signals.recording import Recorded
from beatlens.signals.rr_features import BINS
from beatlens.tasks.beats.recipe import BeatClass
from beatlens.tasks.common.tracks import condition, to_model_rate

UNKNOWN = -1
"""Label of a peak that no beat was annotated at, of a paced or unclassifiable beat, and of one in
ventricular flutter."""
ABSENT = -2
"""Label of a beat of which only this is known: it is not of the class that does not occur in atrial
fibrillation, which its patient has."""
BEFORE, AFTER = 64, 72
"""Samples of a beat's span before its R peak's column, and then on: from the T wave before it,
where an early P wave hides, to the end of its own T wave."""
IRREGULAR = (6, 18)
"""Steps of `rr_irregularity` up to which a rhythm counts as regular, and from which on RR intervals
are as irregular as in atrial fibrillation."""
ON_TIME = (12, 16)
"""Sixteenths of an interval up to which a beat is premature, and from which on it is not."""
PREMATURITY = ("rr_over_mean", "rr_before_over_after")
"""Features that say whether a beat is premature: by the intervals before it, by the next one."""
STRIDE = 8
"""Samples of a column, of all networks that decide on beats."""
PARTNER = 19
"""Samples within which an annotated beat is the peak's: EC57's 150 ms."""


def has_beat_labels(database: Database) -> bool:
    """Whether a database's annotations decide ectopic beats."""
    return database.annotated.covers(Codes.of(ECTOPIC))


def add_set_entries(
    trained: NDArray[np.floating], classes: Mapping[str, BeatClass]
) -> NDArray[np.float64]:
    """Lookup tables of all features: those that were trained, and what a recipe sets.

    In atrial fibrillation there is no focus for an early beat of the atria to come from, so
    irregular RR intervals count against a supraventricular beat (`BeatClass.irregular`). And a
    premature beat is early by definition, so a beat that is not counts against ectopic classes
    (`BeatClass.on_time`), more than tables that were trained with a network that knew its patients.
    That is set, not trained: hardly any patient to train on fibrillates, and tables that were
    trained, or fitted afterwards, do worse on patients out of fold.

    Args:
        trained: `[7, BINS, C]`, logits, of the features `beatlens.signals.beat_features.TRAINED`.
        classes: of the task, in the order of the network's outputs.

    Returns:
        `[17, BINS, C]`, of all features.

    >>> classes = {"n": BeatClass(beats="N"), "s": BeatClass(beats="A", irregular=-4, on_time=-1)}
    >>> tables = add_set_entries(np.zeros((7, 32, 2)), classes)
    >>> tables[FEATURES.index("rr_irregularity"), [0, 6, 9, 18, 31], 1].tolist()
    [0.0, 0.0, -1.0, -4.0, -4.0]
    >>> tables[FEATURES.index("rr_over_mean"), [0, 12, 14, 16, 31], 1].tolist()
    [0.0, 0.0, -0.5, -1.0, -1.0]
    """
    tables = set_entries(classes)
    tables[: len(TRAINED)] += trained
    return tables


def set_entries(classes: Mapping[str, BeatClass]) -> NDArray[np.float64]:
    """What a recipe sets in the tables of all features, `[17, BINS, C]`; see `add_set_entries`."""
    tables = np.zeros((len(FEATURES), BINS, len(classes)))
    early, usual = ON_TIME
    on_time = np.clip((np.arange(BINS) - early) / (usual - early), 0, 1)
    regular, irregular = IRREGULAR
    fibrillates = np.clip((np.arange(BINS) - regular) / (irregular - regular), 0, 1)
    for number, one in enumerate(classes.values()):
        for feature in PREMATURITY:
            tables[FEATURES.index(feature), :, number] += one.on_time * on_time
        tables[FEATURES.index("rr_irregularity"), :, number] += one.irregular * fibrillates
    return tables


@dataclass(frozen=True)
class BeatTrack:
    """One lead of one recording at 128 Hz with its R peaks.

    Args:
        record, database: names.
        x: int8 `[n]`, front end output.
        usable: bool `[n]`, false where the front end raised a flag.
        peaks: R peaks found by the detector, int64 `[b]`.
        labels: number of the class of each, int64 `[b]`, `ABSENT` or `UNKNOWN`.
        features: of each, int64 `[b, 17]`, see `beatlens.signals.beat_features`.
        rate_hz, samples: of the recording itself.
        defects: int64 `[b, 2]`, samples of each beat's span that are flat or saturated, and that
            are clipped (see `beat_defects`); empty where nobody counted them.
        clusters: number of each beat's cluster, int64 `[b]`; empty where nobody found them.
        begins: whether the cluster begins with the beat, bool `[b]`, likewise.
    """

    record: str
    database: str
    x: NDArray[np.int8]
    usable: NDArray[np.bool_]
    peaks: NDArray[np.int64]
    labels: NDArray[np.int64]
    features: NDArray[np.int64]
    rate_hz: int
    samples: int
    defects: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 2), np.int64))
    clusters: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    begins: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))

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
            features=self.features[kept],
            defects=self.defects[kept] if len(self.defects) else self.defects,
            clusters=self.clusters[kept] if len(self.clusters) else self.clusters,
            begins=self.begins[kept] if len(self.begins) else self.begins,
            samples=n * self.rate_hz // MODEL_RATE_HZ,
        )

    def annotations(self, decided: NDArray[np.integer], symbols: Sequence[str]) -> Annotations:
        """The peaks as WFDB annotations.

        Args:
            decided: numbers of classes `[b]`; those that were not decided, `UNKNOWN`, get code Q.
            symbols: code of each class.
        """
        at = np.round(self.peaks * self.rate_hz / MODEL_RATE_HZ).astype(np.int64)
        inside = at < self.samples
        numbers = np.asarray(decided)[inside]
        codes = np.where(numbers == UNKNOWN, "Q", np.array(symbols)[numbers])
        none = np.zeros(int(inside.sum()), np.int64)
        return Annotations(self.record, self.samples, at[inside], codes, none, ("",) * len(none))


def beat_track(
    recording: Recorded, known: Annotations | int, lead: str, classes: Sequence[str] = ()
) -> BeatTrack:
    """Condition a lead, find its R peaks, and label them by the annotated beats near them.

    Args:
        recording: of any rate.
        known: the annotations; without, the label of all beats, `UNKNOWN` or `ABSENT`.
        lead: its name.
        classes: codes of the beats of each class, in the order of the classes.
    """
    out = condition(recording, lead)
    peaks = detect_qrs(out.x)
    if isinstance(known, int):
        found = np.full(len(peaks), known, np.int64)
    else:
        found = _annotated(peaks, known, recording.rate_hz, classes)
    rows = beat_features(out.x, peaks)
    return BeatTrack(
        record=recording.name,
        database=recording.database,
        x=out.x,
        usable=out.usable,
        peaks=peaks,
        labels=found,
        features=rows.values,
        rate_hz=recording.rate_hz,
        samples=recording.samples,
        defects=beat_defects(out, peaks),
        clusters=rows.clusters,
        begins=rows.begins,
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
    peaks: NDArray[np.int64], annotations: Annotations, rate_hz: int, classes: Sequence[str]
) -> NDArray[np.int64]:
    """Labels of peaks, samples at 128 Hz, by annotations of samples at `rate_hz`."""
    beats = to_model_rate(annotations.beats.sample, rate_hz)
    numbers = {code: number for number, codes in enumerate(classes) for code in codes}
    symbols = annotations.beats.symbol.tolist()
    labels = np.array([numbers.get(symbol, UNKNOWN) for symbol in symbols], np.int64)
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
