"""Heart rate from R peaks: least, mean and most, and the longest interval between two beats.

The rules:

- The rate of a window is 60 * 8 over the seconds that 8 RR intervals in a row take, as Holter
  programs print it. One interval alone would make each premature beat the fastest of the day.
- The least and the most rate are those of the slowest and the fastest window.
- The mean rate is 60 times the number of RR intervals over the sum of them.
- An interval that touches a break (signal that is missing, flat or saturated), or that is longer
  than `LONGEST_RR_S`, is no RR interval: nobody knows what beats were in it.

Needs numpy only.

>>> rate = heart_rate(np.arange(20) * 0.75)
>>> rate.least, rate.mean, rate.most, rate.intervals
(80.0, 80.0, 80.0, 19)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from beatlens.errors import SignalError

WINDOW = 8
"""RR intervals whose rate is one value."""
LONGEST_RR_S = 8.0
"""A longer time without an R peak counts as a break, in seconds."""

Breaks = Sequence[tuple[float, float]]
"""Times without usable signal, (start, end) in seconds, in time order, none touches another."""


@dataclass(frozen=True)
class HeartRate:
    """Rates in beats a minute.

    Attributes:
        mean: over all intervals; None where there is none.
        least, most: of the slowest and the fastest window; None where no window is whole.
        least_at_s, most_at_s: middles of those windows, seconds.
        intervals: how many RR intervals there are.
    """

    mean: float | None
    least: float | None
    most: float | None
    least_at_s: float | None
    most_at_s: float | None
    intervals: int


def rr_intervals(peaks_s: NDArray[np.floating], breaks: Breaks = ()) -> NDArray[np.float64]:
    """The seconds between consecutive R peaks, float64 `[n - 1]`; NaN where a break is between.

    Args:
        peaks_s: R peaks `[n]` in seconds, in time order.
        breaks: times without usable signal.

    Raises:
        SignalError: peaks are not `[n]` finite seconds in time order.

    >>> rr_intervals(np.array([0.0, 1.0, 4.0, 5.0]), [(2.0, 3.0)]).tolist()
    [1.0, nan, 1.0]
    """
    peaks = np.asarray(peaks_s, dtype=np.float64)
    if peaks.ndim != 1 or not np.isfinite(peaks).all():
        raise SignalError(f"R peaks have shape {peaks.shape}, expected [n] finite seconds")
    intervals = np.diff(peaks)
    if (intervals <= 0).any():
        at = int(np.flatnonzero(intervals <= 0)[0])
        raise SignalError(
            f"R peak {at + 1} is at {peaks[at + 1]:g} s, expected one after {peaks[at]:g} s"
        )
    bad = intervals > LONGEST_RR_S
    if len(breaks):
        starts, ends = np.array(breaks, dtype=np.float64).T
        begun = np.searchsorted(starts, peaks[1:], side="left")
        over = np.searchsorted(ends, peaks[:-1], side="right")
        bad |= begun > over
    return np.where(bad, np.nan, intervals)


def windowed_rates(
    peaks_s: NDArray[np.floating], breaks: Breaks = ()
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rate of each window of `WINDOW` intervals: middles in seconds, beats a minute, both `[w]`.

    Windows start at each R peak. Args and errors as `rr_intervals`.
    """
    peaks = np.asarray(peaks_s, dtype=np.float64)
    intervals = rr_intervals(peaks, breaks)
    if len(intervals) < WINDOW:
        return np.zeros(0), np.zeros(0)
    bad = np.concatenate([[0], np.cumsum(np.isnan(intervals))])
    whole = np.flatnonzero(bad[WINDOW:] == bad[:-WINDOW])
    first, last = peaks[whole], peaks[whole + WINDOW]
    return (first + last) / 2, 60.0 * WINDOW / (last - first)


def heart_rate(peaks_s: NDArray[np.floating], breaks: Breaks = ()) -> HeartRate:
    """Least, mean and most heart rate. Args and errors as `rr_intervals`."""
    intervals = rr_intervals(peaks_s, breaks)
    kept = intervals[~np.isnan(intervals)]
    mean = float(60.0 * len(kept) / kept.sum()) if len(kept) else None
    middles, rates = windowed_rates(peaks_s, breaks)
    if not len(rates):
        return HeartRate(mean, None, None, None, None, len(kept))
    least, most = int(rates.argmin()), int(rates.argmax())
    return HeartRate(
        mean=mean,
        least=float(rates[least]),
        most=float(rates[most]),
        least_at_s=float(middles[least]),
        most_at_s=float(middles[most]),
        intervals=len(kept),
    )


def longest_interval(
    peaks_s: NDArray[np.floating], breaks: Breaks = ()
) -> tuple[float, float] | None:
    """The longest RR interval: the time of the R peak before it and its length, in seconds.

    None where there is no interval. Args and errors as `rr_intervals`.

    >>> longest_interval(np.array([0.0, 1.0, 3.5, 4.5]))
    (1.0, 2.5)
    """
    intervals = rr_intervals(peaks_s, breaks)
    if np.isnan(intervals).all():
        return None
    at = int(np.nanargmax(intervals))
    return float(np.asarray(peaks_s)[at]), float(intervals[at])
