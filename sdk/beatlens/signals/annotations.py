"""WFDB annotation files (`beatlens.signals.annotation_types` has what is read of them).

Codes: https://archive.physionet.org/physiobank/annotations.shtml.
"""

import re
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from beatlens.errors import DataError
from beatlens.signals.annotation_types import (
    AAMI_CLASSES,
    BEAT_SYMBOLS,
    MAPPINGS,
    AamiMapping,
    Annotations,
    Beats,
    Interval,
    aami_class,
    rhythm_mask,
)
from beatlens.signals.wfdb_header import Expected, check_record_name, read_header, refuse

__all__ = [
    "AAMI_CLASSES",
    "BEAT_SYMBOLS",
    "MAPPINGS",
    "MAX_ANNOTATION_BYTES",
    "AamiMapping",
    "Annotations",
    "Beats",
    "Interval",
    "aami_class",
    "read_annotations",
    "rhythm_mask",
    "write_annotations",
]

MAX_ANNOTATION_BYTES = 2**24

# Codes of a file's words: annotations up to 49, then a long time step, and a note's text.
_HIGHEST_CODE, _SKIP, _NOTE = 49, 59, 63

# The code of a comment. Comments at time 0 that begin with `## ` are about how to read the file.
_COMMENT = 22
_RESOLUTION = re.compile(r"## time resolution: (\d{1,9}(?:\.\d{0,9})?)\s*")
_DEFINITIONS, _DEFINED = "## annotation type definitions", "## end of definitions"

_ANNOTATOR, _WRITTEN = re.compile(r"[A-Za-z0-9_]+"), re.compile(r"[A-Za-z]+")


def read_annotations(
    folder: Path | str, name: str, annotator: str, length: int, *, rate_hz: int | None = None
) -> Annotations:
    """Read `name.annotator` of `folder`, annotations of a record of `length` samples.

    A file may count time in its own units (its comment `## time resolution: N`, N a second). Its
    times become the record's samples: `t * rate_hz / N`, rounded to the nearest, halves up, as the
    WFDB library does.

    Parameters
    ----------
    rate_hz: the record's sampling rate; None reads it from `name.hea` of `folder` where it is
        needed.

    Raises
    ------
    DataError: the file is missing, damaged, annotates samples the record does not have, or counts
        time in its own units and the record's rate is not known.
    """
    import wfdb

    check_record_name(name)
    if not _ANNOTATOR.fullmatch(annotator):
        raise DataError(f"annotator {annotator!r} is not one: expected letters and digits")
    path = Path(folder) / f"{name}.{annotator}"
    resolution = _time_resolution(path, _check_file(path))
    try:
        # Only symbols are asked for: the file's own codes are checked against wfdb's table.
        found = wfdb.rdann(str(path.absolute().parent / name), annotator)
        symbols = [str(symbol) for symbol in found.symbol]
        aux = tuple(text.rstrip("\0").rstrip() for text in found.aux_note)
    except Exception as error:  # wfdb raises whatever its parsing trips over
        raise DataError(f"{path}: wfdb cannot read the annotations: {error!r}") from error
    sample = np.asarray(found.sample, dtype=np.int64)
    if resolution is not None:
        sample = _at_rate(sample, resolution, _record_rate(path, name, resolution, rate_hz))
    subtype = np.asarray(found.subtype, dtype=np.int64)
    _check_annotations(path, sample, symbols, length)
    # One published file (svdb 860) annotates the sample after the last, where there is no signal.
    keep = int(np.searchsorted(sample, length))
    symbol = np.array(symbols[:keep], dtype="<U1")
    return Annotations(name, length, sample[:keep], symbol, subtype[:keep], aux[:keep])


def _record_rate(path: Path, name: str, resolution: Fraction, rate_hz: int | None) -> int:
    """The record's rate, as given or as in its header."""
    if rate_hz is not None:
        return rate_hz
    if not path.with_name(f"{name}.hea").is_file():
        raise DataError(
            f"{path}: counts time in {float(resolution):g} units a second, and there is no "
            f"{name}.hea that says the record's sampling rate: give rate_hz"
        )
    return read_header(path.parent, name, Expected(checksums=False)).rate_hz


