"""What a network is taught about whole recordings when nobody teaches it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from beatlens.nets.evidence import EvidenceNet
from beatlens.nets.lookup_tables import LookupTables
from beatlens.tasks.recordings.labels import CLASSES
from beatlens.training.beat_objective import ROUGHNESS


def mean_evidence(evidence: Tensor, lengths: Tensor, stride: int) -> Tensor:
    """Mean evidence over the columns that are of the recording, `[B, C]`.

    Args:
        evidence: `[B, C, T]`, its first column beginning at sample 0.
        lengths: samples of each recording, int64 `[B]`, at least one column.
        stride: samples of a column.

    >>> evidence = torch.tensor([[[1.0, 3.0, 100.0]]])
    >>> mean_evidence(evidence, torch.tensor([17]), stride=8)
    tensor([[2.]])
    """
    inside = columns_inside(lengths, stride, evidence.shape[2])
    return (evidence * inside[:, None]).sum(dim=2) / inside.sum(dim=1, keepdim=True)


def columns_inside(lengths: Tensor, stride: int, columns: int) -> Tensor:
    """Which of a crop's columns are wholly of the recording, bool `[B, columns]`.

    `lengths` and `stride` as in `mean_evidence`; the first column always is.

    >>> columns_inside(torch.tensor([17, 3]), stride=8, columns=3).tolist()
    [[True, True, False], [True, False, False]]
    """
    return torch.arange(columns) < (lengths // stride).clamp(min=1)[:, None]


def rhythm_worth(tables: LookupTables, rhythm: Tensor) -> Tensor:
    """What recordings' rhythm is worth, logits `[B, C]`: the mean over their beats.

    Args:
        tables: see `beatlens.nets.lookup_tables`.
        rhythm: shares `[B, 6, BINS]`, see `beatlens.tasks.recordings.labels.rhythm_shares`.

    >>> rhythm_worth(LookupTables(4), torch.zeros(2, 6, 32)).shape
    torch.Size([2, 4])
    """
    return torch.einsum("bks,ksc->bc", rhythm.float(), tables.values)


class WearableNet(nn.Module):
    """An evidence network with the lookup tables that were trained with it."""

    def __init__(self, net: EvidenceNet) -> None:
        super().__init__()
        self.net = net
        self.tables = LookupTables(len(CLASSES))


class WearableObjective(nn.Module):
    """Loss of a network and its tables, trained together on labels alone.

    `forward(windows [B, N] mV, lengths [B], labels [B], rhythm [B, 6, BINS])` returns the loss; see
    `WearableSampler.batch`.

    Args:
        both: network and tables.
        span: samples of a crop's span.
        smoothing: see `torch.nn.functional.cross_entropy`.
    """

    def __init__(self, both: WearableNet, span: int, smoothing: float = 0.05) -> None:
        super().__init__()
        self.both, self._span, self._smoothing = both, span, smoothing

    def forward(self, windows: Tensor, lengths: Tensor, labels: Tensor, rhythm: Tensor) -> Tensor:
        """Return the loss, a scalar."""
        net, tables = self.both.net, self.both.tables
        geometry = net.geometry
        evidence = net.evidence(geometry.trim(windows, self._span).unsqueeze(1)).float()
        logits = mean_evidence(evidence, lengths, geometry.stride) + rhythm_worth(tables, rhythm)
        loss = F.cross_entropy(logits, labels, label_smoothing=self._smoothing)
        return loss + ROUGHNESS * tables.roughness()
