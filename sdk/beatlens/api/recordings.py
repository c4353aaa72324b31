"""`beatlens.open`: a recording on disk."""

from __future__ import annotations

from pathlib import Path

from beatlens.signals.record_names import find_record
from beatlens.signals.wfdb_pieces import RecordingFile


def open(name: str | Path, data: Path | str | None = None) -> RecordingFile:
    """Open a record, check it from its first to its last sample, and keep none of them in memory.

    Args:
        name: path of a WFDB record, with or without an extension, or DATABASE/RECORD.
        data: folder of databases; None searches BEATLENS_DATA and the cache.

    Returns:
        The recording: `lead_names`, `rate_hz`, `samples`, `counts_per_mv`, `rails`; its samples are
        read by `pieces(lead)`.

    Raises:
        DataError: there is no such record, or its files are damaged.

    >>> recording = open("mitdb/119")  # doctest: +SKIP
    >>> counts, missing = next(recording.pieces(recording.lead("MLII")))  # doctest: +SKIP
    """
    return find_record(str(name), None if data is None else Path(data)).open()
