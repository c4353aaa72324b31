"""Structured pruning: whole channels are removed, which leaves a smaller dense network.

Filters are ranked by an importance (`beatlens.compression.importance`), all layers together, and
removed from every layer they belong to (`beatlens.compression.channel_groups`); the budget sets how
many. One-shot pruning is the method of Li et al. (ICLR 2017) and of the attribution-preserving
study (Park et al., NeurIPS 2020, arXiv 2010.15054); in rounds, the network is retrained for a share
of the schedule after each round. Ours: the ranking across layers, widths that are multiples of what
kernels compute together, and the number of channels found by packing pruned copies.

    PruneChannels(importance="evidence", rounds=3)(net, retraining, Budget(40_000))

>>> PruneChannels(importance="l2")
Traceback (most recent call last):
beatlens.errors.RecipeError: importance is 'l2', expected l1, taylor, evidence or evidence-exact
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn

from beatlens.compression.budget import RESERVE, shorten_schedule
from beatlens.compression.channel_groups import (
    ChannelGroup,
    Removal,
    channel_groups,
    check_removable,
    remove_channels,
)
from beatlens.compression.channel_search import ChannelSearch, Widths
from beatlens.compression.contract import (
    Budget,
    Compressed,
    LogRow,
    Retraining,
    recalibrate_norms,
    training_rows,
)
from beatlens.compression.importance import IMPORTANCES, Sensitivity, importance
from beatlens.compression.isometry import isometry_figures, orthogonalise_pruned
from beatlens.compression.size import weight_account, weighted_layers
from beatlens.errors import ModelError, RecipeError
from beatlens.nets.evidence import EvidenceNet
from beatlens.training.loop import Report

BATCHES = 4
"""Batches from which batch norm's statistics are computed anew after channels are removed."""
TRIMS = 3


