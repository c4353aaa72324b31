"""Unstructured pruning: the smallest weights of the whole network become zero, round by round.

The method of Han, Pool, Tran & Dally (NeurIPS 2015, arXiv 1506.02626) with the rounds of Frankle &
Carbin (ICLR 2019, arXiv 1803.03635), as in the attribution-preserving study (Park et al., NeurIPS
2020, arXiv 2010.15054): each round prunes 20 % of the remaining weights, all layers are ranked
together by |w|, and pruned weights stay zero. Ours: the budget sets how many weights stay; every
layer keeps a few weights; the objective is the retraining's (the reference has no distillation).

>>> PruneWeights(rate=1.5)
Traceback (most recent call last):
beatlens.errors.RecipeError: rate is 1.5, expected above 0 and below 1
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log

import torch
from torch import Tensor, nn

from beatlens.compression.budget import (
    RESERVE,
    Layers,
    Trial,
    covered_layers,
    impose_all,
    largest_that_fits,
    read_weights,
    refuse_constraints,
    shorten_schedule,
)
from beatlens.compression.contract import Budget, Compressed, LogRow, Retraining, training_rows
from beatlens.compression.size import weight_account
from beatlens.errors import RecipeError
from beatlens.nets.constraint import Constraint, Mask
from beatlens.training.loop import Report


@dataclass(frozen=True)
class PruneWeights:
    """Global magnitude pruning in rounds; a `Method`.

    Args:
        rate: share of the remaining weights that a round prunes.
        between: share of the retraining's steps that is spread over the rounds before the last; the
            rest follows the last round. The sum is the retraining's length for every budget.
        normalised: divide each layer's weights by their root mean square before ranking. False
            ranks |w| as it is, like the reference; batch norm makes a layer's scale arbitrary, so
            the raw ranking depends on what initialisation and weight decay left in a layer.
        least: share of a layer's weights that is always kept: without weights a layer would pass
            nothing on.
        head: prune the decision layer too. By default it is not pruned: it has under 1 % of the
            weights, and the evidence is its weights times the features.
    """

    rate: float = 0.2
    between: float = 0.5
    normalised: bool = False
    least: float = 0.01
    head: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.rate < 1:
            raise RecipeError(f"rate is {self.rate}, expected above 0 and below 1")
        if not 0 <= self.between < 1:
            raise RecipeError(f"between is {self.between}, expected at least 0 and below 1")
        if not 0 < self.least <= 1:
            raise RecipeError(f"least is {self.least}, expected above 0 and at most 1")

    @property
    def name(self) -> str:
        """`prune-weights`."""
        return "prune-weights"

    def check(self, net: nn.Module) -> None:
        """Raise `ModelError` where there is nothing to prune or pruning would break a step."""
        refuse_constraints(covered_layers(net, self.name, head=self.head), self.name)

    def __call__(
        self, net: nn.Module, retraining: Retraining, budget: Budget, report: Report | None = None
    ) -> Compressed:
        """Prune `net` in place into the budget; masks stay imposed.

        A network that already fits is left as it is. Raises `ModelError` as `check` does, and when
        the budget is out of reach.
        """
        self.check(net)
        layers = covered_layers(net, self.name, head=self.head)
        limit = int(budget.packed_bytes * (1 - RESERVE))
        total = sum(weight.numel() for weight in read_weights(layers).values())
        target = self._kept_within(net, layers, limit)
        if target == total:
            return Compressed(net, weight_account(net), [self._row("fits", net, total, total)])
        log_rows: list[LogRow] = []
        rounds = self._rounds(target, total, retraining.schedule.steps)
        for number, (kept, steps) in enumerate(rounds, 1):
            last = number == len(rounds)
            # Training has changed the weights since the first search, and so their packed size.
            kept = self._kept_within(net, layers, limit) if last else kept
            impose_all(layers, self._masks(layers, kept))
            log_rows.append(self._row("pruned", net, kept, total))
            schedule = shorten_schedule(retraining.schedule, steps, last=last)
            history = retraining.run(net, schedule=schedule, report=report)
            log_rows += training_rows(self.name, history)
        if weight_account(net).packed_bytes > budget.packed_bytes:
            kept = self._kept_within(net, layers, limit)
            impose_all(layers, self._masks(layers, kept))
            log_rows.append({**self._row("trimmed", net, kept, total), **retraining.validate(net)})
        return Compressed(net, weight_account(net), log_rows)

    def _row(self, event: str, net: nn.Module, kept: int, total: int) -> LogRow:
        size = weight_account(net).packed_bytes
        return {"method": self.name, "event": event, "kept": kept, "of": total, "bytes": size}

    def _rounds(self, target: int, total: int, steps: int) -> list[tuple[int, int]]:
        """Weights to keep and steps to train, round by round; the last keeps `target`."""
        count = max(1, ceil(log(max(target, 1) / total) / log(1 - self.rate) - 1e-9))
        each = max(1, int(self.between * steps / max(count - 1, 1)))
        kept = [round(total * (1 - self.rate) ** number) for number in range(1, count)]
        return [*((number, each) for number in kept), (target, steps - each * (count - 1))]

    def _kept_within(self, net: nn.Module, layers: Layers, limit: int) -> int:
        """How many weights may stay for the whole network to pack into `limit` bytes."""
        trial, order = Trial(net, layers), self._order(layers)
        total = sum(weight.numel() for weight in read_weights(layers).values())
        floor = sum(ceil(self.least * weight.numel()) for weight in read_weights(layers).values())
        return largest_that_fits(
            lambda kept: trial.packed_bytes(_build_masks(order, layers, kept)),
            gentle=total,
            harsh=min(floor, total),
            limit=limit,
            what=self.name,
        )

    def _masks(self, layers: Layers, kept: int) -> dict[str, Constraint]:
        return _build_masks(self._order(layers), layers, kept)

    def _order(self, layers: Layers) -> Tensor:
        """Positions of all weights, laid end to end, from the first to keep to the last."""
        scores = []
        for weight in read_weights(layers).values():
            score = weight.abs().flatten()
            if self.normalised:
                score = score / score.square().mean().sqrt().clamp(min=1e-12)
            score[score.topk(ceil(self.least * score.numel())).indices] += torch.inf
            scores.append(score)
        return torch.cat(scores).argsort(descending=True, stable=True)


def _build_masks(order: Tensor, layers: Layers, kept: int) -> dict[str, Constraint]:
    mask = torch.zeros(len(order))
    mask[order[:kept]] = 1
    weights = read_weights(layers)
    parts = mask.split_with_sizes([weight.numel() for weight in weights.values()])
    return {
        name: Mask(part.view_as(weight))
        for (name, weight), part in zip(weights.items(), parts, strict=True)
    }
