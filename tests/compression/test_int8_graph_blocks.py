"""Weights in permuted blocks: grouped convolutions and few permutations, the very same numbers."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from ai_edge_litert.interpreter import Interpreter, OpResolverType

import beatlens.compression.int8_graph as build_module
from beatlens.compression.int8_graph import build_graph
from beatlens.compression.quantize import QuantizedConv, QuantizedEvidenceNet
from beatlens.compression.size import int8_weights
from beatlens.integer.graph import Conv, Convolution, IntegerGraph, Permute
from beatlens.integer.litert import run_litert, xnnpack_difference
from beatlens.integer.simulate import simulate
from beatlens.integer.tflite_read import read_tflite
from beatlens.integer.tflite_write import write_tflite
from beatlens.nets.backbones import NetworkSpec
from beatlens.nets.constraint import constraint_on
from beatlens.tasks.common.tracks import to_millivolts
from beatlens.tasks.windows.labels import SPAN, cut_windows
from beatlens.training.loop import Schedule, fit

from ..integer.blocks import DENSE, RESIDUAL, SPECS, in_blocks, quantized_blocks
from ..integer.graphs import adversarial_inputs
from ..nets.networks import lively
from ..tasks.tracks import ecg

pytestmark = pytest.mark.rounding
EACH = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)


def unfolded(net: QuantizedEvidenceNet, span: int, monkeypatch: pytest.MonkeyPatch) -> IntegerGraph:
    with monkeypatch.context() as patch:
        patch.setattr(build_module, "fold_permutations", lambda graph: graph)
        return build_graph(net, span)


def inputs(graph: IntegerGraph, count: int = 60, seed: int = 0) -> np.ndarray:
    """Adversarial inputs and noise like ECG, int8 `[B, N, 1]`."""
    length = graph.tensors["input"].length
    walks = np.random.default_rng(seed).standard_normal((count, length, 1)).cumsum(1) * 4
    noise = np.clip(np.round(walks), -128, 127).astype(np.int8)
    return np.concatenate([adversarial_inputs(graph, seed), noise])


def millivolts(x: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(to_millivolts(x[:, :, 0])).unsqueeze(1)


def assert_evidence_is_torchs(net: QuantizedEvidenceNet, graph: IntegerGraph, x: np.ndarray) -> int:
    """Check that torch gives the simulator's evidence; how many values were compared."""
    golden = simulate(graph, x)["evidence"]
    with torch.no_grad():
        evidence = net.evidence(millivolts(x)).numpy().transpose(0, 2, 1)
    steps = np.round(evidence / graph.tensors["evidence"].quantization.scale)
    assert np.abs(steps - golden).max() <= 1
    assert (steps == golden).mean() > 0.999  # float32 sums at a rounding edge, as without blocks
    return golden.size


