"""Fetching a database from PhysioNet into the cache, through the `wfdb` package.

Files keep PhysioNet's layout below the database's folder. Each is written under another name and
renamed once it is whole and its SHA-256 is that of `SHA256SUMS.txt`, so that a file that is there
is a good one, and a fetch that was cut short goes on where it stopped. At the end every record is
read once, with the checks of `wfdb_files`.
"""

import hashlib
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from wfdb.io.download import PN_INDEX_URL, dl_full_file

from beatlens.errors import DataError
from beatlens.signals.data_folders import cache_root
from beatlens.signals.databases import (
    Database,
    Published,
    database_names,
    database_type,
    listed_records,
    published_as,
)
from beatlens.signals.databases.wfdb_database import list_entries

Progress = Callable[[int, int, str], None]
"""Called with files done, files in all, and the file just done."""

# PhysioNet asks for at most two connections at a time; so does wfdb.
_CONNECTIONS = 2

_SUMS = "SHA256SUMS.txt"
_SUM_LINE = re.compile(r"([0-9a-f]{64})[ \t]+\*?(\S.*)")


def get_database(
    name: str,
    root: Path | str | None = None,
    *,
    progress: Progress | None = None,
    base_url: str = PN_INDEX_URL,
) -> Database:
    """Fetch what is missing of database `name` into `root/name` and check all of it.

    Parameters
    ----------
    name: of a database that PhysioNet has.
    root: the folder of databases, by default the cache `find_database` looks in.
    progress: called for every file, from the calling thread.
    base_url: the server's folder of databases, by default PhysioNet's.

    Raises
    ------
    DataError: no such database, or PhysioNet does not have it; the server cannot be reached, a file
        is not there, has another checksum than published, or a record does not read back. What was
        fetched before stays.

    >>> get_database("mitdb", progress=lambda done, total, path: print(path))  # doctest: +SKIP
    """
    published = published_as(name)
    if not published.slug:
        have = ", ".join(other for other in database_names() if _on_physionet(other))
        raise DataError(f"{name} is not on PhysioNet, expected one of {have}; copy its files here")
    folder = Path(root or cache_root()) / name
    source = f"{base_url.rstrip('/')}/{published.slug}/{published.version}"
    _fetch(f"{source}/{_SUMS}", folder / _SUMS, None, optional=True)
    sums = _checksums(folder / _SUMS)
    _fetch_lists(source, folder, published.records_in, sums)
    database = database_type(name)(folder / published.records_in)
    _fetch_all(source, folder, _wanted(database, sums), sums, progress)
    _check(database)
    return database


def _on_physionet(name: str) -> bool:
    try:
        return bool(published_as(name).slug)
    except DataError:  # of another package, which does not load
        return False


def _fetch_lists(source: str, folder: Path, inside: str, sums: dict[str, str]) -> None:
    """Fetch the list of records, and those of the sub-folders it names.

    Where the server has checksums but no list, the list is made of the headers among them.
    """
    listing = f"{inside}/RECORDS" if inside else "RECORDS"
    top = f"{inside}/" if inside else ""
    headers = [path for path in sums if path.startswith(top) and path.endswith(".hea")]
    path = folder / listing
    if listing not in sums and headers:
        _fetch(f"{source}/{listing}", path, None, optional=True)
        if not path.is_file():
            entries = (header.removeprefix(top).removesuffix(".hea") for header in headers)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(f"{entry}\n" for entry in entries), encoding="ascii")
    else:
        _fetch(f"{source}/{listing}", path, sums.get(listing))
    for entry in list_entries(path):
        if entry.endswith("/"):
            _fetch_lists(source, folder, top + entry.removesuffix("/"), sums)


def _inside(published: Published, path: str) -> str:
    """A path among the records, from the database's top."""
    return f"{published.records_in}/{path}" if published.records_in else path


def _wanted(database: Database, sums: dict[str, str]) -> dict[str, bool]:
    """Path of each file to fetch, and whether the database may lack it."""
    published = database.published
    wanted = {published.table: False} if published.table else {}
    for record in listed_records(database.folder):
        if record.rpartition("/")[2] in published.without_signals:
            continue
        for extension in published.extensions:
            wanted[_inside(published, f"{record}.{extension}")] = False
        for number, annotator in enumerate(published.annotators):
            path = _inside(published, f"{record}.{annotator}")
            optional = number > 0 or not published.annotated
            if not optional or path in sums or (not sums and number == 0):
                wanted[path] = optional
    return wanted


def _fetch_all(
    source: str,
    folder: Path,
    wanted: dict[str, bool],
    sums: dict[str, str],
    progress: Progress | None,
) -> None:
    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        jobs = {
            pool.submit(
                _complete, f"{source}/{path}", folder / path, sums.get(path), may_lack
            ): path
            for path, may_lack in wanted.items()
        }
        try:
            for done, job in enumerate(as_completed(jobs), start=1):
                job.result()
                if progress is not None:
                    progress(done, len(jobs), jobs[job])
        except BaseException:
            # One failure, or Ctrl-C: the files still waiting must not be fetched first.
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _complete(url: str, path: Path, checksum: str | None, optional: bool) -> None:
    """Fetch a file unless it is there and good."""
    if path.is_file() and (checksum is None or _sha256(path) == checksum):
        return
    _fetch(url, path, checksum, optional)


def _fetch(url: str, path: Path, checksum: str | None, optional: bool = False) -> None:
    """Fetch a file under another name, check it, then give it its name."""
    part = path.with_name(f"{path.name}.part")
    _make_room(part)
    try:
        dl_full_file(url, str(part))
        found = _sha256(part)
        if checksum is not None and found != checksum:
            part.unlink()
            raise DataError(
                f"{url}: SHA-256 is {found}, expected {checksum} by {_SUMS}; the transfer was "
                "damaged: run the command again"
            )
        part.replace(path)
    except FileNotFoundError as error:
        if not optional:
            raise DataError(f"{url}: the server has no such file ({error})") from error
    except OSError as error:
        raise DataError(
            f"{url}: cannot be fetched to {path.parent} ({error}); check the connection and the "
            "space on disk, then run the command again: it goes on where it stopped"
        ) from error


def _make_room(part: Path) -> None:
    """Make the folder of a file, and see that the file can be written, before a server is asked."""
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        part.unlink(missing_ok=True)  # left from before; it may be a link to elsewhere
        part.open("xb").close()
        part.unlink()
    except OSError as error:
        raise DataError(
            f"{error.filename or part}: cannot be written ({error.strerror}); name a folder of "
            "your own for the databases (--to)"
        ) from error


def _checksums(path: Path) -> dict[str, str]:
    """Path to SHA-256, from a SHA256SUMS.txt; empty if the server has none."""
    if not path.is_file():
        return {}
    sums = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        match = _SUM_LINE.fullmatch(line.strip())
        if match is None:
            raise DataError(
                f"{path}: line is {line[:80]!r}, expected a SHA-256 and a file name; delete the "
                "file and run the command again"
            )
        sums[match.group(2).removeprefix("./")] = match.group(1)
    return sums


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check(database: Database) -> None:
    """Read every record back."""
    published = database.published
    for record in database.records():
        database.read(record)
        if published.annotator is not None and published.annotated:
            database.annotations(record)
