"""Micro-structured weight unification: all weights of a block have one magnitude, or are 0.

After Lin, Jiang, Wang, Xu, Wang, Liu & Li, "Efficient Micro-Structured Weight Unification and
Pruning for Neural Network Compression" (2021, arXiv 2106.08301), of which the abstract was
available: the weights of a block share one absolute value and keep their signs; pruning is the
special case of value 0. The structure is reached by ADMM (Boyd et al. 2011, sec. 3): `W` is trained
on `loss + rho/2 ||W - Z + U||^2`, and at intervals `Z <- P(W + U)` and `U <- U + W - Z`. The
projection P gives the cheapest blocks their mean magnitude `u` with unchanged signs, at a cost of
`sum (|v| - u)^2`; for a given number of blocks this is the nearest such tensor. At the end P is
imposed, signs and blocks are frozen, and the blocks' magnitudes and the free weights are retrained.

Ours: blocks lie within one output channel, so that they are exact in int8; distances are in units
of the channel's root mean square, since batch norm makes a channel's scale arbitrary; the budget
sets how many blocks are shared and, where that is not enough, how many are zero.

>>> block_index(inputs=2, taps=3, block=(2, 2)).tolist()
[[0, 0, 1], [0, 0, 1]]
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

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
from beatlens.nets.constraint import Constraint
from beatlens.packed.blocks import SIDES
from beatlens.training.loop import Report

FREE, SHARED, ZERO = 0, 1, 2
Tensors = dict[str, Tensor]


def block_index(inputs: int, taps: int, block: tuple[int, int]) -> Tensor:
    """Return the number of the block that each weight of an output channel is in, `[inputs, taps]`.

    Where a layer has fewer taps than a block, the block takes more inputs instead, and the other
    way round, so that blocks of depthwise and pointwise layers have about as many weights as those
    of others. Blocks begin at the first input and tap, and may be smaller at the other end. (Sides
    are powers of two or the whole of a layer's: those are what the packed format looks for.)
    """
    wanted = [
        length if side > max(SIDES) else side
        for length, side in zip((inputs, taps), block, strict=True)
    ]
    wide, high = min(inputs, wanted[0]), min(taps, wanted[1])
    if high < wanted[1]:
        wide = min(inputs, _longer(wide, wanted[1] // high))
    elif wide < wanted[0]:
        high = min(taps, _longer(high, wanted[0] // wide))
    rows, columns = torch.arange(inputs) // wide, torch.arange(taps) // high
    return rows[:, None] * ceil(taps / high) + columns


def _longer(side: int, most: int) -> int:
    """A side times a power of two of at most `most`, as long as blocks go."""
    return max(side, min(side << (most.bit_length() - 1), max(SIDES)))


class Unified(Constraint):
    """Blocks of one magnitude with fixed signs, blocks of zeros, free weights.

    Args:
        kinds: per output channel and block `FREE`, `SHARED` or `ZERO`, `[out, blocks]`.
        signs: signs of the weights, -1 or 1, `[out, in, k]`; those of free weights are not used.
        index: block of each weight of a channel, `[in, k]`; see `block_index`.

    A shared magnitude is the mean of the trained tensor's values times their signs, so that
    gradients of all weights of the block reach it.
    """

    kind = "unified"
    kinds: Tensor
    signs: Tensor
    index: Tensor

    def __init__(self, kinds: Tensor, signs: Tensor, index: Tensor) -> None:
        super().__init__()
        self.register_buffer("kinds", kinds.detach().to(torch.uint8).clone())
        self.register_buffer("signs", signs.detach().to(torch.int8).clone())
        self.register_buffer("index", index.detach().to(torch.int64).clone())

    def forward(self, weight: Tensor) -> Tensor:  # noqa: D102 (documented by the base class)
        flat, index = weight.flatten(1), self.index.flatten()
        signs = self.signs.flatten(1).to(flat.dtype)
        shared = block_means(flat * signs, self.index)[:, index] * signs
        kinds = self.kinds[:, index]
        kept = torch.where(kinds == SHARED, shared, flat)
        return torch.where(kinds == ZERO, 0.0, kept).view_as(weight)

    def rescaled(self, weight: Tensor) -> Constraint:  # noqa: D102
        signs = torch.where(weight == 0, self.signs, weight.sign().to(torch.int8))
        return Unified(self.kinds, signs, self.index)

    @classmethod
    def empty(cls, state: Tensors) -> Constraint:  # noqa: D102
        return cls(state["kinds"], state["signs"], state["index"])


def block_means(values: Tensor, index: Tensor) -> Tensor:
    """Mean over each block, `[out, blocks]`, of values `[out, in * k]`."""
    flat = index.flatten()
    blocks = int(flat.max()) + 1
    counts = torch.bincount(flat, minlength=blocks)
    sums = values.new_zeros(len(values), blocks).index_add(1, flat, values)
    return sums / counts


class Projection:
    """The projection P onto a block structure; see the module.

    Args:
        weights: `[out, in, k]` by layer (`[out, in]` of linear ones); they set the units.
        block: inputs and taps of a block.
        least: share of each layer's blocks that never become zero.

    >>> projection = Projection({"a": torch.tensor([[[3.0, -5.0, 1.0, 9.0]]])}, block=(1, 2))
    >>> found = projection({"a": torch.tensor([[[3.0, -5.0, 1.0, 9.0]]])}, shared=1, zero=0)
    >>> found["a"](torch.tensor([[[3.0, -5.0, 1.0, 9.0]]])).tolist()
    [[[4.0, -4.0, 1.0, 9.0]]]
    """

    def __init__(self, weights: Tensors, block: tuple[int, int], least: float = 0.01) -> None:
        self._least = least
        self.indices = {
            name: block_index(w.shape[1], w[0, 0].numel(), block) for name, w in weights.items()
        }
        self.scales = {
            name: w.flatten(1).square().mean(1).sqrt().clamp(min=1e-12)
            for name, w in weights.items()
        }
        self.sizes = [len(w) * (int(self.indices[n].max()) + 1) for n, w in weights.items()]
        self.blocks = sum(self.sizes)
        self.max_zero = self.blocks - sum(ceil(least * size) for size in self.sizes)

    def __call__(self, weights: Tensors, *, shared: int, zero: int) -> dict[str, Constraint]:
        """The constraints whose weights are nearest, with so many blocks shared and zero.

        Blocks of the smallest norm become zero first, the cheapest of the others shared. (Each by
        itself is the nearest choice.)
        """
        costs, norms = self._costs(weights)
        kinds = torch.full((self.blocks,), FREE, dtype=torch.uint8)
        kinds[norms.argsort(stable=True)[:zero]] = ZERO
        costs[kinds == ZERO] = torch.inf
        kinds[costs.argsort(stable=True)[:shared]] = SHARED
        return {
            name: Unified(
                part.view(len(weight), -1),
                torch.where(weight < 0, -1, 1),
                self.indices[name],
            )
            for (name, weight), part in zip(
                weights.items(), kinds.split_with_sizes(list(self.sizes)), strict=True
            )
        }

    def _costs(self, weights: Tensors) -> tuple[Tensor, Tensor]:
        """What sharing costs and what zeroing costs, block by block, all layers end to end."""
        costs, norms = [], []
        for name, weight in weights.items():
            flat, index = weight.flatten(1) / self.scales[name][:, None], self.indices[name]
            counts = torch.bincount(index.flatten())
            norm = block_means(flat.square(), index) * counts
            mean = block_means(flat.abs(), index)[:, index.flatten()]
            costs.append((block_means((flat.abs() - mean).square(), index) * counts).flatten())
            norm = norm.flatten()
            norm[norm.topk(ceil(self._least * norm.numel())).indices] = torch.inf
            norms.append(norm)
        return torch.cat(costs), torch.cat(norms)

    def distance(self, weights: Tensors, constraints: dict[str, Constraint]) -> float:
        """Root mean square distance to the constrained weights, in units of the channels' own."""
        squares = [
            ((weight - constraints[name](weight)).flatten(1) / self.scales[name][:, None]).square()
            for name, weight in weights.items()
        ]
        return float(torch.cat([s.flatten() for s in squares]).mean().sqrt())


class Admm(nn.Module):
    """An objective with ADMM's penalty around it; Z, U and the step are buffers, for checkpoints.

    Args:
        objective: `objective(*batch)` is the loss.
        layers: covered.
        projection, shared, zero: P.
        rho: of the penalty: of the mean squared gap, in units of the channels' root mean square.
        every: steps between updates of Z and U; the first is at the start.
    """

    steps: Tensor

    def __init__(
        self,
        objective: nn.Module,
        layers: Layers,
        projection: Projection,
        *,
        shared: int,
        zero: int,
        rho: float,
        every: int,
    ) -> None:
        super().__init__()
        self.objective = objective
        self._layers, self._projection = layers, projection
        self._shared, self._zero, self._rho, self._every = shared, zero, rho, every
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        for number, weight in enumerate(read_weights(layers).values()):
            self.register_buffer(f"target{number}", weight.clone())
            self.register_buffer(f"dual{number}", torch.zeros_like(weight))

    def forward(self, *batch: Tensor) -> Tensor:
        """The loss of a batch, plus `rho / 2 * mean ((W - Z + U) / scale)^2`."""
        if self.training:
            if int(self.steps) % self._every == 0:
                self.update()
            self.steps += 1
        loss: Tensor = self.objective(*batch) + self._rho / 2 * self._gap()
        return loss

    @torch.no_grad()
    def update(self) -> None:
        """`Z <- P(W + U)`, then `U <- U + W - Z`."""
        weights = read_weights(self._layers)
        duals = {name: self.get_buffer(f"dual{i}") for i, name in enumerate(weights)}
        aimed = {name: weight + duals[name] for name, weight in weights.items()}
        found = self._projection(aimed, shared=self._shared, zero=self._zero)
        for number, name in enumerate(weights):
            target = found[name](aimed[name])
            self.get_buffer(f"target{number}").copy_(target)
            duals[name].copy_(aimed[name] - target)

    def _gap(self) -> Tensor:
        gaps = []
        for number, (name, (layer, tensor)) in enumerate(self._layers.items()):
            target, dual = self.get_buffer(f"target{number}"), self.get_buffer(f"dual{number}")
            gap = (getattr(layer, tensor) - target + dual).flatten(1)
            gaps.append((gap / self._projection.scales[name][:, None]).flatten())
        return torch.cat(gaps).square().mean()


@dataclass(frozen=True)
class UnifyWeights:
    """Weight unification with ADMM; a `Method`.

    Args:
        block: inputs and taps of a block, always within one output channel; see `block_index`. The
            default is eight adjacent inputs of a tap, which are neighbours where the device stores
            them (two words of its int8 dot product): a byte of signs and at most a byte of
            magnitude for eight bytes. A side above 16 is the whole of a layer's.
        prune_share: share of the blocks that become zero. None: as few as the budget allows with
            all others shared, so none where sharing alone reaches it.
        admm: share of the retraining's steps trained under ADMM; the rest follows the hard
            projection.
        updates: of Z and U in that time.
        rho: weight of the penalty.
        least: share of a layer's blocks that never become zero.
        head: cover the decision layer too; left alone by default (see `PruneWeights`).
    """

    block: tuple[int, int] = (8, 1)
    prune_share: float | None = None
    admm: float = 0.5
    updates: int = 40
    rho: float = 30.0
    least: float = 0.01
    head: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "block", tuple(self.block))
        if self.block == (1, 1) or not all(
            side in SIDES or side > max(SIDES) for side in self.block
        ):
            raise RecipeError(
                f"block is {self.block}, expected (inputs, taps) of 2 weights or more, each side "
                f"one of {SIDES}, or any larger number for the whole of a layer's"
            )
        if self.prune_share is not None and not 0 <= self.prune_share < 1:
            raise RecipeError(f"prune_share is {self.prune_share}, expected at least 0, below 1")
        if not 0 < self.admm < 1 or self.updates < 1 or self.rho <= 0 or not 0 < self.least <= 1:
            raise RecipeError(
                f"admm is {self.admm}, updates {self.updates}, rho {self.rho}, least {self.least}; "
                "expected 0 < admm < 1, updates >= 1, rho > 0, 0 < least <= 1"
            )

    @property
    def name(self) -> str:
        """`unify-weights`."""
        return "unify-weights"

    def check(self, net: nn.Module) -> None:
        """Raise `ModelError` where there is nothing to unify, or a constraint would be broken."""
        refuse_constraints(covered_layers(net, self.name, head=self.head), self.name, allowed=())

    def __call__(
        self, net: nn.Module, retraining: Retraining, budget: Budget, report: Report | None = None
    ) -> Compressed:
        """Unify `net` in place into the budget; its blocks stay imposed.

        A network that already fits is left as it is. Raises `ModelError` as `check` does, and when
        the budget is out of reach.
        """
        self.check(net)
        layers = covered_layers(net, self.name, head=self.head)
        limit = int(budget.packed_bytes * (1 - RESERVE))
        if weight_account(net).packed_bytes <= limit:
            return Compressed(net, weight_account(net), [{"method": self.name, "event": "fits"}])
        counts = self._counts_within(net, layers, limit)
        length = max(1, int(self.admm * retraining.schedule.steps))

        def wrap(objective: nn.Module) -> nn.Module:
            every = max(1, length // self.updates)
            projection = self._projection(layers)
            return Admm(objective, layers, projection, **counts, rho=self.rho, every=every)

        log = [self._row("admm", net, layers, counts)]
        schedule = shorten_schedule(retraining.schedule, length)
        history = retraining.run(net, schedule=schedule, wrap=wrap, report=report)
        log += training_rows(self.name, history)
        log.append(self._impose("unified", net, layers, limit))
        schedule = shorten_schedule(
            retraining.schedule, retraining.schedule.steps - length, last=True
        )
        log += training_rows(self.name, retraining.run(net, schedule=schedule, report=report))
        if weight_account(net).packed_bytes > budget.packed_bytes:
            trimmed = self._impose("trimmed", net, layers, limit)
            log.append({**trimmed, **retraining.validate(net)})
        return Compressed(net, weight_account(net), log)

    def _projection(self, layers: Layers) -> Projection:
        return Projection(read_weights(layers), self.block, self.least)

    def _impose(self, event: str, net: nn.Module, layers: Layers, limit: int) -> LogRow:
        """Make the projection hard, as gently as the limit allows; returns what to log."""
        counts = self._counts_within(net, layers, limit)
        row = self._row(event, net, layers, counts)
        impose_all(layers, self._projection(layers)(read_weights(layers), **counts))
        return {**row, "bytes": weight_account(net).packed_bytes}

    def _row(self, event: str, net: nn.Module, layers: Layers, counts: dict[str, int]) -> LogRow:
        """Counts of blocks, and how far the weights are from that structure."""
        projection, weights = self._projection(layers), read_weights(layers)
        distance = projection.distance(weights, projection(weights, **counts))
        row = {"method": self.name, "event": event, **counts, "of": projection.blocks}
        return {**row, "distance": distance}

    def _counts_within(self, net: nn.Module, layers: Layers, limit: int) -> dict[str, int]:
        """How many blocks to share and to zero for the whole network to pack into `limit` bytes."""
        trial, projection, weights = (
            Trial(net, layers),
            self._projection(layers),
            read_weights(layers),
        )
        blocks = projection.blocks

        def counts(setting: int) -> dict[str, int]:
            zero = max(0, setting - blocks)
            if self.prune_share is not None:
                zero = min(round(self.prune_share * blocks), projection.max_zero)
            return {"shared": min(setting, blocks - zero), "zero": zero}

        setting = largest_that_fits(
            lambda setting: trial.packed_bytes(projection(weights, **counts(setting))),
            gentle=0,
            harsh=blocks if self.prune_share is not None else blocks + projection.max_zero,
            limit=limit,
            what=self.name,
        )
        return counts(setting)