def _at_rate(times: NDArray[np.int64], resolution: Fraction, rate_hz: int) -> NDArray[np.int64]:
    """Times in units of 1/`resolution` s as the nearest samples at `rate_hz`, halves up."""
    scale = rate_hz / resolution
    if scale == 1:
        return times
    up, down = scale.numerator, scale.denominator
    # Python's integers: a product may be beyond 64 bits.
    return ((2 * up * times.astype(object) + down) // (2 * down)).astype(np.int64)


def _time_resolution(path: Path, comments: list[str]) -> Fraction | None:
    """Units of time a second, from the comments at time 0; None: the record's samples.

    Any other comment that begins with `## ` is refused: `wfdb` never comes back from it.
    """
    found: Fraction | None = None
    defining = False
    for text in comments:
        if defining or text == _DEFINITIONS:
            defining = text != _DEFINED
        elif text.startswith("## "):
            match = _RESOLUTION.fullmatch(text)
            if match is None or found is not None or Fraction(match[1]) == 0:
                refuse(path, "comment at time 0", text, "one '## time resolution: N', N above 0")
            found = Fraction(match[1])
    return found


def write_annotations(folder: Path | str, annotator: str, given: Annotations, rate_hz: int) -> Path:
    """Write `NAME.annotator` in WFDB's format, which other tools read; returns the file.

    Args:
        folder: where it goes; made if it is not there.
        annotator: the file's ending, letters and digits.
        given: at least one annotation, in time order.
        rate_hz: samples per second, kept in the file.

    Raises
    ------
    DataError: there is nothing to write, an annotation is none of WFDB's, or the folder refuses.
    """
    import wfdb

    check_record_name(given.name)
    path = Path(folder) / f"{given.name}.{annotator}"
    if not _WRITTEN.fullmatch(annotator):  # wfdb writes no others
        raise DataError(f"annotator {annotator!r} cannot be written: expected letters")
    if given.sample.size == 0:
        raise DataError(f"{path}: no annotation to write, expected at least one")
    _check_annotations(path, given.sample, given.symbol.tolist(), given.length)
    unknown = set(given.symbol.tolist()) - set(wfdb.io.annotation.ann_label_table["symbol"])
    if unknown:
        refuse(path, "annotation codes", sorted(unknown), "WFDB's own")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        wfdb.wrann(
            given.name, annotator, given.sample, given.symbol.tolist(), subtype=given.subtype,
            aux_note=list(given.aux), fs=rate_hz, write_dir=str(path.parent),
        )  # fmt: skip
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: the annotations cannot be written ({error})") from error
    return path


def _check_file(path: Path) -> list[str]:
    """Hold the file against the format, which wfdb reads leniently: it goes on past the end mark.

    Returns the comments at time 0, which may be about how to read the rest.

    Words of 16 bits: a code in the upper 6, a time or length in the lower 10; two of the codes are
    followed by more bytes. The word 0 is the end mark, and must be the last.
    https://physionet.org/physiotools/wag/annot-5.htm
    """
    if not path.is_file():
        raise DataError(f"{path}: no such annotation file")
    size = path.stat().st_size
    if size > MAX_ANNOTATION_BYTES or size < 2 or size % 2:
        refuse(path, "size", size, f"an even number of bytes from 2 to {MAX_ANNOTATION_BYTES}")
    raw = path.read_bytes()
    last = size - 2
    if raw[last:] != b"\0\0":
        refuse(path, "end", raw[last:], "two zero bytes, the end mark")
    at = time = kind = number = 0
    comments: list[tuple[int, str]] = []
    others: list[tuple[int, str]] = []
    while at < last:
        word = int.from_bytes(raw[at : at + 2], "little")
        code, value = word >> 10, word & 0x3FF
        if word == 0:
            refuse(path, "position of the end mark", at, f"{last}, the end of the file")
        if _HIGHEST_CODE < code < _SKIP or (code == _NOTE and value > 255):
            refuse(path, f"word at byte {at}", hex(word), "an annotation")
        at += 2
        if code == _SKIP:
            high, low = raw[at : at + 2], raw[at + 2 : at + 4]
            time += int.from_bytes(low + high, "little", signed=True)
            at += 4
        elif code == _NOTE:
            text = raw[at : at + value].decode("latin-1").rstrip("\0")
            (comments if time == 0 and kind == _COMMENT else others).append((number, text))
            at += value + value % 2
        elif code <= _HIGHEST_CODE:
            time, kind, number = time + value, code, number + 1
    if at != last:
        refuse(path, "last annotation's end", at, f"at most {last}, where the end mark is")
    for number, text in others:
        # wfdb looks for its definitions in so many notes from the first, and hangs on another.
        if number <= len(comments) and text.startswith("## "):
            refuse(path, f"note of annotation {number}", text, "no '## ' before the definitions")
    return [text for _, text in comments]


def _check_annotations(
    path: Path, sample: NDArray[np.int64], symbols: list[str], length: int
) -> None:
    odd = sorted({symbol for symbol in symbols if len(symbol) != 1})
    if odd or sample.size != len(symbols):
        refuse(path, "annotation codes", odd, f"WFDB's own, one for each of {sample.size} times")
    back = np.flatnonzero(np.diff(sample) < 0)
    if back.size:
        refuse(path, "sample", int(sample[back[0] + 1]), f"{sample[back[0]]} or later, time order")
    outside = sample[(sample < 0) | (sample > length)]
    if outside.size:
        refuse(path, "sample", int(outside[0]), f"0 to {length - 1}, the record's samples")
