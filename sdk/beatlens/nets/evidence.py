"""`EvidenceNet`: a network whose decision is the mean of a map, which explains the decision.

    x [B, 1, N] -> backbone -> features [B, K, T] -> head (1x1, bias inside) -> evidence [B, C, T]
    logits [B, C] = mean of the evidence over the columns

The evidence is the class activation map (Zhou et al., CVPR 2016) with the bias spread over the
columns. The mean is taken after the linear head instead of before it, which gives the same logits
and makes the map an output. It needs no gradient and no second pass.
"""

from __future__ import annotations

from typing import Protocol, cast

import torch
from torch import Tensor, nn

from beatlens.geometry import Geometry


class ConvUnit(nn.Module):
    """Unpadded convolution, batch norm and, with `relu`, a ReLU on `[B, in, N]`.

    With `depthwise` each channel is convolved by itself, and `out_channels` must be `in_channels`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        stride: int = 1,
        *,
        relu: bool = True,
        depthwise: bool = False,
    ) -> None:
        super().__init__()
        groups = in_channels if depthwise else 1
        self.conv = nn.Conv1d(in_channels, out_channels, kernel, stride, groups=groups, bias=False)
        self.norm = nn.BatchNorm1d(out_channels)
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        """Return `[B, out, (N - kernel) // stride + 1]`."""
        y = self.norm(self.conv(x))
        return torch.relu(y) if self.relu else y

    def layers(self) -> list[tuple[int, int]]:
        """The unit's `(kernel, stride)`."""
        return [(self.conv.kernel_size[0], self.conv.stride[0])]


class ResidualBlock(nn.Module):
    """Two unpadded convolutions with a shortcut cropped to their centre (He et al., CVPR 2016).

    The shortcut has a strided 1x1 unit where the shape changes. Because it is cropped instead of
    padded, a column does not depend on where the window starts.

    Args:
        in_channels, out_channels: channels of the block's input and output.
        kernel: taps of the two convolutions.
        stride: stride of the first convolution.
        inner: channels between the two convolutions; None: `out_channels`.
        shortcut: whether the shortcut has a 1x1 unit; None: where the shape changes.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        stride: int = 1,
        *,
        inner: int | None = None,
        shortcut: bool | None = None,
    ) -> None:
        super().__init__()
        inner = out_channels if inner is None else inner
        self.first = ConvUnit(in_channels, inner, kernel, stride)
        self.second = ConvUnit(inner, out_channels, kernel, relu=False)
        changes = in_channels != out_channels or stride != 1
        self.shortcut = (
            ConvUnit(in_channels, out_channels, 1, stride, relu=False)
            if (changes if shortcut is None else shortcut)
            else None
        )
        geometry = Geometry.of(self.layers())
        self.crop = (geometry.receptive_field - 1) // 2

    def cropped(self, x: Tensor, columns: int) -> Tensor:
        """Crop the input `[B, in, N]` to the centres of the block's `columns` output columns."""
        step = self.first.conv.stride[0]
        return x[:, :, self.crop : self.crop + (columns - 1) * step + 1]

    def forward(self, x: Tensor) -> Tensor:
        """Return `[B, out, T]`."""
        y = self.second(self.first(x))
        x = self.cropped(x, y.shape[2])
        return torch.relu(y + (x if self.shortcut is None else self.shortcut(x)))

    def layers(self) -> list[tuple[int, int]]:
        """The `(kernel, stride)` of the block's longer path."""
        return self.first.layers() + self.second.layers()


class Block(Protocol):
    """A part of a backbone that states its convolutions."""

    def layers(self) -> list[tuple[int, int]]:
        """The `(kernel, stride)` of every convolution of the block's longest path, in order."""


def chain_layers(backbone: nn.Sequential) -> list[tuple[int, int]]:
    """The `(kernel, stride)` of every convolution of a backbone's longest path, in order."""
    return [layer for block in backbone for layer in cast(Block, block).layers()]


class EvidenceNet(nn.Module):
    """A backbone with an evidence head.

    `net(x)` returns logits `[B, C]`, `net.evidence(x)` the map `[B, C, T]` whose mean they are.

    Args:
        backbone: a sequence of modules with `layers()`; unpadded, `[B, leads, N] -> [B, K, T]`.
        features: K.
        classes: names of the C classes.

    >>> from beatlens.nets.backbones import NetworkSpec, build
    >>> net = build(NetworkSpec("dense", (4, 8), (8, 8), (4, 2)), ("pvc", "afib")).eval()
    >>> x = torch.randn(1, 1, 1280)
    >>> bool(torch.allclose(net.evidence(x).mean(dim=2), net(x)))
    True
    """

    def __init__(self, backbone: nn.Sequential, features: int, classes: tuple[str, ...]) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Conv1d(features, len(classes), 1)
        self.classes = classes
        self.geometry = Geometry.of(chain_layers(backbone))

    def features(self, x: Tensor) -> Tensor:
        """Return the last activation `[B, K, T]` of `x [B, leads, N]` in mV."""
        features: Tensor = self.backbone(x)
        return features

    def evidence(self, x: Tensor) -> Tensor:
        """Return the evidence `[B, C, T]` of `x [B, leads, N]` in mV, in logit units."""
        evidence: Tensor = self.head(self.features(x))
        return evidence

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits `[B, C]`, the mean of the evidence over the whole input."""
        return self.evidence(x).mean(dim=2)

    @property
    def weights(self) -> int:
        """Number of weights as deployed: convolutions, their folded biases and the head."""
        convs = [m for m in self.modules() if isinstance(m, nn.Conv1d)]
        return sum(c.weight.numel() + c.out_channels for c in convs)
