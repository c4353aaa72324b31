"""Everything that takes bytes, on damaged and random ones, for a few seconds each.

    make fuzz FUZZ_SECONDS=600      longer

What has to hold is in firmware_export/SECURITY.md.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from beatlens.errors import ModelError
from beatlens.integer.tflite_read import (
    MAX_CONSTANT_VALUES,
    MAX_LISTED,
    operators,
    read_tflite,
)
from beatlens.integer.tflite_write import write_tflite

from ..integer.graphs import permuted_graph, student_graph
from . import targets, tflite_fuzz
from .make_corpus import SEEDS, write_corpus

SECONDS = 8
LEAST_EXECUTIONS = 100
"""On two cores that ten processes share 150 and more; thousands where nothing else runs."""
LEAST_EDGES = {"unpack": 150, "stream": 250, "qrs": 60}
"""A few less than the corpus alone reaches; a harness that does nothing reaches a handful."""


@pytest.fixture(scope="module", params=targets.SOURCES)
def target(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program of libFuzzer's."""
    if not targets.has_fuzzer():
        pytest.skip(f"NO {targets.COMPILER} WITH libFuzzer: {request.param} was not fuzzed")
    return targets.build(request.param, tmp_path_factory.mktemp(request.param))


def name_of(target: Path) -> str:
    return target.name.removesuffix("_fuzz")


def test_promises_hold_for_any_bytes(target: Path, tmp_path: Path) -> None:
    name = name_of(target)
    found, artifacts = tmp_path / "inputs", tmp_path / "artifacts"
    found.mkdir()
    artifacts.mkdir()
    outcome = targets.fuzz(target, [found, targets.CORPUS / name], SECONDS, 1, artifacts)
    assert outcome.status == 0, outcome.output[-5000:]
    assert outcome.executions > LEAST_EXECUTIONS
    assert outcome.edges > LEAST_EDGES[name]


BUGS = (
    ("unpack", "bl_unpack.c", "if (room < size)", "if (room + 1 < size)"),
    ("unpack", "bl_unpack.c", "rest > 7)", "rest > 15)"),
    ("unpack", "bl_unpack.c", "#define SLACK_BYTES 32", "#define SLACK_BYTES 64"),
    ("qrs", "bl_qrs.c", "#define REFRACTORY 26", "#define REFRACTORY 24"),
    ("qrs", "bl_qrs.c", "q->curvature[i] = 0;", "(void)q;"),
    ("qrs", "bl_qrs.c", "q->waiting_count = q->seconds = 0;", "q->seconds = 0;"),
    ("stream", "bl_lead.c", "return d->lost == 0 &&", "return 1 &&"),
    (
        "stream",
        "bl_lead.c",
        "if (l->columns >= l->config->kept",
        "if (l->columns > l->config->kept",
    ),
    ("stream", "beatlens.c", "s->next += columns;", "s->next += columns + s->task->hop;"),
    ("stream", "bl_lead.c", "l->now = no_quality;\n    l->samples", "l->samples"),
)
"""Target, source, and a piece of it that is replaced by a wrong one."""


