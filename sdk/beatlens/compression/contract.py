"""The interface of compression methods: what they take and what they return.

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

from beatlens.compression.size import WeightAccount, weight_account
from beatlens.errors import ModelError, RecipeError
from beatlens.training.loop import Batch, History, Report, Schedule, Validate, fit

LogRow = dict[str, Any]


@dataclass(frozen=True)
class Examples:
    """What closed-form fits are computed from: inputs, labels and the teacher's evidence.

    Args:
        inputs: `[B, leads, N]` in mV, as one network takes them.
        labels: `[B, C]` in 0..1, NaN where not known.
        evidence: `[B, C, T]` of the teacher in logit units; its mean over the columns is the
            teacher's logit. The T of another network may differ; the span is the same.
    """

    inputs: Tensor
    labels: Tensor
    evidence: Tensor


@dataclass(frozen=True)
class Retraining:
    """How a network is trained while it is compressed: objective, data, validation and schedule.

    Args:
        objective: `objective(net)` returns a module that holds `net` and whose forward takes a
            batch and returns the loss, a scalar.
        batches: `batches(first, size)` returns the crops `first .. first + size - 1`.
        validate: `validate(net)` returns figures of validation patients by name.
        score: name of the figure to choose the best weights by; higher is better.
        schedule: steps, batch size and learning rate.
        inputs: `inputs(net, n)` returns `n` batches `[B, leads, N]` as the network takes them, for
            statistics and calibration; the same ones in every call.
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
        """Return examples `first .. first + size - 1`.

        Raises `RecipeError` where the retraining has no examples.
        """
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
    """The result of a method or a list of methods.

    Args:
        net: the compressed network.
        size: what its weights take.
        log: rows with at least `method` and `event`; a training adds one row per validation.
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

    Every step checks the network before any step runs, so that most errors come before any
    training; a step checks again when its turn comes, since earlier steps change the network.

    Raises:
        RecipeError: there are no steps, or one has `needs_examples` and the retraining has none.
        ModelError: a method cannot handle the network.
    """
    if not steps:
        raise RecipeError("there are no compression steps, expected at least one")
    for step in steps:
        step.check(net)
        if getattr(step, "needs_examples", False) and retraining.examples is None:
            retraining.read_examples(net, 0, 1)  # raises what is missing
    log: list[LogRow] = []
    for step in steps:
        step.check(net)
        done = step(net, retraining, budget, report)
        net, log = done.net, log + done.log
    return Compressed(net, weight_account(net), log)


def training_rows(method: str, history: History) -> list[LogRow]:
    """Return the log rows of a training: one per validation."""
    return [{"method": method, "event": "validated", **row} for row in history.rows]


def convolutions(net: nn.Module) -> dict[str, nn.Conv1d]:
    """Return the 1-D convolutions of a network by name; `ModelError` where there are none."""
    found = {name: m for name, m in net.named_modules() if isinstance(m, nn.Conv1d)}
    if not found:
        raise ModelError(
            f"a {type(net).__name__} without any Conv1d, expected a 1-D convolutional network"
        )
    return found


@torch.no_grad()
def recalibrate_norms(net: nn.Module, batches: Sequence[Tensor]) -> None:
    """Compute every batch norm's running statistics anew from inputs `[B, leads, N]`.

    The old statistics are wrong after weights change. A method without retraining calls this before
    its network is validated.
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
