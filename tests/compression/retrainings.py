"""A retraining small enough for tests: on another network's logits and maps, simulated ECG."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from beatlens.attribution.matching import Classwise, attribute_evidence
from beatlens.compression.contract import Retraining
from beatlens.compression.distill import kd_loss
from beatlens.nets.evidence import EvidenceNet
from beatlens.training.loop import Schedule


class _Objective(nn.Module):
    def __init__(self, net: EvidenceNet, teacher: EvidenceNet) -> None:
        super().__init__()
        self.net, self._teacher, self._matching = net, (teacher,), Classwise()

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            theirs = attribute_evidence(self._teacher[0], x)
        mine = attribute_evidence(self.net, x)
        return kd_loss(mine.logits, theirs.logits) + self._matching(mine, theirs)


def crops(first: int, size: int, length: int = 400) -> Tensor:
    """Crops `first .. first + size - 1` of made ECG-like noise, `[size, 1, length]`."""
    rows = [
        np.random.default_rng(i).standard_normal(length).cumsum() * 0.1
        for i in range(first, first + size)
    ]
    return torch.tensor(np.stack(rows), dtype=torch.float32)[:, None]


def make_retraining(
    teacher: EvidenceNet, steps: int = 20, learning_rate: float = 3e-3
) -> Retraining:
    """Learn `teacher` for a few steps; scored by minus the mean square error of the logits."""
    teacher.eval()

    def validate(net: nn.Module) -> dict[str, float]:
        x = crops(10_000, 16)
        net.eval()
        with torch.no_grad():
            return {"score": -float((net(x) - teacher(x)).square().mean())}

    return Retraining(
        objective=lambda net: _Objective(net, teacher),
        batches=lambda first, size: (crops(first, size),),
        validate=validate,
        score="score",
        schedule=Schedule(steps=steps, batch=8, learning_rate=learning_rate, validate_every=steps),
        inputs=lambda net, n: [crops(20_000 + 8 * i, 8) for i in range(n)],
    )
