"""Reading files that another run, or another program, may have damaged."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from beatlens.errors import DataError


@contextmanager
def checked_read(path: Path, what: str, remedy: str) -> Iterator[None]:
    """Turn whatever a damaged file trips a reader over into one sentence.

    Args:
        path: of the file that the block reads.
        what: the file should be.
        remedy: what to do.

    Raises:
        DataError: the file cannot be read, or holds something else.

    >>> with checked_read(Path("teacher.json"), "a training's history", "delete it"):
    ...     {}["rows"]
    Traceback (most recent call last):
    beatlens.errors.DataError: teacher.json: not a training's history (KeyError('rows')); delete it
    """
    try:
        yield
    except (OSError, EOFError, ValueError, LookupError, TypeError, AttributeError, StopIteration,
            RecursionError, zipfile.BadZipFile) as error:  # fmt: skip
        reason = error.strerror if isinstance(error, OSError) and error.strerror else repr(error)
        raise DataError(f"{path}: not {what} ({reason[:200]}); {remedy}") from error
