"""The C of rhythms against the Python: the same rhythms for every sequence of beats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest

from beatlens.firmware.package import write_bundle
from beatlens.signals.databases import find_database
from beatlens.signals.frontend import FrontEnd
from beatlens.signals.simulate import COUNTS_PER_MV, RAILS, simulate_patient
from beatlens.tasks.beats.rhythm_kinds import KINDS, RhythmEvent, RhythmSettings, Role
from beatlens.tasks.beats.rhythm_log import find_rhythms
from beatlens.tasks.beats.rhythms import RhythmWatch

from .beat_bundles import beat_bundle
from .compiled import HERE, compile_c, run_c, source

Beat = tuple[int, int, int]
ROW, GOING = 12, (1 << 32) - 1
ROLES = {"N": Role.N, "S": Role.S, "V": Role.V, "F": Role.OTHER, "Q": Role.OTHER}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rhythm")
    return compile_c([source("bl_rhythm"), HERE / "rhythm_harness.c"], folder / "rhythm")


def row_of(event: RhythmEvent) -> list[int]:
    """An event as the harness writes it."""
    values = [KINDS.index(event.kind), event.start, event.end, event.first, event.last]
    return [*values, event.rate, event.least, event.most, *(event.beats or (0, 0, 0, 0))]


def agree(program: Path, beats: Sequence[Beat], settings: RhythmSettings) -> list[RhythmEvent]:
    """Assert that C gives what Python gives, after every beat; the rhythms."""
    watch, events, wanted = RhythmWatch(settings), [], []
    for peak, rr, role in beats:
        found = watch.push(peak, rr, Role(role))
        going = sum(1 << KINDS.index(kind) for kind in watch.going)
        events += found
        wanted += [*map(row_of, found), [GOING, going] + [0] * (ROW - 2)]
    found = watch.end()
    events += found
    wanted += map(row_of, found)
    given = np.array([*astuple(settings), *np.ravel(np.array(beats, np.uint32))], "<u4")
    rows = np.frombuffer(run_c(program, given.tobytes()), "<u4").reshape(-1, ROW)
    assert rows.tolist() == wanted
    return events


def made(rng: np.random.Generator, count: int) -> list[Beat]:
    """Beats that change between rhythms, with gaps and beats without a decision."""
    beats: list[Beat] = []
    peak, usual, pattern = int(rng.integers(0, 500)), 100, [0]
    for number in range(count):
        if number % 20 == 0:
            usual = int(rng.choice([30, 60, 76, 77, 78, 100, 140, 153, 154, 155, 250, 300]))
            choices = ([0], [2, 0], [2, 0, 0], [1, 0], [1, 0, 0], [2], [1], [2, 2, 0], [0, 1, 2, 3])
            pattern = choices[int(rng.integers(len(choices)))]
        spread = int(rng.choice([0, 1, 5, 30]))
        rr = max(1, usual + int(rng.integers(-spread, spread + 1)))
        if rng.random() < 0.01:
            rr = int(rng.choice([255, 256, 257, 1024, 1025, 9000, 70000]))
        peak += rr
        role = pattern[number % len(pattern)] if rng.random() > 0.03 else int(rng.integers(5))
        known = number > 0 and rng.random() > 0.02
        beats.append((peak, rr if known else int(rng.choice([0, rr + 1])), role))
    return beats


@pytest.mark.parametrize("seed", range(30))
def test_random_beats(program: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    settings = RhythmSettings()
    if seed % 3 == 1:
        settings = RhythmSettings(40, 60, 110, 61, 120, 300, 2)
    if seed % 3 == 2:
        settings = RhythmSettings(1, 1, 2, 2, 1, 1, 255)
    events = agree(program, made(rng, 3000), settings)
    assert len({event.kind for event in events}) > (8 if seed % 3 < 2 else 3)


@pytest.mark.parametrize("count", range(5))
def test_few_beats(program: Path, count: int) -> None:
    for role in Role:
        agree(program, [(10 + 80 * n, 80 if n else 0, role) for n in range(count)],
              RhythmSettings())  # fmt: skip


def test_a_long_stream_and_its_end(program: Path) -> None:
    """A run of more beats than 16 bits hold, and R peaks near the end of 32 bits."""
    beats = [(5 + 50 * n, 50 if n else 0, 2) for n in range(70_000)]
    run = next(e for e in agree(program, beats, RhythmSettings()) if e.kind == KINDS[5])
    assert (run.count, run.rate) == (70_000, 154)
    last = (1 << 32) - 7680 * 3
    beats = [(7, 0, 2), (last, last - 7, 2), *((last + 70 * n, 70, 2) for n in range(1, 200))]
    agree(program, beats, RhythmSettings())


def test_bigeminy_of_more_cycles_than_a_byte_holds(program: Path) -> None:
    beats = [(5 + 90 * n, 90 if n else 0, 2 * (n % 2)) for n in range(2000)]
    found = [e for e in agree(program, beats, RhythmSettings()) if e.kind == KINDS[7]]
    assert [(e.first, e.last) for e in found] == [(1, 1999)]


@pytest.mark.parametrize("record", ["106", "119", "207", "208", "223"])
def test_real_beats(program: Path, mitdb_dir: Path, record: str) -> None:
    known = find_database("mitdb", mitdb_dir.parent).annotations(record).beats
    peaks = np.round(known.sample * 128 / 360).astype(int)
    roles = [ROLES[name] for name in known.classes()]
    beats = [
        (int(peak), int(rr), int(role))
        for peak, rr, role in zip(peaks, np.diff(peaks, prepend=peaks[0]), roles, strict=True)
    ]
    assert {e.kind for e in agree(program, beats, RhythmSettings())} >= {"minute"}


def test_rhythms_from_counts_of_a_sensor(tmp_path: Path) -> None:
    """The whole chain in C, with a gap, as a firmware engineer writes it; and in Python."""
    bundle, sensor = beat_bundle(tmp_path, seed=3), FrontEnd(360, COUNTS_PER_MV, RAILS)
    package = write_bundle(bundle, sensor, tmp_path / "out", "wrist")
    sources = [*package.glob("wrist*.c"), *(package / "src").glob("*.c"), HERE / "rhythm_main.c"]
    chosen = [path for path in sources if "golden" not in path.name and "selftest" not in path.name]
    program = compile_c(chosen, tmp_path / "main", f"-I{package}")
    counts = simulate_patient(2, 120, pvc_per_minute=20).recording.counts[0].astype("<i2")
    rows = np.frombuffer(run_c(program, counts.tobytes()), "<u4").reshape(-1, 6)
    stream, half = bundle.stream(360, COUNTS_PER_MV, rails=RAILS), len(counts) // 2
    findings = [*stream.push(counts[:half]), *stream.gap(500), *stream.push(counts[half:]),
                *stream.flush()]  # fmt: skip
    wanted = [row_of(event)[:6] for event in find_rhythms(findings, bundle)]
    assert rows.tolist() == wanted
    assert len({row[0] for row in wanted}) > 2
