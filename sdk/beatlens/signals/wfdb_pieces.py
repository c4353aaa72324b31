"""Long WFDB records, read piece by piece in memory that does not grow with their length.

A record is gone through once when it is opened, so that every claim of its header is held against
the files before the first sample is used, as `wfdb_files.read_recording` does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from beatlens.signals.recording import Piece, find_lead
from beatlens.signals.wfdb_files import (
    Sums,
    check_signal_files,
    check_sums,
    find_rails,
    lowest_codes,
    read_samples,
)
from beatlens.signals.wfdb_header import Expected, Header, read_header

PIECE = 1 << 17
"""Samples per lead read at once: six minutes at 360 Hz."""
Progress = Callable[[int, int], None]
"""Called with samples done and in all."""


@dataclass(frozen=True)
class RecordingFile:
    """A record on disk that was found to be as its header describes it.

    Attributes
    ----------
    name, database, patient, rate_hz, samples, lead_names, counts_per_mv, rails, calibrated: as in
        `Recording`.
    """

    name: str
    database: str
    patient: str
    rate_hz: int
    samples: int
    lead_names: tuple[str, ...]
    counts_per_mv: tuple[float, ...]
    rails: tuple[tuple[int, int], ...]
    calibrated: bool
    _header: Header = field(repr=False)
    _sums: Sums = field(repr=False)

    @property
    def header_path(self) -> Path:
        """The record's header file."""
        return self._header.path

    def lead(self, name: str) -> int:
        """Row of the lead called `name`; as `Recording.lead`."""
        where = f"{self.database}/{self.name}" if self.database else self.name
        return find_lead(self.lead_names, name, where)

    def pieces(self, row: int) -> Iterator[Piece]:
        """Consecutive pieces of one lead."""
        signal = self._header.signals[row]
        held = self._sums.first_good[row]
        for start in range(0, self.samples, PIECE):
            stop = min(start + PIECE, self.samples)
            codes = read_samples(self._header, start, stop, row)[0]
            gaps = codes == lowest_codes(self._header)[row]
            missing = None
            if gaps.any():
                missing = gaps
                last = np.maximum.accumulate(np.where(gaps, -1, np.arange(codes.size)))
                codes = np.asarray(np.where(last < 0, held, codes[last]), np.int32)
            held = int(codes[-1])
            yield codes - np.int32(signal.baseline), missing


def open_record(
    folder: Path | str,
    name: str,
    *,
    database: str = "",
    patient: str | None = None,
    expected: Expected | None = None,
    progress: Progress | None = None,
) -> RecordingFile:
    """Check record `name` of `folder` from its first to its last sample, and keep none of them.

    Parameters
    ----------
    database, patient, expected: as for `read_recording`.
    progress: called with how far the check is.

    Raises
    ------
    DataError: as `read_recording`.

    >>> record = open_record("mitdb", "100")  # doctest: +SKIP
    >>> counts, missing = next(record.pieces(record.lead("MLII")))  # doctest: +SKIP
    """
    expected_or_any = expected or Expected(checksums=False)
    header = read_header(Path(folder), name, expected_or_any)
    check_signal_files(header)
    sums = Sums.none(header)
    for start in range(0, header.samples, PIECE):
        stop = min(start + PIECE, header.samples)
        sums = sums.with_samples(header, read_samples(header, start, stop))
        if progress is not None:
            progress(stop, header.samples)
    check_sums(header, sums, expected_or_any)
    return RecordingFile(
        name=name,
        database=database,
        patient=patient if patient is not None else name,
        rate_hz=header.rate_hz,
        samples=header.samples,
        lead_names=header.lead_names,
        counts_per_mv=tuple(signal.counts_per_mv for signal in header.signals),
        rails=find_rails(header, sums),
        calibrated=all(signal.calibrated for signal in header.signals),
        _header=header,
        _sums=sums,
    )
