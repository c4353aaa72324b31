"""WFDB headers, every field checked before anything is read by them.

Format: https://physionet.org/physiotools/wag/header-5.htm. What a header must give here is more
than the format asks for: length, gain, checksum and name of each signal.
"""

import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

from beatlens.errors import DataError

NOMINAL_GAIN = 200.0
"""Counts per mV that WFDB assumes where a signal is not calibrated."""

MAX_HEADER_BYTES = 65536
MAX_LEADS = 64

FORMAT_BITS = {"16": 16, "24": 24, "32": 32, "61": 16, "80": 8, "160": 16, "212": 12}
"""Formats that are read, and the bits a sample takes; the lowest code means "no sample"."""

_RECORD_NAME = re.compile(r"[A-Za-z0-9_-]+")
MAX_NAME_BYTES = 255 - len(".hea")
_NOT_IN_NAMES = frozenset({"/", "\\", ":", *map(chr, range(32)), chr(127)})
# A plain name: nothing that could climb out of the folder, and no address.
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*(\.[A-Za-z0-9_]+)?")
_RATE = re.compile(r"(\d+(?:\.\d*)?)(/\d+(\.\d*)?(\(-?\d+(\.\d*)?\))?)?")
_FORMAT = re.compile(r"(\d+)(?:x(\d+))?(?::(\d+))?(?:\+(\d+))?")
_GAIN = re.compile(r"(\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)(?:\((-?\d+)\))?(?:/(\S+))?", re.ASCII)
_INTEGER = re.compile(r"-?\d+")

_MILLIVOLTS = {"mV": 1.0, "uV": 1e-3, "V": 1e3}


@dataclass(frozen=True)
class Expected:
    """What a published database is known to hold; a record that differs is refused.

    Attributes
    ----------
    rate_hz: sampling rate of every record, None if they differ.
    leads: number of signals of every record, None if they differ.
    checksums: True if every signal must carry a correct checksum. False for databases that were
        published without (cinc2017 has 0 throughout, and its initial values do not match either).
    uncalibrated: True if a gain of 0, WFDB's "not calibrated", is accepted; `Recording.calibrated`
        is then False and the gain WFDB's nominal one.
    baselines: False if the ADC zero is taken for 0 mV and not the baseline that the header gives:
        where counts above the baseline are beyond the 16 bits that the front end takes, in a
        database whose constant part has no meaning (cpsc2021). The front end removes it anyway.
    """

    rate_hz: int | None = None
    leads: int | None = None
    checksums: bool = True
    uncalibrated: bool = False
    baselines: bool = True


@dataclass(frozen=True)
class SignalLine:
    """One signal line of a header, checked."""

    file_name: str
    fmt: str
    byte_offset: int
    counts_per_mv: float
    calibrated: bool
    baseline: int
    adc_bits: int
    adc_zero: int
    initial: int
    checksum: int
    name: str


@dataclass(frozen=True)
class Header:
    """A header, checked."""

    path: Path
    rate_hz: int
    samples: int
    signals: tuple[SignalLine, ...]

    @property
    def files(self) -> tuple[Path, ...]:
        """The files of the record: the header, then each signal file."""
        names = dict.fromkeys(signal.file_name for signal in self.signals)
        return (self.path, *(self.path.parent / name for name in names))

    @property
    def lead_names(self) -> tuple[str, ...]:
        """Names of the signals; where one comes again it is numbered, as in `"ECG (2)"`."""
        names = [signal.name for signal in self.signals]
        again = [names[:at].count(name) + 1 for at, name in enumerate(names)]
        return tuple(
            name if number == 1 else f"{name} ({number})"
            for name, number in zip(names, again, strict=True)
        )


def refuse(path: Path, what: str, value: object, wanted: str) -> NoReturn:
    """Raise the `DataError` that says which file's `what` is `value` and not as `wanted`."""
    raise DataError(
        f"{path}: {what} is {value!r}, expected {wanted}; "
        "the file is damaged or not of a kind beatlens reads: get it from its source again"
    )


