"""Small WFDB records that tests write: a beat a second, with annotations of beats and rhythms."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import wfdb


def write_record(
    folder: Path,
    name: str,
    *,
    rate_hz: int = 250,
    leads: Sequence[str] = ("II", "V1"),
    seconds: int = 20,
    beats: str = "NNNV",
    annotator: str | None = "atr",
    comments: Sequence[str] = (),
) -> None:
    """Write a record, its beats' codes `beats` over and over, fibrillating in its second half.

    Args:
        folder: made if need be.
        name: of the record.
        rate_hz, leads, seconds: of the recording.
        beats: codes of the beats, one letter each.
        annotator: extension of the file of annotations; None writes none.
        comments: lines of the header, without `#`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    samples = seconds * rate_hz
    at = np.arange(rate_hz // 2, samples, rate_hz)
    signal = np.random.default_rng(1).integers(-3, 4, (samples, len(leads)))
    signal[at] += 200
    wfdb.wrsamp(
        name,
        fs=rate_hz,
        units=["mV"] * len(leads),
        sig_name=list(leads),
        d_signal=signal,
        fmt=["16"] * len(leads),
        adc_gain=[200.0] * len(leads),
        baseline=[0] * len(leads),
        comments=list(comments),
        write_dir=str(folder),
    )
    if annotator is None:
        return
    marks = [(sample, beats[i % len(beats)], "") for i, sample in enumerate(at.tolist())]
    marks += [(5, "+", "(N"), (samples // 2, "+", "(AFIB")]
    sample, symbol, aux = zip(*sorted(marks), strict=True)
    wfdb.wrann(
        name,
        annotator,
        np.array(sample),
        symbol=list(symbol),
        aux_note=list(aux),
        write_dir=str(folder),
    )