@dataclass(frozen=True)
class PruneChannels:
    """Structured pruning into a budget; a `Method`.

    Args:
        importance: `l1`, `taylor`, `evidence` or `evidence-exact`.
        round_to: the channels a layer keeps are a multiple of this, or all.
        floor: share of its channels that a layer always keeps, 0 to 1.
        rounds: 1 prunes at once; more reach the budget in equal factors of size.
        between: share of the retraining's steps that is spread over the rounds before the last; the
            rest follows the last round. The sum is the retraining's length for any number of
            rounds.
        reinit: `orthp` makes the pruned weights orthogonal before retraining, `none` keeps them.
        batches: number of batches that importances are measured on.
        layer: for the `evidence` importances: the layer `[B, K, T]` whose map is compared, in a
            network without evidence.
        monitor: log the Jacobian's singular values before and after pruning and after training.
    """

    importance: str = "l1"
    round_to: int = 4
    floor: float = 0.05
    rounds: int = 1
    between: float = 0.5
    reinit: str = "none"
    batches: int = 4
    layer: str | None = None
    monitor: bool = True

    def __post_init__(self) -> None:
        if self.importance not in IMPORTANCES:
            known = f"{', '.join(IMPORTANCES[:-1])} or {IMPORTANCES[-1]}"
            raise RecipeError(f"importance is {self.importance!r}, expected {known}")
        if self.reinit not in ("none", "orthp"):
            raise RecipeError(f"reinit is {self.reinit!r}, expected none or orthp")
        if min(self.rounds, self.batches) < 1:
            raise RecipeError(
                f"rounds are {self.rounds} and batches {self.batches}, expected both at least 1"
            )
        if not 0 <= self.between < 1:
            raise RecipeError(f"between is {self.between}, expected at least 0 and below 1")
        _ = self.widths

    @property
    def name(self) -> str:
        """`prune-channels`."""
        return "prune-channels"

    @property
    def widths(self) -> Widths:
        """How many channels a group may keep."""
        return Widths(self.round_to, self.floor)

    def check(self, net: nn.Module) -> None:
        """Raise `ModelError` where no channels can be removed, or the importance needs a `layer`.

        Groups of channels are found with inputs only, so errors about them come when the method
        runs, before any training.
        """
        check_removable(net, self.name)
        if self.importance.startswith("evidence") and not isinstance(net, EvidenceNet):
            names = [name for name, _ in net.named_modules() if name]
            if self.layer not in names:
                raise ModelError(
                    f"{self.name}: importance {self.importance!r} needs the layer whose map is "
                    f"compared in a {type(net).__name__}, but `layer` is {self.layer!r}; its "
                    f"layers: {', '.join(names)}"
                )

    def __call__(
        self, net: nn.Module, retraining: Retraining, budget: Budget, report: Report | None = None
    ) -> Compressed:
        """Prune `net` in place into the budget and retrain it.

        A network that already fits is left as it is. Raises `ModelError` as `check` does, when no
        group of channels can be taken out, and when the budget is out of reach.
        """
        self.check(net)
        limit = int(budget.packed_bytes * (1 - RESERVE))
        before = weight_account(net).packed_bytes
        if before <= budget.packed_bytes:
            return Compressed(net, weight_account(net), [row(self.name, "fits", net)])
        log = [row(self.name, "started", net, **self.figures(net, retraining))]
        if self.rounds > 1:  # a budget out of reach must be refused before any training
            self.chosen(net, retraining, limit, "l1")
        for number, (target, steps) in enumerate(self._plan(before, limit, retraining), 1):
            log += self.prune(net, retraining, target)
            last = number == self.rounds
            schedule = shorten_schedule(retraining.schedule, steps, last=last)
            history = retraining.run(net, schedule=schedule, report=report)
            log += training_rows(self.name, history)
        log += self.trim(net, retraining, budget, report)
        log.append(row(self.name, "retrained", net, **self.figures(net, retraining)))
        return Compressed(net, weight_account(net), log)

    def _plan(self, before: int, limit: int, retraining: Retraining) -> Iterator[tuple[int, int]]:
        """Yield bytes to prune to and steps to train, round by round."""
        steps = retraining.schedule.steps
        each = max(1, int(self.between * steps / max(self.rounds - 1, 1)))
        for number in range(1, self.rounds):
            yield int(before * (limit / before) ** (number / self.rounds)), each
        yield limit, max(1, steps - each * (self.rounds - 1))

    def prune(self, net: nn.Module, retraining: Retraining, limit: int) -> list[LogRow]:
        """Remove channels from `net`, in place, until it packs into `limit` bytes; return log rows.

        Batch norm's statistics are computed anew; nothing is trained.
        """
        groups, removal = self.chosen(net, retraining, limit)
        remove(net, retraining, groups, removal, orthp=self.reinit == "orthp")
        gone = sum(len(channels) for channels in removal.values())
        figures = {"channels": gone, **self.figures(net, retraining)}
        return [row(self.name, "pruned", net, **figures)]

    def trim(
        self, net: nn.Module, retraining: Retraining, budget: Budget, report: Report | None
    ) -> list[LogRow]:
        """Prune and train a little more where the trained weights do not fit the budget any more.

        Raises `ModelError` where they do not fit after `TRIMS` attempts.
        """
        log: list[LogRow] = []
        for _ in range(TRIMS):
            packed = weight_account(net).packed_bytes
            if packed <= budget.packed_bytes:
                return log
            log += self.prune(net, retraining, int(budget.packed_bytes**2 / packed * (1 - RESERVE)))
            schedule = shorten_schedule(
                retraining.schedule, retraining.schedule.steps // 4, last=True
            )
            history = retraining.run(net, schedule=schedule, report=report)
            log += training_rows(self.name, history)
        raise ModelError(
            f"{self.name}: after {TRIMS} further prunings the weights still pack to "
            f"{weight_account(net).packed_bytes} bytes, expected {budget.packed_bytes}; lower the "
            "learning rate"
        )

    def figures(self, net: nn.Module, retraining: Retraining) -> dict[str, float]:
        """The Jacobian's singular values for the log; empty without `monitor`."""
        return isometry_figures(net, example(net, retraining)) if self.monitor else {}

    def chosen(
        self, net: nn.Module, retraining: Retraining, limit: int, by: str | None = None
    ) -> tuple[list[ChannelGroup], Removal]:
        """Return the network's groups and the channels to remove for it to pack into `limit` bytes.

        `by` is an importance instead of the method's own. Raises `ModelError` where no group can be
        removed, and where the limit is out of reach.
        """
        x = example(net, retraining)
        groups = channel_groups(net, x)
        sensitivity = Sensitivity(retraining, self.batches, self.layer)
        scores = importance(net, groups, by or self.importance, sensitivity)
        search = ChannelSearch(net, x, groups, scores, self.widths)
        return groups, search.within(limit, self.name)


def remove(
    net: nn.Module,
    retraining: Retraining,
    groups: list[ChannelGroup],
    removal: Removal,
    *,
    orthp: bool = False,
) -> None:
    """Remove channels from `net`, in place, and compute batch norm's statistics anew.

    With `orthp`, the weights of every layer that lost channels are made orthogonal before that.
    """
    remove_channels(net, example(net, retraining), removal)
    if orthp:
        changed = [group for group in groups if removal[group.name]]
        inside = {m.layer for g in groups for m in g.filters}
        layers = {m.layer for g in changed for m in (*g.filters, *g.consumers)}
        orthogonalise_pruned(net, sorted(layers), set(weighted_layers(net)) - inside)
    recalibrate_norms(net, retraining.inputs(net, BATCHES))


def example(net: nn.Module, retraining: Retraining) -> Tensor:
    """Return the retraining's first inputs `[B, leads, N]`."""
    return retraining.inputs(net, 1)[0]


def row(method: str, event: str, net: nn.Module, **figures: float) -> LogRow:
    """Return a row of the log: the network's packed size and other figures."""
    return {
        "method": method,
        "event": event,
        "bytes": weight_account(net).packed_bytes,
        **figures,
    }
