"""What every compression method is given, and what it gives back.

A method is a callable object: `method(net, retraining, budget)` changes `net` and returns the
compressed network with its size and a log. The *retraining* holds the teacher, the data and the
objective (labels, distillation, any matching loss), so that every method works with every
objective. Methods run one after the other (`run_steps`), each on the network that the last one
returned; what a method imposed on weights stays imposed (see `beatlens.nets.constraint`).

Nothing here needs an evidence network: `Retraining` is made of functions, so that a user's own
`nn.Module`, data and loss fit as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from beatlens.compress.size import WeightAccount, weight_account
from beatlens.errors import ModelError, RecipeError
from beatlens.training.loop import Batch, History, Report, Schedule, Validate, fit

LogRow = dict[str, Any]


@dataclass(frozen=True)
class Examples:
    """What closed-form fits look at: inputs, their labels, and what the teacher explained of them.

    Args:
        inputs: `[B, leads, N]` as one network takes them.
        labels: `[B, C]` in 0..1, NaN where not known.
        evidence: `[B, C, T]` of the teacher in logit units; its mean over the columns is the
            teacher's logit. Another network's T may differ: the span is the same.
    """

    inputs: Tensor
    labels: Tensor
    evidence: Tensor


@dataclass(frozen=True)
class Retraining:
    """How a network is trained while it is compressed: objective, data, validation and schedule.

    Args:
        objective: makes, for a network, the module whose forward takes a batch and returns the
            loss. It holds the network.
        batches: `batches(first, size)` returns the crops `first .. first + size - 1`.
        validate: measures a network on validation patients.
        score: key of `validate`'s result; higher is better.
        schedule: of a retraining.
        inputs: `inputs(net, n)` returns `n` batches `[B, leads, N]` the network takes, for
            statistics and calibration; always the same ones.
        examples: `examples(net, first, size)` returns the crops `first .. first + size - 1` as the
            network takes them, with the teacher's evidence. Closed-form methods need it; None where
            there is none.
    """

    objective: Callable[[nn.Module], nn.Module]
    batches: Callable[[int, int], Batch]
    validate: Callable[[nn.Module], dict[str, float]]
    score: str
    schedule: Schedule
    inputs: Callable[[nn.Module, int], list[Tensor]]
    examples: Callable[[nn.Module, int, int], Examples] | None = None

    def read_examples(self, net: nn.Module, first: int, size: int) -> Examples:
        """The retraining's `examples`. Raises `RecipeError` where it has none."""
        if self.examples is None:
            raise RecipeError(
                "the retraining has no examples, which a closed-form fit of the head needs: give "
                "Retraining an examples=..., or make it by build_retraining or build_own_retraining"
            )
        return self.examples(net, first, size)

    def run(
        self,
        net: nn.Module,
        *,
        schedule: Schedule | None = None,
        wrap: Callable[[nn.Module], nn.Module] | None = None,
        validate: Validate | None = None,
        checkpoint: Path | None = None,
        report: Report | None = None,
    ) -> History:
        """Train `net` and leave the best validated weights in it.

        Args:
            net: changed in place, left in `eval()` mode.
            schedule: instead of this retraining's own.
            wrap: puts a penalty around the objective (ADMM, regularised pruning).
            validate: instead of this retraining's own, measuring `net`.
            checkpoint, report: see `beatlens.training.loop.fit`.
        """
        objective = self.objective(net)
        return fit(
            objective if wrap is None else wrap(objective),
            net,
            self.batches,
            schedule or self.schedule,
            validate or (lambda: self.validate(net)),
            score=self.score,
            checkpoint=checkpoint,
            report=report,
        )


@dataclass(frozen=True)
class Budget:
    """How small the network must become: bytes of its weights as int8, packed (see `SPEC.md`).

    >>> Budget(0)
    Traceback (most recent call last):
    beatlens.errors.RecipeError: budget is 0 bytes, expected at least 1
    """

    packed_bytes: int

    def __post_init__(self) -> None:
        if self.packed_bytes < 1:
            raise RecipeError(f"budget is {self.packed_bytes} bytes, expected at least 1")


@dataclass(frozen=True)
class Compressed:
    """What a method, or a list of them, left: the network, its size, and what happened on the way.

    `log` rows have at least `method` and `event`; trainings add one row per validation.
    """

    net: nn.Module
    size: WeightAccount
    log: list[LogRow] = field(default_factory=list)


class Method(Protocol):
    """One compression method with its settings."""

    @property
    def name(self) -> str:
        """The name recipes and tables use."""

    def check(self, net: nn.Module) -> None:
        """Raise `ModelError` where the method cannot handle the network; trains nothing."""

    def __call__(
        self, net: nn.Module, retraining: Retraining, budget: Budget, report: Report | None = None
    ) -> Compressed:
        """Compress `net` into the budget, training it by `retraining`; may change `net` itself."""


def run_steps(
    net: nn.Module,
    steps: Sequence[Method],
    retraining: Retraining,
    budget: Budget,
    report: Report | None = None,
) -> Compressed:
    """Run methods one after the other.

    What can be refused is refused before anything is trained: every step is asked to `check` the
    network as it is now; a step is asked again when its turn comes.

    Raises:
        RecipeError: there are no steps, or one has `needs_examples` and the retraining has none.
        ModelError: a method cannot handle the network.
    """
    if not steps:
        raise RecipeError("there are no compression steps, expected at least one")
    for step in steps:
        step.check(net)
        if getattr(step, "needs_examples", False) and retraining.examples is None:
            retraining.read_examples(net, 0, 1)  # says what is missing
    log: list[LogRow] = []
    for step in steps:
        step.check(net)
        done = step(net, retraining, budget, report)
        net, log = done.net, log + done.log
    return Compressed(net, weight_account(net), log)


def training_rows(method: str, history: History) -> list[LogRow]:
    """Log rows of a training: one per validation."""
    return [{"method": method, "event": "validated", **row} for row in history.rows]


def convolutions(net: nn.Module) -> dict[str, nn.Conv1d]:
    """The 1-D convolutions of a network by name. Raises `ModelError` when there are none."""
    found = {name: m for name, m in net.named_modules() if isinstance(m, nn.Conv1d)}
    if not found:
        raise ModelError(
            f"a {type(net).__name__} without any Conv1d, expected a 1-D convolutional network"
        )
    return found


@torch.no_grad()
def recalibrate_norms(net: nn.Module, batches: Sequence[Tensor]) -> None:
    """Set every batch norm's running statistics anew from inputs, `[B, leads, N]` each.

    Changed weights make the old statistics wrong; this is what a method without any retraining
    needs before it is judged.
    """
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm1d)]
    kept = [norm.momentum for norm in norms]
    training = net.training
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average over the batches
    net.train()
    for x in batches:
        net(x)
    for norm, momentum in zip(norms, kept, strict=True):
        norm.momentum = momentum
    net.train(training)
