"""A lesson small enough for tests: a network learns another one's logits and maps on made ECG."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from beatlens.attribution.matching import Classwise, see_evidence
from beatlens.compress.contract import Lesson
from beatlens.compress.distill import kd_loss
from beatlens.nets.evidence import EvidenceNet
from beatlens.training.loop import Schedule


class _Objective(nn.Module):
    def __init__(self, net: EvidenceNet, teacher: EvidenceNet) -> None:
        super().__init__()
        self.net, self._teacher, self._matching = net, (teacher,), Classwise()

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            theirs = see_evidence(self._teacher[0], x)
        mine = see_evidence(self.net, x)
        return kd_loss(mine.logits, theirs.logits) + self._matching(mine, theirs)


def crops(first: int, size: int, length: int = 400) -> Tensor:
    """Crops `first .. first + size - 1` of made ECG-like noise, `[size, 1, length]`."""
    rows = [
        np.random.default_rng(i).standard_normal(length).cumsum() * 0.1
        for i in range(first, first + size)
    ]
    return torch.tensor(np.stack(rows), dtype=torch.float32)[:, None]


def lesson_from(teacher: EvidenceNet, steps: int = 20, learning_rate: float = 3e-3) -> Lesson:
    """Learn `teacher` for a few steps; scored by minus the mean square error of the logits."""
    teacher.eval()

    def validate(net: nn.Module) -> dict[str, float]:
        x = crops(10_000, 16)
        net.eval()
        with torch.no_grad():
            return {"score": -float((net(x) - teacher(x)).square().mean())}

    return Lesson(
        objective=lambda net: _Objective(net, teacher),
        batches=lambda first, size: (crops(first, size),),
        validate=validate,
        score="score",
        schedule=Schedule(steps=steps, batch=8, learning_rate=learning_rate, validate_every=steps),
        inputs=lambda net, n: [crops(20_000 + 8 * i, 8) for i in range(n)],
    )
