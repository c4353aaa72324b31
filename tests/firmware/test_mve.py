"""Which convolutions CMSIS-NN gets wrong on cores with MVE, against its algorithm in numpy.

The oracle below does with arrays what `arm_convolve_1_x_n_s8` does with memory: copies, padding,
and whatever happened to be there before. A shape is unsafe exactly if that changes a result.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from beatlens.errors import ModelError
from beatlens.firmware import tflm_project
from beatlens.firmware.mve import mve_unsafe
from beatlens.integer.graph import (
    Add,
    Conv,
    Crop,
    IntegerGraph,
    Mean,
    Padding,
    Quantization,
    Tensor,
    output_length,
    padding_columns,
)
from beatlens.integer.tflite_read import read_tflite
from beatlens.integer.tflite_write import write_tflite
from beatlens.runtime.bundle import Bundle
from beatlens.signals.frontend import LSB_MV, FrontEnd
from beatlens.tasks.windows.rule import build_rule

from ..integer.graphs import student_graph
from ..runtime.cases import GAIN
from ..runtime.conftest import make_bundle


def conv_graph(
    kernel: int, stride: int, length: int, channels: int, padding: Padding = "same", groups: int = 1
) -> IntegerGraph:
    """One convolution to a column per stride, and the mean."""
    q = Quantization(1.0, 0)
    conv = Conv(
        name="conv",
        input="input",
        output="evidence",
        weights=np.ones((groups, kernel, channels // groups), np.int8),
        weight_scales=np.full(groups, 0.01, np.float32),
        bias=np.zeros(groups, np.int32),
        stride=stride,
        padding=padding,
        groups=groups,
    )
    tensors = [
        Tensor("input", length, channels, q),
        Tensor("evidence", output_length(conv, length), groups, q),
        Tensor("logits", 1, groups, q),
    ]
    mean = Mean(name="mean", input="evidence", output="logits")
    outputs = {"logits": "logits", "evidence": "evidence"}
    return IntegerGraph({t.name: t for t in tensors}, (conv, mean), "input", outputs)


def sums(columns: np.ndarray, taps: np.ndarray, rows: int, stride: int) -> list[int]:
    """So many outputs, one after the other, from the beginning of some memory."""
    return [int(columns[stride * r : stride * r + len(taps)] @ taps) for r in range(rows)]


def c_remainder(a: int, b: int) -> int:
    return int(np.fmod(a, b))


def as_cmsis_nn(x: np.ndarray, taps: np.ndarray, stride: int, out: int) -> list[int] | None:
    """What the function gives for one channel whose zero point is 0; None for its error.

    Memory beside the input, and what the buffer held before, is noise.
    """
    noise = np.random.default_rng(7).integers(1_000, 9_000, 4 * len(taps) + 4 * stride)
    kernel, length = len(taps), len(x)
    total = (out - 1) * stride + kernel - length
    pad = max(total, 0) // 2  # as TensorFlow Lite Micro passes it
    odd = c_remainder(total, 2)
    if 2 * pad + odd != total:
        return None
    right = max(1, (pad + odd + stride - 1) // stride) if pad + odd != 0 else 0
    left = max(1, (pad + stride - 1) // stride) if pad != 0 else 0
    middle = max(out - right - left, 0)
    if left + middle + right != out:  # arm_convolve_s8 instead
        whole = np.concatenate([np.zeros(pad), x, np.zeros(kernel + stride)]).astype(int)
        return sums(whole, taps, out, stride)
    memory = np.concatenate([x, noise])
    buffer = noise.copy()
    buffer[:pad] = 0
    buffer[pad : pad + kernel] = memory[:kernel]
    found = sums(buffer, taps, left, stride)
    found += sums(memory[stride * left - pad :], taps, middle, stride)
    start = stride * (left + middle) - pad
    zeros = right if odd else pad
    buffer[: kernel - 1] = memory[start : start + kernel - 1]
    buffer[kernel - 1 : kernel - 1 + zeros] = 0
    return found + sums(buffer, taps, right, stride)


def as_it_should_be(x: np.ndarray, taps: np.ndarray, op: Conv, out: int) -> list[int]:
    before, _ = padding_columns(op, len(x))
    whole = np.concatenate([np.zeros(before), x, np.zeros(len(taps) + op.stride)]).astype(int)
    return sums(whole, taps, out, op.stride)


@settings(max_examples=1500, deadline=None)
@given(
    kernel=st.integers(2, 17),
    stride=st.integers(1, 9),
    beyond=st.integers(0, 90),
    padding=st.sampled_from(["same", "valid"]),
)
@example(kernel=7, stride=2, beyond=1243, padding="same")
@example(kernel=7, stride=2, beyond=1243, padding="valid")
def test_a_shape_is_unsafe_if_the_algorithm_gets_it_wrong(
    kernel: int, stride: int, beyond: int, padding: Padding
) -> None:
    graph = conv_graph(kernel, stride, kernel + beyond, channels=4, padding=padding)
    (op, _), out = graph.ops, graph.tensors["evidence"].length
    assert isinstance(op, Conv)
    rng = np.random.default_rng(beyond)
    x, taps = rng.integers(1, 99, kernel + beyond), rng.integers(1, 99, kernel)
    wrong = as_cmsis_nn(x, taps, stride, out) != as_it_should_be(x, taps, op, out)
    found = mve_unsafe(graph)
    assert [name for name, _ in found] == (["conv"] if wrong else [])


def test_one_shape_is_safe_at_a_length_and_not_at_the_next() -> None:
    """So it takes the computation: neither padding nor stride alone decides it."""

    def unsafe(padding: Padding, stride: int, kernel: int) -> set[bool]:
        graphs = [conv_graph(kernel, stride, length, 4, padding) for length in range(50, 60)]
        return {bool(mve_unsafe(graph)) for graph in graphs}

    for padding in ("same", "valid"):
        assert unsafe(padding, 1, 7) == {False}
        assert unsafe(padding, 2, 7) == unsafe(padding, 4, 5) == {False, True}
    assert unsafe("same", 4, 7) == {True}


@pytest.mark.parametrize(
    ("name", "unsafe"),
    [("std_cam", []), ("ds_cam", []), ("tiny_cam", ["conv_2d_0", "conv_2d_2", "conv_2d_3"])],
)
def test_reference_models(shared_dir: Path, name: str, unsafe: list[str]) -> None:
    """On a Cortex-M55 TFLM with CMSIS-NN gave a wrong output for tiny_cam, and only for it."""
    graph = read_tflite((shared_dir / "anchors" / f"{name}.tflite").read_bytes())
    assert [operator for operator, _ in mve_unsafe(graph)] == unsafe


def test_what_other_functions_compute_is_not_flagged() -> None:
    assert mve_unsafe(conv_graph(7, 2, 1250, channels=2))
    assert not mve_unsafe(conv_graph(7, 2, 1250, channels=1))  # not a multiple of four bytes a step
    assert not mve_unsafe(conv_graph(1, 2, 1250, channels=2))
    assert not mve_unsafe(conv_graph(7, 2, 1250, channels=4, groups=2))


def test_reasons_say_what_happens() -> None:
    ((name, reason),) = mve_unsafe(conv_graph(7, 2, 1250, channels=16))
    assert name == "conv"
    assert reason == (
        "column 624 of 625 comes out wrong on cores with MVE (arm_convolve_1_x_n_s8; kernel 7, "
        "stride 2, same padding, 1250 columns of 16 channels)"
    )
    ((_, reason),) = mve_unsafe(conv_graph(4, 4, 50, channels=1, padding="valid"))
    assert reason.startswith("it is refused, and so Invoke fails, on cores with MVE")


def test_streaming_networks_are_safe(tmp_path: Path) -> None:
    assert mve_unsafe(student_graph()) == []
    for kind in ("dense", "residual"):
        bundle = make_bundle(kind, tmp_path / kind)
        assert mve_unsafe(read_tflite(bundle.tflite)) == []
        for core in ("m4", "m55", "m85"):
            written = tflm_project(
                bundle, FrontEnd(250, GAIN), tmp_path / f"{kind}-{core}", "strips",
                arena_bytes=4096, core=core,
            )  # fmt: skip
            assert len(written) > 20


def unsafe_bundle(folder: Path) -> Bundle:
    """A streaming network in which a 1x1 branch leaves the last column of its input unseen."""
    q = Quantization(float(np.float32(LSB_MV)), 0)
    other = Quantization(0.5, 0)
    rng = np.random.default_rng(0)

    def conv(name: str, source: str, output: str, out: int, k: int, c: int, stride: int) -> Conv:
        return Conv(
            name=name, input=source, output=output, stride=stride,
            weights=rng.integers(-9, 9, (out, k, c)).astype(np.int8),
            weight_scales=np.full(out, 0.01, np.float32), bias=np.zeros(out, np.int32),
        )  # fmt: skip

    length = 66
    ops = (
        conv("first", "input", "a", 4, 3, 1, 1),  # 64 columns
        conv("wide", "a", "b", 4, 8, 4, 2),  # (64 - 8) / 2 + 1 = 29
        Crop(name="crop", input="a", output="c", start=2, stop=62),  # 60
        conv("side", "c", "d", 4, 3, 4, 2),  # (60 - 3) / 2 + 1 = 29, one column left over
        Add(name="add", a="b", b="d", output="e"),
        conv("head", "e", "evidence", 4, 1, 4, 1),
        Mean(name="mean", input="evidence", output="logits"),
    )
    sizes = {"a": (64, 4), "b": (29, 4), "c": (60, 4), "d": (29, 4), "e": (29, 4)}
    tensors = {
        "input": Tensor("input", length, 1, q),
        **{name: Tensor(name, *size, other) for name, size in sizes.items()},
        "evidence": Tensor("evidence", 29, 4, other),
        "logits": Tensor("logits", 1, 4, other),
    }
    outputs = {"logits": "logits", "evidence": "evidence"}
    graph = IntegerGraph(tensors, ops, "input", outputs)
    return Bundle.create(
        folder, name="unsafe", tflite=write_tflite(graph),
        classes={key: key for key in ("a", "b", "c", "d")}, kind="windows",
        rule=build_rule(graph, dict.fromkeys("abcd", 0.5)),
        golden_inputs=np.zeros((1, length), np.int8),
    )  # fmt: skip


def test_an_unsafe_network_is_refused_for_mve_and_warned_of_elsewhere(tmp_path: Path) -> None:
    bundle = unsafe_bundle(tmp_path / "bundle")
    frontend = FrontEnd(250, GAIN)
    for core in ("m55", "m85"):
        with pytest.raises(ModelError, match=r"operator 'conv_2d_3': column 28 of 29 .* on m[58]5"):
            tflm_project(bundle, frontend, tmp_path / "a", "strips", arena_bytes=4096, core=core)
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    tflm_project(bundle, frontend, tmp_path / "a", "strips", arena_bytes=4096, core="m4")
    for path in ("README.md", "src/strips.h"):
        text = " ".join((tmp_path / "a" / path).read_text().replace("\n *", "\n").split())
        assert "WARNING: not for Cortex-M55 and Cortex-M85 with CMSIS-NN's kernels." in text
        assert "operator conv_2d_3: column 28 of 29 comes out wrong" in text
