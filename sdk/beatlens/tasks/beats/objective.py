"""The supervised loss on beats: the annotated classes, as far as they are known."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from beatlens.errors import ModelError
from beatlens.tasks.beats.labels import ABSENT, AFTER, BEFORE
from beatlens.tasks.beats.recipe import BeatTask
from beatlens.tasks.common.one_class import ROUGHNESS
from beatlens.tasks.common.runs import CROP_SPAN
from beatlens.training.losses import excerpt_logits
from beatlens.training.model import TabledNet


def beat_evidence(evidence: Tensor, peaks: Tensor, stride: int) -> Tensor:
    """Mean evidence over the beats' spans, `[B, E, C]`.

    Args:
        evidence: `[B, C, T]`, its first column beginning at sample 0.
        peaks: R peaks in samples, int64 `[B, E]`; for those below 0 the result is of no beat.
        stride: samples of a column.

    Raises:
        ModelError: a beat's span is not a whole number of columns.

    >>> evidence = torch.arange(40.0).reshape(1, 1, 40)
    >>> beat_evidence(evidence, torch.tensor([[80]]), stride=8)
    tensor([[[10.]]])
    """
    if BEFORE % stride or AFTER % stride:
        raise ModelError(
            f"the network's stride is {stride}, expected one that divides {BEFORE} and {AFTER} "
            "samples: a beat's span is whole columns"
        )
    columns = peaks.clamp(min=BEFORE) // stride
    bounds = torch.stack([columns - BEFORE // stride, columns + AFTER // stride], dim=2)
    return excerpt_logits(evidence, bounds)


@dataclass(frozen=True)
class LabelLoss:
    """Mean loss of the beats of which something is known.

    Where that is the class: cross entropy, weighted by class. Where it is only that the beat is not
    of one class (`ABSENT`): that of this class or not.

    Args:
        weights: of the classes `[C]`.
        absent: number of that class; None where a task has none.
        smoothing: see `torch.nn.functional.cross_entropy`.

    >>> loss = LabelLoss((1.0, 1.0, 1.0, 0.5), absent=1)
    >>> loss(torch.zeros(1, 2, 4), torch.tensor([[2, -1]])).item()
    1.3862943649291992
    >>> loss = LabelLoss((1.0, 1.0, 1.0, 0.5), absent=1, smoothing=0.0)
    >>> round(loss(torch.zeros(1, 1, 4), torch.tensor([[ABSENT]])).exp().item(), 6)
    1.333333
    """

    weights: tuple[float, ...]
    absent: int | None
    smoothing: float = 0.05

    @classmethod
    def build(cls, task: BeatTask, smoothing: float = 0.05) -> LabelLoss:
        """The loss of a recipe's task."""
        weights = tuple(one.loss_weight for one in task.classes.values())
        return cls(weights, task.absent_in_fibrillation, smoothing)

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The loss of logits `[B, E, C]` and labels int64 `[B, E]`, a scalar."""
        known = labels >= 0
        target = labels[known]
        each = F.cross_entropy(
            logits[known], target, reduction="none", label_smoothing=self.smoothing
        )
        each = each * torch.tensor(self.weights)[target]
        partly = labels == ABSENT
        count = known.sum() + partly.sum()
        return (each.sum() + self._absent_loss(logits[partly]).sum()) / count.clamp(min=1)

    def _absent_loss(self, logits: Tensor) -> Tensor:
        """Cross entropy `[M]` of that class or not with "not", smoothed as one of C classes."""
        if self.absent is None:
            return logits.new_zeros(0)
        count = logits.shape[1]
        rest = [c for c in range(count) if c != self.absent]
        odds = logits[:, self.absent] - logits[:, rest].logsumexp(dim=1)
        return F.binary_cross_entropy_with_logits(
            odds, torch.full_like(odds, self.smoothing / count), reduction="none"
        )


class BeatObjective(nn.Module):
    """Loss of a network and its tables, trained together on labels alone.

    `forward(windows [B, N] mV, peaks [B, E], labels [B, E], features [B, E, 17])` returns the loss;
    see `BeatSampler.batch`.
    """

    def __init__(self, model: TabledNet, label_loss: LabelLoss) -> None:
        super().__init__()
        self.model, self._label_loss = model, label_loss

    def forward(self, windows: Tensor, peaks: Tensor, labels: Tensor, features: Tensor) -> Tensor:
        """Return the loss, a scalar."""
        net, tables = self.model.net, self.model.tables
        if tables is None:
            raise ModelError("a model of beats has no lookup tables, expected some")
        geometry = net.geometry
        evidence = net.evidence(geometry.trim(windows, CROP_SPAN).unsqueeze(1)).float()
        logits = beat_evidence(evidence, peaks, geometry.stride) + tables(features)
        return self._label_loss(logits, labels) + ROUGHNESS * tables.roughness()
