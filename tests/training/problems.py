"""Small training problems, and a script's worth of one for two processes.

    python -m torch.distributed.run --standalone --nproc-per-node 2 problems.py FOLDER

trains two networks on both processes and leaves what each of them saw and ended with in FOLDER.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from beatlens.nets.backbones import NetworkSpec, build
from beatlens.nets.evidence import EvidenceNet
from beatlens.training.loop import Schedule, fit, world

SPEC = NetworkSpec("dense", (4, 6), (8, 8), (4, 2))
LENGTH = 120


class Labelled(nn.Module):
    """Squared error of a network's logits."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return (self.net(x) - y).square().mean()


def evidence_net(seed: int = 0) -> EvidenceNet:
    torch.manual_seed(seed)
    return build(SPEC, ("a", "b"))


def plain_net(seed: int = 0) -> nn.Module:
    """Without batch norm: two halves of a batch give the gradient of the whole."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv1d(1, 4, 9, 4), nn.Tanh(), nn.Flatten(), nn.Linear(4 * 28, 2))


def crop(index: int) -> tuple[Tensor, Tensor]:
    """Crop `index`: noise, and whether it has a hump early or late."""
    generator = torch.Generator().manual_seed(index)
    x = torch.randn(1, LENGTH, generator=generator)
    y = torch.randint(0, 2, (2,), generator=generator).float()
    x[0, 20:30] += 3 * y[0]
    x[0, 80:90] -= 3 * y[1]
    return x, y


def batches_of(seen: list[int] | None = None) -> Callable[[int, int], tuple[Tensor, Tensor]]:
    def batches(first: int, size: int) -> tuple[Tensor, Tensor]:
        if seen is not None:
            seen.extend(range(first, first + size))
        pairs = [crop(index) for index in range(first, first + size)]
        return torch.stack([x for x, _ in pairs]), torch.stack([y for _, y in pairs])

    return batches


@torch.no_grad()
def score(net: nn.Module) -> dict[str, float]:
    """Negative loss on crops that are never trained on."""
    training = net.training
    net.eval()
    x, y = batches_of()(1_000_000, 32)
    value = -float((net(x) - y).square().mean())
    net.train(training)
    return {"score": value}


TWO_RANKS = Schedule(steps=6, batch=8, learning_rate=1e-2, validate_every=2)


def train_here(make: Callable[[int], nn.Module], checkpoint: Path | None = None) -> dict:
    """Train under TWO_RANKS; every process starts from other weights on purpose."""
    net, seen = make(world()[0]), []
    history = fit(
        Labelled(net),
        net,
        batches_of(seen),
        TWO_RANKS,
        lambda: score(net),
        score="score",
        checkpoint=checkpoint,
    )
    return {"weights": net.state_dict(), "seen": seen, "best_step": history.best_step}


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    torch.set_num_threads(1)
    found = {
        "evidence": train_here(evidence_net, folder / "run.checkpoint"),
        "plain": train_here(plain_net),
    }
    torch.save(found, folder / f"rank{world()[0]}.pt")
