"""Windows: what is in 10 s of ECG, and where.

Classes are decided independently (multi-label). A `WindowTrack` is one recording as the network
sees it, with the truth as intervals; a `WindowSet` is many windows cut from tracks, with context on
both sides for networks of any receptive field.

The masks (where a class really is) are for measuring. No loss reads them: what a network is trained
on is whether a class is in a window, or in an excerpt of a few seconds of it
(`beatlens.tasks.windows.sampling`).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from itertools import groupby

import numpy as np

from beatlens.errors import DataError
from beatlens.signals.frontend import MODEL_RATE_HZ
from beatlens.signals.rhythm_features import track_rhythm

SPAN = 10 * MODEL_RATE_HZ
CONTEXT = 2 * MODEL_RATE_HZ
"""Samples of a window and of the context on each of its sides."""
BEAT_BEFORE, BEAT_AFTER = 32, 45
"""Samples of a beat's mask before its R peak, and from that on: 0.25 s and 0.35 s."""
MIN_EPISODE = MODEL_RATE_HZ
"""Samples of a window that a rhythm or interval has to fill to be in it: 1 s."""


@dataclass(frozen=True)
class WindowTrack:
    """One lead of one recording at 128 Hz with its truth.

    Args:
        record, database, patient: names.
        x: int8 `[n]`, front end output.
        usable: bool `[n]`, false where the front end raised a flag.
        known: bool `[C]`, the classes whose presence the annotations decide.
        intervals: per class int64 `[k, 2]`, start and end samples of every beat or rhythm.
        unknown: int64 `[k, 2]`, spans that must not be used (ventricular flutter, say).
        beats: R peaks, int64 `[b]`, and their symbols, `U1 [b]`.
        by_beats: bool `[C]`, the classes that are made by beats; the others are made by rhythms or
            intervals.
        occasional: bool `[C]`, those of them whose beats come now and then.
    """

    record: str
    database: str
    patient: str
    x: np.ndarray
    usable: np.ndarray
    known: np.ndarray
    intervals: tuple[np.ndarray, ...]
    unknown: np.ndarray
    beats: np.ndarray
    symbols: np.ndarray
    by_beats: np.ndarray
    occasional: np.ndarray

    @property
    def beats_placed(self) -> bool:
        """Whether somebody annotated beat by beat; else labels are of the recording as a whole."""
        return len(self.beats) > 0

    def labels(self, start: int, length: int = SPAN) -> np.ndarray:
        """Presence float32 `[C]` in `length` samples from `start`: 1, 0, or NaN where not known.

        A beat belongs to a span when its R peak does; a rhythm when it fills at least 1 s of it,
        in one piece or in several. An occasional beat that is known to be somewhere in a recording,
        nobody says where, is unknown in any span but one of the whole recording.
        """
        stop = start + length
        present = np.zeros(len(self.known), np.float32)
        for index, spans in enumerate(self.intervals):
            if self.by_beats[index]:
                present[index] = self._beat_present(index, spans, start, stop)
            else:
                overlap = np.minimum(spans[:, 1], stop) - np.maximum(spans[:, 0], start)
                present[index] = bool(overlap.clip(0).sum() >= MIN_EPISODE)
        known = self.known.copy()
        if self.overlaps_unknown(start, length):
            known[:] = False
        present[~known] = np.nan
        return present

    def _beat_present(self, index: int, spans: np.ndarray, start: int, stop: int) -> float:
        """1, 0 or NaN: is a beat of class number `index`, found at `spans`, in `start .. stop`?"""
        if self.beats_placed:
            peaks = spans[:, 0] + BEAT_BEFORE
            return float(((peaks >= start) & (peaks < stop)).any())
        whole = start <= 0 and stop >= len(self.x)
        if len(spans) and self.occasional[index] and not whole:
            return float("nan")
        return float(len(spans) > 0)

    def overlaps_unknown(self, start: int, length: int = SPAN) -> bool:
        """Does the span from `start` touch a segment whose labels are not to be used?"""
        touches = (self.unknown[:, 0] < start + length) & (self.unknown[:, 1] > start)
        return bool(touches.any())

    def masks(self, start: int) -> np.ndarray:
        """Bool `[C, SPAN]`: where each class is, in the span from sample `start`."""
        masks = np.zeros((len(self.known), SPAN), bool)
        for mask, spans in zip(masks, self.intervals, strict=True):
            for first, last in np.clip(spans - start, 0, SPAN):
                mask[first:last] = True
        return masks

    def window(self, start: int) -> np.ndarray:
        """int8 `[CONTEXT + SPAN + CONTEXT]` around the span; the recording's edges are held."""
        index = np.arange(start - CONTEXT, start + SPAN + CONTEXT)
        return self.x[np.clip(index, 0, len(self.x) - 1)]


@dataclass(frozen=True)
class WindowSet:
    """Spans cut from tracks.

    `windows` int8 `[S, CONTEXT + SPAN + CONTEXT]`; `labels` float32 `[S, C]` (NaN: not known);
    `masks` bool `[S, C, SPAN]`; `records` `[S]`; `starts` int64 `[S]`, samples; `rhythm` int64
    `[S, 2]`, features up to a span's end (`beatlens.signals.rhythm_features`), or None.
    """

    windows: np.ndarray
    labels: np.ndarray
    masks: np.ndarray
    records: np.ndarray
    starts: np.ndarray
    rhythm: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.starts)

    @classmethod
    def joined(cls, parts: list[WindowSet]) -> WindowSet:
        """Several sets as one, in their order."""
        names = [field.name for field in fields(cls)]
        if parts[0].rhythm is None:
            names.remove("rhythm")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def cut_windows(tracks: list[WindowTrack], *, rhythm: bool = False) -> WindowSet:
    """Cut every track into consecutive 10 s spans, leaving out those with unknown segments.

    Args:
        tracks: what is cut.
        rhythm: whether the features of the rhythm are measured too, which takes R peaks.
    """
    found = [
        (track, start)
        for track in tracks
        for start in range(0, len(track.x) - SPAN + 1, SPAN)
        if not track.overlaps_unknown(start)
    ]
    if not found:
        raise DataError("no recording is as long as one window (10 s)")
    return WindowSet(
        windows=np.stack([track.window(start) for track, start in found]),
        labels=np.stack([track.labels(start) for track, start in found]),
        masks=np.stack([track.masks(start) for track, start in found]),
        records=np.array([track.record for track, _ in found]),
        starts=np.array([start for _, start in found]),
        rhythm=_measure_rhythm(found) if rhythm else None,
    )


def _measure_rhythm(found: list[tuple[WindowTrack, int]]) -> np.ndarray:
    """Features of the rhythm at the end of each span, of spans that are in order by track."""
    parts = []
    for _, group in groupby(found, key=lambda one: id(one[0])):
        spans = list(group)
        parts.append(track_rhythm(spans[0][0].x, [start + SPAN for _, start in spans]))
    return np.concatenate(parts)
