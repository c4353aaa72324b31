"""Writes the records of the ward: simulated sinus rhythm with pauses in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import wfdb

from beatlens.signals.simulate import COUNTS_PER_MV, simulate_patient

RATE_HZ = 250
PAUSES_EVERY, PAUSE_S = 14, 1.8
"""Beats from one pause to the next, and seconds that are added to an RR interval."""


def with_pauses(seed: int, seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """Counts `[n]` and R peaks `[b]` of a patient whose heart leaves out beats now and then."""
    patient = simulate_patient(seed, seconds, rate_hz=RATE_HZ, noise=0.5)
    counts, peaks = patient.recording.counts[0], patient.annotations.beats.sample
    parts, found, start, added = [], [], 0, 0
    rng = np.random.default_rng(seed)
    for number, peak in enumerate(peaks.tolist()):
        if number % PAUSES_EVERY == PAUSES_EVERY - 1:
            before = peak - round(0.3 * RATE_HZ)
            quiet = round(PAUSE_S * RATE_HZ)
            parts += [counts[start:before], counts[before] + rng.integers(-2, 3, quiet)]
            start, added = before, added + quiet
        found.append(peak + added)
    parts.append(counts[start:])
    return np.concatenate(parts), np.array(found)


def write_ward(folder: Path, patients: int = 8, seconds: float = 90) -> None:
    """Write the records of all patients, with annotations of their beats."""
    folder.mkdir(parents=True)
    for seed in range(patients):
        counts, peaks = with_pauses(seed, seconds)
        name = f"ward{seed}"
        wfdb.wrsamp(
            name, fs=RATE_HZ, units=["mV"], sig_name=["II"], d_signal=counts[:, None], fmt=["16"],
            adc_gain=[float(COUNTS_PER_MV)], baseline=[0], write_dir=str(folder),
        )  # fmt: skip
        wfdb.wrann(name, "atr", peaks, ["N"] * len(peaks), fs=RATE_HZ, write_dir=str(folder))
