"""Mutation fuzzer of the `.tflite` reader: any bytes give a graph or a ModelError.

Nothing else: no other exception, no warning, no message longer than `LONGEST_MESSAGE`, no more than
`LIMIT_S` seconds, and no more than `LIMIT_BYTES` of memory beyond what the process had. A graph
that was read can be written, and reads back as the same bytes. These are T1 to T4 of SECURITY.md.

Damaged files come from sound ones in three ways: bytes (flipped, cut, copied about), words (offsets
and lengths set to what leads elsewhere), and fields of the file's own tables (through the schema's
object interface). Files that are refused for a new reason are damaged further.
"""

from __future__ import annotations

import random
import re
import resource
import signal
import struct
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import flatbuffers
from ai_edge_litert import schema_py_generated as schema

from beatlens.errors import ModelError
from beatlens.integer.tflite_read import operators, read_tflite
from beatlens.integer.tflite_write import write_tflite

from ..integer.graphs import permuted_graph, random_graph, student_graph

LIMIT_S = 3.0
LIMIT_BYTES = 768 << 20
LONGEST_MESSAGE = 500
MAX_FILE = 1 << 16
NUMBERS = (0, 1, 2, 3, 4, 7, 8, 127, 128, 255, 256, 65535, 1 << 24, (1 << 31) - 1, 1 << 31,
           (1 << 32) - 1)  # fmt: skip
FLOATS = (0.0, -1.0, 1e-45, 1e-38, 1e30, 3.4e38, float("inf"), float("nan"))


class TooSlow(BaseException):
    """Not an Exception: what catches those must not catch this."""


@dataclass
class Report:
    """What a run found.

    Attributes:
        executions: files read.
        sound: of those, files that gave a graph.
        reasons: why files were refused, numbers and names left out.
        slowest_s: of one file.
        findings: bytes that gave something else, and what.
    """

    executions: int = 0
    sound: int = 0
    reasons: set[str] = field(default_factory=set)
    slowest_s: float = 0.0
    findings: list[tuple[bytes, BaseException]] = field(default_factory=list)


def seeds() -> list[bytes]:
    """Sound files: every operator, either padding, some with shapes of a trained student."""
    graphs = [random_graph(n) for n in range(6)] + [permuted_graph(n) for n in range(4)]
    files = [write_tflite(graph) for graph in (*graphs, student_graph(columns=2))]
    return [data for data in files if len(data) <= MAX_FILE]


# Damage


def flip_bytes(rng: random.Random, data: bytes) -> bytes:
    damaged = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 4, 16])):
        damaged[rng.randrange(len(damaged))] = rng.randrange(256)
    return bytes(damaged)


def cut(rng: random.Random, data: bytes) -> bytes:
    first, second = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    return data[:first] if rng.random() < 0.5 else data[:first] + data[second:]


def copy_about(rng: random.Random, data: bytes) -> bytes:
    size = rng.choice([1, 4, 16, 64])
    source, to = (rng.randrange(len(data)) for _ in range(2))
    return data[:to] + data[source : source + size] + data[to + size * rng.randrange(2) :]


def set_word(rng: random.Random, data: bytes) -> bytes:
    """A word where offsets and lengths lie, which are aligned, or anywhere."""
    damaged = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        at = rng.randrange(len(damaged) - 4)
        at = at // 4 * 4 if rng.random() < 0.8 else at
        (old,) = struct.unpack_from("<I", damaged, at)
        near = (old + rng.choice([-8, -4, -1, 1, 4, 8])) % (1 << 32)
        word = rng.choice([near, rng.choice(NUMBERS), rng.randrange(len(damaged)),
                           (1 << 32) - rng.randrange(1, len(damaged))])  # fmt: skip
        struct.pack_into("<I", damaged, at, word)
    return bytes(damaged)


def set_field(rng: random.Random, data: bytes) -> bytes:
    """Fields of the file's tables changed; bytes as they are where it cannot be written."""
    try:
        contents = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
        for _ in range(rng.choice([1, 1, 2, 3])):
            table, name = rng.choice(list(_fields(contents)))
            setattr(table, name, _changed(rng, getattr(table, name)))
        builder = flatbuffers.Builder(1024)
        builder.Finish(contents.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())[: 4 * MAX_FILE]
    except Exception:  # the schema's own code, on values that are not of its types
        return data


