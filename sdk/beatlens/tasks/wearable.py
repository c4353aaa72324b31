"""The wearable task: what rhythm a whole recording of one lead shows, by the classes of CinC 2017.

A recording's decision is the mean of the evidence over all its columns plus the mean over its beats
of what their rhythm is worth (`beatlens.nets.rhythm`); the largest class wins. R peaks are the
system's own (`beatlens.signals.qrs`). Labels are those of the PhysioNet/CinC Challenge 2017
(Clifford et al., Computing in Cardiology 2017), version 3, one for each recording.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from beatlens.errors import DataError
from beatlens.signals.qrs import detect_qrs
from beatlens.signals.recording import Recording
from beatlens.signals.rhythm import BINS, CONTEXTS, rhythm_contexts
from beatlens.tasks.prepare import condition

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
class WearableTrack:
    """One recording at 128 Hz with its R peaks and its label.

    Args:
        record, database: names.
        x: int8 `[n]`, front end output.
        peaks: R peaks found by the detector, int64 `[b]`.
        contexts: their rhythm contexts, int64 `[b, 6]`.
        label: number of its class.
    """

    record: str
    database: str
    x: NDArray[np.int8]
    peaks: NDArray[np.int64]
    contexts: NDArray[np.int64]
    label: int

    @cached_property
    def rhythm(self) -> NDArray[np.float32]:
        """Shares of all its beats in each step of each context, see `rhythm_shares`."""
        return rhythm_shares(self.contexts)


def wearable_track(recording: Recording, label: str, lead: str | None = None) -> WearableTrack:
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
    contexts = rhythm_contexts(peaks)
    return WearableTrack(
        recording.name, recording.database, out.x, peaks, contexts, SYMBOLS.index(label)
    )


def rhythm_shares(contexts: NDArray[np.integer]) -> NDArray[np.float32]:
    """How beats are spread over the steps of each context: shares `[6, BINS]`, 0 without a beat.

    Tables are looked up for each beat and the mean is taken; that is the tables weighted by these
    shares.

    Args:
        contexts: int `[b, 6]`.

    >>> shares = rhythm_shares(np.array([[16, 16, 16, 16, 16, 0], [8, 16, 16, 16, 16, 0]]))
    >>> shares[0, 16].item(), shares[1, 16].item()
    (0.5, 1.0)
    """
    shares = np.zeros((len(CONTEXTS), BINS), np.float32)
    np.add.at(shares, (np.arange(len(CONTEXTS)), contexts), np.float32(1 / max(1, len(contexts))))
    return shares


def save_wearable_tracks(path: Path, tracks: Sequence[WearableTrack]) -> None:
    """Write tracks into one `.npz`, whole or not at all."""
    part = path.with_suffix(".part.npz")
    np.savez(
        part,
        names=np.array([[track.record, track.database] for track in tracks]).reshape(-1, 2),
        numbers=np.array([[len(t.x), len(t.peaks), t.label] for t in tracks]).reshape(-1, 3),
        x=np.concatenate([np.zeros(0, np.int8), *(track.x for track in tracks)]),
        peaks=np.concatenate([np.zeros(0, np.int64), *(track.peaks for track in tracks)]),
        contexts=np.concatenate(
            [np.zeros((0, len(CONTEXTS)), np.int64), *(track.contexts for track in tracks)]
        ),
    )
    part.replace(path)


def load_wearable_tracks(path: Path) -> list[WearableTrack]:
    """Read what `save_wearable_tracks` wrote; `DataError` when the file is something else."""
    try:
        with np.load(path) as archive:
            names, numbers, x, peaks, contexts = (
                archive[key] for key in ("names", "numbers", "x", "peaks", "contexts")
            )
        samples = np.concatenate([[0], numbers[:, 0].cumsum()])
        beats = np.concatenate([[0], numbers[:, 1].cumsum()])
        if samples[-1] != len(x) or beats[-1] != len(peaks) or len(peaks) != len(contexts):
            raise ValueError("parts of unequal lengths")
        return [
            WearableTrack(
                str(names[i, 0]),
                str(names[i, 1]),
                x[samples[i] : samples[i + 1]],
                peaks[beats[i] : beats[i + 1]],
                contexts[beats[i] : beats[i + 1]],
                int(numbers[i, 2]),
            )
            for i in range(len(names))
        ]
    except (OSError, EOFError, KeyError, ValueError, IndexError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{path}: not a file of prepared recordings ({error}); delete it"
        ) from error
