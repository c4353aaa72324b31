"""Reading WFDB records, with every claim of the header held against the files.

The `wfdb` package decodes the samples; it is lenient, so that a damaged header can come out as a
default (a gain of `nan` becomes 200, a short signal file is an IndexError). Here a record is read
whole and as its header says, or `DataError` names the file, the field, the value found and what
was expected.

Formats: https://physionet.org/physiotools/wag/signal-5.htm.
"""

import struct
from pathlib import Path

import numpy as np
import wfdb
from numpy.typing import NDArray

from beatlens.errors import DataError
from beatlens.signals.recording import Recording
from beatlens.signals.wfdb_header import (
    FORMAT_BITS,
    Expected,
    Header,
    SignalLine,
    read_header,
    refuse,
)

# Type (30: 16-bit integers), rows, columns, not complex, length of the name, name.
_MAT_HEADER = struct.Struct("<5i4s")


def read_recording(
    folder: Path | str,
    name: str,
    *,
    database: str = "",
    patient: str | None = None,
    expected: Expected | None = None,
) -> Recording:
    """Read record `name` (`name.hea` and its signal files) of `folder`.

    Without `expected`, a checksum of 0 is taken as "none given".

    Raises
    ------
    DataError: the files are missing, damaged, contradict each other or `expected`, or use a part
        of the WFDB format that beatlens does not read (several samples per frame, skew, segments,
        compressed formats).

    >>> recording = read_recording("mitdb", "100")  # doctest: +SKIP
    >>> recording.lead_names, recording.rails  # doctest: +SKIP
    (('MLII', 'V5'), ((-1024, 1023), (-1024, 1023)))
    """
    folder = Path(folder)
    expected_or_any = expected or Expected(checksums=False)
    header = read_header(folder, name, expected_or_any)
    for file_name in dict.fromkeys(signal.file_name for signal in header.signals):
        _check_signal_file(header, file_name)
    digital = _read_samples(folder, name, header)
    _check_samples(header, digital, expected_or_any)
    counts, missing = _fill_missing(header, digital)
    counts.flags.writeable = False
    return Recording(
        name=name,
        database=database,
        patient=patient if patient is not None else name,
        rate_hz=header.rate_hz,
        lead_names=header.lead_names,
        counts=counts,
        counts_per_mv=tuple(signal.counts_per_mv for signal in header.signals),
        rails=tuple(_rails(s, row) for s, row in zip(header.signals, counts, strict=True)),
        calibrated=all(signal.calibrated for signal in header.signals),
        missing=missing,
    )


def record_length(folder: Path | str, name: str, expected: Expected | None = None) -> int:
    """Samples per lead of a record by its (checked) header; DataError as `read_recording`."""
    return read_header(Path(folder), name, expected or Expected(checksums=False)).samples


def _check_signal_file(header: Header, file_name: str) -> None:
    """Hold one signal file's size against the header, before anything is read from it."""
    group = [signal for signal in header.signals if signal.file_name == file_name]
    path = header.path.parent / file_name
    if len({(signal.fmt, signal.byte_offset) for signal in group}) != 1:
        kinds = [(signal.fmt, signal.byte_offset) for signal in group]
        refuse(header.path, f"format and byte offset of {file_name}", kinds, "one for the file")
    positions = [signal.file_name == file_name for signal in header.signals]
    first = positions.index(True)
    if not all(positions[first : first + len(group)]):
        refuse(header.path, "order of signals", file_name, "signals of one file side by side")
    if not path.is_file():
        raise DataError(f"{path}: no such file, but {header.path} says that it holds the samples")
    if group[0].byte_offset == _MAT_HEADER.size and path.suffix == ".mat":
        _check_mat_header(header, path, len(group))
    bits = header.samples * len(group) * FORMAT_BITS[group[0].fmt]
    wanted = group[0].byte_offset + (bits + 7) // 8
    if path.stat().st_size != wanted:
        refuse(
            path,
            "size",
            path.stat().st_size,
            f"{wanted} bytes ({header.samples} samples of {len(group)} signals in format "
            f"{group[0].fmt} after {group[0].byte_offset} bytes, by {header.path.name})",
        )


