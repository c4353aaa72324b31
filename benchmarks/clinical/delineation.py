"""Where the waves of each beat begin and end: by an algorithm, or by the people who marked ludb.

An algorithm's boundaries are made of two:

- QRS: where the signal stays steep. Steepness is `|x[n + 1] - x[n - 1]|`, averaged over three
  samples; the complex reaches from the R peak as far as it is above `STEEP` of its largest value
  near the peak, bridging `GAP` sample. A threshold on the slope, relative to the complex's own, is
  how Laguna et al. (1994) find onset and end; polarity and width do not matter to it.
- P and T: `neurokit2`'s delineation by peak prominence (Emrich et al., EUSIPCO 2024).

`neurokit2`'s own QRS boundaries were not taken. Held against ludb's people (`python -m benchmarks
delineation`, docs/figures/delineation.json) its wavelet method begins QRS too early and leaves some
out, and its prominence method cuts wide complexes, those of ventricular beats, short. `STEEP` and
`GAP` were chosen on ludb.

An algorithm finds a P wave before nearly every QRS, also where people mark none, as in atrial
fibrillation: a P of its is a place where a P wave would be, not a sign that there is one.

>>> x = np.zeros(200, np.int8)
>>> x[98:103] = 30, 80, 120, 80, 30
>>> qrs_bounds(x, np.array([100])).tolist()
[[96, 105]]
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from beatlens.errors import SignalError
from beatlens.signals.boundaries import Boundaries
from beatlens.signals.frontend import MODEL_RATE_HZ

Method = Literal["prominence", "dwt"]
STEEP, GAP = 0.08, 1
NEAR, REACH = 10, 22
"""Samples on both sides of a peak: where the largest steepness is looked for, and where QRS ends
at the latest (172 ms; half of a complex wider than any)."""
PADDING = 128
"""Samples put before and after what neurokit2 sees. It leaves boundaries at and before sample 0 out
of its lists, and which beat the rest are of would not be known any more."""
PARTNER = 19
"""Samples within which a person's QRS is the peak's: EC57's 150 ms."""
NONE = -1
AFTER_LAST = np.array([0, 1])


@dataclass(frozen=True)
class BeatWaves:
    """Waves of beats at 128 Hz: int64 `[b, 2]`, first sample and the one after the last.

    Both are `NONE` (-1) where a beat has no such wave, or it was not found or not marked.
    """

    p: NDArray[np.int64]
    qrs: NDArray[np.int64]
    t: NDArray[np.int64]

    def __getitem__(self, kept: NDArray[np.generic]) -> BeatWaves:
        """The waves of some beats."""
        return BeatWaves(self.p[kept], self.qrs[kept], self.t[kept])


def delineate(x: NDArray[np.int8], peaks: NDArray[np.int64]) -> BeatWaves:
    """Waves of beats by algorithm, see the module; needs neurokit2.

    Args:
        x: front end's samples `[n]` at 128 Hz.
        peaks: R peaks `[b]` in time order.

    Raises:
        SignalError: a peak lies outside the recording, or neurokit2 loses count of the beats.
    """
    found = neurokit_waves(x, peaks, "prominence")
    return BeatWaves(found.p, qrs_bounds(x, peaks), found.t)


