"""Whole files or none: what a report, a plot or a README is written with."""

from __future__ import annotations

import os
from pathlib import Path

from beatlens.errors import DataError


def write_atomic(path: str | Path, content: str | bytes) -> Path:
    """Write `content` (text as UTF-8) to `path` through a temporary file beside it and a rename.

    A reader sees the old file or the new one, never half of it, and a failed write leaves no
    temporary file behind. An existing file keeps its permissions. Raises `DataError` where the
    folder is missing or not writable.
    """
    path = Path(path)
    data = content.encode("utf-8") if isinstance(content, str) else content
    # "x" on a name with the process id: never another writer's file, and the umask applies.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        try:
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if path.exists():
                temporary.chmod(path.stat().st_mode & 0o777)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(
            f"cannot write {path}: {error.strerror or error}; "
            "name a file in an existing folder that you may write to"
        ) from error
    return path
