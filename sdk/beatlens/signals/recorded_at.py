"""When a WFDB record was made, by its header: the last two fields of the record line."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path


def recorded_at(header: Path) -> datetime | None:
    """When recording began; None where the header gives no date and time, or none that is one.

    Args:
        header: path of a `.hea` file, such as one whose record line is
            `A00004 1 300 9000 11:05:48 1/05/2000`: time of day, then day, month and year.
    """
    lines = header.read_text(encoding="utf-8", errors="replace").splitlines()
    line = next((line for line in lines if line.strip() and not line.startswith("#")), "")
    fields = line.split()
    if len(fields) < 6:
        return None
    try:
        return datetime.strptime(f"{fields[4].split('.')[0]} {fields[5]}", "%H:%M:%S %d/%m/%Y")
    except ValueError:
        return None
