"""The C engine against the integer simulator: the same evidence, however the input is cut."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from beatlens.errors import ModelError, RecipeError
from beatlens.firmware import KernelSet, Plan, lay_out, model_source
from beatlens.integer.graph import (
    Conv,
    Crop,
    IntegerGraph,
    Mean,
    Quantization,
    Tensor,
)
from beatlens.integer.simulate import simulate
from beatlens.integer.tflite_read import read_tflite

from ..integer.graphs import adversarial_inputs, permuted_graph, random_graph, student_graph
from .compiled import ENGINE, HERE, compile_c, run_c, source, write_c

ANCHORS = ("std_cam", "ds_cam", "tiny_cam")


class Builder:
    """Programs that run one network each, the engine compiled once."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.made = folder, 0
        self.objects = [compile_c([source(name)], folder / f"{name}.o", "-c") for name in ENGINE]

    def program(self, plan: Plan) -> Path:
        """A program of one network."""
        self.made += 1
        folder = self.folder / str(self.made)
        folder.mkdir()
        made = write_c(model_source(plan, "model"), folder, "model")
        return compile_c(
            [*self.objects, made, HERE / "net_harness.c"], folder / "net", f"-I{folder}"
        )


@pytest.fixture(scope="module")
def builder(tmp_path_factory) -> Builder:
    return Builder(tmp_path_factory.mktemp("net"))


def evidence(program: Path, x: np.ndarray, classes: int, seed: int = 0) -> np.ndarray:
    """What C makes of int8 columns `[N, leads]`, `[T, classes]`."""
    found = run_c(program, x.tobytes(), str(seed))
    return np.frombuffer(found, np.int8).reshape(-1, classes)


def agree(
    builder: Builder,
    graph: IntegerGraph,
    chunk: int | None = None,
    kernels: KernelSet = "portable",
) -> Plan:
    """Assert that C and the simulator agree on adversarial and on random input."""
    plan = lay_out(graph, chunk, kernels)
    program = builder.program(plan)
    x = adversarial_inputs(graph)
    classes = plan.buffers[-1].channels
    if plan.window:
        wanted = simulate(graph, x)["evidence"].reshape(-1, classes)
        np.testing.assert_array_equal(evidence(program, x, classes), wanted)
        return plan
    joined = x.reshape(1, -1, x.shape[2])
    length = graph.tensors[graph.input].length
    whole = length + (joined.shape[1] - length) // plan.stride * plan.stride
    wanted = simulate(graph.with_input_length(whole), joined[:, :whole])["evidence"][0]
    for seed in range(2):
        found = evidence(program, joined[0], classes, seed)
        np.testing.assert_array_equal(found[: len(wanted)], wanted)
        assert len(found) - len(wanted) in (0, 1)  # what is behind `whole`
    return plan


each_kernel_set = pytest.mark.parametrize("kernels", get_args(KernelSet))


@each_kernel_set
@pytest.mark.parametrize("seed", range(24))
def test_c_gives_what_the_simulator_gives(builder: Builder, seed: int, kernels: KernelSet) -> None:
    agree(builder, random_graph(seed), kernels=kernels)


@each_kernel_set
@pytest.mark.parametrize("seed", range(8))
def test_channels_in_other_orders(builder: Builder, seed: int, kernels: KernelSet) -> None:
    agree(builder, permuted_graph(seed), kernels=kernels)


@each_kernel_set
@pytest.mark.parametrize("chunk", [1, 8, 100])
def test_any_chunk_gives_the_same(builder: Builder, chunk: int, kernels: KernelSet) -> None:
    agree(builder, student_graph(columns=40), chunk, kernels)


@each_kernel_set
@pytest.mark.parametrize("name", ANCHORS)
def test_reference_models(
    builder: Builder, shared_dir: Path, name: str, kernels: KernelSet
) -> None:
    """Padded networks of another maker, window by window: 48 vectors of the LiteRT kernels."""
    graph = read_tflite((shared_dir / "anchors" / f"{name}.tflite").read_bytes())
    plan = lay_out(graph, kernels=kernels)
    with np.load(shared_dir / "anchors" / f"{name}.npz") as vectors:
        x, wanted = vectors["input"], vectors["evidence"]
    found = evidence(builder.program(plan), x, wanted.shape[-1])
    np.testing.assert_array_equal(found, wanted.reshape(found.shape))


