"""Reading WFDB records, with every claim of the header held against the files.

A record is read whole and as its header describes it, or `DataError` names file, field, value
found and what was expected. (The `wfdb` package is lenient: a damaged header can come out as a
default, a gain of `nan` as 200. It is needed neither here nor by whoever only runs a model.)

Formats: https://physionet.org/physiotools/wag/signal-5.htm.
"""

from __future__ import annotations

import struct
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
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
from beatlens.signals.wfdb_samples import read_codes

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
    check_signal_files(header)
    digital = read_samples(header, 0, header.samples)
    sums = Sums.none(header).with_samples(header, digital)
    check_sums(header, sums, expected_or_any)
    counts, missing = _fill_missing(header, digital, sums)
    counts.flags.writeable = False
    return Recording(
        name=name,
        database=database,
        patient=patient if patient is not None else name,
        rate_hz=header.rate_hz,
        lead_names=header.lead_names,
        counts=counts,
        counts_per_mv=tuple(signal.counts_per_mv for signal in header.signals),
        rails=find_rails(header, sums),
        calibrated=all(signal.calibrated for signal in header.signals),
        missing=missing,
    )


def check_signal_files(header: Header) -> None:
    """Hold the signal files' sizes against the header, before anything is read from them.

    Raises DataError.
    """
    for file_name in dict.fromkeys(signal.file_name for signal in header.signals):
        _check_signal_file(header, file_name)


def _check_signal_file(header: Header, file_name: str) -> None:
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
        raise DataError(
            f"{path}: no such file, but {header.path} says that it holds the samples"
            f"{_instead(path)}"
        )
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


def _instead(path: Path) -> str:
    """A note on a file that lies there under the same name with another ending."""
    for ending in (".mat", ".dat"):
        there = path.with_name(f"{path.name}{ending}")
        if there.is_file():
            return f"; {there.name} is there: correct the file name in the header's signal lines"
    return ""


def _check_mat_header(header: Header, path: Path, leads: int) -> None:
    """MATLAB 4 files, as in the PhysioNet challenges: a matrix `val` of 16-bit integers."""
    if header.samples >= 2**31:
        refuse(
            header.path,
            "length in samples",
            header.samples,
            f"at most {2**31 - 1}, the most that a MATLAB 4 file such as {path.name} holds",
        )
    with path.open("rb") as file:
        raw = file.read(_MAT_HEADER.size)
    wanted = _MAT_HEADER.pack(30, leads, header.samples, 0, 4, b"val\0")
    if raw != wanted:
        refuse(path, "MATLAB header", raw, f"{wanted!r} (by {header.path.name})")


def read_samples(
    header: Header, start: int, stop: int, row: int | None = None
) -> NDArray[np.int32]:
    """Raw codes [leads, stop - start]; of one lead [1, stop - start] if `row` is given.

    Raises DataError.
    """
    wanted = header.signals if row is None else (header.signals[row],)
    rows = []
    for name in dict.fromkeys(signal.file_name for signal in wanted):
        group = [signal for signal in header.signals if signal.file_name == name]
        codes = read_codes(
            header.path.parent / name, group[0].fmt, group[0].byte_offset, len(group), start, stop
        )
        # `is`: two signals of a file may have equal lines.
        rows += [codes[at] for at, signal in enumerate(group) if any(signal is w for w in wanted)]
    return np.stack(rows)


@dataclass(frozen=True)
class Sums:
    """What is known of a record's codes, each a tuple by signal, after so many of its samples.

    `totals` are sums; `first` the first codes; `first_good`, `low` and `high` are of codes that
    stand for a sample, None where there was none yet.
    """

    totals: tuple[int, ...]
    first: tuple[int | None, ...]
    first_good: tuple[int | None, ...]
    low: tuple[int | None, ...]
    high: tuple[int | None, ...]

    @classmethod
    def none(cls, header: Header) -> Sums:
        """Of no sample."""
        nothing = (None,) * len(header.signals)
        return cls((0,) * len(header.signals), nothing, nothing, nothing, nothing)

    def with_samples(self, header: Header, digital: NDArray[np.int32]) -> Sums:
        """Of these codes [leads, n] as well, n >= 1."""
        rows = zip(digital, lowest_codes(header), *astuple(self), strict=True)
        return Sums(*zip(*(_summed(*row) for row in rows), strict=True))