def _fields(table: Any, depth: int = 0) -> Iterator[tuple[Any, str]]:
    """Every field of a table and of those in it."""
    for name, value in vars(table).items():
        yield table, name
        parts = value if isinstance(value, list) else [value]
        for part in parts[:64]:
            if hasattr(part, "Pack") and depth < 8:
                yield from _fields(part, depth + 1)


def _changed(rng: random.Random, value: Any) -> Any:
    """Another value of about the same type."""
    if isinstance(value, float):
        return rng.choice(FLOATS)
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return rng.choice([value + 1, value - 1, -value, -1, rng.choice(NUMBERS)])
    if value is None or isinstance(value, bytes | str):
        return rng.choice([None, b"", [1], [0.5]])
    values = list(value) if hasattr(value, "__len__") else []
    if not values:
        return None
    at = rng.randrange(len(values))
    how = rng.randrange(5)
    if how == 0:
        return values[:at]
    if how == 1:
        return values + values[at:]
    if how == 2:
        return values * min(64, max(1, 4096 // len(values)))
    if how == 3:
        return None
    if hasattr(values[at], "Pack"):
        values[at] = rng.choice(values)
    else:
        values[at] = _changed(rng, values[at].item() if hasattr(values[at], "item") else values[at])
    return values


WAYS: tuple[Callable[[random.Random, bytes], bytes], ...] = (
    flip_bytes, cut, copy_about, set_word, set_word, set_field, set_field, set_field,
)  # fmt: skip


# Runs


def check(data: bytes) -> str | None:
    """Read a file: None if it gave a graph, else why it was refused. All else escapes."""
    try:
        operators(data)
        graph = read_tflite(data)
    except ModelError as error:
        return kind_of(str(error))
    written = write_tflite(graph)
    assert write_tflite(read_tflite(written)) == written, "read back, it differs"  # T4
    return None


def kind_of(reason: str) -> str:
    """Why a file was refused, without the numbers and names."""
    assert len(reason) <= LONGEST_MESSAGE, f"{len(reason)} characters of reason"  # T2
    reason = reason.split("(", 1)[0] if "damaged" in reason else reason
    return re.sub(r"'[^']*'|\[[^]]*\]|[-\d.e+]*\d", "_", reason)[:120]


@contextmanager
def limits() -> Iterator[None]:
    """Memory bounded, warnings as errors, and an alarm set by `timed` that raises TooSlow: T3."""

    def too_slow(number: int, frame: FrameType | None) -> None:
        raise TooSlow(f"not done after {LIMIT_S} s")

    with open("/proc/self/statm", encoding="ascii") as statm:
        now = int(statm.read().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    handler = signal.signal(signal.SIGALRM, too_slow)
    resource.setrlimit(resource.RLIMIT_AS, (now + LIMIT_BYTES, before[1]))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        resource.setrlimit(resource.RLIMIT_AS, before)


def timed(data: bytes, report: Report) -> str | None:
    """`check` with an alarm set; what it should not give becomes a finding."""
    begin = time.perf_counter()
    reason: str | None = "finding"
    try:
        signal.setitimer(signal.ITIMER_REAL, LIMIT_S)
        reason = check(data)
        signal.setitimer(signal.ITIMER_REAL, 0)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        signal.setitimer(signal.ITIMER_REAL, 0)
        report.findings.append((data, error))  # T1
    report.slowest_s = max(report.slowest_s, time.perf_counter() - begin)
    report.executions += 1
    report.sound += reason is None
    return reason


def fuzz(seconds: float, seed: int, most_findings: int = 20) -> Report:
    """Damage files and read them, for so many seconds."""
    rng, report, pool = random.Random(seed), Report(), seeds()
    end = time.process_time() + seconds  # the machine may be busy
    with limits():
        while time.process_time() < end and len(report.findings) < most_findings:
            data = rng.choice(pool)
            for _ in range(rng.choice([1, 1, 1, 2, 3])):
                data = rng.choice(WAYS)(rng, data) if len(data) > 8 else data
            reason = timed(data, report)
            if reason is not None and reason not in report.reasons:
                report.reasons.add(reason)
                if len(data) <= MAX_FILE:
                    pool.append(data)
    return report
