"""Decoding of WFDB signal files, against the `wfdb` package's decoder on bytes of all kinds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import wfdb

from beatlens.errors import DataError
from beatlens.signals.wfdb_header import FORMAT_BITS
from beatlens.signals.wfdb_samples import read_codes

SAMPLES = 41
OFFSET = 24


def write_random(folder: Path, fmt: str, signals: int, seed: int = 0) -> Path:
    """A record of random bytes: every code of the format may come."""
    size = (SAMPLES * signals * FORMAT_BITS[fmt] + 7) // 8
    raw = np.random.default_rng(seed).integers(0, 256, OFFSET + size, np.uint8)
    path = folder / "own.dat"
    path.write_bytes(raw.tobytes())
    line = f"own.dat {fmt}+{OFFSET} 200(0)/mV 0 0 0 0 0 lead"
    header = [f"own {signals} 100 {SAMPLES}", *[f"{line}{n}" for n in range(signals)]]
    (folder / "own.hea").write_text("\n".join(header) + "\n", encoding="ascii")
    return path


@pytest.mark.parametrize("signals", [1, 2, 3])
@pytest.mark.parametrize("fmt", FORMAT_BITS)
def test_codes_are_those_of_the_wfdb_package(tmp_path: Path, fmt: str, signals: int) -> None:
    path = write_random(tmp_path, fmt, signals)
    wanted = wfdb.rdrecord(str(tmp_path / "own"), physical=False, return_res=32).d_signal.T
    for start, stop in ((0, SAMPLES), (0, 1), (1, 2), (7, 40), (8, SAMPLES), (40, SAMPLES)):
        found = read_codes(path, fmt, OFFSET, signals, start, stop)
        assert found.dtype == np.int32
        assert np.array_equal(found, wanted[:, start:stop])


LOWEST = {
    "16": b"\0\x80", "24": b"\0\0\x80", "32": b"\0\0\0\x80", "61": b"\x80\0", "80": b"\0",
    "160": b"\0\0", "212": b"\0\x08",
}  # fmt: skip
"""By format, the bytes of the lowest code, which stands for a missing sample."""


@pytest.mark.parametrize("fmt", FORMAT_BITS)
def test_the_lowest_code_is_read(tmp_path: Path, fmt: str) -> None:
    (tmp_path / "own.dat").write_bytes(LOWEST[fmt])
    assert read_codes(tmp_path / "own.dat", fmt, 0, 1, 0, 1) == -(2 ** (FORMAT_BITS[fmt] - 1))


def test_a_short_file_and_one_that_is_not_there_are_named(tmp_path: Path) -> None:
    path = write_random(tmp_path, "16", 2)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(DataError, match=r"own\.dat: ends 3 bytes before sample 41 of its 2 sig"):
        read_codes(path, "16", OFFSET, 2, 0, SAMPLES)
    with pytest.raises(DataError, match=r"other\.dat: cannot be read"):
        read_codes(tmp_path / "other.dat", "16", OFFSET, 2, 0, SAMPLES)
