"""Recordings: which class a whole recording of one lead is.

A recording's decision is the mean of the evidence over all its columns plus the mean over its beats
of the entries of their RR features in lookup tables (`beatlens.nets.lookup_tables`); the largest
class wins. R peaks are the system's own (`beatlens.signals.qrs`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from beatlens.signals.qrs import detect_qrs
from beatlens.signals.recording import Recorded
from beatlens.signals.rr_features import BINS, FEATURES, rr_features
from beatlens.tasks.common.tracks import condition


@dataclass(frozen=True, eq=False)
class RecordingTrack:
    """One recording at 128 Hz with its R peaks and its label.

    Args:
        record, database: names.
        x: int8 `[n]`, front end output.
        peaks: R peaks found by the detector, int64 `[b]`.
        features: their RR features, int64 `[b, 6]`.
        label: number of its class.
    """

    record: str
    database: str
    x: NDArray[np.int8]
    peaks: NDArray[np.int64]
    features: NDArray[np.int64]
    label: int

    @cached_property
    def rr_shares(self) -> NDArray[np.float32]:
        """Shares of all its beats in each step of each context, see `rr_shares`."""
        return rr_shares(self.features)


def recording_track(recording: Recorded, label: int, lead: str) -> RecordingTrack:
    """Condition a lead, and find its R peaks.

    Args:
        recording: what was recorded.
        label: number of its class.
        lead: name of the lead.
    """
    out = condition(recording, lead)
    peaks = detect_qrs(out.x)
    features = rr_features(peaks)
    return RecordingTrack(recording.name, recording.database, out.x, peaks, features, label)


def rr_shares(features: NDArray[np.integer]) -> NDArray[np.float32]:
    """How beats are spread over the steps of each context: shares `[6, BINS]`, 0 without a beat.

    The mean over the beats of the entries looked up is the tables weighted by these shares.

    Args:
        features: int `[b, 6]`.

    >>> shares = rr_shares(np.array([[16, 16, 16, 16, 16, 0], [8, 16, 16, 16, 16, 0]]))
    >>> shares[0, 16].item(), shares[1, 16].item()
    (0.5, 1.0)
    """
    shares = np.zeros((len(FEATURES), BINS), np.float32)
    np.add.at(shares, (np.arange(len(FEATURES)), features), np.float32(1 / max(1, len(features))))
    return shares
