"""Noise of a known strength in clean recordings: the noise stress test.

Moody, Muldrow and Mark (Computers in Cardiology 1984), and the WFDB program `nst`.

From 5:00 on, two minutes with noise and two without take turns. Strength is a signal-to-noise ratio
in decibel, `10 log10(S / (N a^2))`, a the noise's gain:

- S is the power of the QRS complexes, `(mean peak-to-peak amplitude)^2 / 8` over the first 300
  normal beats, each within 50 ms of its mark, the largest and smallest 5 % left out,
- N that of the noise, `(mean RMS)^2` over the first 300 seconds, each less its mean, likewise.

The sensor's rails stay where they are: what noise drives beyond them is saturated.

>>> import numpy as np
>>> noise_segments(10 * 60 * 360, 360)
[(108000, 151200), (194400, 216000)]
>>> round(noise_power(np.sin(np.arange(3600) / 2), 360), 3)
0.5
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from beatlens.errors import DataError
from beatlens.signals.annotations import Annotations
from beatlens.signals.databases import Database
from beatlens.signals.recording import Recording

NOISES = {"bw": "baseline wander", "ma": "muscle artefact", "em": "electrode motion"}
LEVELS_DB = (24, 18, 12, 6, 0, -6)
START_S, STRETCH_S = 300, 120
MEASURED = 300
"""Beats, and seconds of noise, whose power is measured."""
TRIMMED = 0.05
QRS_S = 0.05
NORMAL = "NLR"
Floats = NDArray[np.float64]


def noise_segments(samples: int, rate_hz: int) -> list[tuple[int, int]]:
    """First and last sample (exclusive) of the segments with noise of a recording."""
    starts = range(START_S * rate_hz, samples, 2 * STRETCH_S * rate_hz)
    return [(start, min(samples, start + STRETCH_S * rate_hz)) for start in starts]


def read_noise(database: Database, kind: str, lead: int = 0) -> tuple[Floats, int]:
    """Noise of nstdb in arbitrary units `[n]`, and its samples per second.

    Args:
        database: nstdb.
        kind: of `NOISES`. Where the record is not at hand, its pieces are: `emd0`, `emd1` and so on
            (118e_6 less 118).
        lead: 0 or 1.

    Raises:
        DataError: neither is there.
    """
    names = [name for name in database.records() if name == kind]
    pieces = [name for name in sorted(database.records()) if name.startswith(f"{kind}d")]
    if not names and not pieces:
        raise DataError(
            f"nstdb in {database.folder} has no record {kind}; get it by `beatlens data get nstdb`"
        )
    read = [database.read(name) for name in names or pieces]
    values = [part.counts[lead] / part.counts_per_mv[lead] for part in read]
    return np.concatenate(values), read[0].rate_hz


def noise_power(noise: Floats, rate_hz: int) -> float:
    """N, in the square of the noise's units."""
    whole = min(len(noise) // rate_hz, MEASURED)
    seconds = noise[: whole * rate_hz].reshape(whole, rate_hz)
    return _trimmed_mean(seconds.std(axis=1)) ** 2


def qrs_power(millivolts: Floats, annotations: Annotations, rate_hz: int) -> float:
    """S, in mV squared. Normal beats are those with the commonest of the marks N, L and R.

    Raises `DataError` where there are none.
    """
    found = [annotations.sample[annotations.symbol == symbol] for symbol in NORMAL]
    beats = max(found, key=len)[:MEASURED]
    if not len(beats):
        raise DataError(f"record {annotations.name} has no normal beats to measure its signal by")
    reach = round(QRS_S * rate_hz)
    around = [millivolts[max(0, at - reach) : at + reach + 1] for at in beats.tolist()]
    return _trimmed_mean(np.array([np.ptp(part) for part in around])) ** 2 / 8


def with_noise(
    recording: Recording,
    lead: str,
    annotations: Annotations,
    noise: Floats,
    snr_db: float,
) -> NDArray[np.int16]:
    """Counts `[n]` of a lead with noise in its noisy segments, clamped at its rails.

    Args:
        recording: clean, at the noise's rate.
        lead: its name.
        annotations: its beats.
        noise: as `read_noise` gives it, taken from its beginning on, and again where it ends.
        snr_db: how strong.

    Raises:
        DataError: no such lead, or no normal beats.
    """
    row, rate = recording.lead(lead), recording.rate_hz
    gain = recording.counts_per_mv[row]
    clean = recording.counts[row] / gain
    power = qrs_power(clean, annotations, rate) / noise_power(noise, rate)
    factor = np.sqrt(power / 10 ** (snr_db / 10))
    noisy, used = clean.copy(), 0
    for start, end in noise_segments(len(clean), rate):
        part = np.take(noise, np.arange(used, used + end - start), mode="wrap")
        noisy[start:end] += factor * part
        used += end - start
    return np.asarray(np.clip(np.round(noisy * gain), *recording.rails[row]), np.int16)


def _trimmed_mean(values: Floats) -> float:
    cut = int(TRIMMED * len(values))
    return float(np.sort(values)[cut : len(values) - cut].mean())
