"""Text files that appear whole or not at all, also where two processes write the same one."""

from __future__ import annotations

import errno
import os
import time
import uuid
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TextIO

from beatlens.output import cannot_write


class WholeFile:
    """A file written under a name of its own, which takes its place when the block ends well.

    Args:
        path: of the file; one that is there is replaced.
        newline, errors: as for `open`.
        run: part of the name that the file has before it is whole, for `remove_parts`.

    Raises:
        OutputError: the disk is full or refuses. Nothing of the file is left, an older one stays.

    >>> with WholeFile(Path("/tmp/beatlens-example.txt")) as file:
    ...     file.write("whole\\n")
    """

    def __init__(
        self,
        path: Path,
        newline: str | None = None,
        errors: str = "strict",
        run: str = "",
    ) -> None:
        self.path = path
        self._part = _name_part(path, run)
        self._newline, self._errors = newline, errors
        self._file: TextIO | None = None

    def __enter__(self) -> WholeFile:
        try:
            self._file = self._part.open(
                "x", encoding="utf-8", newline=self._newline, errors=self._errors
            )
        except OSError as error:
            raise cannot_write(self.path, error) from error
        return self

    def write(self, text: str) -> int:
        """Append text; returns how many characters."""
        assert self._file is not None, "write outside of the with block"
        try:
            return self._file.write(text)
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._file is not None
        try:
            if kind is None:
                self._keep(self._file)
        except OSError as failure:
            raise cannot_write(self.path, failure) from failure
        finally:
            with suppress(OSError):  # of a full disk: the block's own error is the one to raise
                self._file.close()
            self._part.unlink(missing_ok=True)

    def _keep(self, file: TextIO) -> None:
        file.flush()
        os.fsync(file.fileno())
        file.close()
        self._part.replace(self.path)
        keep_folder(self.path.parent)


def _name_part(path: Path, run: str = "") -> Path:
    """A name of its own for each process and file."""
    return path.with_name(f".{path.name}.{run}.{os.getpid()}.{uuid.uuid4().hex[:8]}.part")


def remove_parts(folder: Path, run: str = "*", older_than_s: float = 0.0) -> None:
    """Remove what processes left that were killed while they wrote a `WholeFile`.

    Args:
        folder: of the files.
        run: of the files; `*` of all.
        older_than_s: age of the files in seconds; a younger one may be in the making.
    """
    for part in folder.glob(f".*.{run}.*.*.part"):
        with suppress(OSError):
            if time.time() - part.stat().st_mtime >= older_than_s:
                part.unlink()


def keep_folder(folder: Path) -> None:
    """Bring a folder's list of names to the disk, where the system can do that."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_first(path: Path, text: str) -> bool:
    """Write a file that no other process has written; returns False where one has.

    Raises `OutputError` where the disk refuses.
    """
    part = _name_part(path)
    try:
        try:
            part.write_text(text, encoding="utf-8")
            _link(part, path)
        except FileExistsError:
            return False
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error
    return True


def _link(part: Path, path: Path) -> None:
    """Give a file its name; unlike a rename, FileExistsError where the name is taken."""
    try:
        os.link(part, path)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
        # A file system without links, such as FAT.
        if path.exists():
            raise FileExistsError(path) from error
        part.replace(path)
