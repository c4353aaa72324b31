"""The wearable task: what rhythm a whole recording of one lead shows, by the classes of CinC 2017.

A recording's decision is the mean of the evidence over all its columns plus the mean over its beats
of what their rhythm is worth (`beatlens.nets.lookup_tables`); the largest class wins. R peaks are
the system's own (`beatlens.signals.qrs`). Labels are those of the PhysioNet/CinC Challenge 2017
(Clifford et al., Computing in Cardiology 2017), version 3, one for each recording.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from beatlens.errors import DataError
from beatlens.signals.qrs import detect_qrs
from beatlens.signals.recording import Recorded
from beatlens.signals.rr_features import BINS, FEATURES, rr_features
from beatlens.tasks.windows.tracks import condition

CLASSES = ("normal", "afib", "other", "noise")
LONG_NAMES = {
    "normal": "normal sinus rhythm",
    "afib": "atrial fibrillation",
    "other": "another rhythm",
    "noise": "too noisy to tell",
}
SYMBOLS = "NAO~"
"""Labels of the challenge, in the order of the classes."""


@dataclass(frozen=True, eq=False)
class RecordingTrack:
    """One recording at 128 Hz with its R peaks and its label.

    Args:
        record, database: names.
        x: int8 `[n]`, front end output.
        peaks: R peaks found by the detector, int64 `[b]`.
        features: their rhythm features, int64 `[b, 6]`.
        label: number of its class.
    """

    record: str
    database: str
    x: NDArray[np.int8]
    peaks: NDArray[np.int64]
    features: NDArray[np.int64]
    label: int

    @cached_property
    def rhythm(self) -> NDArray[np.float32]:
        """Shares of all its beats in each step of each context, see `rhythm_shares`."""
        return rhythm_shares(self.features)


def recording_track(recording: Recorded, label: str, lead: str | None = None) -> RecordingTrack:
    """Condition a lead (the first, if none is named), and find its R peaks.

    Args:
        recording: what was recorded.
        label: one of `SYMBOLS`.
        lead: name of the lead.

    Raises:
        DataError: there is no such label.
    """
    if label not in tuple(SYMBOLS):
        raise DataError(
            f"{recording.name}: label is {label!r}, expected one of {' '.join(SYMBOLS)}"
        )
    out = condition(recording, lead or recording.lead_names[0])
    peaks = detect_qrs(out.x)
    features = rr_features(peaks)
    return RecordingTrack(
        recording.name, recording.database, out.x, peaks, features, SYMBOLS.index(label)
    )


def rhythm_shares(features: NDArray[np.integer]) -> NDArray[np.float32]:
    """How beats are spread over the steps of each context: shares `[6, BINS]`, 0 without a beat.

    Tables are looked up for each beat and the mean is taken; that is the tables weighted by these
    shares.

    Args:
        features: int `[b, 6]`.

    >>> shares = rhythm_shares(np.array([[16, 16, 16, 16, 16, 0], [8, 16, 16, 16, 16, 0]]))
    >>> shares[0, 16].item(), shares[1, 16].item()
    (0.5, 1.0)
    """
    shares = np.zeros((len(FEATURES), BINS), np.float32)
    np.add.at(shares, (np.arange(len(FEATURES)), features), np.float32(1 / max(1, len(features))))
    return shares
