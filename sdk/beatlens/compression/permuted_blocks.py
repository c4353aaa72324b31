"""MPDCompress: weights in permuted diagonal blocks, which the device runs as grouped convolutions.

Supic, Naous, Sredojevic, Faust & Stojanovic, "MPDCompress - Matrix Permutation Decomposition
Algorithm for Deep Neural Network Compression" (2018, arXiv 1805.12085), of which only the abstract
was available: while a layer is trained its weights are masked by `M = P1 blockdiag(1) P2`, with
random permutations P1 and P2. Permuted back, the weights are block diagonal, which divides both
weights and multiply-accumulates by the number of blocks. Ours: one mask for all taps of a
convolution; masks chosen by magnitude; the number of blocks from a budget, layer by layer; the int8
form (`beatlens.compression.int8_graph`: a grouped convolution between channel permutations, which
`beatlens.integer.fold` folds into their neighbours).

>>> from beatlens.nets.constraint import impose
>>> conv = nn.Conv1d(4, 6, 3)
>>> constraint = PermutedBlocks(torch.tensor([5, 0, 2, 1, 4, 3]), torch.tensor([3, 0, 1, 2]), 2)
>>> impose(conv, constraint)
>>> int((conv.weight != 0).sum()), constraint.stored(conv.weight).shape
(36, torch.Size([6, 2, 3]))
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd

import numpy as np
import torch
from torch import Tensor, nn

from beatlens.compression.block_choice import Share, Shared, assign_blocks, shared_channels
from beatlens.compression.budget import (
    RESERVE,
    Layers,
    Trial,
    head_name,
    impose_all,
    largest_that_fits,
    read_weights,
    refuse_constraints,
)
from beatlens.compression.contract import Budget, Compressed, LogRow, Retraining, training_rows
from beatlens.compression.size import weight_account, weighted_layers
from beatlens.errors import ModelError, RecipeError
from beatlens.nets.constraint import Constraint
from beatlens.training.loop import Report

CHOICES = ("magnitude", "random")
STARTS = ("given", "fresh")


class PermutedBlocks(Constraint):
    """Keeps weights `[out, in, k]` (or `[out, in]`) within permuted diagonal blocks.

    Args:
        rows: order of the output channels `[out]`, int, in which blocks are contiguous.
        columns: the same of the input channels, `[in]`.
        groups: number of blocks; divides both.

    Raises:
        ModelError: `rows` or `columns` is no permutation, or `groups` does not divide both.
    """

    kind = "permuted-blocks"
    rows: Tensor
    columns: Tensor
    groups: Tensor

    def __init__(self, rows: Tensor, columns: Tensor, groups: int) -> None:
        super().__init__()
        for name, order in (("rows", rows), ("columns", columns)):
            found = order.flatten().tolist()
            if order.dim() != 1 or sorted(found) != list(range(len(found))):
                raise ModelError(
                    f"permuted blocks: {name} are {found}, expected a permutation of channels, "
                    "every number from 0 once"
                )
        groups = int(groups)
        if groups < 1 or len(rows) % groups or len(columns) % groups:
            raise ModelError(
                f"permuted blocks: {groups} blocks of {len(rows)} output and {len(columns)} input "
                "channels, expected a number that divides both"
            )
        self.register_buffer("rows", rows.detach().to(torch.int64).clone())
        self.register_buffer("columns", columns.detach().to(torch.int64).clone())
        self.register_buffer("groups", torch.tensor(groups))

    def mask(self) -> Tensor:
        """The mask, 1 within the blocks and 0 elsewhere, float32 `[out, in]`."""
        row_block, column_block = (
            torch.argsort(order) // (len(order) // int(self.groups))
            for order in (self.rows, self.columns)
        )
        return (row_block[:, None] == column_block[None]).to(torch.float32)

    def forward(self, weight: Tensor) -> Tensor:  # noqa: D102 (documented by the base class)
        mask = self.mask().to(weight.dtype)
        return weight * mask.reshape(*mask.shape, *[1] * (weight.dim() - 2))

    def rescaled(self, weight: Tensor) -> Constraint:  # noqa: D102
        return PermutedBlocks(self.rows, self.columns, int(self.groups))

    def stored(self, whole: Tensor) -> Tensor:
        """The blocks, `[out, in / groups, k]`: output channels in the order of `rows`."""
        width = len(self.columns) // int(self.groups)
        blocks = whole[self.rows][:, self.columns].chunk(int(self.groups))
        return torch.cat([b[:, i * width : (i + 1) * width] for i, b in enumerate(blocks)])

    @classmethod
    def empty(cls, state: dict[str, Tensor]) -> Constraint:  # noqa: D102
        return cls(state["rows"], state["columns"], int(state["groups"]))


@dataclass(frozen=True)
class BlockWeights:
    """Permuted diagonal blocks in every dense and pointwise layer that can have them; a `Method`.

    Each covered layer gets the largest number of blocks up to `groups` that divides both its
    channel counts. Not covered are the first layer (its one lead cannot be divided), the head (it
    has under 1 % of the weights, and the evidence is made of them), grouped and depthwise
    convolutions, and layers whose channel counts have no common divisor up to `groups`.

    Args:
        groups: largest number of blocks of a layer; the budget is then ignored, and later methods
            have to reach it. None: the smallest number that reaches the budget.
        choice: `random` masks, as in the paper, or `magnitude`: channels are assigned to blocks so
            that the blocks hold much of the weights' sum of squares (see
            `beatlens.compression.block_choice.assign_blocks`).
        share: assign channels that several layers write or read (those of a residual stream) to the
            same blocks in all of them, so that the device permutes them once. False: every layer
            has its own assignment, and the device one more permutation per layer.
        start: train on from the `given` weights, or from `fresh` ones, as in the paper.
        seed: of the permutations.

    >>> BlockWeights(groups=1)
    Traceback (most recent call last):
    beatlens.errors.RecipeError: groups are 1, expected at least 2 blocks, or none for the budget's
    """

    groups: int | None = None
    choice: str = "magnitude"
    share: bool = True
    start: str = "given"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.groups is not None and self.groups < 2:
            raise RecipeError(
                f"groups are {self.groups}, expected at least 2 blocks, or none for the budget's"
            )
        for name, allowed in (("choice", CHOICES), ("start", STARTS)):
            if getattr(self, name) not in allowed:
                raise RecipeError(
                    f"{name} is {getattr(self, name)!r}, expected one of {list(allowed)}"
                )
        if self.start == "fresh" and self.choice == "magnitude":
            raise RecipeError(
                "start is 'fresh' and choice is 'magnitude', but the magnitudes of fresh weights "
                "mean nothing; set choice = 'random'"
            )

    @property
    def name(self) -> str:
        """`permuted-blocks`."""
        return PermutedBlocks.kind

    def check(self, net: nn.Module) -> None:
        """Raise `ModelError` where no layer can have blocks, or weights are held already."""
        refuse_constraints(self._layers(net), self.name, allowed=())

    def __call__(
        self, net: nn.Module, retraining: Retraining, budget: Budget, report: Report | None = None
    ) -> Compressed:
        """Impose the blocks on `net` in place and retrain it; the blocks stay imposed.

        Without `groups`, a network that already fits the budget is left as it is. Raises
        `ModelError` as `check` does, and when the budget is out of reach.
        """
        self.check(net)
        layers = self._layers(net)
        shared = shared_channels(net, retraining.inputs(net, 1)[0]) if self.share else {}
        groups = self.groups or self._from_budget(net, layers, shared, budget)
        if groups == 1:
            return Compressed(net, weight_account(net), [{"method": self.name, "event": "fits"}])
        constraints = self._constraints(layers, shared, groups)
        rows = [self._row(name, layers, c) for name, c in constraints.items()]
        if self.start == "fresh":
            _forget(net, self.seed)
        impose_all(layers, dict(constraints))
        history = retraining.run(net, report=report)
        rows += training_rows(self.name, history)
        size = weight_account(net)
        rows.append({"method": self.name, "event": "packed", "bytes": size.packed_bytes})
        return Compressed(net, size, rows)

    def _layers(self, net: nn.Module) -> Layers:
        """The layers that can have at least two blocks."""
        layers = weighted_layers(net)
        head = head_name(net) if layers else ""
        found = {
            name: entry
            for name, entry in layers.items()
            if name != head and _blocks_up_to(self.groups, *entry) > 1
        }
        if not found:
            raise ModelError(
                f"{self.name}: no layer of the {type(net).__name__} can have blocks; expected a "
                "Conv1d or Linear beside the head, not grouped, with a common divisor of its two "
                f"channel counts between 2 and {self.groups or 'any number'}"
            )
        return found

    def _from_budget(self, net: nn.Module, layers: Layers, shared: Shared, budget: Budget) -> int:
        """The smallest bound on blocks per layer with which the network fits; 1: it fits now."""
        trial = Trial(net, layers)
        return largest_that_fits(
            lambda groups: trial.packed_bytes(dict(self._constraints(layers, shared, groups))),
            gentle=1,
            harsh=max(_blocks_up_to(None, *entry) for entry in layers.values()),
            limit=int(budget.packed_bytes * (1 - RESERVE)),
            what=self.name,
        )

    def _constraints(
        self, layers: Layers, shared: Shared, groups: int
    ) -> dict[str, PermutedBlocks]:
        """Masks of up to `groups` blocks by layer, without those that would be one block."""
        shares = {
            name: Share(
                _energy(weight),
                blocks,
                *(shared.get((name, side), f"{name}, its own") for side in ("rows", "columns")),
            )
            for name, weight in read_weights(layers).items()
            if (blocks := _blocks_up_to(groups, *layers[name])) > 1
        }
        rng = np.random.default_rng(self.seed)
        assignment = assign_blocks(list(shares.values()), rng, by_energy=self.choice == "magnitude")
        found = {}
        for name, share in shares.items():
            rows, columns = (
                torch.from_numpy(np.argsort(assignment[key], kind="stable")) for key in share.keys
            )
            found[name] = PermutedBlocks(rows, columns, share.blocks)
        return found

    def _row(self, name: str, layers: Layers, constraint: PermutedBlocks) -> LogRow:
        weight = read_weights(layers)[name]
        kept = constraint(weight).square().sum() / weight.square().sum().clamp(min=1e-30)
        return {
            "method": self.name,
            "event": "blocks",
            "layer": name,
            "groups": int(constraint.groups),
            "weights": constraint.stored(weight).numel(),
            "of": weight.numel(),
            "kept_energy": float(kept),
        }


def _energy(weight: Tensor) -> np.ndarray:
    """Squares of the weights `[out, in]`, over all taps, as shares of their output channel's.

    Batch norm makes an output channel's scale arbitrary, so all output channels get equal weight.
    """
    energy = weight.double().square().reshape(*weight.shape[:2], -1).sum(2)
    return (energy / energy.sum(1, keepdim=True).clamp(min=1e-30)).cpu().numpy()


def _blocks_up_to(groups: int | None, layer: nn.Module, tensor: str) -> int:
    """The largest number of blocks, up to `groups` if given, that a layer can have."""
    if getattr(layer, "groups", 1) != 1:
        return 1
    common = gcd(*getattr(layer, tensor).shape[:2])
    most = common if groups is None else min(groups, common)
    return max(blocks for blocks in range(1, most + 1) if common % blocks == 0)


def _forget(net: nn.Module, seed: int) -> None:
    """Give every layer fresh weights and batch norms fresh statistics."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for module in net.modules():
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()
