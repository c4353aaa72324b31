"""Files of findings: one per recording, tied to the bytes and options that they came from.

A file is JSON Lines. The first line has what the findings are of: the SHA-256 of each file of the
record, the lead, the bundle's SHA-256, the seconds between findings, the version of beatlens. Then
comes a finding a line, and behind them, of a model of beats, a rhythm a line (key `rhythm`, see
`beatlens.tasks.beats.rhythm_kinds`). The last line counts them and has the SHA-256 of all lines
before it, so that a file cut at any place, or changed, is known.

Numbers are rounded (`rounded`): times to 0.1 ms, all others to 5 significant digits.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from beatlens.pipeline.whole_files import WholeFile

FORMAT = "beatlens findings 3"
TIME_DECIMALS, DIGITS = 4, 5
MAX_LINE = 1 << 20
"""Bytes of the longest first or last line that is read."""
MAX_READABLE = 80
"""Characters of a record's name in the name of its file."""
_OTHER = re.compile(r"[^A-Za-z0-9_-]")


@dataclass(frozen=True)
class Counts:
    """What a file of findings holds: findings, undecided ones, those with a warning, by class.

    `rhythms` are figures of the whole recording by name.
    """

    findings: int
    undecided: int
    warned: int
    classes: dict[str, int]
    rhythms: dict[str, float]


def result_name(label: str, key: str, database: bool) -> str:
    """The file of one record's findings: readable, and another one for each record.

    Args:
        label: DATABASE/RECORD, or a path.
        key: the same for every spelling of one path (`RecordPlace.key`).
        database: whether the label is DATABASE/RECORD. Such names hold a dot, others do not.

    >>> result_name("mitdb/119", "/data/mitdb/119", True)
    'mitdb.119.jsonl'
    >>> result_name("a/b_c", "/home/me/a/b_c", False)
    'b_c-28bd0865e04ec92c.jsonl'
    """
    if database and len(label) <= MAX_READABLE:
        return f"{label.replace('/', '.')}.jsonl"
    readable = _OTHER.sub("_", label.rpartition("/")[2])[:MAX_READABLE]
    digest = hashlib.sha256(os.fsencode(key)).hexdigest()[:16]
    return f"{readable}-{digest}.jsonl"


def rounded(value: Any, key: str = "") -> Any:
    """Plain data with its numbers rounded as files of findings have them.

    >>> rounded({"time_s": 604800.123456, "probability": 0.123456789, "beats": 7})
    {'time_s': 604800.1235, 'probability': 0.12346, 'beats': 7}
    """
    if isinstance(value, float):
        if key.endswith("_s") or key == "seconds":
            return round(value, TIME_DECIMALS)
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, Mapping):
        return {name: rounded(item, name) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item, key) for item in value]
    return value


def json_line(content: Mapping[str, Any]) -> str:
    """One line of a file of findings, numbers rounded; without its line end."""
    return json.dumps(rounded(content), separators=(",", ":"), allow_nan=False)


def digests(paths: Iterable[Path]) -> dict[str, str]:
    """SHA-256 of files by their names, read in pieces.

    Raises `OSError` where one cannot be read.
    """
    found = {}
    for path in paths:
        with path.open("rb") as file:
            found[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def states(paths: Iterable[Path]) -> list[tuple[int, int, int]]:
    """What changes where a file is written to: size, time and inode. Raises `OSError`."""
    stats = [path.stat() for path in paths]
    return [(each.st_size, each.st_mtime_ns, each.st_ino) for each in stats]


def write_result(
    file: WholeFile,
    head: Mapping[str, Any],
    findings: Iterable[Mapping[str, Any]],
    rhythms: Callable[[], tuple[Iterable[Mapping[str, Any]], Mapping[str, float]]] | None = None,
) -> Counts:
    """Write a file of findings; each finding is written before the next one is asked for.

    Args:
        file: open.
        head: the first line, all that the findings depend on.
        findings: as plain data, see `Finding.as_dict`.
        rhythms: called behind the last finding: rhythms as plain data, and figures of them all.

    Raises:
        OutputError: the disk refuses.
    """
    digest = hashlib.sha256()

    def add(content: Mapping[str, Any]) -> None:
        line = json_line(content) + "\n"
        digest.update(line.encode("ascii"))
        file.write(line)

    add(head)
    usual = {"findings": 0, "undecided": 0, "warned": 0}
    classes: Counter[str] = Counter()
    for finding in findings:
        add(finding)
        usual["findings"] += 1
        usual["undecided"] += not finding["assessable"]
        usual["warned"] += bool(finding["warnings"])
        classes.update(finding["predicted"])
    figures: Mapping[str, float] = {}
    if rhythms is not None:
        found, figures = rhythms()
        for rhythm in found:
            add(rhythm)
    counts = Counts(**usual, classes=dict(sorted(classes.items())), rhythms=dict(figures))
    file.write(json_line({"end": True, **asdict(counts), "sha256": digest.hexdigest()}) + "\n")
    return counts


def read_result(path: Path, head: Mapping[str, Any]) -> Counts | None:
    """Counts of a file of findings; None where it is not there, not whole or not of this `head`.

    How the record was spelled (`record`) does not matter.
    """
    try:
        with path.open("rb") as file:
            return _read(file, head)
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None


def _read(file: BinaryIO, head: Mapping[str, Any]) -> Counts | None:
    found, wanted = json.loads(file.readline(MAX_LINE)), json.loads(json_line(head))
    if {**found, "record": ""} != {**wanted, "record": ""}:
        return None
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - MAX_LINE))
    tail = file.read()
    last = tail[tail.rfind(b"\n", 0, -1) + 1 :]
    end = json.loads(last)
    if not last.endswith(b"\n") or end["sha256"] != _digest(file, size - len(last)):
        return None
    return Counts(end["findings"], end["undecided"], end["warned"], end["classes"], end["rhythms"])


def _digest(file: BinaryIO, length: int) -> str:
    """SHA-256 of the first `length` bytes."""
    digest = hashlib.sha256()
    file.seek(0)
    while length > 0 and (part := file.read(min(length, 1 << 18))):
        digest.update(part)
        length -= len(part)
    return digest.hexdigest()