def check_record_name(name: str) -> None:
    """Raise DataError if `name` could be anything but a file's name without extension.

    A file may have been renamed, so blanks, brackets and other signs are allowed; what leads to
    another folder is not.
    """
    if (
        not name
        or name in (".", "..")
        or name.endswith(".hea")
        or any(sign in _NOT_IN_NAMES for sign in name)
    ):
        raise DataError(
            f"record name {name[:80]!r} is not one: expected a file name without extension, no path"
        )
    if len(name.encode("utf-8", "surrogatepass")) > MAX_NAME_BYTES:
        raise DataError(
            f"record name {name[:80]!r}... has {len(name)} characters, expected a file name of at "
            f"most {MAX_NAME_BYTES} bytes"
        )


def read_header(folder: Path, name: str, expected: Expected) -> Header:
    """Read and check `name.hea` of `folder`; no signal file is looked at.

    Raises
    ------
    DataError: the header is missing, malformed, lacks a field, or is not as `expected`.
    """
    check_record_name(name)
    path = folder / f"{name}.hea"
    lines = _header_lines(path)
    fields = lines[0].split()
    _check_named(path, fields[0], name)
    if len(fields) < 4:
        refuse(path, "record line", lines[0], "name, number of signals, sampling rate and length")
    leads = _integer(path, "number of signals", fields[1], 1, MAX_LEADS)
    if len(lines) - 1 != leads:
        refuse(path, "number of signals", leads, f"{len(lines) - 1}, the signal lines that follow")
    if expected.leads is not None and leads != expected.leads:
        refuse(path, "number of signals", leads, f"{expected.leads} as in the whole database")
    rate_hz = _rate(path, fields[2])
    if expected.rate_hz is not None and rate_hz != expected.rate_hz:
        refuse(path, "sampling rate", rate_hz, f"{expected.rate_hz} Hz as in the whole database")
    samples = _integer(path, "length in samples", fields[3], 1, 2**40)
    signals = tuple(
        _signal(path, number, line, expected.uncalibrated) for number, line in enumerate(lines[1:])
    )
    if not expected.baselines:
        signals = tuple(replace(signal, baseline=signal.adc_zero) for signal in signals)
    return Header(path, rate_hz, samples, signals)


def _check_named(path: Path, found: str, name: str) -> None:
    """Hold the record line's name against the file's.

    The PhysioNet challenges write `A0001.mat` for record A0001. A file name that is no WFDB record
    name (`100 (1)`, a copy) goes with any record name.
    """
    own = found in (name, f"{name}.mat")
    renamed = not _RECORD_NAME.fullmatch(name) and _RECORD_NAME.fullmatch(found)
    if not own and not renamed:
        refuse(path, "record name", found, f"{name!r}, the file's own name")


