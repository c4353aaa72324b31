"""What a network is taught when nobody teaches it: the labels, as far as they are known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from beatlens.errors import ModelError
from beatlens.nets.evidence import EvidenceNet
from beatlens.tasks.windows.labels import SPAN
from beatlens.tasks.windows.sampling import EXCERPT_GRID, CropSampler


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


class TaskObjective(nn.Module):
    """Loss of an evidence network trained on labels alone.

    `forward(windows [B, N] mV, labels [B, C])` returns the loss; windows are trimmed to the
    network's own context around the 10 s span. With excerpts as well (`bounds [B, E, 2]` in samples
    of the span, `excerpt_labels [B, E, C]`), it is the mean of the strips' and the excerpts' loss.
    """

    def __init__(self, net: EvidenceNet, smoothing: float = 0.05) -> None:
        super().__init__()
        self.net = net
        self.smoothing = smoothing

    def forward(
        self,
        windows: Tensor,
        labels: Tensor,
        bounds: Tensor | None = None,
        excerpt_labels: Tensor | None = None,
    ) -> Tensor:
        """Return the loss, a scalar."""
        geometry = self.net.geometry
        evidence = self.net.evidence(geometry.trim(windows, SPAN).unsqueeze(1)).float()
        loss = known_label_loss(evidence.mean(dim=2), labels, self.smoothing)
        if bounds is None or excerpt_labels is None:
            return loss
        if EXCERPT_GRID % geometry.stride:
            raise ModelError(
                f"the network's stride is {geometry.stride}, expected one that divides "
                f"{EXCERPT_GRID} samples: excerpts are whole columns"
            )
        logits = excerpt_logits(evidence, bounds // geometry.stride)
        return (loss + known_label_loss(logits, excerpt_labels, self.smoothing)) / 2


def crops_of(sampler: CropSampler) -> Callable[[int, int], tuple[Tensor, ...]]:
    """Batches for `fit` out of a sampler: windows and labels, and excerpts if it draws any."""

    def batches(first: int, size: int) -> tuple[Tensor, ...]:
        arrays: tuple[np.ndarray, ...] = sampler.batch(first, size)
        if sampler.excerpts is not None:
            arrays += sampler.excerpt_batch(first, size)
        return tuple(torch.from_numpy(np.ascontiguousarray(array)) for array in arrays)

    return batches


def seed_everything(seed: int) -> None:
    """Seed torch's global generator (initial weights); crops carry their own seeds."""
    torch.manual_seed(seed)
