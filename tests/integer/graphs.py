"""Random integer graphs and adversarial inputs for the tests of the int8 core."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

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
    padding_columns,
)


class Builder:
    """Grows a random graph operator by operator, calibrated on noise so that signals stay alive."""

    def __init__(self, rng: np.random.Generator, length: int, leads: int) -> None:
        self.rng = rng
        scale = float(np.float32(rng.uniform(0.01, 0.05)))
        zero_point = int(rng.choice([0, int(rng.integers(-128, 128))]))
        self.tensors = {"input": Tensor("input", length, leads, Quantization(scale, zero_point))}
        self.real = {"input": scale * rng.normal(0, 60, (4, length, leads))}
        self.ops: list[Op] = []

    def emit(self, op: Op, real: np.ndarray, quantization: Quantization | None = None) -> str:
        """Append an operator that makes these real values; calibrate its output about right."""
        if getattr(op, "relu", False):
            real = np.maximum(real, 0)
        if quantization is None:
            low, high = min(0, np.percentile(real, 0.5)), max(1e-6, np.percentile(real, 99.5))
            scale = (high - low) / 255 * self.rng.uniform(0.8, 1.3)
            zero_point = int(np.clip(np.round(-128 - low / scale), -128, 127))
            quantization = Quantization(float(np.float32(scale)), zero_point)
        self.tensors[op.output] = Tensor(op.output, *real.shape[1:], quantization)
        self.real[op.output] = real
        self.ops.append(op)
        return op.output

    def convolution(
        self,
        source: str,
        output: str,
        *,
        channels: int,
        kernel: int,
        stride: int,
        padding: str,
        depthwise: bool,
        relu: bool,
        groups: int = 1,
    ) -> str:
        rng, tensor = self.rng, self.tensors[source]
        width = tensor.channels // groups
        shape = (kernel, tensor.channels) if depthwise else (channels, kernel, width)
        channels = tensor.channels if depthwise else channels
        weights = np.clip(np.round(rng.normal(0, 45, shape)), -127, 127).astype(np.int8)
        weight_scales = rng.uniform(0.2, 1.0, channels).astype(np.float32) * np.float32(0.01)
        settings = {
            "name": f"op{len(self.ops)}",
            "input": source,
            "output": output,
            "weights": weights,
            "weight_scales": weight_scales,
            "stride": stride,
            "padding": padding,
            "relu": relu,
        } | ({} if depthwise else {"groups": groups})
        kind = DepthwiseConv if depthwise else Conv
        op = kind(bias=np.zeros(channels, np.int32), **settings)
        before, after = padding_columns(op, tensor.length)
        padded = np.pad(self.real[source], ((0, 0), (before, after), (0, 0)))
        windows = sliding_window_view(padded, kernel, axis=1)[:, ::stride]
        if depthwise:
            sums = np.einsum("btck,kc->btc", windows, weights)
        else:
            parts = zip(np.split(windows, groups, 2), np.split(weights, groups), strict=True)
            sums = np.concatenate([np.einsum("btck,okc->bto", w, v) for w, v in parts], axis=2)
        # Each channel's mean moves to within half a standard deviation of zero.
        shift = sums.std((0, 1)) * rng.uniform(-0.5, 0.5, channels) - sums.mean((0, 1))
        bias = np.round(shift / tensor.quantization.scale).astype(np.int32)
        real = (sums + bias * tensor.quantization.scale) * weight_scales
        return self.emit(kind(bias=bias, **settings), real)

    def random_convolution(self, source: str, output: str, padding: str) -> str:
        rng = self.rng
        depthwise = self.tensors[source].channels > 1 and rng.random() < 0.3
        return self.convolution(
            source,
            output,
            channels=int(rng.choice([1, 3, 4, 8, 13, 16])),
            kernel=int(rng.integers(1, 13)),
            stride=int(rng.choice([1, 1, 2, 2, 3, 4])),
            padding=padding,
            depthwise=depthwise,
            relu=bool(rng.random() < 0.7),
        )

    def residual(self, source: str, output: str) -> str:
        """Two unpadded convolutions beside a cropped shortcut, as a residual block has them."""
        rng, channels = self.rng, self.tensors[source].channels
        kernel = int(rng.choice([3, 5, 7]))
        shared = {"stride": 1, "padding": "valid", "depthwise": False, "channels": channels}
        inner = self.convolution(source, f"{output}_inner", kernel=kernel, relu=True, **shared)
        branch = self.convolution(inner, f"{output}_branch", kernel=kernel, relu=False, **shared)
        tensor = self.tensors[source]
        crop = Crop(
            name=f"op{len(self.ops)}",
            input=source,
            output=f"{output}_crop",
            start=kernel - 1,
            stop=tensor.length - kernel + 1,
        )
        shortcut = self.emit(
            crop, self.real[source][:, crop.start : crop.stop], tensor.quantization
        )
        pair = [branch, shortcut]
        rng.shuffle(pair)
        add = Add(
            name=f"op{len(self.ops)}",
            a=pair[0],
            b=pair[1],
            output=output,
            relu=bool(rng.random() < 0.5),
        )
        return self.emit(add, self.real[branch] + self.real[shortcut])

    def permute(self, source: str, output: str) -> str:
        """The channels in a random order; now and then in the order they have."""
        tensor = self.tensors[source]
        order = np.arange(tensor.channels)
        if self.rng.random() < 0.9:
            self.rng.shuffle(order)
        op = Permute(name=f"op{len(self.ops)}", input=source, output=output, order=tuple(order))
        return self.emit(op, self.real[source][:, :, order], tensor.quantization)

    def permuted_sum(self, source: str, output: str) -> str:
        """A grouped branch between permutations, beside a shortcut that is dense or permuted."""
        rng, channels = self.rng, self.tensors[source].channels
        shared = {"kernel": 1, "stride": 1, "padding": "valid", "depthwise": False, "relu": False}
        inner = self.permute(source, f"{output}_in")
        inner = self.convolution(inner, f"{output}_g", channels=channels, groups=2, **shared)
        branch = self.permute(inner, f"{output}_out")
        if rng.random() < 0.5:
            other = self.convolution(source, f"{output}_side", channels=channels, **shared)
        else:
            other = self.permute(source, f"{output}_side")
        add = Add(name=f"op{len(self.ops)}", a=branch, b=other, output=output, relu=False)
        return self.emit(add, self.real[branch] + self.real[other])

    def head(self, source: str, classes: int) -> IntegerGraph:
        """A 1x1 convolution to classes, then their mean."""
        evidence = self.convolution(
            source,
            "evidence",
            channels=classes,
            kernel=1,
            stride=1,
            padding="valid",
            depthwise=False,
            relu=False,
        )
        mean = Mean(name=f"op{len(self.ops)}", input=evidence, output="logits")
        same = self.tensors[evidence].quantization
        real = self.real[evidence].mean(axis=1, keepdims=True)
        self.emit(mean, real, same if self.rng.random() < 0.5 else None)
        outputs = {"logits": "logits", "evidence": "evidence"}
        return IntegerGraph(self.tensors, tuple(self.ops), "input", outputs)


def random_graph(seed: int) -> IntegerGraph:
    """A graph of one to six convolutions and up to two residual blocks, valid or same padding."""
    rng = np.random.default_rng(seed)
    length = int(rng.integers(150, 400))
    builder = Builder(rng, length, leads=int(rng.choice([1, 1, 2, 3])))
    padding = "same" if rng.random() < 0.4 else "valid"
    source = "input"
    for i in range(int(rng.integers(1, 6))):
        if builder.tensors[source].length < 40:
            break
        if padding == "valid" and builder.tensors[source].length > 60 and rng.random() < 0.35:
            source = builder.residual(source, f"block{i}")
        else:
            source = builder.random_convolution(source, f"t{i}", padding)
    return builder.head(source, classes=int(rng.integers(1, 6)))


def permuted_graph(seed: int) -> IntegerGraph:
    """Permutations before, behind and beside every kind of operator, grouped ones among them."""
    rng = np.random.default_rng(seed)
    builder = Builder(rng, int(rng.integers(60, 160)), leads=int(rng.choice([1, 2])))
    shared = {"padding": str(rng.choice(["valid", "same"])), "relu": True}
    source = builder.permute("input", "leads") if rng.random() < 0.3 else "input"
    source = builder.convolution(
        source, "first", channels=8, kernel=3, stride=2, depthwise=False, **shared
    )
    for i in range(int(rng.integers(3, 9))):
        kind = rng.choice(["permute", "permute", "grouped", "dense", "depthwise", "sum"])
        if kind == "permute":
            source = builder.permute(source, f"t{i}")
        elif kind == "sum":
            source = builder.permuted_sum(source, f"t{i}")
        else:
            source = builder.convolution(
                source,
                f"t{i}",
                channels=int(rng.choice([4, 8, 12])),
                kernel=int(rng.integers(1, 5)),
                stride=1,
                depthwise=kind == "depthwise",
                groups=int(rng.choice([2, 4])) if kind == "grouped" else 1,
                **shared,
            )
    return builder.head(source, classes=3)


def student_graph(columns: int = 160, seed: int = 0) -> IntegerGraph:
    """A dense student of the size that is released: 28.6 k weights, stride 8."""
    channels, kernels, strides = (8, 12, 16, 24, 32, 32), (8, 8, 8, 12, 12, 12), (2, 2, 2, 1, 1, 1)
    field, jump = 1, 1
    for kernel, stride in zip(kernels, strides, strict=True):
        field += (kernel - 1) * jump
        jump *= stride
    builder = Builder(np.random.default_rng(seed), field + (columns - 1) * jump, leads=1)
    source = "input"
    for i, (c, k, s) in enumerate(zip(channels, kernels, strides, strict=True)):
        source = builder.convolution(
            source,
            f"t{i}",
            channels=c,
            kernel=k,
            stride=s,
            padding="valid",
            depthwise=False,
            relu=True,
        )
    return builder.head(source, classes=4)


def adversarial_inputs(graph: IntegerGraph, seed: int = 0) -> np.ndarray:
    """All extremes, alternating extremes, the zero point, and noise: int8 `[7, N, leads]`."""
    tensor = graph.tensors[graph.input]
    shape = (tensor.length, tensor.channels)
    rng = np.random.default_rng(seed)
    alternating = np.where(np.indices(shape).sum(axis=0) % 2, 127, -128)
    return np.stack(
        [
            np.full(shape, -128),
            np.full(shape, 127),
            alternating,
            np.full(shape, tensor.quantization.zero_point),
            np.where(rng.random(shape) < 0.5, -128, 127),
            rng.integers(-128, 128, shape),
            np.clip(np.round(rng.normal(0, 25, shape)), -128, 127),
        ]
    ).astype(np.int8)


def selecting_graph(
    length: int, a: Quantization, b: Quantization, output: Quantization, relu: bool
) -> IntegerGraph:
    """ADD of two leads that reach it unchanged, whatever the quantisations of its inputs are.

    A lead has scale 1; a 1x1 convolution with weight 1 and weight scale `s` gives it scale `s`
    without rescaling, and its bias moves the zero point.
    """
    zero_point = 0
    tensors = [
        Tensor("input", length, 2, Quantization(1.0, zero_point)),
        Tensor("a", length, 1, a),
        Tensor("b", length, 1, b),
        Tensor("evidence", length, 1, output),
        Tensor("logits", 1, 1, output),
    ]
    ops: list[Op] = []
    for lead, (name, q) in enumerate((("a", a), ("b", b))):
        weights = np.zeros((1, 1, 2), np.int8)
        weights[0, 0, lead] = 1
        bias = np.array([zero_point - q.zero_point], np.int32)
        scales = np.array([q.scale], np.float32)
        ops.append(
            Conv(
                name=name,
                input="input",
                output=name,
                weights=weights,
                weight_scales=scales,
                bias=bias,
            )
        )
    ops.append(Add(name="add", a="a", b="b", output="evidence", relu=relu))
    ops.append(Mean(name="mean", input="evidence", output="logits"))
    roles = {"logits": "logits", "evidence": "evidence"}
    return IntegerGraph({t.name: t for t in tensors}, tuple(ops), "input", roles)


def scaling_graph(
    length: int, channels: int, evidence: Quantization, logits: Quantization, factor: float
) -> IntegerGraph:
    """Each channel times `factor`, then the mean; with factor 1 the mean sees the input itself."""
    zero_point = evidence.zero_point
    tensors = [
        Tensor("input", length, channels, Quantization(evidence.scale, zero_point)),
        Tensor("evidence", length, channels, evidence),
        Tensor("logits", 1, channels, logits),
    ]
    scale = DepthwiseConv(
        name="scale",
        input="input",
        output="evidence",
        weights=np.ones((1, channels), np.int8),
        weight_scales=np.full(channels, factor, np.float32),
        bias=np.zeros(channels, np.int32),
    )
    mean = Mean(name="mean", input="evidence", output="logits")
    roles = {"logits": "logits", "evidence": "evidence"}
    return IntegerGraph({t.name: t for t in tensors}, (scale, mean), "input", roles)
