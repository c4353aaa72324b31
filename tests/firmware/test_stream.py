"""The whole chain in C against `bundle.stream`: the same findings, gaps and ends included."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from beatlens.errors import RecipeError
from beatlens.firmware import sensor_source
from beatlens.runtime.bundle import Bundle
from beatlens.runtime.columns import Columns
from beatlens.runtime.finding import Finding
from beatlens.runtime.warning_bits import NOISY
from beatlens.signals.frontend import FrontEnd
from beatlens.signals.wfdb_files import read_recording
from beatlens.tasks.windows import chain
from beatlens.tasks.windows.c_task import window_task_source

from ..runtime.cases import GAIN, ecg_counts
from ..runtime.conftest import make_bundle
from .compiled import ENGINE, HERE, compile_c, run_c, source, write_c

SOURCES = ("beatlens", "bl_lead", "bl_frontend", *ENGINE)
RAILS = (-900, 900)
Piece = np.ndarray | int
"""Counts, or how many were lost."""


@pytest.fixture(scope="module", params=["dense", "residual"])
def bundle(request, tmp_path_factory) -> Bundle:
    return make_bundle(request.param, tmp_path_factory.mktemp("bundle") / request.param)


def build(bundle: Bundle, frontend: FrontEnd, folder: Path) -> Path:
    """The chain of one bundle and one sensor as a program for this machine."""
    made = window_task_source(bundle, "task")
    parts = {"sensor": sensor_source(frontend, "sensor"), "task": made.task, "task_net": made.net}
    written = [write_c(part, folder, name) for name, part in parts.items()]
    sources = [*map(source, SOURCES), *written, HERE / "stream_harness.c"]
    return compile_c(sources, folder / "stream", f"-I{folder}")


def find_in_c(program: Path, pieces: list[Piece], classes: int) -> list[dict[str, Any]]:
    """The findings of C."""
    stdin = b"".join(
        struct.pack("<i", -piece)
        if isinstance(piece, int)
        else struct.pack("<i", len(piece)) + piece.astype("<i2").tobytes()
        for piece in pieces
    )
    data, at, found = run_c(program, stdin), 0, []
    names = ("start", "columns", "decisions", "lost", "flat", "saturated", "clipped", "bad",
             "noisy", "padded", "assessable", "warnings")  # fmt: skip
    while at < len(data):
        values = dict(zip(names, struct.unpack_from("<12I", data, at), strict=True))
        at += 48
        sums = struct.unpack_from(f"<{classes}i", data, at)
        at += 4 * classes
        finding: dict[str, Any] = {**values, "sums": None, "evidence": None}
        if values["assessable"]:
            size = values["columns"] * classes
            finding["sums"] = sums
            finding["evidence"] = data[at : at + size]
            at += size
        found.append(finding)
    return found


class Recorder:
    """The findings of a Python stream with the counts they were made of."""

    def __init__(self, bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bundle, self.findings = bundle, []
        for name in ("assess", "left_over", "all_lost"):
            monkeypatch.setattr(chain, name, self._record(getattr(chain, name)))

    def _record(self, make: Any) -> Any:
        def recorded(*arguments: Any) -> Finding:
            finding = make(*arguments)
            columns = next((a for a in arguments if isinstance(a, Columns)), None)
            self.findings.append(self._plain(finding, arguments, columns))
            return finding

        return recorded

    def _plain(
        self, finding: Finding, arguments: tuple[Any, ...], columns: Columns | None
    ) -> dict[str, Any]:
        if columns is None:  # all_lost(bundle, start, end)
            _, start, end = arguments
            columns = Columns.in_gap(end - start, len(self.bundle.classes))
        else:
            start = next(a for a in arguments if isinstance(a, int))
        decisions = [self.bundle.classes.index(name) for name in finding.predicted]
        counts = {
            name: int(getattr(columns, name).sum())
            for name in ("flat", "saturated", "clipped", "bad", "noisy", "padded")
        }
        sums = columns.evidence.sum(axis=0, dtype=int).tolist()
        return {
            "start": start,
            "columns": len(columns),
            "decisions": sum(1 << number for number in decisions),
            "lost": int(columns.lost.sum()) * self.bundle.geometry.stride,
            **counts,
            "assessable": int(finding.assessable),
            "warnings": NOISY if "noisy" in finding.warnings else 0,
            "sums": tuple(sums) if finding.assessable else None,
            "evidence": columns.evidence.tobytes() if finding.assessable else None,
        }


def find_in_python(
    bundle: Bundle, frontend: FrontEnd, pieces: list[Piece], monkeypatch: pytest.MonkeyPatch
) -> list[dict[str, Any]]:
    with monkeypatch.context() as patch:
        recorder = Recorder(bundle, patch)
        stream = bundle.stream(frontend.rate_hz, frontend.counts_per_mv, rails=frontend.rails)
        for piece in pieces:
            if isinstance(piece, int):
                stream.gap(piece)
            else:
                stream.push(piece)
        stream.flush()
    return recorder.findings


def troubled(rng: np.random.Generator, rate: int, seconds: float) -> np.ndarray:
    """ECG with rails, flat segments and steps."""
    counts = ecg_counts(seconds, rate, seed=int(rng.integers(1000))).copy()
    for value in (RAILS[0], RAILS[1], 30, 30):
        first = int(rng.integers(0, len(counts)))
        counts[first : first + int(rng.integers(1, 4 * rate))] = value
    return counts


def cut(rng: np.random.Generator, counts: np.ndarray, gaps: int) -> list[Piece]:
    """Counts in pieces of random sizes, some of which are lost."""
    edges = np.sort(rng.integers(0, len(counts) + 1, 40))
    pieces: list[Piece] = list(np.split(counts, edges))
    for place in rng.integers(0, len(pieces), gaps):
        pieces.insert(int(place), int(rng.choice([1, 7, 200, 5_000, 40_000])))
    return pieces


@pytest.mark.parametrize("rate", [125, 128, 250, 360, 1000])
def test_c_finds_what_python_finds(
    bundle: Bundle, rate: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(rate)
    frontend = FrontEnd(rate, GAIN, RAILS)
    program = build(bundle, frontend, tmp_path)
    sequences: list[list[Piece]] = [
        [ecg_counts(25, rate)],
        cut(rng, troubled(rng, rate, 40), gaps=0),
        cut(rng, troubled(rng, rate, 60), gaps=1),
        cut(rng, troubled(rng, rate, 60), gaps=4),
        [9 * rate, ecg_counts(14, rate), 3, 70 * rate],
        [ecg_counts(0.2, rate)],
        [5],
        [],
    ]
    assessable = 0
    for pieces in sequences:
        wanted = find_in_python(bundle, frontend, pieces, monkeypatch)
        assert find_in_c(program, pieces, len(bundle.classes)) == wanted
        assessable += sum(finding["assessable"] for finding in wanted)
    assert assessable > 20


def test_a_real_recording(
    bundle: Bundle, mitdb_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = read_recording(mitdb_dir, "105")
    frontend = FrontEnd(360, record.counts_per_mv[0], record.rails[0])
    pieces: list[Piece] = np.array_split(record.counts[0][: 360 * 240], 7)
    wanted = find_in_python(bundle, frontend, pieces, monkeypatch)
    found = find_in_c(build(bundle, frontend, tmp_path), pieces, len(bundle.classes))
    assert found == wanted
    assert len(wanted) > 200


def test_names_that_c_does_not_know_are_refused(bundle: Bundle) -> None:
    with pytest.raises(RecipeError, match="C identifier"):
        window_task_source(bundle, "8lead")
