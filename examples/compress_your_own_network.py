"""Compress your own residual network in steps, its explanations kept by a matching loss.

Nothing here needs beatlens's networks or data: any `nn.Module` of convolutions with skip
connections, batch norm and padding will do; two of its layers are named, the one whose map is the
explanation and the linear one that decides. Run it: `python examples/compress_your_own_network.py`.
"""

import time
from copy import deepcopy

import torch
from torch import nn

from beatlens.attribution.fidelity import fidelity
from beatlens.attribution.matching import Classwise, Matching
from beatlens.compression.contract import Budget, run_steps
from beatlens.compression.evidence_repair import RepairEvidence
from beatlens.compression.prune_channels import PruneChannels
from beatlens.compression.retraining import build_own_retraining, compute_evidence
from beatlens.compression.size import weight_account
from beatlens.training.loop import Schedule

LAYER, HEAD = "explained", "decide"


class Block(nn.Module):
    """Two padded convolutions beside a skip connection."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.norm1 = nn.Conv1d(width, width, 9, padding=4), nn.BatchNorm1d(width)
        self.second, self.norm2 = nn.Conv1d(width, width, 9, padding=4), nn.BatchNorm1d(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`[B, width, N]` to the same."""
        y = torch.relu(self.norm1(self.first(x)))
        return torch.relu(x + self.norm2(self.second(y)))


class Network(nn.Module):
    """A small residual network of one's own."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv1d(1, width, 9, stride=2, padding=4), nn.BatchNorm1d(width)
        self.blocks = nn.Sequential(Block(width), Block(width))
        self.explained = nn.Identity()  # a name for what the blocks give, [B, K, T]
        self.decide = nn.Linear(width, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits `[B, 3]` of `x [B, 1, N]`."""
        y = self.explained(self.blocks(torch.relu(self.norm(self.stem(x)))))
        return self.decide(y.mean(dim=2))


def bump(index: int) -> tuple[torch.Tensor, int]:
    """Noise `[200]` with a bump of one of three widths somewhere, and which."""
    generator = torch.Generator().manual_seed(index)
    label, centre = (int(torch.randint(0, n, (), generator=generator)) for n in (3, 120))
    shape = torch.exp(-(((torch.arange(200.0) - 40 - centre) / (2.0 + 4 * label)) ** 2))
    return shape + 0.1 * torch.randn(200, generator=generator), label


def bumps(first: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Crops `first .. first + size - 1`, `[size, 1, 200]`, and their labels, `[size, 3]`."""
    signals, labels = zip(*(bump(index) for index in range(first, first + size)), strict=True)
    one_hot = nn.functional.one_hot(torch.tensor(labels), 3).float()
    return torch.stack(signals)[:, None], one_hot


def trained() -> Network:
    """The network to compress."""
    torch.manual_seed(0)
    net = Network()
    optimizer = torch.optim.AdamW(net.parameters(), 3e-3)
    for step in range(150):
        x, y = bumps(1_000_000 + 32 * step, 32)
        optimizer.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(net(x), y).backward()
        optimizer.step()
    return net.eval()


class Agreement:
    """Agreement with the network as it was, on crops for validation."""

    def __init__(self, teacher: nn.Module) -> None:
        self.x, self.labels = bumps(2_000_000, 200)
        self.maps = compute_evidence(teacher, LAYER, self.x).numpy()
        with torch.no_grad():
            self.predicted = (teacher(self.x) > 0).numpy()

    def __call__(self, net: nn.Module) -> dict[str, float]:
        """Figures of one network; `score` chooses the weights a training ends with."""
        net.eval()
        maps = compute_evidence(net, LAYER, self.x).numpy()
        with torch.no_grad():
            right = (net(self.x).argmax(1) == self.labels.argmax(1)).float().mean().item()
        spearman = fidelity(self.maps, maps, self.predicted).summary()["spearman"]
        return {"spearman": spearman, "right": right, "score": spearman + right}


def described(net: nn.Module, agreement: Agreement) -> str:
    figures = agreement(net)
    return (
        f"{weight_account(net).packed_bytes:,} bytes, Spearman {figures['spearman']:.2f}, "
        f"right {figures['right']:.2f}"
    )


def main() -> None:
    torch.set_num_threads(1)
    start = time.perf_counter()
    teacher = trained()
    agreement, before = Agreement(teacher), weight_account(teacher)
    print(f"before: {described(teacher, agreement)}")
    schedule = Schedule(steps=200, batch=16, learning_rate=1e-2, validate_every=40)
    budget = Budget(before.packed_bytes // 20)
    steps = [
        PruneChannels(round_to=1, monitor=False),
        RepairEvidence(crops=256, held_out=64, head=HEAD, layer=LAYER),
    ]
    matchings: dict[str, Matching | None] = {"without matching": None, "with matching": Classwise()}
    for name, matching in matchings.items():
        retraining = build_own_retraining(teacher, LAYER, bumps, matching, schedule, agreement)
        done = run_steps(deepcopy(teacher), steps, retraining, budget)
        print(f"{name}: {described(done.net, agreement)}")
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
