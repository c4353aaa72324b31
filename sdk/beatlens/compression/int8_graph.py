"""Convert a quantised torch network to the integer graph that is exported.

Scales are rounded to float32 here, once, and are then the same everywhere. Biases become int32 in
units of input scale times weight scale. Weights in permuted blocks become a grouped convolution
between two channel permutations, which are then folded into the neighbouring operators.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from beatlens.compression.permuted_blocks import PermutedBlocks
from beatlens.compression.quantize import (
    ActivationQuantizer,
    QuantizedConv,
    QuantizedEvidenceNet,
    QuantizedResidual,
)
from beatlens.errors import ModelError
from beatlens.integer.fold import fold_permutations
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
)
from beatlens.nets.constraint import constraint_on
from beatlens.signals.frontend import LSB_MV


def float32(value: torch.Tensor | float) -> float:
    """Round to float32; returned as a Python float of exactly that value."""
    return float(np.float32(float(value)))


def read_quantization(quantizer: ActivationQuantizer) -> Quantization:
    """Read scale and zero point of a trained activation quantiser."""
    return Quantization(float32(quantizer.scale.detach()), quantizer.zero_point)


@torch.no_grad()
def build_graph(net: QuantizedEvidenceNet, span: int) -> IntegerGraph:
    """Convert a calibrated (and trained) quantised network to an integer graph.

    Args:
        net: the network, of one lead.
        span: samples that the `logits` output decides on; the graph's input is the span plus the
            network's context.

    Raises:
        ModelError: the span is not a whole number of columns, or a scale or an accumulator is
            outside what int8 kernels can hold (an uncalibrated network's are).
    """
    geometry = net.geometry
    if span < geometry.stride or span % geometry.stride:
        raise ModelError(
            f"span is {span} samples, expected a multiple of the network's stride {geometry.stride}"
        )
    builder = _Builder(geometry.input_length(span // geometry.stride))
    for index, block in enumerate(net.backbone):
        if isinstance(block, QuantizedResidual):
            builder.residual(block, f"block{index}")
        elif isinstance(block, QuantizedConv):
            builder.conv(block, f"conv{index}")
    builder.conv(net.head, "evidence")
    scale = float32(net.logit_scale)
    builder.add(Mean(name="mean", input="evidence", output="logits"), 1, Quantization(scale, 0))
    roles = {"logits": "logits", "evidence": "evidence"}
    return fold_permutations(IntegerGraph(builder.tensors, tuple(builder.ops), "input", roles))


class _Builder:
    """Appends operators, keeping the name of the newest tensor."""

    def __init__(self, length: int) -> None:
        self.ops: list[Op] = []
        self.newest = Tensor("input", length, 1, Quantization(float32(LSB_MV), 0))
        self.tensors = {"input": self.newest}

    def add(self, op: Op, length: int, quantization: Quantization, channels: int = 0) -> None:
        """Append an operator and its output tensor."""
        channels = channels or self.newest.channels
        self.newest = Tensor(op.output, length, channels, quantization)
        self.tensors[op.output] = self.newest
        self.ops.append(op)

    def conv(self, layer: QuantizedConv, name: str) -> None:
        """Append a convolution of the newest tensor: dense, in permuted blocks, or depthwise."""
        steps, offsets = layer.integers()
        limit = np.iinfo(np.int32).max
        weights = np.clip(steps.double().numpy(), -127, 127).astype(np.int8)
        scales = layer.weight_steps.numpy().astype(np.float32)
        bias = np.clip(offsets.double().numpy(), -limit, limit).astype(np.int32)
        blocks = constraint_on(layer, "float_weight")
        if not isinstance(blocks, PermutedBlocks):
            self._convolve(layer, name, weights, scales, bias, layer.groups)
            return
        rows = blocks.rows.numpy()
        stored = blocks.stored(torch.from_numpy(weights)).numpy()
        self._permute(f"{name}/columns", blocks.columns.numpy())
        groups = int(blocks.groups)
        self._convolve(layer, f"{name}/blocks", stored, scales[rows], bias[rows], groups)
        self._permute(name, np.argsort(rows))

    def _convolve(
        self,
        layer: QuantizedConv,
        name: str,
        weights: NDArray[np.int8],
        scales: NDArray[np.float32],
        bias: NDArray[np.int32],
        groups: int,
    ) -> None:
        """Append a convolution by `weights [out, in / groups, k]`."""
        source = self.newest
        common: dict[str, Any] = {
            "name": name,
            "input": source.name,
            "output": name,
            "weight_scales": scales,
            "bias": bias,
            "stride": layer.stride,
            "relu": layer.relu,
        }
        op: Op
        if groups > 1 and groups == len(weights) == source.channels:
            op = DepthwiseConv(weights=weights[:, 0].T, **common)
        else:
            op = Conv(weights=weights.transpose(0, 2, 1), groups=groups, **common)
        length = (source.length - weights.shape[2]) // layer.stride + 1
        self.add(op, length, read_quantization(layer.output), len(weights))

    def _permute(self, name: str, order: NDArray[np.int64]) -> None:
        """Append a permutation of the newest tensor's channels."""
        source = self.newest
        op = Permute(name=name, input=source.name, output=name, order=tuple(order.tolist()))
        self.add(op, source.length, source.quantization)

    def residual(self, block: QuantizedResidual, name: str) -> None:
        """Append a residual block: two convolutions, the cropped shortcut, their sum."""
        source = self.newest
        self.conv(block.first, f"{name}/first")
        self.conv(block.second, f"{name}/second")
        long = self.newest
        stop = block.crop + (long.length - 1) * block.step + 1
        crop = Crop(name=f"{name}/crop", input=source.name, output=f"{name}/crop",
                    start=block.crop, stop=stop)  # fmt: skip
        self.add(crop, stop - block.crop, source.quantization, source.channels)
        if block.shortcut is not None:
            self.conv(block.shortcut, f"{name}/shortcut")
        add = Add(name=name, a=long.name, b=self.newest.name, output=name, relu=True)
        self.add(add, long.length, read_quantization(block.output), long.channels)
