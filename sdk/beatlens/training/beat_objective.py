"""What a network is taught about beats when nobody teaches it."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from beatlens.errors import ModelError
from beatlens.nets.evidence import EvidenceNet
from beatlens.nets.lookup_tables import LookupTables
from beatlens.signals.beat_features import TRAINED
from beatlens.tasks.beats.labels import AFTER, BEFORE, CLASSES, NOT_S
from beatlens.tasks.beats.sampling import CROP_SPAN
from beatlens.tasks.windows.sampling import Crops
from beatlens.training.objective import excerpt_logits

CLASS_WEIGHTS = (1.0, 1.0, 1.0, 0.5)
"""Fusion beats count half: nearly all there are come from one patient."""
ROUGHNESS = 0.1
S = CLASSES.index("s")


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
    """Mean loss of the beats of which something is known.

    Where it is the class: cross entropy, weighted by `CLASS_WEIGHTS`. Where it is only that the
    beat is no S: that of S or not.

    Args:
        logits: `[B, E, C]`.
        labels: class numbers, int64 `[B, E]`, `NOT_S` or `UNKNOWN`.
        smoothing: see `torch.nn.functional.cross_entropy`.

    >>> beat_label_loss(torch.zeros(1, 2, 4), torch.tensor([[2, -1]])).item()
    1.3862943649291992
    >>> round(beat_label_loss(torch.zeros(1, 1, 4), torch.tensor([[NOT_S]]), 0.0).exp().item(), 6)
    1.333333
    """
    known = labels >= 0
    target = labels[known]
    each = F.cross_entropy(logits[known], target, reduction="none", label_smoothing=smoothing)
    each = each * torch.tensor(CLASS_WEIGHTS)[target]
    told = known.sum() + (labels == NOT_S).sum()
    return (each.sum() + _not_s(logits[labels == NOT_S], smoothing).sum()) / told.clamp(min=1)


def _not_s(logits: Tensor, smoothing: float) -> Tensor:
    """Cross entropy `[M]` of S or not with "not", smoothed as if it were one of the C classes."""
    count = logits.shape[1]
    odds = logits[:, S] - logits[:, [c for c in range(count) if c != S]].logsumexp(dim=1)
    return F.binary_cross_entropy_with_logits(
        odds, torch.full_like(odds, smoothing / count), reduction="none"
    )


class BeatNet(nn.Module):
    """An evidence network with the lookup tables that were trained with it."""

    def __init__(self, net: EvidenceNet) -> None:
        super().__init__()
        self.net = net
        self.tables = LookupTables(len(CLASSES), len(TRAINED))


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


def beat_crops_of(crops: Crops) -> Callable[[int, int], tuple[Tensor, ...]]:
    """Batches for `fit` out of a sampler."""

    def batches(first: int, size: int) -> tuple[Tensor, ...]:
        return tuple(torch.from_numpy(array) for array in crops.batch(first, size))

    return batches
