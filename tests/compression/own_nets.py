"""Networks as a user might bring them, and a retraining for them; for tests."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from beatlens.compression.contract import Retraining
from beatlens.training.loop import Schedule

from .retrainings import crops


class OwnResidual(nn.Module):
    """Padded residual network: a sum, a cropped sum, a concatenation, pooling and two linears."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv1d(1, 8, 7, 2, padding=3), nn.BatchNorm1d(8)
        self.up, self.down = nn.Conv1d(8, 12, 5, padding=2), nn.Conv1d(12, 8, 5, padding=2)
        self.narrow = nn.Conv1d(8, 8, 5)
        self.left, self.right = nn.Conv1d(8, 8, 3), nn.Conv1d(8, 4, 3)
        self.last, self.relu = nn.Conv1d(12, 16, 3), nn.ReLU()
        self.hidden, self.out = nn.Linear(64, 12), nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.norm(self.stem(x)))
        h = torch.relu(h + self.down(torch.relu(self.up(h))))
        h = torch.relu(h[:, :, 2:-2] + self.narrow(h))
        h = torch.relu(torch.cat([self.left(h), self.right(h)], 1))
        h = self.relu(self.last(h))
        h = F.adaptive_avg_pool1d(h, 4).flatten(1)
        return self.out(torch.relu(self.hidden(h)))


class Shuffled(nn.Module):
    """Swaps the halves of its channels before a sum: not followed by torch-pruning on 3 axes."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv1d(1, 8, 5), nn.Conv1d(8, 8, 5, padding=2)
        self.third, self.out = nn.Conv1d(8, 8, 3), nn.Conv1d(8, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.first(x))
        h = torch.cat([h[:, 4:], h[:, :4]], 1) + self.second(h)
        return self.out(torch.relu(self.third(h))).mean(2)


class _Logits(nn.Module):
    def __init__(self, net: nn.Module, target: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.net, self._target = net, target

    def forward(self, x: Tensor) -> Tensor:
        return (self.net(x) - self._target(x)).square().mean()


def build_own_retraining(classes: int = 3, steps: int = 10) -> Retraining:
    """Learn how large a crop is on average, for each class alike."""

    def target(x: Tensor) -> Tensor:
        return x.abs().mean((1, 2))[:, None].expand(-1, classes)

    def validate(net: nn.Module) -> dict[str, float]:
        x = crops(10_000, 16)
        net.eval()
        with torch.no_grad():
            return {"score": -float((net(x) - target(x)).square().mean())}

    return Retraining(
        objective=lambda net: _Logits(net, target),
        batches=lambda first, size: (crops(first, size),),
        validate=validate,
        score="score",
        schedule=Schedule(steps=steps, batch=8, learning_rate=1e-2, validate_every=steps),
        inputs=lambda net, n: [crops(20_000 + 8 * i, 8) for i in range(n)],
    )
