"""Losses that several objectives share, and the seed of initial weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn


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


def excerpt_logits(evidence: Tensor, bounds: Tensor) -> Tensor:
    """Decisions over parts of a span: the mean evidence of each, `[B, E, C]`.

    Args:
        evidence: `[B, C, T]`.
        bounds: first and last column (exclusive), int64 `[B, E, 2]`.

    >>> excerpt_logits(torch.tensor([[[1.0, 3.0, 5.0]]]), torch.tensor([[[1, 3], [0, 3]]])).tolist()
    [[[4.0], [3.0]]]
    """
    sums = nn.functional.pad(evidence.cumsum(dim=2), (1, 0)).transpose(1, 2)
    classes = evidence.shape[1]

    def upto(column: Tensor) -> Tensor:
        return sums.gather(1, column.unsqueeze(2).expand(-1, -1, classes))

    first, last = bounds[:, :, 0], bounds[:, :, 1]
    return (upto(last) - upto(first)) / (last - first).unsqueeze(2)


def seed_everything(seed: int) -> None:
    """Seed torch's global generator (initial weights); crops carry their own seeds."""
    torch.manual_seed(seed)
