"""A user's own network (convolutions, a skip connection, a linear layer) and its retraining."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from beatlens.compression.contract import Retraining
from beatlens.training.loop import Schedule

from .retrainings import crops


class OwnNet(nn.Module):
    """Padded, with a skip and a Linear layer: nothing of an evidence network."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.stem = nn.Sequential(nn.Conv1d(1, 16, 9, 4, bias=False), nn.BatchNorm1d(16), nn.ReLU())
        self.body = nn.Sequential(nn.Conv1d(16, 16, 9, padding="same"), nn.BatchNorm1d(16))
        self.middle = nn.Linear(16, 24)
        self.out = nn.Linear(24, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Logits `[B, 3]` of `[B, 1, N]`."""
        x = self.stem(x)
        x = torch.relu(x + self.body(x)).mean(dim=2)
        return self.out(torch.relu(self.middle(x)))


class _Objective(nn.Module):
    def __init__(self, net: nn.Module, teacher: nn.Module) -> None:
        super().__init__()
        self.net, self._teacher = net, (teacher,)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            theirs = self._teacher[0](x)
        return (self.net(x) - theirs).square().mean()


def build_own_retraining(teacher: nn.Module, steps: int = 8) -> Retraining:
    """Learn another own network's logits."""
    teacher.eval()

    @torch.no_grad()
    def validate(net: nn.Module) -> dict[str, float]:
        net.eval()
        x = crops(10_000, 8)
        return {"score": -float((net(x) - teacher(x)).square().mean())}

    return Retraining(
        objective=lambda net: _Objective(net, teacher),
        batches=lambda first, size: (crops(first, size),),
        validate=validate,
        score="score",
        schedule=Schedule(steps=steps, batch=8, learning_rate=3e-3, validate_every=steps),
        inputs=lambda net, n: [crops(20_000 + 8 * i, 8) for i in range(n)],
    )


def forbid_training() -> Retraining:
    """A retraining that fails the test when anything is trained."""

    def trained(*_args: object) -> nn.Module:
        raise AssertionError("training began")

    return Retraining(
        objective=trained,
        batches=lambda first, size: (crops(first, size),),
        validate=lambda net: {"score": 0.0},
        score="score",
        schedule=Schedule(steps=4, batch=4, learning_rate=1e-3),
        inputs=lambda net, n: [crops(20_000 + 8 * i, 8) for i in range(n)],
    )
