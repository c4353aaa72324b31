"""The simulator against LiteRT's reference kernels: bit for bit, whatever the graph and input."""

import numpy as np
import pytest

from beatlens.errors import ModelError
from beatlens.integer.fold import fold_permutations
from beatlens.integer.graph import Quantization
from beatlens.integer.litert import run_litert, xnnpack_difference
from beatlens.integer.simulate import simulate
from beatlens.integer.tflite_write import write_tflite

from .graphs import (
    adversarial_inputs,
    permuted_graph,
    random_graph,
    scaling_graph,
    selecting_graph,
    student_graph,
)

pytestmark = [pytest.mark.export, pytest.mark.rounding]
EVERY_INT8 = np.arange(-128, 128).astype(np.int8)


def assert_bit_exact(graph, x):
    simulated, reference = simulate(graph, x), run_litert(write_tflite(graph), x)
    for role in ("evidence", "logits"):
        np.testing.assert_array_equal(simulated[role], reference[role], err_msg=role)
    return simulated


@pytest.mark.parametrize("seed", range(150))
def test_random_graphs_are_bit_exact(seed):
    graph = random_graph(seed)
    assert_bit_exact(graph, adversarial_inputs(graph, seed))


@pytest.mark.parametrize("seed", range(30))
def test_groups_and_permutations_are_bit_exact(seed):
    graph = permuted_graph(seed)
    assert_bit_exact(graph, adversarial_inputs(graph, seed))
    assert_bit_exact(fold_permutations(graph), adversarial_inputs(graph, seed))


def test_random_graphs_cover_every_operator_and_padding():
    ops = [op for seed in range(150) for op in random_graph(seed).ops]
    convolutions = [op for op in ops if hasattr(op, "padding")]
    kinds = {"CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "SLICE", "MEAN"}
    assert {op.kind for op in ops} == kinds
    assert {op.padding for op in convolutions} == {"same", "valid"}
    assert {op.stride for op in convolutions} == {1, 2, 3, 4}


def test_a_student_of_released_size_is_bit_exact():
    graph = student_graph()
    outputs = assert_bit_exact(graph, adversarial_inputs(graph))
    assert len(np.unique(outputs["evidence"])) > 100  # the comparison saw more than clamps


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize(
    ("a", "b", "output"),
    [
        (Quantization(0.5, 0), Quantization(0.5, 0), Quantization(0.5, 0)),
        (Quantization(0.04, -128), Quantization(0.11, 17), Quantization(0.13, -30)),
        (Quantization(0.3, 127), Quantization(0.0007, -5), Quantization(0.2, 127)),
        (Quantization(1.0, 3), Quantization(0.25, -128), Quantization(0.001, -1)),
        (Quantization(0.013, 3), Quantization(0.011, 9), Quantization(1.7, 77)),
    ],
)
def test_add_is_bit_exact_for_every_pair_of_values(a, b, output, relu):
    a, b, output = (Quantization(float(np.float32(q.scale)), q.zero_point) for q in (a, b, output))
    pairs = np.stack(np.meshgrid(EVERY_INT8, EVERY_INT8), axis=-1).reshape(1, -1, 2)
    assert_bit_exact(selecting_graph(pairs.shape[1], a, b, output, relu), pairs)


@pytest.mark.parametrize("factor", [1e-5, 0.3, 0.5, 0.9999999, 1.0, 1.5, 2.0, 3.7, 200.0, 1e5])
def test_rescaling_is_bit_exact_for_every_value_and_factor(factor):
    for zero_point in (-128, -7, 0, 127):
        q = Quantization(0.125, zero_point)
        assert_bit_exact(scaling_graph(256, 1, q, q, factor), EVERY_INT8[None, :, None])


@pytest.mark.parametrize("columns", [1, 2, 3, 7, 10, 64, 100, 160])
@pytest.mark.parametrize("ratio", [1.0, 0.37, 2.9, 50.0])
def test_mean_is_bit_exact_for_every_sum(columns, ratio):
    channels = 512
    q = Quantization(0.05000000074505806, -42)
    graph = scaling_graph(
        columns, channels, q, Quantization(float(np.float32(q.scale / ratio)), 13), factor=1.0
    )
    sums = np.arange(-128 * columns, 127 * columns + 1)
    sums = sums[:: max(1, len(sums) // (8 * channels))]  # all of them up to 16 columns
    sums = np.append(sums, np.full(-len(sums) % channels, 127 * columns)).reshape(-1, 1, channels)
    # Spread each sum over the columns: the quotient everywhere, the remainder as ones.
    x = sums // columns + (np.arange(columns)[None, :, None] < sums % columns)
    outputs = assert_bit_exact(graph, x.astype(np.int8))
    np.testing.assert_array_equal(outputs["evidence"], x)


def test_an_input_longer_than_the_receptive_field_gives_the_columns_of_its_windows():
    graph = student_graph(columns=10)
    length = graph.tensors["input"].length
    longer = graph.with_input_length(length + 8 * 30)
    x = np.random.default_rng(0).integers(-128, 128, (1, length + 8 * 30, 1)).astype(np.int8)
    whole = assert_bit_exact(longer, x)["evidence"]
    for column in (0, 1, 17, 30):
        window = simulate(graph, x[:, 8 * column : 8 * column + length])["evidence"]
        np.testing.assert_array_equal(whole[:, column : column + 10], window)


def test_xnnpack_differs_by_little_on_a_student():
    graph = student_graph()
    rng = np.random.default_rng(0)
    x = np.clip(np.round(rng.normal(0, 25, (4, *_input_shape(graph)))), -128, 127).astype(np.int8)
    difference = xnnpack_difference(graph, x)
    assert 0 < difference["evidence_max_lsb"] <= 5
    assert difference["evidence_mean_lsb"] < 0.6
    assert difference["logits_mean_lsb"] < 1


def _input_shape(graph):
    tensor = graph.tensors[graph.input]
    return tensor.length, tensor.channels


def test_a_file_litert_refuses_is_a_model_error():
    with pytest.raises(ModelError, match="LiteRT does not accept"):
        run_litert(b"\x1c\x00\x00\x00TFL3" + bytes(64), np.zeros((1, 8, 1), np.int8))
