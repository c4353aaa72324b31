"""Run an integer graph in numpy: the oracle for every implementation on a device.

Bit-exact to the LiteRT reference kernels (see :mod:`beatlens.integer.arithmetic`). Convolutions
are matrix products in float32 where the graph proves that every partial sum stays below 2**24, in
float64 otherwise; sums are then exact integers in any order of summation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from beatlens.errors import SignalError
from beatlens.integer import arithmetic
from beatlens.integer.checks import partial_sum_bound
from beatlens.integer.graph import (
    Add,
    Conv,
    Convolution,
    Crop,
    IntegerGraph,
    Mean,
    Op,
    Permute,
    Tensor,
    padding_columns,
)

Int8 = NDArray[np.int8]
FLOAT32_EXACT = 1 << 24
CHUNK_VALUES = 1 << 21
"""Activation values (batch * T * C) computed at once, so that they fit the CPU's cache."""


def simulate(graph: IntegerGraph, x: Int8, *, every_tensor: bool = False) -> dict[str, Int8]:
    """Run a batch of inputs.

    `x` is int8 `[B, N, leads]` with `N` and `leads` those of the graph's input tensor; for another
    `N` take `graph.with_input_length(N)`. Returns "evidence" int8 `[B, T, C]` and "logits" int8
    `[B, C]`, or, with `every_tensor`, every activation by its tensor name as int8 `[B, T, C]`.
    Raises SignalError if `x` does not fit.
    """
    source = graph.tensors[graph.input]
    if not isinstance(x, np.ndarray) or x.dtype != np.int8:
        found = x.dtype if isinstance(x, np.ndarray) else type(x).__name__
        raise SignalError(f"network input is {found}, expected an int8 array")
    if x.ndim != 3 or x.shape[1:] != (source.length, source.channels) or len(x) == 0:
        raise SignalError(
            f"network input has shape {x.shape}, expected [B, {source.length}, {source.channels}] "
            "with B >= 1; for another length use graph.with_input_length"
        )
    names = list(graph.tensors) if every_tensor else list(graph.outputs.values())
    chunks = [_run(graph, chunk, names) for chunk in _chunks(graph, x)]
    result = {name: np.concatenate([chunk[name] for chunk in chunks]) for name in names}
    if every_tensor:
        return result
    return {
        "evidence": result[graph.outputs["evidence"]],
        "logits": result[graph.outputs["logits"]][:, 0],
    }


def _chunks(graph: IntegerGraph, x: Int8) -> Iterator[Int8]:
    widest = max(tensor.length * tensor.channels for tensor in graph.tensors.values())
    size = max(1, CHUNK_VALUES // widest)
    for start in range(0, len(x), size):
        yield x[start : start + size]


def _run(graph: IntegerGraph, x: Int8, keep: list[str]) -> dict[str, Int8]:
    values = {graph.input: x}
    last_use = {name: i for i, op in enumerate(graph.ops) for name in op.inputs}
    for i, op in enumerate(graph.ops):
        values[op.output] = _apply(op, graph, values)
        for name in set(op.inputs):
            if last_use[name] == i and name not in keep:
                del values[name]
    return {name: values[name] for name in keep}


def _apply(op: Op, graph: IntegerGraph, values: dict[str, Int8]) -> Int8:
    result = graph.tensors[op.output].quantization
    match op:
        case Convolution():
            source = graph.tensors[op.input]
            factor = arithmetic.convolution_multiplier(
                source.quantization.scale, op.weight_scales, result.scale
            )
            accumulator = _accumulate(op, source, values[op.input])
            return arithmetic.requantize(accumulator, factor, result.zero_point, op.relu)
        case Add():
            a, b = (graph.tensors[name].quantization for name in op.inputs)
            return arithmetic.add(
                values[op.a],
                values[op.b],
                (a.zero_point, b.zero_point, result.zero_point),
                (a.scale, b.scale, result.scale),
                op.relu,
            )
        case Crop():
            return values[op.input][:, op.start : op.stop]
        case Permute():
            return values[op.input][:, :, list(op.order)]
        case Mean():
            q = graph.tensors[op.input].quantization
            averaged = arithmetic.mean(
                values[op.input], q.zero_point, q.scale, result.zero_point, result.scale
            )
            return averaged[:, None]


def _accumulate(op: Convolution, source: Tensor, x: Int8) -> NDArray[np.int64]:
    """Sums of `weight * (x - zero_point)` plus bias, int64 `[B, T_out, C]`."""
    small = partial_sum_bound(op, source).max() < FLOAT32_EXACT
    exact = np.dtype(np.float32 if small else np.float64)
    wide = x.astype(exact) - exact.type(source.quantization.zero_point)
    before, after = padding_columns(op, source.length)
    if before or after:
        wide = np.pad(wide, ((0, 0), (before, after), (0, 0)))
    windows = sliding_window_view(wide, op.kernel, axis=1)[:, :: op.stride]  # [B, T_out, in, k]
    if isinstance(op, Conv):
        sums = _grouped_sums(op, windows, exact)
    else:
        sums = np.einsum("btck,kc->btc", windows, op.weights.astype(exact))
    accumulator: NDArray[np.int64] = sums.astype(np.int64) + op.bias
    return accumulator


def _grouped_sums(
    op: Conv, windows: NDArray[np.floating], exact: np.dtype[Any]
) -> NDArray[np.floating]:
    """One matrix product per group of channels; `windows [B, T_out, in, k]` to `[B, T_out, C]`."""
    batch, length = windows.shape[:2]
    parts = windows.reshape(batch, length, op.groups, -1, op.kernel)
    rows = parts.transpose(2, 0, 1, 4, 3).reshape(op.groups, batch * length, -1)  # the one copy
    taps = op.taps.astype(exact).reshape(op.groups, -1, op.taps.shape[1])
    sums: NDArray[np.floating] = rows @ taps.swapaxes(1, 2)  # [groups, B * T_out, out / groups]
    return sums.swapaxes(0, 1).reshape(batch, length, -1)
