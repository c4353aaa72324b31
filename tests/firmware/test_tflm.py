"""The TensorFlow Lite Micro project, compiled and run against a double of the interpreter."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from beatlens.errors import ModelError, RecipeError, SignalError
from beatlens.firmware import tflm_model, tflm_project
from beatlens.integer.tflite_read import output_position
from beatlens.integer.tflite_write import write_tflite
from beatlens.runtime.bundle import Bundle
from beatlens.runtime.quality import Limits
from beatlens.signals.frontend import FrontEnd
from beatlens.signals.rhythm_features import FEATURES
from beatlens.signals.rr_features import BINS
from beatlens.signals.wfdb_files import read_recording

from ..integer.graphs import random_graph
from ..runtime.cases import GAIN, ecg_counts
from ..runtime.conftest import make_bundle
from .test_stream import RAILS, Piece, cut, find_in_c, find_in_python, troubled
from .tflm_programs import (
    ARENA,
    Program,
    build,
    compiler,
    with_outputs,
)


@pytest.fixture(scope="module", params=["dense", "residual"])
def bundle(request, tmp_path_factory) -> Bundle:
    return make_bundle(request.param, tmp_path_factory.mktemp("bundle") / request.param)


@pytest.fixture(scope="module")
def dense(tmp_path_factory) -> Bundle:
    return make_bundle("dense", tmp_path_factory.mktemp("bundle") / "dense")


@pytest.mark.parametrize("rate", [125, 360])
def test_a_project_finds_what_python_finds(
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
        [9 * rate, ecg_counts(14, rate), 3, 70 * rate, ecg_counts(13, rate)],
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
    pieces: list[Piece] = np.array_split(record.counts[0][: 360 * 120], 7)
    wanted = find_in_python(bundle, frontend, pieces, monkeypatch)
    program = build(bundle, frontend, tmp_path)
    assert find_in_c(program, pieces, len(bundle.classes)) == wanted
    assert sum(finding["assessable"] for finding in wanted) > 80


def test_outputs_in_the_other_order(
    dense: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = replace(dense, tflite=with_outputs(dense.tflite, lambda outputs: outputs.reverse()))
    assert output_position(dense.tflite, "evidence") == 1
    assert output_position(other.tflite, "evidence") == 0
    frontend = FrontEnd(250, GAIN, RAILS)
    pieces: list[Piece] = [ecg_counts(20, 250)]
    wanted = find_in_python(dense, frontend, pieces, monkeypatch)
    program = build(other, frontend, tmp_path)
    assert find_in_c(program, pieces, len(dense.classes)) == wanted


def test_limits_are_those_that_were_asked_for(dense: Bundle, tmp_path: Path) -> None:
    """Where nothing may be flat, a segment that is makes its spans not assessable."""
    frontend = FrontEnd(250, GAIN, RAILS)
    counts = ecg_counts(20, 250).copy()
    counts[2000:2450] = 30  # 1.8 s: 6 % of a span are flat
    for limits, wanted in ((None, True), (Limits(unusable=0.0), False)):
        folder = tmp_path / str(wanted)
        folder.mkdir()
        program = build(dense, frontend, folder, limits=limits)
        found = find_in_c(program, [counts], len(dense.classes))
        flat = [
            finding["assessable"] for finding in found if finding["flat"] and not finding["lost"]
        ]
        assert any(flat) == wanted


def test_a_sum_that_just_reaches_its_threshold_is_found(
    dense: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frontend, pieces = FrontEnd(250, GAIN, RAILS), [ecg_counts(20, 250)]
    first, *_ = find_in_python(dense, frontend, pieces, monkeypatch)
    # Every other class misses it by one.
    sums = [value + number % 2 for number, value in enumerate(first["sums"])]
    chosen = dict(zip(dense.classes, sums, strict=True))
    picky = replace(dense, rule=replace(dense.rule, sum_thresholds=chosen))
    wanted = find_in_python(picky, frontend, pieces, monkeypatch)
    assert wanted[0]["decisions"] == 0b0101
    assert find_in_c(build(picky, frontend, tmp_path), pieces, len(dense.classes)) == wanted


def test_tables_of_the_rhythm_count(
    dense: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = len(FEATURES), BINS, len(dense.classes)
    tables = np.random.default_rng(0).integers(-30000, 30000, shape)
    tabled = replace(dense, rule=replace(dense.rule, tables=tables))
    frontend, pieces = FrontEnd(250, GAIN, RAILS), [ecg_counts(40, 250)]
    wanted = find_in_python(tabled, frontend, pieces, monkeypatch)
    plain = find_in_python(dense, frontend, pieces, monkeypatch)
    assert [f["decisions"] for f in wanted] != [f["decisions"] for f in plain]
    assert find_in_c(build(tabled, frontend, tmp_path), pieces, len(dense.classes)) == wanted


def test_a_run_that_fails_gives_no_decision(dense: Bundle, tmp_path: Path) -> None:
    program = build(dense, FrontEnd(250, GAIN, RAILS), tmp_path)
    counts = ecg_counts(30, 250).astype("<i2")
    stdin = len(counts).to_bytes(4, "little") + counts.tobytes()
    done = subprocess.run([program, "3"], input=stdin, capture_output=True, check=False)
    assert done.returncode == 20  # the error of the call
    classes, size = len(dense.classes), dense.span_columns * len(dense.classes)
    at, assessable = 0, []
    while at < len(done.stdout):
        assessable.append(done.stdout[at + 40])
        assert assessable[-1] or done.stdout[at + 8 : at + 12] == bytes(4)  # no class is found
        at += 48 + 4 * classes + (size if assessable[-1] else 0)
    assert at == len(done.stdout)
    assert assessable[:3] == [1, 1, 1]
    assert assessable[3] == 0


def test_clang_takes_it_too(dense: Bundle, tmp_path: Path) -> None:
    tflm_project(dense, FrontEnd(250, GAIN), tmp_path / "project", "strips", arena_bytes=ARENA)
    program = Program(tmp_path, cc="clang", cxx="clang++")
    for path in sorted((tmp_path / "project" / "src").glob("*.c*")):
        program.object(path)


def test_the_wrapper_needs_no_heap(dense: Bundle, tmp_path: Path) -> None:
    """Of the C++ runtime nothing at all: no guards of statics, no destructors at exit, no new."""
    tflm_project(dense, FrontEnd(250, GAIN), tmp_path / "project", "strips", arena_bytes=ARENA)
    path = tmp_path / "project" / "src" / "strips.cc"
    made = Program(tmp_path).object(path, "-Os", sanitizers=())
    listed = subprocess.run(
        [compiler("nm"), "-C", "-u", made], capture_output=True, text=True, check=True
    ).stdout.split("\n")
    needed = {line.split(maxsplit=1)[1] for line in listed if line.strip()}
    allowed = (
        r"(bl_|strips_|tflite::|MicroPrintf|mem(cpy|set|cmp)|strcmp|_GLOBAL_OFFSET|__stack_chk)"
    )
    foreign = {name for name in needed if not re.match(allowed, name)}
    # A class with virtual functions has its table and names __cxa_pure_virtual there.
    assert foreign <= {"__cxa_pure_virtual", "vtable for __cxxabiv1::__class_type_info"}


def test_a_padded_network_is_refused(dense: Bundle, tmp_path: Path) -> None:
    """`Bundle.create` refuses one too; this is a bundle that was put together by hand."""
    graphs = (random_graph(seed) for seed in range(100))
    padded = next(g for g in graphs if getattr(g.ops[0], "padding", "valid") == "same")
    by_hand = replace(dense, tflite=write_tflite(padded))
    with pytest.raises(ModelError, match="has padding 'same', expected 'valid'"):
        tflm_project(by_hand, FrontEnd(250, GAIN), tmp_path / "a", "strips", arena_bytes=ARENA)
    assert list(tmp_path.iterdir()) == []


def test_options_that_are_none_are_refused(dense: Bundle, tmp_path: Path) -> None:
    frontend = FrontEnd(250, GAIN)
    for options, match in (
        ({"name": "a b"}, "C identifier"),
        ({"name": "int"}, "C identifier"),
        ({"name": "Beatlens"}, "expected none of beatlens, bl_error, bl_frontend"),
        ({"core": "m8"}, "core is 'm8', expected one of m3"),
        ({"arena_bytes": 0}, "arena is 0 bytes"),
        ({"arena_bytes": -5}, "arena is -5 bytes"),
    ):
        given = {"name": "strips", "arena_bytes": ARENA, **options}
        with pytest.raises(RecipeError, match=match):
            tflm_project(dense, frontend, tmp_path / "a", **given)  # type: ignore[arg-type]
    with pytest.raises(RecipeError, match="C identifier"):
        tflm_model(dense.tflite, tmp_path / "a", "1st")
    wide = FrontEnd(250, GAIN, (-100_000, 100_000))
    with pytest.raises(SignalError, match="16 bit counts"):
        tflm_project(dense, wide, tmp_path / "a", "strips", arena_bytes=ARENA)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_use_is_left_alone(dense: Bundle, tmp_path: Path) -> None:
    frontend = FrontEnd(250, GAIN)
    used = tmp_path / "used"
    used.mkdir()
    (used / "mine.txt").write_text("mine")
    with pytest.raises(ModelError, match="holds files already"):
        tflm_project(dense, frontend, used, "strips", arena_bytes=ARENA)
    with pytest.raises(ModelError, match="holds files already"):
        tflm_model(dense.tflite, used, "strips")
    assert [path.name for path in used.iterdir()] == ["mine.txt"]
    with pytest.raises(ModelError, match="is not a folder"):
        tflm_model(dense.tflite, used / "mine.txt", "strips")
    with pytest.raises(ModelError, match="cannot be written"):
        tflm_model(dense.tflite, used / "mine.txt" / "model", "strips")
    assert (used / "mine.txt").read_text() == "mine"
    (tmp_path / "empty").mkdir()
    assert len(tflm_model(dense.tflite, tmp_path / "empty", "net")) == 3


def test_half_a_project_is_never_left(
    dense: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_text, written = Path.write_text, []

    def full(path: Path, *arguments: object, **options: object) -> int:
        if len(written) == 7:
            raise OSError(28, "No space left on device")
        written.append(path)
        return write_text(path, *arguments, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        with pytest.raises(ModelError, match="No space left"):
            tflm_project(dense, FrontEnd(250, GAIN), tmp_path / "a", "strips", arena_bytes=ARENA)
    assert len(written) == 7
    assert list(tmp_path.iterdir()) == []
