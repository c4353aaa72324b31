"""The decoder's size is that of the compiled object, and nothing is written without a compiler."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from beatlens.errors import ModelError
from benchmarks.__main__ import app
from benchmarks.device import decoder_size
from benchmarks.device.decoder_size import COMPILER, CORES, decoder_sizes, deepest_stack

needs_compiler = pytest.mark.skipif(
    not decoder_size.has_compiler(), reason=f"NO {COMPILER}: the decoder's size was not measured"
)


@needs_compiler
def test_the_decoder_is_small(tmp_path):
    done = CliRunner().invoke(app, ["decoder", "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    rows = json.loads((tmp_path / "decoder.json").read_text())["rows"]
    assert [row["core"] for row in rows] == list(CORES)
    for row in rows:
        assert 1000 < row["flash_bytes"] < 2600
        assert 150 < row["state_bytes"] < 320
        assert 64 <= row["stack_bytes"] < 512


@needs_compiler
def test_a_source_that_does_not_compile_is_an_error(tmp_path):
    for folder in ("src", "include"):
        (tmp_path / folder).mkdir()
    (tmp_path / "src" / "bl_unpack.c").write_text("int f(void) { return x; }\n")
    with pytest.raises(ModelError, match=r"undeclared"):
        decoder_sizes(tmp_path)


def test_without_a_compiler_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(decoder_size.shutil, "which", lambda name: None)
    with pytest.raises(ModelError, match="gcc-arm-none-eabi"):
        decoder_sizes()
    done = CliRunner().invoke(app, ["decoder", "--out", str(tmp_path)])
    assert done.exit_code == 0
    assert "SKIPPED: arm-none-eabi-gcc is not installed" in done.output
    assert list(tmp_path.iterdir()) == []


def graph(frames: dict[str, int], calls: list[tuple[str, str]]) -> str:
    nodes = [f'node: {{ title: "{n}" label: "{n}\\nx.c:1:1\\n{size} bytes (static)" }}'
             for n, size in frames.items()]  # fmt: skip
    edges = [f'edge: {{ sourcename: "{a}" targetname: "{b}" label: "x.c:2" }}' for a, b in calls]
    return "\n".join(nodes + edges)


def test_the_deepest_chain_counts_not_the_sum():
    frames = {"a": 8, "b": 100, "c": 20, "d": 30}
    calls = [("a", "b"), ("a", "c"), ("c", "d"), ("d", "memset")]
    assert deepest_stack(graph(frames, calls)) == 108
    assert deepest_stack(graph({**frames, "d": 90}, calls)) == 118


def test_recursion_has_no_bound():
    with pytest.raises(ModelError, match="calls itself"):
        deepest_stack(graph({"a": 8, "b": 8}, [("a", "b"), ("b", "a")]))
