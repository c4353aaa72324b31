"""Distillation as a step of its own, usually the first: train the network, nothing else."""

from __future__ import annotations

import time
from dataclasses import dataclass

from torch import nn

from beatlens.compression.contract import Budget, Compressed, Retraining, training_rows
from beatlens.compression.linear_head import CALIBRATION_BATCHES
from beatlens.compression.quantize import QuantizedEvidenceNet
from beatlens.compression.size import weight_account
from beatlens.errors import ModelError
from beatlens.training.loop import Report, Schedule


@dataclass(frozen=True)
class Distill:
    """Train a network. Its size does not change, so the budget is ignored.

    Constraints of earlier steps stay, so this step can also retrain after them. An int8 network is
    trained as an int8 network.

    Args:
        schedule: steps, batch size and learning rate; None takes the retraining's.

    Raises:
        ModelError: the network has nothing to train.
    """

    schedule: Schedule | None = None

    @property
    def name(self) -> str:
        """`distill`."""
        return "distill"

    def check(self, net: nn.Module) -> None:
        """Raise `ModelError` where there is nothing to train."""
        if not any(parameter.requires_grad for parameter in net.parameters()):
            raise ModelError(
                f"the {type(net).__name__} has no parameter that requires a gradient, expected a "
                "network to train: call requires_grad_(True)"
            )

    def __call__(
        self, net: nn.Module, retraining: Retraining, budget: Budget, report: Report | None = None
    ) -> Compressed:
        """Train `net`, in place; see `Method`."""
        self.check(net)
        start = time.perf_counter()
        history = retraining.run(net, schedule=self.schedule, report=report)
        if isinstance(net, QuantizedEvidenceNet):
            net.calibrate_logits(retraining.inputs(net, CALIBRATION_BATCHES))
        seconds = time.perf_counter() - start
        rows = training_rows(self.name, history)
        row = {"method": self.name, "event": "distilled", "seconds": seconds}
        return Compressed(net, weight_account(net), [*rows, row])
