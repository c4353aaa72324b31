"""Networks for tests: fresh weights, but batch norm statistics and gains as after training."""

from __future__ import annotations

import torch
from torch import nn

from beatlens.nets.backbones import STUDENTS, TEACHER, NetworkSpec, build
from beatlens.nets.evidence import EvidenceNet

CLASSES = ("pvc", "sve", "afib", "bbb")
SMALL = {
    "dense": NetworkSpec("dense", (4, 6, 8), (8, 8, 12), (2, 2, 2)),
    "depthwise": NetworkSpec("depthwise", (4, 6, 8), (8, 7, 9), (2, 2, 2)),
    "residual": NetworkSpec("residual", (4, 6, 6), (8, 5, 5), (2, 4, 1)),
}
"""Small networks of each kind, stride 8. The last block of the residual one has no 1x1 shortcut."""

RELEASED = {
    "teacher": TEACHER,
    "dense": STUDENTS["dense-12k"],
    "depthwise": STUDENTS["depthwise-5k"],
}


def lively(spec: NetworkSpec, seed: int = 0, classes: tuple[str, ...] = CLASSES) -> EvidenceNet:
    """A network in `eval()` mode whose batch norms have seen data and are not the identity."""
    torch.manual_seed(seed)
    net = build(spec, classes)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm1d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0.0, 0.3)
            module.momentum = 0.5
    net.train()
    with torch.no_grad():
        for _ in range(4):
            net(torch.randn(4, 1, net.geometry.input_length(20)).cumsum(2) * 0.1)
    return net.eval()
