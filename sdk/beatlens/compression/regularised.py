"""Trainability preserving pruning (TPP): filters are made dispensable before they are removed.

Wang & Fu, "Trainability Preserving Neural Pruning" (ICLR 2023, arXiv 2207.12534): the filters to
remove are chosen at the start, by their L1 norm. While the network trains on, those filters are
decorrelated from the ones that stay, by a penalty on the gram matrix of each layer's weights, and
driven to zero together with their batch norm's scale and shift, with growing strength; then they
are removed and the rest is retrained. Correlations among the kept filters are not penalised.

    loss = objective
         + reg * sum over layers ||W W^T - stopgrad(W W^T with pruned entries zeroed)||^2

Ours: the growing L2 is decoupled, as weight decay is in AdamW (Loshchilov & Hutter, ICLR 2019),
because Adam divides a penalty's gradient by its own size and so takes the same small step whatever
its strength; the strength is set by the share of the filters' size that is left at the end. Filters
are ranked across layers, within a budget of bytes (see `PruneChannels`), and depthwise filters,
which share no inputs, only decay.

>>> W = torch.tensor([[1.0, 2.0], [3.0, 0.0]])
>>> decorrelation(W, [1]).item()  # 2 * (1 * 3)^2 + (3 * 3)^2
99.0
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from beatlens.compression.budget import RESERVE, shorten_schedule
from beatlens.compression.channel_groups import ChannelGroup, Removal
from beatlens.compression.contract import Budget, Compressed, LogRow, Retraining, training_rows
from beatlens.compression.prune_channels import PruneChannels, remove, row
from beatlens.compression.size import weight_account
from beatlens.errors import RecipeError
from beatlens.training.loop import Report

NAME = "prune-regularised"
Doomed = list[tuple[nn.Module, list[int]]]
"""Layers, and the output channels of each that are to be removed."""


class _Plain(PruneChannels):
    """The pruning without regularisation, that chooses the filters, under this method's name."""

    @property
    def name(self) -> str:
        return NAME


@dataclass(frozen=True)
class RegularisedPruning:
    """Structured pruning with TPP's regularisation before it; a `Method`.

    Args:
        reg: weight of the decorrelation.
        left: share of the pruned filters' size that decay alone would leave.
        share: share of the retraining's steps with the penalty; the rest follows the pruning. The
            sum is the retraining's length.
        round_to, floor, monitor: see `PruneChannels`.
    """

    reg: float = 0.01
    left: float = 0.001
    share: float = 0.5
    round_to: int = 4
    floor: float = 0.05
    monitor: bool = True

    def __post_init__(self) -> None:
        if self.reg < 0 or not 0 < self.left <= 1:
            raise RecipeError(
                f"reg is {self.reg} and left is {self.left}, expected reg >= 0 and 0 < left <= 1"
            )
        if not 0 < self.share < 1:
            raise RecipeError(f"share is {self.share}, expected above 0 and below 1")
        _ = self._plain.widths

    @property
    def name(self) -> str:
        """`prune-regularised`."""
        return NAME

    @property
    def _plain(self) -> PruneChannels:
        return _Plain("l1", round_to=self.round_to, floor=self.floor, monitor=self.monitor)

    def check(self, net: nn.Module) -> None:
        """Raise `ModelError` where no channels can be removed; see `PruneChannels.check`."""
        self._plain.check(net)

    def __call__(
        self, net: nn.Module, retraining: Retraining, budget: Budget, report: Report | None = None
    ) -> Compressed:
        """Regularise, prune `net` in place into the budget, retrain; as `PruneChannels` does."""
        self.check(net)
        plain = self._plain
        if weight_account(net).packed_bytes <= budget.packed_bytes:
            return Compressed(net, weight_account(net), [row(NAME, "fits", net)])
        log = [row(NAME, "started", net, **plain.figures(net, retraining))]
        limit = int(budget.packed_bytes * (1 - RESERVE))
        groups, removal = plain.chosen(net, retraining, limit)
        steps = max(1, int(self.share * retraining.schedule.steps))
        log += self._regularise(net, retraining, doomed_by(net, groups, removal), steps, report)
        log[-1] |= plain.figures(net, retraining)
        remove(net, retraining, groups, removal)
        log.append(row(NAME, "pruned", net, **plain.figures(net, retraining)))
        rest = shorten_schedule(retraining.schedule, retraining.schedule.steps - steps, last=True)
        log += training_rows(NAME, retraining.run(net, schedule=rest, report=report))
        log += plain.trim(net, retraining, budget, report)
        log.append(row(NAME, "retrained", net, **plain.figures(net, retraining)))
        return Compressed(net, weight_account(net), log)

    def _regularise(
        self,
        net: nn.Module,
        retraining: Retraining,
        doomed: Doomed,
        steps: int,
        report: Report | None,
    ) -> list[LogRow]:
        """Train `net` with the penalty; log rows, the last with what is left of the filters."""
        before = _size(doomed)
        history = retraining.run(
            net,
            schedule=shorten_schedule(retraining.schedule, steps),
            wrap=lambda objective: Regularised(objective, doomed, self.reg, self.left, steps),
            report=report,
        )
        left = _size(doomed) / max(before, 1e-12)
        return [*training_rows(NAME, history), row(NAME, "regularised", net, left=left)]