@each_kernel_set
def test_state_is_small(shared_dir: Path, kernels: KernelSet) -> None:
    """What an arena of 20,936 bytes is in TensorFlow Lite Micro."""
    graph = read_tflite((shared_dir / "anchors" / "std_cam.tflite").read_bytes())
    assert lay_out(graph, kernels=kernels).state_bytes <= 4096


def one_convolution(
    length: int, evidence: int, stride: int = 1, kernel: int = 3, scale: float = 1.0, bias: int = 0
) -> IntegerGraph:
    """A convolution of ones, from an input with the lowest zero point, and the mean."""
    conv = Conv(
        name="conv",
        input="input",
        output="evidence",
        weights=np.ones((1, kernel, 1), np.int8),
        weight_scales=np.full(1, scale, np.float32),
        bias=np.full(1, bias, np.int32),
        stride=stride,
    )
    tensors = [
        Tensor("input", length, 1, Quantization(1.0, -128)),
        Tensor("evidence", evidence, 1, Quantization(1.0, 0)),
        Tensor("logits", 1, 1, Quantization(1.0, 0)),
    ]
    mean = Mean(name="mean", input="evidence", output="logits")
    outputs = {"logits": "logits", "evidence": "evidence"}
    return IntegerGraph({t.name: t for t in tensors}, (conv, mean), "input", outputs)


def test_a_crop_of_a_padded_network_must_lead_to_a_sum() -> None:
    q = Quantization(1.0, 0)
    conv = Conv(
        name="conv",
        input="cropped",
        output="evidence",
        weights=np.ones((1, 3, 1), np.int8),
        weight_scales=np.ones(1, np.float32),
        bias=np.zeros(1, np.int32),
        padding="same",
    )
    crop = Crop(name="crop", input="input", output="cropped", start=1, stop=9)
    sizes = {"input": 10, "cropped": 8, "evidence": 8, "logits": 1}
    graph = IntegerGraph(
        {name: Tensor(name, size, 1, q) for name, size in sizes.items()},
        (crop, conv, Mean(name="mean", input="evidence", output="logits")),
        "input",
        {"logits": "logits", "evidence": "evidence"},
    )
    with pytest.raises(ModelError, match=r"operator 'conv'.*SLICE"):
        lay_out(graph)


def test_a_mean_must_be_of_the_evidence() -> None:
    graph = student_graph(columns=4)
    *layers, mean = graph.ops
    before = layers[-1].input
    channels = graph.tensors[before].channels
    tensors = {
        **graph.tensors,
        mean.output: replace(graph.tensors[mean.output], channels=channels),
    }
    other = IntegerGraph(tensors, (*layers, replace(mean, input=before)), "input", graph.outputs)
    with pytest.raises(ModelError, match="MEAN of"):
        lay_out(other)


def test_a_state_beyond_16_bit_offsets_is_refused() -> None:
    with pytest.raises(ModelError, match="state takes"):
        lay_out(student_graph(columns=4), chunk=20_000)


def test_a_stride_that_a_layer_cannot_hold_is_refused() -> None:
    with pytest.raises(ModelError, match="operator 'conv': stride or padding is 300"):
        lay_out(one_convolution(length=601, evidence=3, stride=300, kernel=1))


def test_long_windows_are_refused_and_long_streams_planned_at_once() -> None:
    graph = one_convolution(length=(1 << 17) + 2, evidence=1 << 17)
    assert lay_out(graph).state_bytes < 1000
    conv, mean = graph.ops
    padded = IntegerGraph(
        {**graph.tensors, "evidence": replace(graph.tensors["evidence"], length=(1 << 17) + 2)},
        (replace(conv, padding="same"), mean),
        graph.input,
        graph.outputs,
    )
    with pytest.raises(ModelError, match="window is 131074 columns"):
        lay_out(padded)


def test_chunks_have_a_column() -> None:
    with pytest.raises(ModelError, match="chunk is 0"):
        lay_out(student_graph(columns=4), chunk=0)


def test_names_that_c_does_not_know_are_refused() -> None:
    with pytest.raises(RecipeError, match="C identifier"):
        model_source(lay_out(student_graph(columns=4)), "a b")


def test_zero_points_that_break_an_accumulator_are_refused() -> None:
    """Sound as the simulator computes it, but not with the zero point folded into the bias."""
    largest = (1 << 31) - 1 - 255 * 3
    graph = one_convolution(length=10, evidence=8, scale=2.0**-24, bias=largest)
    with pytest.raises(ModelError, match="operator 'conv': sums reach"):
        model_source(lay_out(graph), "model")
