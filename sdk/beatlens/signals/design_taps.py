"""Designs the front end's resampling filters and writes them as integers.

Run it only to change the filters: `python -m beatlens.signals.design_taps`. The integers are
committed (`resampler_taps.npz`), because a filter designed at run time could round differently on
another machine, and the front end has to be the same to the bit everywhere.

The prototype is a windowed sinc (Kaiser; Oppenheim & Schafer, *Discrete-Time Signal Processing*,
sec. 7.5) with its -6 dB point at 50 Hz and stop band from 64 Hz whatever the sensor's rate, so that
every sensor is seen through the same band.
"""

from math import ceil, gcd
from pathlib import Path

import numpy as np

MODEL_RATE_HZ = 128
RATES_HZ = (125, 128, 200, 250, 256, 300, 360, 500, 512, 1000)
CUTOFF_HZ = 50.0
TRANSITION_HZ = 28.0
STOP_DB = 50.0
UNITY = 1 << 15
TAPS_FILE = Path(__file__).with_name("resampler_taps.npz")


def design(rate_hz: int) -> np.ndarray:
    """Return the polyphase taps int16 `[L, 2H]` from `rate_hz` to 128 Hz, each row summing to 2^15.

    `L = 128 / gcd(128, rate)`. Row `p`, column `i` weighs input sample `n0 + i - H + 1` for an
    output that lies `p / L` samples after input sample `n0`.
    """
    phases = MODEL_RATE_HZ // gcd(MODEL_RATE_HZ, rate_hz)
    beta = 0.5842 * (STOP_DB - 21) ** 0.4 + 0.07886 * (STOP_DB - 21)
    half = ceil((STOP_DB - 7.95) / (2.285 * 2 * np.pi * TRANSITION_HZ / rate_hz) / 2)
    columns = np.arange(-half + 1, half + 1)
    offset = np.arange(phases)[:, None] / phases - columns[None, :]
    window = np.i0(beta * np.sqrt(np.clip(1 - (offset / half) ** 2, 0, None))) / np.i0(beta)
    cutoff = 2 * CUTOFF_HZ / rate_hz
    taps = np.where(np.abs(offset) < half, cutoff * np.sinc(cutoff * offset) * window, 0.0)
    taps /= taps.sum(axis=1, keepdims=True)
    rounded = np.round(taps * UNITY).astype(np.int64)
    for row, exact in zip(rounded, offset, strict=True):
        _settle_sum(row, exact)
    return rounded.astype(np.int16)


def _settle_sum(row: np.ndarray, offset: np.ndarray) -> None:
    """Make a row sum to exactly 2^15 (no gain ripple between phases), keeping its symmetry."""
    error = UNITY - int(row.sum())
    nearest = np.flatnonzero(np.isclose(np.abs(offset), np.abs(offset).min()))
    if error % len(nearest):
        raise ArithmeticError(f"row error {error} cannot be shared by {len(nearest)} equal taps")
    row[nearest] += error // len(nearest)


def main() -> None:
    """Write the taps of every supported rate to `resampler_taps.npz`."""
    taps = {str(rate): design(rate) for rate in RATES_HZ}
    np.savez_compressed(TAPS_FILE, **taps)  # type: ignore[arg-type]  # numpy's stub: allow_pickle


if __name__ == "__main__":
    main()
