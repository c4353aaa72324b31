"""What a network is taught when nobody teaches it: the labels, as far as they are known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from beatlens.nets.evidence import EvidenceNet
from beatlens.tasks.sampling import CropSampler
from beatlens.tasks.strips import SPAN


def known_label_loss(logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """Binary cross entropy over the known labels only.

    Args:
        logits: `[B, C]`.
        labels: `[B, C]` in 0..1, NaN where a database does not decide the class.
        smoothing: labels become `smoothing / 2` and `1 - smoothing / 2`.

    >>> known_label_loss(torch.zeros(1, 2), torch.tensor([[1.0, float("nan")]])).item()
    0.6931471824645996
    """
    known = ~torch.isnan(labels)
    target = torch.where(known, labels, 0.5) * (1 - smoothing) + smoothing / 2
    loss = nn.functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return (loss * known).sum() / known.sum().clamp(min=1)


class TaskObjective(nn.Module):
    """Loss of an evidence network trained on labels alone.

    `forward(windows [B, N] mV, labels [B, C])` returns the loss; windows are trimmed to the
    network's own context around the 10 s span.
    """

    def __init__(self, net: EvidenceNet, smoothing: float = 0.05) -> None:
        super().__init__()
        self.net = net
        self.smoothing = smoothing

    def forward(self, windows: Tensor, labels: Tensor) -> Tensor:
        """Return the loss, a scalar."""
        logits = self.net(self.net.geometry.trim(windows, SPAN).unsqueeze(1))
        return known_label_loss(logits.float(), labels, self.smoothing)


def crops_of(sampler: CropSampler) -> Callable[[int, int], tuple[Tensor, Tensor]]:
    """Batches for `fit` out of a sampler."""

    def batches(first: int, size: int) -> tuple[Tensor, Tensor]:
        windows, labels = sampler.batch(first, size)
        return torch.from_numpy(np.ascontiguousarray(windows)), torch.from_numpy(labels)

    return batches


def seed_everything(seed: int) -> None:
    """Seed torch's global generator (initial weights); crops carry their own seeds."""
    torch.manual_seed(seed)
