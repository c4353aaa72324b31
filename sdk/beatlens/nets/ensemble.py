"""Several evidence networks as one, whose evidence is the mean of theirs.

    features [B, M K, T] = features of the M members, one after the other
    head = their heads, one after the other, divided by M

An ensemble of evidence networks is an evidence network itself, since evidence is linear in the last
features: nothing is approximated, every attribution and matching loss takes it as it is. Members
that differ in nothing but their seed err in different places (Lakshminarayanan et al., NeurIPS
2017, section 2.4), and point to different places where they err; their mean is the better teacher,
and the easier one to follow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from beatlens.errors import ModelError
from beatlens.nets.evidence import EvidenceNet, chain_layers


class Members(nn.Module):
    """Backbones of one geometry side by side: `[B, leads, N] -> [B, M K, T]`."""

    def __init__(self, backbones: Sequence[nn.Sequential]) -> None:
        super().__init__()
        self.each = nn.ModuleList(backbones)

    @property
    def backbones(self) -> list[nn.Sequential]:
        """They themselves."""
        return [cast(nn.Sequential, backbone) for backbone in self.each]

    def forward(self, x: Tensor) -> Tensor:
        """Their features, one after the other."""
        return torch.cat([backbone(x) for backbone in self.each], dim=1)

    def layers(self) -> list[tuple[int, int]]:
        """The `(kernel, stride)` of the longer path of one of them."""
        return chain_layers(self.backbones[0])


def ensemble(nets: Sequence[EvidenceNet]) -> EvidenceNet:
    """One network whose evidence is the mean of that of `nets`; of one network, that network.

    Raises `ModelError` where there are none, or their classes or geometries differ.

    >>> from beatlens.nets.backbones import NetworkSpec, build
    >>> spec = NetworkSpec("dense", (4,), (8,), (8,))
    >>> nets = [build(spec, ("pvc", "sve")).eval() for _ in range(3)]
    >>> x = torch.randn(1, 1, 80)
    >>> mean = sum(net.evidence(x) for net in nets) / 3
    >>> torch.allclose(ensemble(nets).eval().evidence(x), mean, atol=1e-5)
    True
    """
    if not nets:
        raise ModelError("an ensemble of no networks, expected at least one")
    if len(nets) == 1:
        return nets[0]
    first = nets[0]
    for net in nets[1:]:
        if net.classes != first.classes or net.geometry != first.geometry:
            raise ModelError(
                f"an ensemble of networks of {first.geometry} for {', '.join(first.classes)} and "
                f"of {net.geometry} for {', '.join(net.classes)}; expected the same"
            )
    together = nn.Sequential(Members([net.backbone for net in nets]))
    joined = EvidenceNet(together, sum(net.head.in_channels for net in nets), first.classes)
    with torch.no_grad():
        weights = torch.cat([net.head.weight for net in nets], dim=1)
        joined.head.weight.copy_(weights / len(nets))
        biases = [net.head.bias for net in nets if net.head.bias is not None]
        if joined.head.bias is not None:
            joined.head.bias.copy_(torch.stack(biases).mean(dim=0))
    return joined.train(first.training)


def list_blocks(net: nn.Module) -> list[list[str]]:
    """Names of a backbone's blocks, first to last; of an ensemble those of all members together.

    >>> from beatlens.nets.backbones import NetworkSpec, build
    >>> spec = NetworkSpec("dense", (4, 4), (8, 3), (8, 1))
    >>> list_blocks(build(spec, ("pvc",)))
    [['backbone.0'], ['backbone.1']]
    >>> list_blocks(ensemble([build(spec, ("pvc",)) for _ in range(2)]))
    [['backbone.0.each.0.0', 'backbone.0.each.1.0'], ['backbone.0.each.0.1', 'backbone.0.each.1.1']]
    """
    backbone = cast(nn.Sequential, net.backbone)
    first = backbone[0]
    if not isinstance(first, Members):
        return [[f"backbone.{i}"] for i in range(len(backbone))]
    count, depth = len(first.backbones), len(first.backbones[0])
    return [[f"backbone.0.each.{m}.{i}" for m in range(count)] for i in range(depth)]