@pytest.mark.parametrize(("name", "path", "right", "wrong"), BUGS)
def test_a_bug_breaks_a_promise(
    name: str, path: str, right: str, wrong: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same harness and corpus, on a library with a bug put into it."""
    if not targets.has_fuzzer():
        pytest.skip(f"NO {targets.COMPILER} WITH libFuzzer: {name} was not fuzzed")
    library = tmp_path / "firmware"
    shutil.copytree(targets.FIRMWARE, library)
    source = library / "src" / path
    text = source.read_text(encoding="ascii")
    assert text.count(right) == 1
    source.write_text(text.replace(right, wrong), encoding="ascii")
    monkeypatch.setattr(targets, "FIRMWARE", library)
    program = targets.build(name, tmp_path)
    (tmp_path / "new").mkdir()
    outcome = targets.fuzz(program, [tmp_path / "new", targets.CORPUS / name], 30, 1, tmp_path)
    assert outcome.status != 0
    assert re.search(r"broken promise|Sanitizer|runtime error", outcome.output)


def test_the_corpus_is_what_its_script_makes(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    for name in SEEDS:
        made = {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
        kept = {path.name: path.read_bytes() for path in (targets.CORPUS / name).iterdir()}
        assert made == kept
        assert len(kept) > 5
        assert sum(map(len, kept.values())) < 20_000


def test_every_promise_is_asserted() -> None:
    """Each number of SECURITY.md is named where it is checked, and the other way round."""
    text = (targets.FIRMWARE / "SECURITY.md").read_text(encoding="utf-8")
    promised = set(re.findall(r"^- \*\*([PQST]\d+)\*\*", text, re.MULTILINE))
    checked = set()
    for path in ("unpack_fuzz.c", "stream_fuzz.c", "qrs_fuzz.c", "tflite_fuzz.py"):
        checked |= set(re.findall(r"\b([PQST]\d)\b", (targets.HERE / path).read_text()))
    assert promised == checked
    assert len(promised) > 15


def test_any_bytes_give_a_graph_or_a_reason() -> None:
    report = tflite_fuzz.fuzz(SECONDS, seed=1)
    assert report.findings == []
    assert report.executions > LEAST_EXECUTIONS
    assert 0 < report.sound < report.executions
    assert len(report.reasons) > 25


@pytest.mark.parametrize(
    "escapes", [KeyError("x"), RecursionError(), MemoryError(), RuntimeWarning("x")]
)
def test_what_escapes_the_reader_is_found(
    escapes: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(data: bytes) -> None:
        raise escapes

    monkeypatch.setattr(tflite_fuzz, "read_tflite", read)
    report = tflite_fuzz.fuzz(5, seed=1, most_findings=1)
    assert [error for _, error in report.findings] == [escapes]


def test_a_reader_that_hangs_or_takes_memory_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tflite_fuzz, "LIMIT_S", 0.2)

    def hangs(data: bytes) -> None:
        while True:
            pass

    def hoards(data: bytes) -> None:
        np.empty(2 * tflite_fuzz.LIMIT_BYTES, np.uint8)

    for read, what in ((hangs, tflite_fuzz.TooSlow), (hoards, MemoryError)):
        monkeypatch.setattr(tflite_fuzz, "read_tflite", read)
        report = tflite_fuzz.fuzz(5, seed=1, most_findings=1)
        assert isinstance(report.findings[0][1], what)


def edited(data: bytes, edit) -> bytes:
    """The file with its unpacked contents changed by `edit`."""
    contents = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
    edit(contents)
    builder = flatbuffers.Builder(1024)
    builder.Finish(contents.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def shared_operators(subgraphs: int, each: int) -> bytes:
    """Subgraphs that are all the same one, with operators that are all the same one."""
    builder = flatbuffers.Builder(1024)

    def repeated(start, table: int, times: int) -> int:
        start(builder, times)
        for _ in range(times):
            builder.PrependUOffsetTRelative(table)
        return builder.EndVector()

    schema.OperatorStart(builder)
    ops = repeated(schema.SubGraphStartOperatorsVector, schema.OperatorEnd(builder), each)
    schema.SubGraphStart(builder)
    schema.SubGraphAddOperators(builder, ops)
    graphs = repeated(schema.ModelStartSubgraphsVector, schema.SubGraphEnd(builder), subgraphs)
    schema.OperatorCodeStart(builder)
    codes = repeated(schema.ModelStartOperatorCodesVector, schema.OperatorCodeEnd(builder), 1)
    schema.ModelStart(builder)
    schema.ModelAddVersion(builder, 3)
    schema.ModelAddSubgraphs(builder, graphs)
    schema.ModelAddOperatorCodes(builder, codes)
    builder.Finish(schema.ModelEnd(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def test_a_small_file_of_many_shared_operators_is_refused() -> None:
    """8 KB that name a million operators took 21 s."""
    assert operators(shared_operators(2, 100)) == ["ADD"]
    with pytest.raises(ModelError, match=rf"at most {MAX_LISTED} are read"):
        operators(shared_operators(1000, 1000))


def test_a_shape_of_many_dimensions_is_refused() -> None:
    """Its product alone took seconds, and stood in the message."""

    def widen(contents) -> None:
        graph = contents.subgraphs[0]
        graph.tensors[graph.operators[0].inputs[1]].shape = np.full(60_000, 2**31 - 1, np.int32)

    data = edited(write_tflite(student_graph(columns=2)), widen)
    with pytest.raises(ModelError, match="60000 dimensions, expected at most 4"):
        read_tflite(data)


def test_constants_that_operators_share_are_counted_each_time() -> None:
    """A file of some megabytes would else take gigabytes: every operator keeps a copy."""
    data = write_tflite(permuted_graph(1))

    def swell(contents) -> None:
        graph = contents.subgraphs[0]
        kinds = [contents.operatorCodes[op.opcodeIndex].builtinCode for op in graph.operators]
        conv = graph.operators[kinds.index(schema.BuiltinOperator.CONV_2D)]
        tensor = graph.tensors[conv.inputs[1]]
        tensor.shape = [MAX_CONSTANT_VALUES // 8 + 1, 1, 8, 1]
        contents.buffers[tensor.buffer].data = np.zeros(MAX_CONSTANT_VALUES + 8, np.uint8)

    with pytest.raises(ModelError, match=rf"at most {MAX_CONSTANT_VALUES} are read"):
        read_tflite(edited(data, swell))
