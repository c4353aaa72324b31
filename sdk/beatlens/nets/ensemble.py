"""An ensemble of evidence networks as one network, whose evidence is the members' mean.

    features [B, M K, T] = features of the M members, concatenated
    head                 = heads of the members, concatenated, divided by M

Evidence is linear in the last features, so the ensemble is itself an evidence network: nothing is
approximated, and every attribution and matching loss works on it. Members that differ only in their
seed make different errors (Lakshminarayanan et al., NeurIPS 2017, section 2.4), with evidence at
different places; their mean is a better teacher, which a student agrees with more.
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
        """The members' backbones."""
        return [cast(nn.Sequential, backbone) for backbone in self.each]

    def forward(self, x: Tensor) -> Tensor:
        """Return the members' features, concatenated `[B, M K, T]`."""
        return torch.cat([backbone(x) for backbone in self.each], dim=1)

    def layers(self) -> list[tuple[int, int]]:
        """The `(kernel, stride)` of every convolution of one member's longest path."""
        return chain_layers(self.backbones[0])


def ensemble(nets: Sequence[EvidenceNet]) -> EvidenceNet:
    """Join networks into one whose evidence is the mean of theirs; a single one is returned itself.

    Raises `ModelError` where `nets` is empty, or classes or geometries differ.

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
    """Return the names of a backbone's blocks, in order; in an ensemble, of all members per block.

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
