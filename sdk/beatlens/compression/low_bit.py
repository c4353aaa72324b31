"""Weights of fewer than eight bits: a coarse grid per output channel, trained with the weights.

The grid is symmetric with `2^(bits - 1) - 1` steps on each side of zero (7 for 4 bits), so that the
int8 tensor holds only these whole numbers. Gradients pass the rounding unchanged, and the step is
trained (learned step size, Esser et al., ICLR 2020, arXiv 1902.08153, sec. 2; ours: one step per
output channel, trained as its logarithm, starting at the smallest squared error). The device
decodes the numbers to int8: this saves flash, not arithmetic.

>>> grid = LowBit.fitted(torch.tensor([[[0.7, -0.31, 0.09]]]), bits=4)
>>> (grid(torch.tensor([[[0.7, -0.31, 0.09]]])) / grid.steps(torch.ones(1))).round().tolist()
[[[7.0, -3.0, 1.0]]]
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from beatlens.compression.budget import (
    RESERVE,
    Layers,
    Trial,
    covered_layers,
    impose_all,
    largest_that_fits,
    refuse_constraints,
)
from beatlens.compression.contract import Budget, Compressed, Retraining, training_rows
from beatlens.compression.size import weight_account
from beatlens.errors import RecipeError
from beatlens.nets.constraint import Constraint, Mask, constraint_on
from beatlens.training.loop import Report

SMALLEST_STEP = 1e-8
TRIED = torch.linspace(0.3, 1.0, 36)
"""Steps tried for a channel, in units of the step that covers its largest weight."""


def levels(bits: int) -> int:
    """Steps to each side of zero.

    >>> [levels(bits) for bits in (2, 4, 8)]
    [1, 7, 127]
    """
    return int(2 ** (bits - 1)) - 1


class LowBit(Constraint):
    """A grid of few steps per output channel.

    Args:
        log_step: logarithm of the step, `[out]`; trained.
        bits: 2 to 8.
        mask: 0 where weights stay zero, `[out, in, k]`, or of one element for none.
        peak: largest whole number in use, `[out]`; updated in every forward pass.
    """

    kind = "low-bit"
    bits: Tensor
    mask: Tensor
    peak: Tensor

    def __init__(self, log_step: Tensor, bits: int, mask: Tensor, peak: Tensor) -> None:
        super().__init__()
        self.log_step = nn.Parameter(log_step.detach().clone())
        self.register_buffer("bits", torch.tensor(int(bits)))
        self.register_buffer("mask", mask.detach().to(torch.float32).clone())
        self.register_buffer("peak", peak.detach().clone())

    @classmethod
    def fitted(cls, weight: Tensor, bits: int, mask: Tensor | None = None) -> LowBit:
        """Fit the grid to weights `[out, ...]`, with the smallest squared error in each channel."""
        flat, most = weight.detach().flatten(1), levels(bits)
        widest = flat.abs().amax(dim=1).clamp(min=SMALLEST_STEP * most) / most
        steps = widest * TRIED.to(flat)[:, None]  # [tried, out]
        whole = torch.round(flat / steps[:, :, None]).clamp(-most, most)
        errors = (whole * steps[:, :, None] - flat).square().sum(dim=2)
        best = steps.gather(0, errors.argmin(dim=0, keepdim=True))[0]
        return cls(
            best.log(), bits, torch.ones(1) if mask is None else mask, torch.zeros_like(best)
        )

    def forward(self, weight: Tensor) -> Tensor:  # noqa: D102 (documented by the base class)
        most = levels(int(self.bits))
        # Esser et al., sec. 2.2: the step's gradient is balanced against the weights'.
        balance: float = (weight[0].numel() * most) ** -0.5
        step = self.log_step.exp().detach() * (
            1 + balance * (self.log_step - self.log_step.detach())
        )
        step = step.reshape(-1, *[1] * (weight.dim() - 1))
        inside = torch.clamp(weight / step, -most, most)
        whole = inside + (torch.round(inside) - inside).detach()
        whole = whole * (self.mask if self.mask.numel() > 1 else 1)
        self.peak = whole.detach().flatten(1).abs().amax(dim=1)
        rounded: Tensor = whole * step
        return rounded

    def rescaled(self, weight: Tensor) -> Constraint:  # noqa: D102
        largest = weight.detach().flatten(1).abs().amax(dim=1)
        step = torch.where(self.peak > 0, largest / self.peak.clamp(min=1), self.log_step.exp())
        log_step = step.clamp(min=SMALLEST_STEP).log()
        return LowBit(log_step, int(self.bits), self.mask, self.peak)

    def steps(self, weight: Tensor) -> Tensor:  # noqa: D102
        return self.log_step.detach().exp()

    @classmethod
    def empty(cls, state: dict[str, Tensor]) -> Constraint:  # noqa: D102
        return cls(state["log_step"], int(state["bits"]), state["mask"], state["peak"])


@dataclass(frozen=True)
class LowBitWeights:
    """Low-bit weights, retrained; a `Method`. Masks of an earlier pruning are kept.

    Args:
        bits: 2 to 8; None: the largest number that the budget allows.
        head: put the decision layer on a grid too; by default it is not (see `PruneWeights`).

    >>> LowBitWeights(bits=1)
    Traceback (most recent call last):
    beatlens.errors.RecipeError: bits are 1, expected 2 to 8, or None
    """

    bits: int | None = 4
    head: bool = False

    def __post_init__(self) -> None:
        if self.bits is not None and not 2 <= self.bits <= 8:
            raise RecipeError(f"bits are {self.bits}, expected 2 to 8, or None")

    @property
    def name(self) -> str:
        """`low-bit`."""
        return "low-bit"

    def check(self, net: nn.Module) -> None:
        """Raise `ModelError` where there are no weights, or a constraint would be broken."""
        refuse_constraints(covered_layers(net, self.name, head=self.head), self.name)

    def __call__(
        self, net: nn.Module, retraining: Retraining, budget: Budget, report: Report | None = None
    ) -> Compressed:
        """Put `net` on the grid in place and retrain it; the grid stays imposed.

        Raises `ModelError` as `check` does, and when the bits are too many for the budget.
        """
        self.check(net)
        layers = covered_layers(net, self.name, head=self.head)
        bits = self._bits_within(net, layers, int(budget.packed_bytes * (1 - RESERVE)))
        impose_all(layers, _grids(layers, bits))
        size = weight_account(net).packed_bytes
        log = [{"method": self.name, "event": "rounded", "bits": bits, "bytes": size}]
        log += training_rows(self.name, retraining.run(net, report=report))
        return Compressed(net, weight_account(net), log)

    def _bits_within(self, net: nn.Module, layers: Layers, limit: int) -> int:
        trial = Trial(net, layers)
        most, least = (8, 2) if self.bits is None else (self.bits, self.bits)
        return largest_that_fits(
            lambda bits: trial.packed_bytes(_grids(layers, bits)),
            gentle=most,
            harsh=least,
            limit=limit,
            what=f"{self.name} with {least} bits",
        )


def _grids(layers: Layers, bits: int) -> dict[str, Constraint]:
    found: dict[str, Constraint] = {}
    for name, (layer, tensor) in layers.items():
        held = constraint_on(layer, tensor)
        mask = held.mask if isinstance(held, Mask) else None
        found[name] = LowBit.fitted(getattr(layer, tensor), bits, mask)
    return found
