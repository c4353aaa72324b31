"""The simulator against a naive one, and what it refuses."""

import numpy as np
import pytest

from beatlens.errors import SignalError
from beatlens.integer import arithmetic
from beatlens.integer.graph import Conv, IntegerGraph, Mean, Permute, Quantization, Tensor
from beatlens.integer.simulate import simulate

from .graphs import adversarial_inputs, permuted_graph, random_graph, student_graph


def naive_convolution(graph, op, x):
    """One convolution in Python integers, tap by tap, of one input int8 [T, C]."""
    source, result = graph.tensors[op.input], graph.tensors[op.output]
    depthwise = op.weights.ndim == 2
    before = 0
    if op.padding == "same":
        covered = (result.length - 1) * op.stride + op.kernel
        before = max(covered - source.length, 0) // 2
    factor = arithmetic.convolution_multiplier(
        source.quantization.scale, op.weight_scales, result.quantization.scale
    )
    sums = np.zeros((result.length, result.channels), np.int64)
    for t in range(result.length):
        for o in range(result.channels):
            total = int(op.bias[o])
            for j in range(op.kernel):
                at = t * op.stride + j - before
                if 0 <= at < source.length:
                    width = 1 if depthwise else op.weights.shape[2]
                    first = o if depthwise else o // (result.channels // op.groups) * width
                    for i in range(first, first + width):
                        weight = op.weights[j, o] if depthwise else op.weights[o, j, i - first]
                        total += int(weight) * (int(x[at, i]) - source.quantization.zero_point)
            sums[t, o] = total
    return arithmetic.requantize(sums, factor, result.quantization.zero_point, op.relu)


@pytest.mark.parametrize("graph", [random_graph(i) for i in range(8)] + [permuted_graph(4)])
def test_convolutions_equal_naive_ones(graph):
    x = adversarial_inputs(graph)[5:]
    values = simulate(graph, x, every_tensor=True)
    for op in graph.ops:
        if hasattr(op, "weights") and op.weights.size * values[op.output].shape[1] < 60_000:
            for before, after in zip(values[op.inputs[0]], values[op.output], strict=True):
                np.testing.assert_array_equal(naive_convolution(graph, op, before), after)


def test_permutations_move_whole_channels():
    graph = permuted_graph(1)
    values = simulate(graph, adversarial_inputs(graph), every_tensor=True)
    permutes = [op for op in graph.ops if isinstance(op, Permute)]
    assert permutes
    for op in permutes:
        for i, channel in enumerate(op.order):
            before, after = values[op.input][:, :, channel], values[op.output][:, :, i]
            np.testing.assert_array_equal(after, before)


def test_sums_beyond_float32_are_exact():
    taps = 3000
    q = Quantization(0.5, -128)
    tensors = [
        Tensor("input", taps, 1, q),
        Tensor("evidence", 1, 1, Quantization(0.5, 0)),
        Tensor("logits", 1, 1, Quantization(0.5, 0)),
    ]
    # 1500 * 127 * 255 and a little, minus nearly as much: float32 would lose the little.
    weights = np.where(np.arange(taps) % 2, 127, -127)
    weights[-1] = 126
    conv = Conv(
        name="c",
        input="input",
        output="evidence",
        weights=weights.astype(np.int8).reshape(1, taps, 1),
        weight_scales=np.full(1, 0.25, np.float32),
        bias=np.zeros(1, np.int32),
    )
    mean = Mean(name="m", input="evidence", output="logits")
    outputs = {"logits": "logits", "evidence": "evidence"}
    graph = IntegerGraph({t.name: t for t in tensors}, (conv, mean), "input", outputs)
    x = np.full((1, taps, 1), 127, np.int8)
    x[0, 0] = 126
    expected = int((weights * (x[0, :, 0].astype(int) + 128)).sum())
    assert 0 < abs(expected) < 400
    assert simulate(graph, x)["evidence"].item() == -round(-expected / 4 + 1e-9)


def test_a_batch_equals_its_inputs_one_by_one():
    graph = student_graph(columns=20)
    x = np.random.default_rng(1).integers(-128, 128, (300, graph.tensors["input"].length, 1))
    x = x.astype(np.int8)
    whole = simulate(graph, x)
    for i in (0, 7, 255, 299):
        alone = simulate(graph, x[i : i + 1])
        np.testing.assert_array_equal(whole["evidence"][i], alone["evidence"][0])
        np.testing.assert_array_equal(whole["logits"][i], alone["logits"][0])


def test_every_tensor_can_be_had():
    graph = random_graph(1)
    x = adversarial_inputs(graph)
    values = simulate(graph, x, every_tensor=True)
    assert set(values) == set(graph.tensors)
    for name, value in values.items():
        tensor = graph.tensors[name]
        assert value.shape == (len(x), tensor.length, tensor.channels)
        assert value.dtype == np.int8
    np.testing.assert_array_equal(values["input"], x)
    np.testing.assert_array_equal(values["evidence"], simulate(graph, x)["evidence"])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda x: x.astype(np.float32), "is float32"),
        (lambda x: x.tolist(), "is list"),
        (lambda x: x[:, :-1], "expected \\[B, "),
        (lambda x: x[0], "has shape"),
        (lambda x: x[:0], "with B >= 1"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(change, reason):
    graph = student_graph(columns=2)
    with pytest.raises(SignalError, match=reason):
        simulate(graph, change(adversarial_inputs(graph)))
