"""Random integer graphs at the edges of what the engine takes.

Where `tests.integer.graphs` grows networks as training leaves them, these have extreme weights and
biases, factors from 2^-31 to where accumulators end, strides beyond kernels, and windows shorter
than their kernels. Every choice is a number from a `Draw`, so that a random generator makes them by
the thousand and hypothesis shrinks one that fails.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from beatlens.integer.graph import (
    Add,
    Conv,
    Crop,
    DepthwiseConv,
    IntegerGraph,
    Mean,
    Op,
    Permute,
    Quantization,
    Tensor,
    output_length,
)

Draw = Callable[[int, int], int]
"""A whole number from the first to the second, both included."""
T = TypeVar("T")
INT32 = (1 << 31) - 1
SMALLEST_SCALE, LARGEST_SCALE = 2.0**-11, 2.0**8
"""Sums of sums would else leave what an ADD can bring together."""


class Drawn:
    """A graph being drawn."""

    def __init__(self, draw: Draw) -> None:
        self.draw = draw
        self.padding = "same" if draw(0, 2) == 2 else "valid"
        self.ops: list[Op] = []
        self.tensors: dict[str, Tensor] = {}
        self.add("input", draw(1, 64), draw(1, 3), self.quantization())

    # Choices

    def one_of(self, choices: Sequence[T]) -> T:
        return choices[self.draw(0, len(choices) - 1)]

    def unit(self) -> float:
        """A number from 0 to 1."""
        return self.draw(0, 1 << 20) / (1 << 20)

    def generator(self) -> np.random.Generator:
        """For arrays, which are not worth shrinking number by number."""
        return np.random.default_rng(self.draw(0, (1 << 32) - 1))

    def quantization(self, scale: float | None = None) -> Quantization:
        zero_point = self.one_of([0, 0, -128, 127, *[self.draw(-100, 100)] * 4])
        scale = 2.0 ** (8 * self.unit() - 8) if scale is None else scale
        return Quantization(float(np.float32(scale)), zero_point)

    # Tensors and operators

    def add(self, name: str, length: int, channels: int, q: Quantization) -> str:
        self.tensors[name] = Tensor(name, length, channels, q)
        return name

    def emit(self, op: Op, channels: int, q: Quantization) -> str:
        length = output_length(op, self.tensors[op.inputs[0]].length)
        self.ops.append(op)
        return self.add(op.output, length, channels, q)

    def name(self) -> dict[str, str]:
        return {"name": f"op{len(self.ops)}", "output": f"t{len(self.ops)}"}

    def convolution(self, source: str, kind: str, **fixed: int) -> str:
        """`kind` is dense, pointwise, grouped or depthwise; `fixed` channels, kernel or stride."""
        tensor, wide = self.tensors[source], kind == "dense"
        most = 12 if self.padding == "same" else min(12, tensor.length)
        kernel = fixed.get("kernel", 1 if kind == "pointwise" else self.draw(1, most))
        groups = self.one_of(_divisors(tensor.channels)) if kind == "grouped" else 1
        channels = fixed.get("channels", self.draw(1, 20 if wide else 9))
        if kind == "grouped" and channels % groups:
            channels = groups * self.draw(1, 4)
        if kind == "depthwise":
            channels, shape = tensor.channels, (kernel, tensor.channels)
        else:
            shape = (channels, kernel, tensor.channels // groups)
        weights = self.weights(shape)
        taps = weights.T if kind == "depthwise" else weights.reshape(channels, -1)
        q = self.quantization()
        bias, factors = self.rescaling(taps)
        scales = factors * q.scale / tensor.quantization.scale
        settings: dict[str, Any] = {
            **self.name(), "input": source, "weights": weights, "bias": bias,
            "weight_scales": scales.astype(np.float32), "padding": self.padding,
            "stride": fixed.get("stride", self.one_of([1, 1, 2, 3, 5])),
            "relu": bool(self.draw(0, 1)),
        }  # fmt: skip
        if kind == "depthwise":
            return self.emit(DepthwiseConv(**settings), channels, q)
        return self.emit(Conv(groups=groups, **settings), channels, q)

    def weights(self, shape: tuple[int, ...]) -> np.ndarray:
        rng, kind = self.generator(), self.draw(0, 4)
        if kind == 0:
            drawn = np.round(rng.normal(0, 40, shape))
        elif kind == 1:
            drawn = rng.choice([-127, 127], shape)
        elif kind == 2:
            drawn = np.full(shape, rng.choice([-127, 127]))
        elif kind == 3:
            drawn = rng.integers(-2, 3, shape)
        else:
            drawn = rng.integers(-127, 128, shape)
        return np.clip(drawn, -127, 127).astype(np.int8)

    def rescaling(self, taps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Biases int32 and factors `[channels]` that keep some values between the rails.

        Reach is what the sums can be in the engine, where the input's zero point is in the bias;
        128 are left for the output's.
        """
        rng = self.generator()
        wide = np.abs(taps.astype(np.int64)).sum(axis=1)
        room = INT32 - 256 * wide - 128
        kind = self.one_of(["trained", "trained", "none", "any", "largest"])
        spread = 75 * np.sqrt((taps.astype(np.float64) ** 2).sum(axis=1)) + 1
        if kind == "trained":
            bias = rng.normal(0, 1, len(taps)) * spread
        elif kind == "any":
            bias = rng.choice([-1.0, 1.0], len(taps)) * room ** rng.uniform(0, 1, len(taps))
        elif kind == "largest":
            bias = rng.choice([-1.0, 1.0], len(taps)) * (room - rng.integers(0, 3, len(taps)))
        else:
            bias = np.zeros(len(taps))
        rounded = np.clip(np.round(bias).astype(np.int64), -room, room)
        size = np.maximum(spread, np.abs(rounded))
        reach = np.abs(rounded) + 256 * wide + 1
        largest = 2.0 ** np.minimum(31 - np.ceil(np.log2(reach)), 30) * 0.999
        if self.draw(0, 11) == 11:  # results reach the ends of 32 bits
            factors = largest
        else:
            factors = 60 / size * 2.0 ** rng.uniform(-2, 4 * self.draw(0, 1), len(taps))
        return rounded.astype(np.int32), np.clip(factors, 2.0**-31, largest)

    def permute(self, source: str) -> str:
        tensor = self.tensors[source]
        order = tuple(self.generator().permutation(tensor.channels))
        op = Permute(**self.name(), input=source, order=order)
        return self.emit(op, tensor.channels, tensor.quantization)

    def crop(self, source: str, length: int) -> str:
        tensor = self.tensors[source]
        if tensor.length == length:
            return source
        start = self.draw(0, tensor.length - length)
        op = Crop(**self.name(), input=source, start=start, stop=start + length)
        return self.emit(op, tensor.channels, tensor.quantization)

    def sum(self, source: str) -> str:
        """Of a branch of zero to two convolutions, and the source cut to its length."""
        branch = source
        for _ in range(self.draw(0, 2)):
            kind = self.one_of(["dense", "pointwise", "depthwise"])
            branch = self.convolution(
                branch, kind, stride=1, channels=self.tensors[source].channels
            )
        pair = [branch, self.crop(source, self.tensors[branch].length)]
        if self.draw(0, 1):
            pair.reverse()
        scales = [self.tensors[name].quantization.scale for name in pair]
        most = 2 * max(scales) * 2.0 ** self.one_of([0, 0, -1, 6, -19])
        q = self.quantization(min(max(most, SMALLEST_SCALE), LARGEST_SCALE))
        op = Add(**self.name(), a=pair[0], b=pair[1], relu=bool(self.draw(0, 1)))
        return self.emit(op, self.tensors[source].channels, q)

    def step(self, source: str) -> str:
        kind = self.one_of(["dense", "pointwise", "grouped", "depthwise", "sum", "permute", "crop"])
        if kind == "sum":
            return self.sum(source)
        if kind == "permute":
            return self.permute(source)
        if kind != "crop":
            return self.convolution(source, kind)
        if self.padding == "same":  # there the engine crops inputs of an ADD only
            return source
        return self.crop(source, self.draw(1, self.tensors[source].length))

    def finish(self, source: str) -> IntegerGraph:
        """The last tensor is the evidence, if a layer made it; else a convolution is added."""
        made = self.ops[-1] if self.ops else None
        if made is None or made.output != source or isinstance(made, Crop):
            source = self.convolution(source, "pointwise")
        tensor = self.tensors[source]
        mean = Mean(name="mean", input=source, output="logits")
        self.emit(mean, tensor.channels, tensor.quantization)
        roles = {"logits": "logits", "evidence": source}
        return IntegerGraph(self.tensors, tuple(self.ops), "input", roles)


