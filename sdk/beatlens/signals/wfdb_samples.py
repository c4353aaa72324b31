"""Samples of WFDB signal files, decoded: the formats of `wfdb_header.FORMAT_BITS`.

Several signals of one file lie frame by frame: the first sample of each, then the second of each.

Formats: https://physionet.org/physiotools/wag/signal-5.htm.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from beatlens.errors import DataError
from beatlens.signals.wfdb_header import FORMAT_BITS

Codes = NDArray[np.int32]


def read_codes(
    path: Path, fmt: str, byte_offset: int, signals: int, start: int, stop: int
) -> Codes:
    """Raw codes int32 `[signals, stop - start]` of a signal file.

    Args:
        path: the file.
        fmt: its format, a key of `FORMAT_BITS`.
        byte_offset: bytes before the first sample.
        signals: number of signals in the file.
        start: first sample of each signal.
        stop: sample after the last one of each signal.

    Raises:
        DataError: the file cannot be read, or ends before `stop`.
    """
    first, last = start * signals, stop * signals
    bits = FORMAT_BITS[fmt]
    # Two samples of 12 bits share a byte: reading begins with the first of a pair.
    skipped = first % 2 if fmt == "212" else 0
    begin = (first - skipped) * bits // 8
    size = (last * bits + 7) // 8 - begin
    try:
        with path.open("rb") as file:
            file.seek(byte_offset + begin)
            raw = np.frombuffer(file.read(size), np.uint8)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
    if raw.size != size:
        raise DataError(
            f"{path}: ends {size - raw.size} bytes before sample {stop} of its {signals} signals; "
            "the file is damaged: get it from its source again"
        )
    codes = _DECODERS[fmt](raw)[skipped : skipped + last - first]
    return np.ascontiguousarray(codes.reshape(-1, signals).T, np.int32)


def _format_212(raw: NDArray[np.uint8]) -> Codes:
    """Pairs of 12-bit samples in three bytes: low byte, both high halves, low byte."""
    padded = np.zeros(-(-raw.size // 3) * 3, np.int32)
    padded[: raw.size] = raw
    triples = padded.reshape(-1, 3)
    pairs = np.empty((len(triples), 2), np.int32)
    pairs[:, 0] = triples[:, 0] | (triples[:, 1] & 0x0F) << 8
    pairs[:, 1] = triples[:, 2] | (triples[:, 1] & 0xF0) << 4
    pairs[pairs > 0x7FF] -= 0x1000
    return pairs.reshape(-1)


def _format_24(raw: NDArray[np.uint8]) -> Codes:
    """Three bytes, lowest first, two's complement: the upper three bytes of an int32, shifted."""
    wide = np.zeros((raw.size // 3, 4), np.uint8)
    wide[:, 1:] = raw.reshape(-1, 3)
    return np.asarray(wide.view("<i4")[:, 0] >> 8, np.int32)


_DECODERS: Mapping[str, Callable[[NDArray[np.uint8]], Codes]] = {
    "16": lambda raw: raw.view("<i2").astype(np.int32),
    "24": _format_24,
    "32": lambda raw: raw.view("<i4").astype(np.int32),
    "61": lambda raw: raw.view(">i2").astype(np.int32),
    # Offset binary: the code 0 is the lowest sample.
    "80": lambda raw: raw.astype(np.int32) - 0x80,
    "160": lambda raw: raw.view("<u2").astype(np.int32) - 0x8000,
    "212": _format_212,
}