def _header_lines(path: Path) -> list[str]:
    """Lines of a header that are not comments; the first is the record line."""
    if not path.is_file():
        raise DataError(f"{path}: no such header file; expected a WFDB record's .hea")
    try:
        if path.stat().st_size > MAX_HEADER_BYTES:
            refuse(path, "size", path.stat().st_size, f"at most {MAX_HEADER_BYTES} bytes of header")
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    # Lines are taken as wfdb takes them (it drops what is not ASCII, and str.splitlines knows more
    # line ends than \n), so that no line can be a comment here and a signal there.
    lines = [line.strip() for line in raw.decode("ascii", errors="replace").splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    if not lines:
        refuse(path, "content", raw[:40], "a record line")
    for line in lines:
        if not all(" " <= character <= "~" or character == "\t" for character in line):
            refuse(path, "line", line[:80], "printable ASCII outside comments")
    return lines


def _integer(path: Path, what: str, text: str, low: int, high: int) -> int:
    # Twenty digits hold every legal value; more would only cost time to convert.
    if len(text) > 20 or not _INTEGER.fullmatch(text) or not low <= int(text) <= high:
        refuse(path, what, text, f"a whole number from {low} to {high}")
    return int(text)


def _rate(path: Path, text: str) -> int:
    match = _RATE.fullmatch(text)
    rate = float(match.group(1)) if match else math.nan
    if not 1 <= rate <= 100_000 or rate != int(rate):
        refuse(path, "sampling rate", text, "a whole number of Hz from 1 to 100000")
    return int(rate)


def _signal(path: Path, number: int, line: str, uncalibrated: bool) -> SignalLine:
    """Check one signal line; nine fields, the last (the lead's name) may hold blanks."""
    of = f"of signal {number}"
    fields = line.split(maxsplit=8)
    if len(fields) != 9:
        refuse(path, f"line {of}", line, "nine fields, file name to signal name")
    file_name, fmt, gain, bits, zero, initial, checksum, block, name = fields
    if not _FILE_NAME.fullmatch(file_name):
        refuse(path, f"file name {of}", file_name, f"a plain file name inside {path.parent}")
    fmt, byte_offset = _format(path, of, fmt)
    adc_zero = _integer(path, f"ADC zero {of}", zero, -(2**31), 2**31 - 1)
    counts_per_mv, calibrated, baseline = _gain(path, of, gain, uncalibrated)
    if _integer(path, f"block size {of}", block, 0, 2**31 - 1) != 0:
        refuse(path, f"block size {of}", block, "0, a disk file")
    return SignalLine(
        file_name=file_name,
        fmt=fmt,
        byte_offset=byte_offset,
        counts_per_mv=counts_per_mv,
        calibrated=calibrated,
        # WFDB: without a baseline the ADC zero is 0 V.
        baseline=adc_zero if baseline is None else baseline,
        adc_bits=_integer(path, f"ADC resolution {of}", bits, 0, 32),
        adc_zero=adc_zero,
        initial=_integer(path, f"initial value {of}", initial, -(2**31), 2**31 - 1),
        checksum=_integer(path, f"checksum {of}", checksum, -(2**15), 2**16 - 1),
        name=name.strip(),
    )


def _format(path: Path, of: str, text: str) -> tuple[str, int]:
    match = _FORMAT.fullmatch(text)
    if match is None or match.group(1) not in FORMAT_BITS:
        refuse(path, f"format {of}", text, f"one of {', '.join(FORMAT_BITS)}")
    fmt, per_frame, skew, offset = match.groups()
    if per_frame is not None and per_frame != "1":
        refuse(path, f"samples per frame {of}", per_frame, "1 (all leads at one rate)")
    if skew is not None and int(skew[:20]) != 0:
        refuse(path, f"skew {of}", skew, "0 (leads sampled together)")
    return fmt, _integer(path, f"byte offset {of}", offset or "0", 0, 2**20)


def _gain(path: Path, of: str, text: str, uncalibrated: bool) -> tuple[float, bool, int | None]:
    """(counts per mV, whether that is a calibration, baseline if given)."""
    match = _GAIN.fullmatch(text)
    gain = float(match.group(1)) if match else math.nan
    if match is None or not 0 <= gain <= 1e9:
        refuse(path, f"gain {of}", text, "a finite number of counts per mV above 0")
    baseline = match.group(2)
    if baseline is not None:
        _integer(path, f"baseline {of}", baseline, -(2**31), 2**31 - 1)
    unit = match.group(3) or "mV"
    if unit not in _MILLIVOLTS:
        refuse(path, f"unit {of}", unit, f"one of {', '.join(_MILLIVOLTS)}")
    if gain == 0 and not uncalibrated:
        refuse(path, f"gain {of}", text, "a gain above 0 (0 says the signal is not calibrated)")
    per_mv = gain / _MILLIVOLTS[unit] if gain else NOMINAL_GAIN
    return per_mv, gain != 0, None if baseline is None else int(baseline)
