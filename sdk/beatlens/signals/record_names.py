"""Finding the record that a user names: by its path, or as DATABASE/RECORD.

`ward/119`, `ward/119.hea` and `ward/119.dat` name the same record. A path goes before a database:
`mitdb/119` is a record of the database where no file `mitdb/119.hea` lies below the current folder.

>>> find_record("")
Traceback (most recent call last):
beatlens.errors.DataError: the record's name is empty, expected a path or DATABASE/RECORD
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from beatlens.errors import DataError
from beatlens.signals.databases import (
    Database,
    database_in,
    database_names,
    find_database,
    is_database,
)
from beatlens.signals.wfdb_header import Expected, Header, read_header
from beatlens.signals.wfdb_pieces import Progress, RecordingFile, open_record

SHOWN = 200
"""Characters of a name that a message repeats."""


@dataclass(frozen=True)
class RecordPlace:
    """Where one record lies; nothing of it has been read.

    Attributes
    ----------
    label: the record as shown to the user: DATABASE/RECORD, or its path without extension.
    folder: of the header.
    name: the header's file name without `.hea`.
    database: the database by whose rules the record is read; empty for a record by path.
    root: the database's folder; None for a record by path.
    """

    label: str
    folder: Path
    name: str
    database: str = ""
    root: Path | None = None

    @property
    def key(self) -> str:
        """The same text for every spelling of the record's path."""
        return os.path.join(os.path.realpath(self.folder), self.name)

    def header(self) -> Header:
        """The record's header, checked; no signal file is looked at. DataError as `open`."""
        if self.root is not None:
            return database_in(self.database, self.root).header(self.name)
        return read_header(self.folder, self.name, Expected(checksums=False))

    def open(self, progress: Progress | None = None) -> RecordingFile:
        """The record, checked as a whole and read piece by piece; see `open_record`.

        Raises
        ------
        DataError: the record is damaged, or of a kind that is not read.
        """
        if self.root is not None:
            opened = database_in(self.database, self.root).open(self.name, progress)
            if not isinstance(opened, RecordingFile):
                raise DataError(f"{self.label} is not read from WFDB files, expected one that is")
            return opened
        return open_record(self.folder, self.name, progress=progress)


@dataclass(frozen=True)
class NoRecord:
    """A name that is no record's, and why."""

    label: str
    reason: str


def find_record(text: str, data: Path | None = None) -> RecordPlace:
    """The record that `text` names.

    Parameters
    ----------
    text: a path, with or without an extension, or DATABASE/RECORD such as `mitdb/119`.
    data: folder of databases, see `find_database`.

    Raises
    ------
    DataError: there is no such record; the message lists what is there.
    """
    _check(text)
    if place := _by_path(text):
        return place
    database, _, record = text.partition("/")
    if not is_database(database):
        raise DataError(_not_there(text))
    if not record:
        raise DataError(
            f"{text!r} is a database, expected one record of it, such as {text}/"
            f"{next(iter(find_database(text, data).records()))}"
        )
    return _in_database(find_database(database, data), record)


def find_records(texts: Sequence[str], data: Path | None = None) -> list[RecordPlace | NoRecord]:
    """The records that `texts` name, each once; a name may also stand for a whole database.

    Parameters
    ----------
    texts: names as for `find_record`, or names of databases.
    data: folder of databases, see `find_database`.

    Returns
    -------
    Places in the order of `texts`, and a `NoRecord` for each name that is no record's. Two names
    of one record give one place.
    """
    found: dict[str, RecordPlace | NoRecord] = {}
    for text in texts:
        try:
            places = _find_all(text, data)
        except DataError as error:
            found.setdefault(f"\0{text}", NoRecord(_shown(text), str(error)))
            continue
        for place in places:
            found.setdefault(place.key, place)
    return list(found.values())


def _find_all(text: str, data: Path | None) -> list[RecordPlace]:
    """The record of a name, or all records of a database."""
    if _by_path(text) or not is_database(text.rstrip("/")):
        return [find_record(text, data)]
    database = find_database(text.rstrip("/"), data)
    return [_in_database(database, record) for record in database.records()]


def _in_database(database: Database, record: str) -> RecordPlace:
    name = record.removesuffix(".hea")
    folder = database.record_folder(name)
    root = database.folder.resolve()
    return RecordPlace(f"{database.name}/{name}", folder, name, database.name, root)


def _check(text: str) -> None:
    if not text.strip():
        raise DataError("the record's name is empty, expected a path or DATABASE/RECORD")
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise DataError(
            f"the record's name {_shown(text)!r} holds a control character, expected a path or "
            "DATABASE/RECORD"
        )


def _by_path(text: str) -> RecordPlace | None:
    """The record at a path, where there is one."""
    path = Path(text)
    if not path.name or path.name == "..":
        return None
    stems = [path.name]
    # `r.hea`, or another file of the record, such as `r.dat`.
    if path.suffix == ".hea" or (path.suffix and _is_file(path)):
        stems.append(path.stem)
    for stem in stems:
        if _is_file(path.with_name(f"{stem}.hea")):
            return RecordPlace(str(path.with_name(stem)), path.absolute().parent, stem)
    return None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that no file system has: too long, a NUL
        return False


def _not_there(text: str) -> str:
    """What is wrong with a name that is no record's."""
    path = Path(text)
    shown = _shown(text)
    expected = (
        "expected a WFDB record's path, or DATABASE/RECORD with one of the databases "
        f"{', '.join(database_names())}"
    )
    try:
        if path.is_dir():
            headers = sorted(path.glob("*.hea"))
            such = ""
            if headers:
                such = (
                    f" such as {headers[0].with_suffix('')}, or to score all of them {path}/*.hea"
                )
            return f"{shown!r} is a folder, not a record; name a record in it{such}"
        if path.is_file():
            return (
                f"{shown!r} is a file without a WFDB header {path.stem + '.hea'!r} beside it, "
                f"{expected}"
            )
        named = path.with_name(f"{path.name.removesuffix('.hea')}.hea")
        named.is_file()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        return f"{shown!r} cannot be a record ({reason}), {expected}"
    return f"no such file: {_shown(str(named))}; {expected}"


def _shown(text: str) -> str:
    """A name, cut where it is long."""
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}... ({len(text)} characters)"
