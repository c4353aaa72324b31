"""Networks whose weights lie in permuted blocks, for the tests of what the device runs of them."""

from __future__ import annotations

import torch

from beatlens.compression.int8_graph import build_graph
from beatlens.compression.permuted_blocks import PermutedBlocks
from beatlens.compression.quantize import QuantizedEvidenceNet
from beatlens.integer.graph import IntegerGraph
from beatlens.nets.backbones import NetworkSpec
from beatlens.nets.constraint import impose
from beatlens.nets.evidence import EvidenceNet

from ..nets.networks import lively

DENSE = NetworkSpec("dense", (4, 8, 12, 8), (8, 8, 12, 5), (2, 2, 2, 1))
DEPTHWISE = NetworkSpec("depthwise", (4, 8, 12, 12), (8, 7, 9, 5), (2, 2, 2, 1))
RESIDUAL = NetworkSpec("residual", (4, 8, 8, 12), (8, 5, 5, 3), (2, 4, 1, 1))
SPECS = {"dense": DENSE, "depthwise": DEPTHWISE, "residual": RESIDUAL}


def in_blocks(net: EvidenceNet, groups: int, seed: int = 0, *, head: bool = False) -> list[str]:
    """Impose random blocks on every convolution that can have them; the names of those."""
    generator = torch.Generator().manual_seed(seed)
    covered = []
    for name, conv in net.named_modules():
        if not isinstance(conv, torch.nn.Conv1d) or conv.groups > 1:
            continue
        out, inputs = conv.weight.shape[:2]
        if out % groups or inputs % groups or (name == "head" and not head):
            continue
        rows, columns = (torch.randperm(n, generator=generator) for n in (out, inputs))
        impose(conv, PermutedBlocks(rows, columns, groups))
        covered.append(name)
    return covered


def quantized_blocks(
    spec: NetworkSpec, groups: int = 4, seed: int = 0, *, head: bool = False
) -> QuantizedEvidenceNet:
    """A network with blocks, quantised and calibrated on noise like ECG."""
    net = lively(spec, seed)
    assert in_blocks(net, groups, seed, head=head)
    quantized = QuantizedEvidenceNet(net)
    noise = torch.randn(8, 1, net.geometry.input_length(20)).cumsum(2) * 0.1
    quantized.calibrate([noise])
    return quantized.eval()


def block_graph(spec: NetworkSpec, groups: int = 4, seed: int = 0) -> IntegerGraph:
    """The graph of such a network, over 20 columns."""
    return build_graph(quantized_blocks(spec, groups, seed), 8 * 20)
