"""What a model costs, against sums by hand and against TensorFlow Lite's own arena."""

from __future__ import annotations

import json

import numpy as np
import pytest

from beatlens.errors import ModelError
from beatlens.integer.account import decoder_bytes, ram_bytes, size_account
from beatlens.integer.graph import Add, Conv, IntegerGraph, Mean, Quantization, Tensor
from beatlens.integer.packing import pack_model
from beatlens.integer.tflite_write import write_tflite
from beatlens.packed import encode_tensor

from .graphs import student_graph

Q = Quantization(0.5, 0)


def pointwise(name: str, source: str, output: str, inputs: int, outputs: int) -> Conv:
    return Conv(
        name=name,
        input=source,
        output=output,
        weights=np.ones((outputs, 1, inputs), np.int8),
        weight_scales=np.ones(outputs, np.float32),
        bias=np.zeros(outputs, np.int32),
    )


def residual_graph() -> IntegerGraph:
    """input 10x1 -> a 10x4 -> b 10x8 -> c 10x4; a + c -> evidence 10x4 -> logits 4."""
    sizes = {"input": 1, "a": 4, "b": 8, "c": 4, "evidence": 4}
    tensors = {name: Tensor(name, 10, n, Q) for name, n in sizes.items()}
    tensors["logits"] = Tensor("logits", 1, 4, Q)
    ops = (
        pointwise("first", "input", "a", 1, 4),
        pointwise("second", "a", "b", 4, 8),
        pointwise("third", "b", "c", 8, 4),
        Add(name="add", a="a", b="c", output="evidence"),
        Mean(name="mean", input="evidence", output="logits"),
    )
    return IntegerGraph(tensors, ops, "input", {"logits": "logits", "evidence": "evidence"})


def test_ram_counts_what_is_alive_at_once():
    """While the third runs: its input 80, its output 40, and 40 that wait for the sum."""
    assert ram_bytes(residual_graph()) == 160


def test_a_chain_needs_its_widest_pair():
    graph = student_graph()
    sizes = [t.length * t.channels for t in graph.tensors.values()]
    pairs = [
        graph.tensors[op.inputs[0]].length * graph.tensors[op.inputs[0]].channels
        + graph.tensors[op.output].length * graph.tensors[op.output].channels
        for op in graph.ops
    ]
    assert max(sizes) < ram_bytes(graph) == max(pairs)


@pytest.mark.export
def test_an_account_is_of_real_bytes():
    graph = student_graph()
    account = size_account(graph)
    assert account.file_bytes == len(write_tflite(graph))
    assert account.packed_bytes == len(pack_model(graph))
    assert account.packed_bytes < account.file_bytes
    weights = [op for op in graph.ops if isinstance(op, Conv)]
    least = sum(len(encode_tensor(op.weights)) + 8 * op.channels for op in weights)
    assert least < account.packed_bytes <= least + 16 + 11 * len(weights)
    assert account.macs == graph.macs
    assert account.as_dict()["ram_bytes"] == account.ram_bytes


def test_the_decoder_is_as_big_as_measured(tmp_path):
    figures = tmp_path / "decoder.json"
    assert decoder_bytes(figures) is None
    rows = [{"core": "cortex-m0", "flash_bytes": 5}, {"core": "cortex-m4", "flash_bytes": 7}]
    figures.write_text(json.dumps({"rows": rows}))
    assert decoder_bytes(figures) == 7
    assert decoder_bytes(figures, "cortex-m7") is None
    figures.write_text("[]")
    with pytest.raises(ModelError, match="python -m benchmarks decoder"):
        decoder_bytes(figures)
