"""An int8 network without its rounding, to measure what rounding alone costs.

Quantisation-aware training changes the weights, so an int8 network differs from the float network
it was made from by more than rounding. A dequantized network has the int8 network's weights, biases
and activations before rounding, and clamps nothing.

>>> from beatlens.compression.quantize import QuantizedEvidenceNet
>>> from beatlens.nets.backbones import NetworkSpec, build
>>> net = build(NetworkSpec("dense", (4,), (8,), (8,)), ("pvc",)).eval()
>>> x = torch.randn(2, 1, 80)
>>> same = dequantized(QuantizedEvidenceNet(net)).evidence(x)
>>> bool(torch.allclose(same, net.evidence(x), atol=1e-5))
True
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from beatlens.compression.quantize import QuantizedConv, QuantizedEvidenceNet, QuantizedResidual


class DequantizedNet(nn.Module):
    """A quantised network computed in float, nothing rounded; `dequantized` makes it."""

    def __init__(self, net: QuantizedEvidenceNet) -> None:
        super().__init__()
        self.net, self.geometry = net, net.geometry

    @torch.no_grad()
    def evidence(self, x: Tensor) -> Tensor:
        """Evidence `[B, C, T]` in logit units, of `x [B, leads, N]` in mV."""
        for block in self.net.backbone:
            x = _residual(block, x) if isinstance(block, QuantizedResidual) else _conv(block, x)
        return _conv(self.net.head, x)


def dequantized(net: QuantizedEvidenceNet) -> DequantizedNet:
    """Return the network with its weights, biases and activations as they are before rounding."""
    return DequantizedNet(net).eval()


def _conv(conv: nn.Module, x: Tensor) -> Tensor:
    assert isinstance(conv, QuantizedConv)
    y = F.conv1d(x, conv.float_weight, conv.bias, conv.stride, groups=conv.groups)
    return torch.relu(y) if conv.relu else y


def _residual(block: QuantizedResidual, x: Tensor) -> Tensor:
    y = _conv(block.second, _conv(block.first, x))
    x = x[:, :, block.crop : block.crop + (y.shape[2] - 1) * block.step + 1]
    return torch.relu(y + (x if block.shortcut is None else _conv(block.shortcut, x)))