def _summed(
    codes: NDArray[np.int32],
    missing: int,
    total: int,
    first: int | None,
    first_good: int | None,
    low: int | None,
    high: int | None,
) -> tuple[int, int, int | None, int | None, int | None]:
    total += int(codes.sum(dtype=np.int64))
    first = int(codes[0]) if first is None else first
    good = codes if int(codes.min()) != missing else codes[codes != missing]
    if good.size:
        first_good = int(good[0]) if first_good is None else first_good
        lowest, highest = int(good.min()), int(good.max())
        low = lowest if low is None else min(low, lowest)
        high = highest if high is None else max(high, highest)
    return total, first, first_good, low, high


def check_sums(header: Header, sums: Sums, expected: Expected) -> None:
    """Initial value, checksum and range of each signal against the header's.

    Raises DataError.
    """
    for number, (signal, total, first) in enumerate(
        zip(header.signals, sums.totals, sums.first, strict=True)
    ):
        if signal.checksum == 0 and not expected.checksums:
            continue
        path = header.path.parent / signal.file_name
        if total % 65536 != signal.checksum % 65536:
            refuse(
                path,
                f"checksum of signal {number} ({signal.name})",
                total % 65536,
                f"{signal.checksum % 65536} by {header.path.name}",
            )
        if first != signal.initial:
            refuse(
                path,
                f"first sample of signal {number} ({signal.name})",
                first,
                f"{signal.initial} by {header.path.name}",
            )
    for signal, low, high in zip(header.signals, sums.low, sums.high, strict=True):
        if low is None or high is None:
            refuse(header.path, f"signal {signal.name}", "all samples missing", "samples")
        if max(abs(low - signal.baseline), high - signal.baseline) >= 2**31:
            refuse(header.path, f"baseline of {signal.name}", signal.baseline, "32-bit counts")


def lowest_codes(header: Header) -> list[int]:
    """By signal, the code that stands for "no sample"."""
    return [-(2 ** (FORMAT_BITS[signal.fmt] - 1)) for signal in header.signals]


def _fill_missing(
    header: Header, digital: NDArray[np.int32], sums: Sums
) -> tuple[NDArray[np.int32], NDArray[np.bool_] | None]:
    """Counts above the baseline, and where the lowest code stood for "no sample"."""
    missing = digital == np.array(lowest_codes(header))[:, None]
    for signal, row, gaps, first in zip(
        header.signals, digital, missing, sums.first_good, strict=True
    ):
        if gaps.any():
            last = np.maximum.accumulate(np.where(gaps, -1, np.arange(row.size)))
            row[:] = np.where(last < 0, first, row[last])
        row -= signal.baseline
    return digital, missing if missing.any() else None


def find_rails(header: Header, sums: Sums) -> tuple[tuple[int, int], ...]:
    """Lowest and highest count each converter can give, above the baseline.

    From the header's ADC resolution around its ADC zero; a resolution of 0 ("not given", ludb)
    means the range of the file format. Some published headers understate it (svdb has 10 bits
    and holds 11; nstdb adds noise to an 11-bit recording): the range is then widened bit by bit
    until it holds every sample, so that ordinary samples are never taken for a sensor at its rail.
    """
    return tuple(
        _rails(signal, low or 0, high or 0)
        for signal, low, high in zip(header.signals, sums.low, sums.high, strict=True)
    )


def _rails(signal: SignalLine, low: int, high: int) -> tuple[int, int]:
    bits = signal.adc_bits or FORMAT_BITS[signal.fmt]
    while (
        low - signal.adc_zero < -(2 ** (bits - 1)) or high - signal.adc_zero > 2 ** (bits - 1) - 1
    ):
        bits += 1
    shift = signal.adc_zero - signal.baseline
    return shift - 2 ** (bits - 1), shift + 2 ** (bits - 1) - 1