def _check_mat_header(header: Header, path: Path, leads: int) -> None:
    """MATLAB 4 files, as in the PhysioNet challenges: a matrix `val` of 16-bit integers."""
    with path.open("rb") as file:
        raw = file.read(_MAT_HEADER.size)
    wanted = _MAT_HEADER.pack(30, leads, header.samples, 0, 4, b"val\0")
    if raw != wanted:
        refuse(path, "MATLAB header", raw, f"{wanted!r} (by {header.path.name})")


def _read_samples(folder: Path, name: str, header: Header) -> NDArray[np.int32]:
    """Raw codes [leads, samples], as the `wfdb` package decodes them."""
    try:
        record = wfdb.rdrecord(str(folder.absolute() / name), physical=False, return_res=32)
    except Exception as error:  # wfdb raises whatever its parsing trips over
        raise DataError(f"{header.path}: wfdb cannot read the record: {error!r}") from error
    digital = np.array(record.d_signal.T, dtype=np.int32, order="C")
    wanted = (len(header.signals), header.samples)
    if digital.shape != wanted:
        refuse(header.path, "signals and samples read", digital.shape, f"{wanted} by the header")
    return digital


def _check_samples(header: Header, digital: NDArray[np.int32], expected: Expected) -> None:
    """Initial value and checksum of each signal against the header's."""
    for number, (signal, row) in enumerate(zip(header.signals, digital, strict=True)):
        if signal.checksum == 0 and not expected.checksums:
            continue
        total = int(row.sum(dtype=np.int64)) % 65536
        if total != signal.checksum % 65536:
            refuse(
                header.path.parent / signal.file_name,
                f"checksum of signal {number} ({signal.name})",
                total,
                f"{signal.checksum % 65536} by {header.path.name}",
            )
        if int(row[0]) != signal.initial:
            refuse(
                header.path.parent / signal.file_name,
                f"first sample of signal {number} ({signal.name})",
                int(row[0]),
                f"{signal.initial} by {header.path.name}",
            )


def _fill_missing(
    header: Header, digital: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.bool_] | None]:
    """Counts above the baseline, and where the lowest code stood for "no sample"."""
    lowest = np.array([-(2 ** (FORMAT_BITS[s.fmt] - 1)) for s in header.signals])
    missing = digital == lowest[:, None]
    for signal, row, gaps in zip(header.signals, digital, missing, strict=True):
        if gaps.all():
            refuse(header.path, f"signal {signal.name}", "all samples missing", "samples")
        if gaps.any():
            good = np.flatnonzero(~gaps)
            last = np.maximum.accumulate(np.where(gaps, -1, np.arange(row.size)))
            row[:] = row[np.where(last < 0, good[0], last)]
        if max(abs(int(row.min()) - signal.baseline), int(row.max()) - signal.baseline) >= 2**31:
            refuse(header.path, f"baseline of {signal.name}", signal.baseline, "32-bit counts")
        row -= signal.baseline
    return digital, missing if missing.any() else None


def _rails(signal: SignalLine, counts: NDArray[np.int32]) -> tuple[int, int]:
    """Lowest and highest count the converter can give, on the scale of `counts`.

    From the header's ADC resolution around its ADC zero; a resolution of 0 ("not given", ludb)
    means the range of the file format. Some published headers understate it (svdb says 10 bits
    and holds 11; nstdb adds noise to an 11-bit recording): the range is then widened bit by bit
    until it holds every sample, so that ordinary samples are never taken for a sensor at its rail.
    """
    bits = signal.adc_bits or FORMAT_BITS[signal.fmt]
    shift = signal.adc_zero - signal.baseline
    low, high = int(counts.min()) - shift, int(counts.max()) - shift
    while low < -(2 ** (bits - 1)) or high > 2 ** (bits - 1) - 1:
        bits += 1
    return shift - 2 ** (bits - 1), shift + 2 ** (bits - 1) - 1
