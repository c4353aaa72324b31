"""A small made record in WFDB's format, for tests to damage."""

from pathlib import Path

import numpy as np
import wfdb

SAMPLES = 720
RATE_HZ = 360

HEADER = """{name} 2 360 720
{name}.dat 212 200 11 1024 {initial[0]} {checksum[0]} 0 MLII
{name}.dat 212 200 11 1024 {initial[1]} {checksum[1]} 0 V1
# 69 M 1085 1629 x1
"""


def made_counts() -> np.ndarray:
    """Codes int [2, 720] around the ADC zero of 1024, of an 11-bit converter."""
    t = np.arange(SAMPLES) / RATE_HZ
    waves = np.stack([300 * np.sin(2 * np.pi * 1.2 * t), 150 * np.cos(2 * np.pi * 0.7 * t)])
    return np.rint(waves).astype(np.int64) + 1024


def write_record(folder: Path, name: str = "100") -> np.ndarray:
    """Write record `name` with beats in `.atr`; return its codes [2, 720]."""
    folder.mkdir(parents=True, exist_ok=True)
    codes = made_counts()
    wfdb.wrsamp(
        name,
        fs=RATE_HZ,
        units=["mV", "mV"],
        sig_name=["MLII", "V1"],
        d_signal=codes.T,
        fmt=["212", "212"],
        adc_gain=[200.0, 200.0],
        baseline=[1024, 1024],
        write_dir=str(folder),
    )
    header = HEADER.format(name=name, initial=codes[:, 0], checksum=codes.sum(axis=1) % 65536)
    (folder / f"{name}.hea").write_text(header, encoding="ascii")
    wfdb.wrann(
        name,
        "atr",
        np.array([9, 20, 200, 380, 560]),
        symbol=["+", "N", "V", "N", "A"],
        aux_note=["(N\0", "", "", "", ""],
        write_dir=str(folder),
    )
    return codes


def edit_header(folder: Path, old: str, new: str, name: str = "100") -> None:
    """Replace `old`, which must occur, in a header."""
    path = folder / f"{name}.hea"
    text = path.read_text(encoding="ascii")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="latin-1")
