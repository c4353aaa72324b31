"""Which wave a beat's evidence lies in: the span's samples by wave, and shares of the evidence.

A beat's span is cut into `WAVES`, in time: what is `earlier` than its P wave (of the beat before,
mostly), `p`, `pr` from there to QRS, `qrs`, `st_t` from there to the end of T, and what is `later`.
A wave that was not found takes no time: without P all before QRS is `earlier`, without T all after
it is `later`.

A column of evidence is 62.5 ms and counts for each wave by the samples it shares with it. It stands
at the middle of what the network looks at, which is seconds wide: evidence at a wave is not yet a
use of that wave (deleting the wave shows it, see `benchmarks.clinical.faithfulness`).

>>> waves = BeatWaves(*(np.array([ends]) for ends in ([8, 16], [24, 32], [40, 56])))
>>> columns = wave_columns(waves, np.array([0]), 8, 8)
>>> dict(zip(WAVES, columns.mean(axis=2)[0].tolist()))
{'earlier': 0.125, 'p': 0.125, 'pr': 0.125, 'qrs': 0.125, 'st_t': 0.375, 'later': 0.125}
>>> evidence = np.array([[-1.0, 0, 0, 3, 1, 0, 0, -2]])
>>> wave_shares(evidence, columns)[0].tolist()
[0.0, 0.0, 0.0, 0.75, 0.25, 0.0]
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from beatlens.errors import SignalError
from benchmarks.clinical.delineation import NONE, BeatWaves

Floats = NDArray[np.float64]
WAVES = ("earlier", "p", "pr", "qrs", "st_t", "later")
BEFORE_QRS = ("earlier", "p", "pr")


def sample_waves(waves: BeatWaves, first: NDArray[np.int64], span: int) -> NDArray[np.int64]:
    """Number in `WAVES` of every sample of beats' spans, `[b, span]`.

    Args:
        waves: of the beats; each has a QRS.
        first: sample each span begins at, `[b]`.
        span: samples.

    Raises:
        SignalError: a beat without QRS, or arrays of different beats.
    """
    if len(waves.qrs) != len(first) or (waves.qrs == NONE).any():
        raise SignalError(
            f"{len(first)} spans and {int((waves.qrs != NONE).all(axis=1).sum())} beats with a "
            "QRS, expected one for each span; leave out beats whose QRS was not found"
        )
    at = first[:, None] + np.arange(span)
    begin, end = waves.qrs[:, :1], waves.qrs[:, 1:]
    p, t = waves.p, waves.t
    number = {name: index for index, name in enumerate(WAVES)}
    found = np.full(at.shape, number["earlier"])
    has_p = p[:, :1] != NONE
    found[has_p & (at >= p[:, :1])] = number["p"]
    found[has_p & (at >= p[:, 1:])] = number["pr"]
    found[at >= begin] = number["qrs"]
    found[at >= end] = number["st_t"]
    # -1 of a T that was not found is before all, so that ST-T takes no time.
    found[(at >= end) & (at >= t[:, 1:])] = number["later"]
    return found


def wave_columns(waves: BeatWaves, first: NDArray[np.int64], columns: int, stride: int) -> Floats:
    """Share of every column's samples that lie in each wave, `[b, W, T]`; sums to 1 over waves.

    Args:
        waves, first: as for `sample_waves`.
        columns: T, of a span.
        stride: samples of a column.
    """
    samples = sample_waves(waves, first, columns * stride)
    each = samples[:, None, :] == np.arange(len(WAVES))[:, None]
    return np.asarray(each.reshape(len(first), len(WAVES), columns, stride).mean(axis=3))


def wave_shares(evidence: Floats, columns: Floats) -> Floats:
    """Share of each beat's positive evidence that lies in each wave, `[b, W]`.

    NaN for a beat without any positive evidence. A map that knows nothing of waves has the shares
    of time, `columns.mean(axis=2)`.

    Args:
        evidence: `[b, T]`, of the class decided on less another's.
        columns: `[b, W, T]`, see `wave_columns`.
    """
    positive = evidence.clip(min=0)
    with np.errstate(invalid="ignore"):
        return np.asarray(
            np.einsum("bt,bwt->bw", positive, columns) / positive.sum(axis=1)[:, None]
        )


def wave_sums(evidence: Floats, columns: Floats) -> Floats:
    """Evidence of either sign summed in each wave, `[b, W]`; arguments as for `wave_shares`."""
    return np.asarray(np.einsum("bt,bwt->bw", evidence, columns))


def peak_shares(evidence: Floats, columns: Floats) -> Floats:
    """Which wave the highest column lies in, `[b, W]`, by the samples it shares with each.

    Columns of equal height count alike. A random column has the shares of time.
    """
    peak = evidence == evidence.max(axis=1, keepdims=True)
    return np.asarray(
        np.einsum("bt,bwt->bw", peak.astype(np.float64), columns) / peak.sum(axis=1)[:, None]
    )