class Regularised(nn.Module):
    """An objective with TPP's penalty, under which doomed filters decay at every training step.

    After `steps` steps decay alone has multiplied them by `left`, its rate growing from 0 in equal
    increments.

    Args:
        objective: module whose forward takes a batch and returns the loss.
        doomed: layers of the network, with the output channels to be removed.
        reg: weight of the decorrelation.
        left, steps: see above.
    """

    done: Tensor

    def __init__(
        self, objective: nn.Module, doomed: Doomed, reg: float, left: float, steps: int
    ) -> None:
        super().__init__()
        self.objective = objective
        self._doomed = doomed  # in a list: they are parts of another module, not of this one
        self._reg, self._left, self._steps = reg, left, steps
        self.register_buffer("done", torch.zeros((), dtype=torch.int64))

    def forward(self, *batch: Tensor) -> Tensor:
        """The loss, a scalar."""
        if self.training:
            self.decay()
        loss: Tensor = self.objective(*batch)
        return loss + self._reg * self.penalty()

    def penalty(self) -> Tensor:
        """Sum of `decorrelation` over the layers whose filters share their inputs."""
        total = torch.zeros(())
        for layer, channels in self._doomed:
            if isinstance(layer, nn.Linear) or (isinstance(layer, nn.Conv1d) and layer.groups == 1):
                total = total + decorrelation(layer.weight, channels)
        return total

    @torch.no_grad()
    def decay(self) -> None:
        """Shrink the doomed filters, and their batch norm's scale and shift, by one step."""
        self.done += 1
        share = 2 * int(self.done) / (self._steps * (self._steps + 1))
        for layer, channels in self._doomed:
            for parameter in _own(layer):
                parameter[channels] *= self._left**share


def decorrelation(weight: Tensor, pruned: Sequence[int]) -> Tensor:
    """`||W W^T - stopgrad(W W^T with the pruned rows and columns zeroed)||^2`, a scalar.

    Args:
        weight: `[out, in, k]` or `[out, in]`.
        pruned: output channels to be removed.
    """
    with torch.autocast(weight.device.type, enabled=False):
        rows = weight.float().flatten(1)
        gram = rows @ rows.T
        stays = torch.ones(len(rows), device=rows.device)
        stays[list(pruned)] = 0
        return (gram - (gram * stays[:, None] * stays).detach()).square().sum()


def doomed_by(net: nn.Module, groups: Sequence[ChannelGroup], removal: Removal) -> Doomed:
    """Filters and batch norms that compute the channels of a removal, layer by layer."""
    positions: dict[str, list[int]] = {}
    for group in groups:
        gone = set(removal[group.name])
        for member in (*group.filters, *group.norms):
            pairs = zip(member.positions, member.channels, strict=True)
            positions.setdefault(member.layer, []).extend(p for p, c in pairs if c in gone)
    return [(net.get_submodule(layer), there) for layer, there in positions.items() if there]


def _own(layer: nn.Module) -> list[Tensor]:
    """A layer's parameters with one entry or row per output channel."""
    if isinstance(layer, nn.PReLU):
        return []  # a slope, not a size
    return list(layer.parameters(recurse=False))


@torch.no_grad()
def _size(doomed: Doomed) -> float:
    """Euclidean norm of everything that is to be removed."""
    squares = [p[channels].square().sum() for layer, channels in doomed for p in _own(layer)]
    return float(torch.stack(squares).sum().sqrt())