def network(draw: Draw) -> IntegerGraph:
    """A graph of one to six steps; where it ends depends on the draws alone."""
    drawn = Drawn(draw)
    source = "input"
    for _ in range(draw(1, 5)):
        source = drawn.step(source)
    return drawn.finish(source)


def network_input(graph: IntegerGraph, draw: Draw) -> np.ndarray:
    """Noise or extremes for a graph, int8 `[N, leads]`."""
    tensor = graph.tensors[graph.input]
    shape = (tensor.length, tensor.channels)
    rng = np.random.default_rng(draw(0, (1 << 32) - 1))
    kind = draw(0, 3)
    if kind == 0:
        return rng.integers(-128, 128, shape).astype(np.int8)
    if kind == 1:
        return rng.choice(np.array([-128, 127], np.int8), shape)
    if kind == 2:
        return np.full(shape, rng.choice([-128, 127]), np.int8)
    return np.clip(np.round(rng.normal(0, 25, shape)), -128, 127).astype(np.int8)


def _divisors(number: int) -> list[int]:
    return [n for n in range(1, number + 1) if number % n == 0]


def log2_of_factors(graph: IntegerGraph) -> list[float]:
    """How large the factors of all convolutions are; for a test of the tests."""
    found = []
    for op in graph.ops:
        if isinstance(op, Conv | DepthwiseConv):
            source, result = (graph.tensors[name].quantization for name in (op.input, op.output))
            factors = source.scale * op.weight_scales.astype(np.float64) / result.scale
            found += [math.log2(factor) for factor in factors]
    return found
