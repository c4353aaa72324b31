"""Four products per long multiplication: what is proven of the weights, and at its limits the C."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beatlens.c_source.long_products import BITS, SUM, LongLayout, long_layout
from beatlens.firmware import lay_out
from beatlens.integer.graph import Conv, IntegerGraph, Mean, Quantization, Tensor
from beatlens.integer.simulate import simulate
from beatlens.integer.tflite_read import read_tflite

from .test_net import Builder, builder, evidence  # noqa: F401  (a fixture)

MIN, MAX = -128, 127


def parts_of(layout: LongLayout, taps: np.ndarray, stride: int) -> list[tuple[int, int, list[int]]]:
    """First channel, first input and words of each part of each channel, as the C walks them."""
    channels, columns, inputs = taps.shape
    pairs = -(-columns // (2 * stride))
    used = min(stride, columns) * inputs
    words, found = iter(layout.words.tolist()), []
    for first in range(0, channels, layout.block):
        for start in range(0, used, layout.inputs):
            size = min(layout.inputs, used - start) * pairs
            for channel in range(first, min(first + layout.block, channels)):
                part = [next(words) for _ in range(size + size % 2)]
                found.append((channel, start, part))
    assert next(words, None) is None
    return found


def sums_of(layout: LongLayout, taps: np.ndarray, stride: int, x: np.ndarray) -> np.ndarray:
    """Five windows' sums `[channels, 5]` by numbers without end; no sum may leave its bits."""
    channels, columns, inputs = taps.shape
    width, pairs = stride * inputs, -(-columns // (2 * stride))
    flat = np.concatenate([x.ravel(), np.zeros((2 * pairs + 5) * width)]).astype(int).tolist()
    sums = np.zeros((channels, 5), int)
    for channel, start, words in parts_of(layout, taps, stride):
        low, middle, high = [], [], []
        for window in (0, 2, 4):
            total = 0
            for i, word in enumerate(words):
                at = (window + 2 * (i % pairs)) * width + start + i // pairs
                total += word * (flat[at] + (flat[at + width] << BITS))
            total += SUM + (SUM << BITS)
            low.append(total % (1 << BITS))
            middle.append((total >> BITS) % (1 << BITS))
            high.append(total >> 2 * BITS)
            assert -(1 << 63) <= total < 1 << 63
        of_odd = [h + after for h, (_, after) in zip(high, pairwise(low), strict=False)]
        sums[channel] += [middle[0], of_odd[0], middle[1], of_odd[1], middle[2]]
    return sums - layout.parts * SUM


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_long_sums_hold_those_of_five_windows(data: st.DataObject) -> None:
    channels, columns, inputs, stride = (data.draw(st.integers(1, m)) for m in (5, 9, 12, 4))
    seed = data.draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    largest = data.draw(st.sampled_from([1, 30, 127]))
    taps = rng.integers(-largest, largest + 1, (channels, columns, inputs))
    x = rng.choice([MIN, MAX], (4 * stride + columns, inputs))
    layout = long_layout(taps, stride)
    assert layout is not None
    assert layout.largest < SUM
    windows = [x[w * stride : w * stride + columns] for w in range(5)]
    wanted = [[int((tap * window).sum()) for window in windows] for tap in taps]
    np.testing.assert_array_equal(sums_of(layout, taps, stride, x), wanted)


def limit_taps(total: int) -> np.ndarray:
    """One channel, two columns of 33 inputs, whose weights' absolute values add up to `total`."""
    flat = np.full(66, 127)
    flat[-2:] = [0, total - 64 * 127]
    return flat.reshape(1, 2, 33)


def test_a_part_ends_where_sums_would_leave_their_bits() -> None:
    whole = long_layout(limit_taps(8191), 1)
    cut = long_layout(limit_taps(8192), 1)
    assert whole is not None
    assert cut is not None
    assert (whole.parts, whole.largest) == (1, SUM - 128)
    assert cut.parts == 2


def test_weights_of_one_input_may_be_too_many() -> None:
    assert long_layout(np.full((1, 64, 1), 127), 1) is not None
    assert long_layout(np.full((1, 66, 1), 127), 1) is None
    assert long_layout(np.full((1, 66, 1), 12), 1) is not None


def graph_of(taps: np.ndarray, stride: int) -> IntegerGraph:
    channels, columns, inputs = taps.shape
    conv = Conv(
        name="conv", input="input", output="evidence", stride=stride,
        weights=taps.astype(np.int8), weight_scales=np.full(channels, 1e-5, np.float32),
        bias=np.zeros(channels, np.int32),
    )  # fmt: skip
    q = Quantization(1.0, 0)
    length = columns + 6 * stride
    tensors = [Tensor("input", length, inputs, q), Tensor("evidence", 7, channels, q),
               Tensor("logits", 1, channels, q)]  # fmt: skip
    mean = Mean(name="mean", input="evidence", output="logits")
    outputs = {"logits": "logits", "evidence": "evidence"}
    return IntegerGraph({t.name: t for t in tensors}, (conv, mean), "input", outputs)


@pytest.mark.parametrize("total", [8191, 8192])
@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("stride", [1, 2])
def test_c_at_the_limit(builder: Builder, total: int, sign: int, stride: int) -> None:  # noqa: F811
    graph = graph_of(sign * limit_taps(total), stride)
    plan = lay_out(graph, kernels="long")
    assert [layer.code.kernel for layer in plan.layers] == ["bl_convolve_long"]
    program = builder.program(plan)
    length = graph.tensors["input"].length
    alternating = np.where(np.arange(length) % 2, MIN, MAX)[:, None]
    for x in (
        np.full((length, 1), MIN),
        np.full((length, 1), MAX),
        alternating,
        -1 - alternating,
    ):
        columns = np.broadcast_to(x, (length, 33)).astype(np.int8)[None]
        wanted = simulate(graph, columns)["evidence"][0]
        np.testing.assert_array_equal(evidence(program, columns[0], 1, 0), wanted)


@pytest.mark.parametrize(
    ("name", "kernels"),
    [("std_cam", {"bl_convolve_long"}), ("ds_cam", {"bl_convolve_long", "bl_convolve_taps"})],
)
def test_every_layer_of_the_reference_models_fits(
    shared_dir: Path, name: str, kernels: set[str]
) -> None:
    graph = read_tflite((shared_dir / "anchors" / f"{name}.tflite").read_bytes())
    assert {layer.code.kernel for layer in lay_out(graph, kernels="long").layers} == kernels


def test_the_file_says_what_was_proven() -> None:
    plan = lay_out(graph_of(limit_taps(8191), 1), kernels="long")
    (layer,) = plan.layers
    assert "reach 1048448, below 2^20" in layer.code.bound
