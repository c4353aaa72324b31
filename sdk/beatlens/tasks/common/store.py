"""Prepared tracks on disk, more of them than memory holds: written one by one, read in parts.

A store is a folder. `index.npz` has what is short, field by field over all tracks (names, beats,
labels); the samples, which are long, lie one recording after the other in files that are mapped
into memory, so that a crop reads its own few seconds and nothing else.

    write_tracks(folder, (condition_and_label(record) for record in records))
    tracks = read_tracks(folder, Track)      # tracks[7].x is a part of the file

`kept_tracks` keeps the stores of a run: one per role, made once for the same recordings.
"""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from beatlens.errors import DataError
from beatlens.output import writing

T = TypeVar("T")
LONG = ("x", "usable")
"""Fields with a value per sample."""
INDEX = "index.npz"
Arrays = dict[str, list[NDArray[Any]]]


def kept_tracks(
    folder: Path,
    made_of: tuple[object, ...],
    make: Mapping[str, Callable[[], Iterable[Any]]],
    kind: type[T],
) -> dict[str, list[T]]:
    """Tracks by role, out of the stores in a folder; what is not there yet is made and written.

    Args:
        folder: of all stores of a run; runs of several seeds may start in one at once.
        made_of: all that tracks depend on, of which the text counts: databases' fingerprints,
            records, what labels are taken to say. Anything else makes other stores.
        make: makes the tracks of a role, one after the other.
        kind: their class.
    """
    key = hashlib.sha256(repr((kind.__name__, *made_of)).encode()).hexdigest()[:12]
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, list[T]] = {}
    with FileLock(folder / "lock"):
        for role, made in make.items():
            store = folder / f"{key}-{role}"
            if not store.exists():
                write_tracks(store, made())
            found[role] = read_tracks(store, kind)
    return found


def write_tracks(folder: Path, tracks: Iterable[Any]) -> None:
    """Write tracks of one kind into a folder, whole or not at all.

    Args:
        folder: replaced if it is there.
        tracks: dataclass objects of one class, whose fields are arrays, tuples of arrays (as many
            in each track), text or whole numbers. Each is let go before the next is asked for.
    """
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    with writing(folder):
        part.mkdir(parents=True)
    columns: Arrays = {}
    for track in tracks:
        with writing(folder):
            _append(part, columns, track)
    joined = {name: np.concatenate(values) for name, values in columns.items()}
    with writing(folder):
        np.savez(part / INDEX, **joined)  # type: ignore[arg-type]
        shutil.rmtree(folder, ignore_errors=True)
        part.replace(folder)


def _append(folder: Path, columns: Arrays, track: Any) -> None:
    """Add a track: its long fields to the files, the others to the columns."""
    for field in fields(track):
        value = getattr(track, field.name)
        if field.name in LONG:
            columns.setdefault(f"{field.name}#", []).append(np.array([len(value)]))
            with (folder / f"{field.name}.bin").open("ab") as file:
                file.write(np.ascontiguousarray(value).tobytes())
        else:
            _add(columns, field.name, value)


def _add(columns: Arrays, name: str, value: Any) -> None:
    """Append a track's field to the columns: arrays with their lengths in `NAME#`."""
    if isinstance(value, tuple):
        for number, one in enumerate(value):
            _add(columns, f"{name}.{number}", one)
    elif isinstance(value, np.ndarray):
        columns.setdefault(f"{name}#", []).append(np.array([len(value)]))
        columns.setdefault(name, []).append(value)
    else:
        columns.setdefault(name, []).append(np.array([value]))


def read_tracks(folder: Path, kind: type[T]) -> list[T]:
    """Read what `write_tracks` wrote: tracks of class `kind`, their samples mapped from the files.

    Raises `DataError` where the folder holds something else, or files of other lengths.
    """
    try:
        with np.load(folder / INDEX) as archive:
            columns = {name: _read_only(archive[name]) for name in archive.files}
        cut = {name[:-1]: _starts(columns[name]) for name in columns if name.endswith("#")}
        for name in LONG:
            if name in cut:
                columns[name] = _mapped(folder / f"{name}.bin", name, int(cut[name][-1]))
        count = len(next(iter(cut.values()))) - 1 if cut else 0
        return [_track(kind, columns, cut, number) for number in range(count)]
    except (OSError, EOFError, KeyError, ValueError, IndexError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{folder}: not a folder of prepared tracks ({error}); delete it"
        ) from error


def _starts(lengths: NDArray[Any]) -> NDArray[np.int64]:
    """Where each track's part of a column begins, and the end: `[n + 1]`."""
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def _mapped(path: Path, name: str, length: int) -> NDArray[Any]:
    """The samples of all tracks, in the file."""
    if path.stat().st_size != length:
        raise ValueError(f"{path.name} has {path.stat().st_size} bytes, the index says {length}")
    dtype = np.int8 if name == "x" else np.bool_
    return np.memmap(path, dtype, "r") if length else np.zeros(0, dtype)


def _track(
    kind: type[T], columns: dict[str, NDArray[Any]], cut: dict[str, NDArray[np.int64]], number: int
) -> T:
    def part(name: str) -> Any:
        if name not in cut:
            return columns[name][number].item()
        first, last = cut[name][number : number + 2]
        if last > len(columns[name]):
            raise ValueError(f"{name} is shorter than its lengths say")
        return columns[name][first:last]

    values: dict[str, Any] = {}
    for field in fields(kind):  # type: ignore[arg-type]
        if f"{field.name}.0" in columns:
            many = sum(name.startswith(f"{field.name}.") for name in cut)
            values[field.name] = tuple(part(f"{field.name}.{i}") for i in range(many))
        else:
            values[field.name] = part(field.name)
    return kind(**values)


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    """Parts of a column are shared by all who read a track."""
    array.flags.writeable = False
    return array
