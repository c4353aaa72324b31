"""Writing files that the disk may refuse: one sentence with the file and the reason."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from beatlens.errors import OutputError


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raise `OutputError`, which names `path`, where the system refuses a file in the block.

    >>> with writing(Path("/nowhere/a.json")):
    ...     Path("/nowhere/a.json").write_text("{}")
    Traceback (most recent call last):
        ...
    beatlens.errors.OutputError: /nowhere/a.json: cannot be written (No such file or directory); ...
    """
    try:
        yield
    except OSError as error:
        raise cannot_write(path, error) from error


def write_whole(path: Path, data: bytes | memoryview) -> None:
    """Write a file whole or not at all; an older one stays until then.

    Raises:
        OutputError: the disk is full, or the folder refuses.
    """
    part = path.with_suffix(".part")
    with writing(path):
        try:
            part.write_bytes(data)
            part.replace(path)
        except OSError:
            part.unlink(missing_ok=True)
            raise


def cannot_write(path: Path, error: OSError) -> OutputError:
    """The error of a file that the system does not take."""
    return OutputError(
        f"{path}: cannot be written ({error.strerror or error}); check the space on disk and who "
        "may write to the folder, then run the command again"
    )