def qrs_bounds(x: NDArray[np.int8], peaks: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where QRS begins and ends, `[b, 2]`, by the signal's steepness; see the module.

    Args:
        x: front end's samples `[n]` at 128 Hz.
        peaks: R peaks `[b]`.

    Raises:
        SignalError: a peak lies outside the recording.
    """
    _check(x, peaks)
    wide = np.pad(x.astype(np.float64), REACH + 3, mode="edge")
    slope = np.abs(wide[2:] - wide[:-2])
    steep = np.convolve(slope, np.full(3, 1 / 3), mode="valid")
    around = steep[peaks[:, None] + np.arange(-REACH, REACH + 1) + REACH + 1]
    top = around[:, REACH - NEAR : REACH + NEAR + 1].max(axis=1, initial=0.0)
    above = around > STEEP * top[:, None]
    before = _reached(above[:, REACH::-1])
    after = _reached(above[:, REACH:])
    return np.stack([peaks - before, peaks + after + 1], axis=1)


def _reached(above: NDArray[np.bool_]) -> NDArray[np.int64]:
    """How far rows `[b, k]` are true from their start on, gaps of up to `GAP` bridged, `[b]`."""
    reached = np.zeros(len(above), np.int64)
    for step in range(1, above.shape[1]):
        near = step - reached <= GAP + 1
        reached = np.where(near & above[:, step], step, reached)
    return reached


def neurokit_waves(x: NDArray[np.int8], peaks: NDArray[np.int64], method: Method) -> BeatWaves:
    """All waves by one of neurokit2's delineators; as `delineate`."""
    import neurokit2  # takes seconds to import, and only measurements need it

    _check(x, peaks)
    waves = {kind: np.full((len(peaks), 2), NONE, np.int64) for kind in "prt"}
    if len(peaks) < 2:  # it reckons with intervals between beats
        return BeatWaves(waves["p"], waves["r"], waves["t"])
    padded = np.pad(x.astype(np.float64), PADDING, mode="edge")
    cleaned = neurokit2.ecg_clean(padded, sampling_rate=MODEL_RATE_HZ)
    with warnings.catch_warnings():
        # Of R peaks that are no maxima; what it finds of QRS there is not used.
        warnings.filterwarnings("ignore", "some peaks have a prominence of 0")
        _, found = neurokit2.ecg_delineate(
            cleaned, peaks + PADDING, sampling_rate=MODEL_RATE_HZ, method=method
        )
    for kind, table in waves.items():
        onset, end = (found[f"ECG_{kind.upper()}_{side}"] for side in ("Onsets", "Offsets"))
        if len(onset) != len(peaks) or len(end) != len(peaks):
            raise SignalError(
                f"neurokit2 gives {len(onset)} onsets and {len(end)} ends of {kind.upper()}, "
                f"expected one of each for every one of {len(peaks)} beats"
            )
        ends = np.array([onset, end], np.float64).T - PADDING
        whole = (ends[:, 0] >= 0) & (ends[:, 1] > ends[:, 0]) & (ends[:, 1] < len(x))
        table[whole] = ends[whole].astype(np.int64) + AFTER_LAST
    return BeatWaves(waves["p"], waves["r"], waves["t"])


def marked_waves(marked: Boundaries, rate_hz: int, peaks: NDArray[np.int64]) -> BeatWaves:
    """Waves of beats as people marked them.

    A beat's QRS is the marked one nearest to its R peak, if within 150 ms; its P the last one
    between the QRS before and its own, its T the first between its own and the next.

    Args:
        marked: of the lead, in samples at `rate_hz`.
        rate_hz: of the recording.
        peaks: R peaks `[b]` at 128 Hz.
    """
    p, qrs, t = (_at_model_rate(table, rate_hz) for table in (marked.p, marked.qrs, marked.t))
    found = {kind: np.full((len(peaks), 2), NONE, np.int64) for kind in ("p", "qrs", "t")}
    for index, peak in enumerate(peaks):
        distance = np.abs(qrs[:, 1] - peak)
        if not len(qrs) or distance.min() > PARTNER:
            continue
        own = int(distance.argmin())
        before = qrs[own - 1, 1] if own else NONE
        after = qrs[own + 1, 1] if own + 1 < len(qrs) else np.iinfo(np.int64).max
        middle = qrs[own, 1]
        parts = {
            "p": p[(p[:, 1] > before) & (p[:, 1] < middle)][-1:],
            "qrs": qrs[own : own + 1],
            "t": t[(t[:, 1] > middle) & (t[:, 1] < after)][:1],
        }
        for kind, wave in parts.items():
            if len(wave) and wave[0, 0] != NONE and wave[0, 2] > wave[0, 0]:
                found[kind][index] = wave[0, [0, 2]] + AFTER_LAST
    return BeatWaves(found["p"], found["qrs"], found["t"])


def _at_model_rate(table: NDArray[np.int64], rate_hz: int) -> NDArray[np.int64]:
    nearest = (table * (2 * MODEL_RATE_HZ) + rate_hz) // (2 * rate_hz)
    return np.where(table == NONE, NONE, nearest)


def _check(x: NDArray[np.int8], peaks: NDArray[np.int64]) -> None:
    if len(peaks) and not (peaks.min() >= 0 and peaks.max() < len(x)):
        raise SignalError(
            f"R peaks lie between {peaks.min()} and {peaks.max()}, expected within the "
            f"recording's {len(x)} samples"
        )
