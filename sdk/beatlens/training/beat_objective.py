"""What a network is taught about beats when nobody teaches it."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from beatlens.errors import ModelError
from beatlens.nets.context_tables import ContextTables
from beatlens.nets.evidence import EvidenceNet
from beatlens.signals.beat_contexts import LEARNT
from beatlens.tasks.beat_sampling import CROP_SPAN, BeatSampler
from beatlens.tasks.beats import AFTER, BEFORE, CLASSES, UNKNOWN
from beatlens.training.objective import excerpt_logits

CLASS_WEIGHTS = (1.0, 1.0, 1.0, 0.5)
"""Fusion beats count half: nearly all there are come from one patient."""
ROUGHNESS = 0.1


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


def beat_label_loss(logits: Tensor, labels: Tensor, smoothing: float = 0.05) -> Tensor:
    """Cross entropy over the beats whose class is known, weighted by `CLASS_WEIGHTS`.

    Args:
        logits: `[B, E, C]`.
        labels: class numbers, int64 `[B, E]`, or `UNKNOWN`.
        smoothing: see `torch.nn.functional.cross_entropy`.

    >>> beat_label_loss(torch.zeros(1, 2, 4), torch.tensor([[2, -1]])).item()
    1.3862943649291992
    """
    known = labels != UNKNOWN
    target = labels[known]
    each = F.cross_entropy(logits[known], target, reduction="none", label_smoothing=smoothing)
    return (each * torch.tensor(CLASS_WEIGHTS)[target]).sum() / known.sum().clamp(min=1)


class BeatNet(nn.Module):
    """An evidence network with the context tables that were trained with it."""

    def __init__(self, net: EvidenceNet) -> None:
        super().__init__()
        self.net = net
        self.tables = ContextTables(len(CLASSES), len(LEARNT))


class BeatObjective(nn.Module):
    """Loss of a network and its tables, trained together on labels alone.

    `forward(windows [B, N] mV, peaks [B, E], labels [B, E], contexts [B, E, 8])` returns the loss;
    see `BeatSampler.batch`.
    """

    def __init__(self, both: BeatNet) -> None:
        super().__init__()
        self.both = both

    def forward(self, windows: Tensor, peaks: Tensor, labels: Tensor, contexts: Tensor) -> Tensor:
        """Return the loss, a scalar."""
        net, tables = self.both.net, self.both.tables
        geometry = net.geometry
        evidence = net.evidence(geometry.trim(windows, CROP_SPAN).unsqueeze(1)).float()
        logits = beat_evidence(evidence, peaks, geometry.stride) + tables(contexts)
        return beat_label_loss(logits, labels) + ROUGHNESS * tables.roughness()


def beat_crops_of(sampler: BeatSampler) -> Callable[[int, int], tuple[Tensor, ...]]:
    """Batches for `fit` out of a sampler."""

    def batches(first: int, size: int) -> tuple[Tensor, ...]:
        return tuple(torch.from_numpy(array) for array in sampler.batch(first, size))

    return batches