@EACH
def test_folding_changes_no_bit(spec: NetworkSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    net = quantized_blocks(spec)
    before, after = unfolded(net, 160, monkeypatch), build_graph(net, 160)
    x = inputs(before)
    first, second = simulate(before, x), simulate(after, x)
    for role in ("evidence", "logits"):
        np.testing.assert_array_equal(first[role], second[role])
    assert len(np.unique(first["evidence"])) > 30
    permutes = [sum(isinstance(op, Permute) for op in g.ops) for g in (before, after)]
    blocks = sum(constraint_on(m, "float_weight") is not None for m in _convs(net))
    assert permutes[0] == 2 * blocks
    assert permutes[1] < permutes[0] - 2  # those beside dense ones, and one of two that met


def _convs(net: QuantizedEvidenceNet) -> list[QuantizedConv]:
    return [m for m in net.modules() if isinstance(m, QuantizedConv)]


def test_a_chain_keeps_one_permutation_between_two_blocked_layers() -> None:
    graph = build_graph(quantized_blocks(DENSE), 160)
    kinds = [op.kind for op in graph.ops]
    grouped = [op.groups for op in graph.ops if isinstance(op, Conv)]
    # conv0 and the head take up what stands beside them.
    assert kinds == ["CONV_2D", "CONV_2D", "GATHER", "CONV_2D", "GATHER", "CONV_2D", "CONV_2D",
                     "MEAN"]  # fmt: skip
    assert grouped == [1, 4, 4, 4, 1]


@EACH
@pytest.mark.parametrize("groups", [2, 4])
def test_the_graph_is_the_network_in_torch(spec: NetworkSpec, groups: int) -> None:
    net = quantized_blocks(spec, groups)
    graph = build_graph(net, 160)
    assert assert_evidence_is_torchs(net, graph, inputs(graph)) > 4000


@EACH
def test_multiply_accumulates_of_covered_layers_fall_by_the_number_of_blocks(
    spec: NetworkSpec,
) -> None:
    net = lively(spec)
    counts = []
    for groups in (1, 4):
        quantized = quantized_blocks(spec, groups)
        graph = build_graph(quantized, 160)
        covered = {f"{name}/blocks" for name in _names(graph)} if groups > 1 else set()
        work = {op.name.removesuffix("/blocks"): graph.tensors[op.output].length * op.taps.size
                for op in graph.ops if isinstance(op, Convolution)}  # fmt: skip
        counts.append(work)
    fallen = {name for name in counts[0] if counts[1][name] != counts[0][name]}
    assert fallen == {name.removesuffix("/blocks") for name in covered}
    assert all(4 * counts[1][name] == counts[0][name] for name in fallen)
    assert len(fallen) == len(in_blocks(net, 4))


def _names(graph: IntegerGraph) -> list[str]:
    return [op.name.removesuffix("/blocks") for op in graph.ops if op.name.endswith("/blocks")]


@EACH
def test_the_blocks_shipped_are_the_blocks_counted(spec: NetworkSpec) -> None:
    net = quantized_blocks(spec)
    graph = build_graph(net, 160)
    shipped = {op.weights.tobytes() for op in graph.ops if getattr(op, "groups", 1) > 1}
    stored = int8_weights(net)
    blocks = {stored[name].tobytes() for name, m in net.named_modules()
              if isinstance(m, QuantizedConv) and constraint_on(m, "float_weight")}  # fmt: skip
    assert shipped == blocks
    total = sum(op.weights.size for op in graph.ops if isinstance(op, Convolution))
    assert total == sum(tensor.size for tensor in stored.values())


def test_a_head_in_blocks_still_gives_its_classes_in_their_order() -> None:
    net = quantized_blocks(DENSE, groups=4, head=True)
    graph = build_graph(net, 160)
    assert constraint_on(net.head, "float_weight") is not None
    assert graph.outputs["evidence"] == "evidence"
    assert_evidence_is_torchs(net, graph, inputs(graph))


def test_as_many_blocks_as_channels_become_a_depthwise_convolution() -> None:
    spec = NetworkSpec("dense", (4, 8, 8), (8, 8, 12), (2, 2, 2))
    net = quantized_blocks(spec, groups=8)
    graph = build_graph(net, 160)
    assert graph.operator_names == ["CONV_2D", "DEPTHWISE_CONV_2D", "MEAN"]  # and nothing to gather
    assert_evidence_is_torchs(net, graph, inputs(graph))


@pytest.mark.export
@EACH
def test_files_round_trip_and_litert_gives_the_same_bits(spec: NetworkSpec) -> None:
    graph = build_graph(quantized_blocks(spec), 160)
    model = write_tflite(graph)
    assert write_tflite(read_tflite(model)) == model
    assert read_tflite(model).macs == graph.macs
    x = inputs(graph, 30)
    golden = simulate(graph, x)
    for result in (run_litert(model, x), simulate(read_tflite(model), x)):
        for role in ("evidence", "logits"):
            np.testing.assert_array_equal(result[role], golden[role])
    difference = xnnpack_difference(graph, x)  # measured, not promised
    assert difference.keys() >= {"evidence_max_lsb", "logits_share"}
    assert all(np.isfinite(value) for value in difference.values())


@pytest.mark.export
def test_a_permutation_does_not_tie_a_file_to_one_input_length() -> None:
    graph = build_graph(quantized_blocks(DENSE), 160)
    assert any(isinstance(op, Permute) for op in graph.ops)
    longer = graph.with_input_length(graph.tensors["input"].length + 8 * 5)
    interpreter = Interpreter(
        model_content=write_tflite(graph), experimental_op_resolver_type=OpResolverType.BUILTIN_REF
    )
    (source,) = interpreter.get_input_details()
    x = inputs(longer, 1)[-1:]
    interpreter.resize_tensor_input(source["index"], (1, *x.shape))
    interpreter.allocate_tensors()
    interpreter.set_tensor(source["index"], x[None])
    interpreter.invoke()
    found = {
        d["name"]: interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()
    }
    np.testing.assert_array_equal(found["evidence"][0], simulate(longer, x)["evidence"])


@pytest.mark.export
def test_on_ecg_a_trained_network_with_blocks_gives_the_same_bits_everywhere() -> None:
    tracks, real = ecg()
    if not real:
        warnings.warn("no real ECG here: blocks were tested on simulated ECG", stacklevel=1)
    strips = cut_windows(tracks)
    net = lively(RESIDUAL)
    in_blocks(net, 4)
    rows = np.linspace(0, len(strips) - 1, 80).astype(int)
    windows = net.geometry.trim(strips.windows[rows], SPAN)
    signal = torch.from_numpy(to_millivolts(windows)).unsqueeze(1)
    quantized = QuantizedEvidenceNet(net)
    quantized.calibrate([signal])

    class Louder(torch.nn.Module):
        """Something to learn: classes apart, so that every weight has a gradient."""

        def __init__(self) -> None:
            super().__init__()
            self.net = quantized

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            target = torch.arange(len(quantized.classes)).repeat(len(x), 1).float()
            return (self.net(x) - target).square().mean()

    before = quantized.backbone[1].first.float_weight.detach().clone()
    schedule = Schedule(steps=4, batch=8, learning_rate=1e-3, validate_every=4)
    fit(Louder(), quantized, lambda first, size: (signal[:size],), schedule,
        lambda: {"s": 0.0}, score="s")  # fmt: skip
    after = quantized.backbone[1].first.float_weight.detach()
    assert not torch.equal(before, after)  # it was trained, within its blocks:
    assert torch.equal(before != 0, after != 0)
    graph = build_graph(quantized, SPAN)
    x = np.ascontiguousarray(windows)[:, :, None]
    golden, found = simulate(graph, x), run_litert(write_tflite(graph), x)
    for role in ("evidence", "logits"):
        np.testing.assert_array_equal(found[role], golden[role])
    assert np.unique(golden["evidence"]).size > 50
    assert_evidence_is_torchs(quantized, graph, x)
