"""One training loop: plain torch, resumable, the same on one process and under `torchrun`.

An *objective* is trained: a module whose forward takes a batch and returns the loss. Batches are
numbered, and batch `i` depends on `i` and the rank only, so that an interrupted run continues
exactly where it stopped.

    torchrun --nproc-per-node 2 -m beatlens -- train recipe.toml
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from beatlens.errors import ModelError, RecipeError
from beatlens.nets.files import read_plain, save_state

Batch = tuple[Tensor, ...]
Validate = Callable[[], dict[str, float]]
Report = Callable[[int, int, dict[str, float]], None]
CHECKPOINT_KEYS = frozenset(
    ("schedule", "objective", "optimizer", "rate", "best", "step", "waited", "history")
)


@dataclass(frozen=True)
class Schedule:
    """Length and speed of a training.

    Args:
        steps: optimiser steps.
        batch: crops per step, all processes together.
        learning_rate: peak of the one-cycle schedule (Smith & Topin, arXiv 1708.07120).
        weight_decay: of AdamW.
        validate_every: steps between validations.
        patience: validations without a better score before stopping; 0 never stops early.
        keep: weights at the end of the training: those with the `best` score, or the `last` ones,
            where there are no patients to validate on (a final fit on all) or too few.
        precision: `float32`, or `bfloat16` for mixed precision.
        clip: largest norm of the gradient; a longer gradient is scaled down.
    """

    steps: int
    batch: int
    learning_rate: float
    weight_decay: float = 0.01
    validate_every: int = 250
    patience: int = 0
    keep: str = "best"
    precision: str = "float32"
    clip: float = 5.0

    def __post_init__(self) -> None:
        if self.precision not in ("float32", "bfloat16"):
            raise RecipeError(f"precision is {self.precision!r}, expected float32 or bfloat16")
        if self.keep not in ("best", "last"):
            raise RecipeError(f"keep is {self.keep!r}, expected best or last")
        if min(self.steps, self.batch, self.validate_every) < 1:
            raise RecipeError(
                f"steps are {self.steps}, batch is {self.batch} and validate_every is "
                f"{self.validate_every}, expected all at least 1"
            )


@dataclass
class History:
    """The course of a training: one row per validation, and the best of them."""

    rows: list[dict[str, float]] = field(default_factory=list)
    best_step: int = 0
    best_score: float = float("-inf")


def world() -> tuple[int, int]:
    """Return rank and number of processes: those of `torchrun`, or (0, 1)."""
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


def fit(
    objective: nn.Module,
    net: nn.Module,
    batches: Callable[[int, int], Batch],
    schedule: Schedule,
    validate: Validate,
    *,
    score: str,
    checkpoint: Path | None = None,
    report: Report | None = None,
) -> History:
    """Train `net` inside `objective` and leave the best validated (or the last) weights in it.

    Args:
        objective: module that holds `net`; `objective(*batch)` is the loss.
        net: the network whose weights are validated, kept and restored.
        batches: `batches(first, size)` returns crops `first .. first + size - 1`.
        schedule: length and speed.
        validate: measures `net` on validation patients; returns figures by name.
        score: name of the figure to choose by; higher is better.
        checkpoint: file that is written at every validation and resumed from.
        report: called with (step, steps, figures) after every validation and every 25 steps.

    Raises:
        RecipeError: the checkpoint is from another schedule or another network.
        ModelError: no validation gave a score that is a number, or the checkpoint is damaged.
    """
    rank, size = world()
    if size > 1 and not torch.distributed.is_initialized():
        # The group is never destroyed: later trainings of this process use it too. Destroying a
        # gloo group while a module wrapped for it is alive, then making another, may hang.
        torch.distributed.init_process_group("gloo")
    run = _Run(objective, net, schedule, checkpoint, rank)
    _train(run, batches, validate, score, report)
    run.settle()
    return run.history


def _train(
    run: _Run,
    batches: Callable[[int, int], Batch],
    validate: Validate,
    score: str,
    report: Report | None,
) -> None:
    """Train until the last step or until patience runs out."""
    rank, size = world()
    schedule = run.schedule
    module = run.objective if size == 1 else DistributedDataParallel(run.objective)
    share = -(-schedule.batch // size)
    recent: list[float] = []
    while run.step < schedule.steps and not run.stalled:
        batch = batches((run.step * size + rank) * share, share)
        recent.append(run.advance(module, batch))
        if run.step % 25 == 0 and report and rank == 0:
            report(run.step, schedule.steps, {"loss": float(np.mean(recent[-25:]))})
        if run.step % schedule.validate_every == 0 or run.step == schedule.steps:
            figures = {"loss": float(np.mean(recent)), **_everywhere(validate)}
            recent.clear()
            run.note(figures, figures[score])
            if report and rank == 0:
                report(run.step, schedule.steps, figures)


def _everywhere(validate: Validate) -> dict[str, float]:
    """Validate on rank 0 and send the figures to all ranks, so that all stop at the same step."""
    rank, size = world()
    box: list[Any] = [validate() if rank == 0 else None]
    if size > 1:
        torch.distributed.broadcast_object_list(box)
    return dict(box[0])


class _Run:
    """State of one training run: everything a checkpoint holds."""

    def __init__(
        self,
        objective: nn.Module,
        net: nn.Module,
        schedule: Schedule,
        checkpoint: Path | None,
        rank: int,
    ) -> None:
        self.net, self.schedule, self.checkpoint, self.rank = net, schedule, checkpoint, rank
        self.objective = objective
        parameters = [p for p in objective.parameters() if p.requires_grad]
        self.parameters = parameters
        self.optimizer = torch.optim.AdamW(
            parameters, lr=schedule.learning_rate, weight_decay=schedule.weight_decay
        )
        self.rate = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, schedule.learning_rate, total_steps=schedule.steps
        )
        self.step, self.waited, self.history = 0, 0, History()
        self.best = _copy(net)
        if checkpoint is not None and checkpoint.exists():
            self._resume(checkpoint)

    @property
    def stalled(self) -> bool:
        return 0 < self.schedule.patience <= self.waited

    def advance(self, module: nn.Module, batch: Batch) -> float:
        """One optimiser step; returns the loss."""
        self.objective.train()
        with torch.autocast("cpu", torch.bfloat16, enabled=self.schedule.precision == "bfloat16"):
            loss = module(*batch)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, self.schedule.clip)
        self.optimizer.step()
        self.rate.step()
        self.step += 1
        return float(loss.detach())

    def note(self, figures: dict[str, float], score: float) -> None:
        """Log a validation, keep the weights if they are the best so far, write the checkpoint."""
        self.history.rows.append({"step": self.step, **figures})
        if score > self.history.best_score:
            self.history.best_step, self.history.best_score = self.step, score
            self.best, self.waited = _copy(self.net), 0
        else:
            self.waited += 1
        if self.checkpoint is not None and self.rank == 0:
            self._save(self.checkpoint)

    def settle(self) -> None:
        """Restore the weights that the schedule keeps; `ModelError` where none had a score."""
        if self.schedule.keep == "last":
            self.best = _copy(self.net)
        elif self.history.best_step == 0:
            raise ModelError(
                f"none of {len(self.history.rows)} validations gave a score that is a number, so "
                "there are no best weights; check that validation patients have the classes, or "
                "lower the learning rate"
            )
        if torch.distributed.is_initialized():
            # Gradients are shared, batch norm's running statistics are not: take rank 0's.
            for tensor in self.best.values():
                torch.distributed.broadcast(tensor, 0)
        self.net.load_state_dict(self.best)
        self.net.eval()

    def _save(self, path: Path) -> None:
        state = {
            "schedule": json.dumps(asdict(self.schedule)),
            "objective": self.objective.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "rate": self.rate.state_dict(),
            "best": self.best,
            "step": self.step,
            "waited": self.waited,
            "history": asdict(self.history),
        }
        save_state(path, state)

    def _resume(self, path: Path) -> None:
        state: Any = read_plain(path)
        if not isinstance(state, dict) or not state.keys() >= CHECKPOINT_KEYS:
            raise ModelError(f"{path}: not a training checkpoint; delete it to start anew")
        if state["schedule"] != json.dumps(asdict(self.schedule)):
            raise RecipeError(
                f"{path} was trained with {state['schedule']}, now the schedule is "
                f"{json.dumps(asdict(self.schedule))}; delete it or use another run folder"
            )
        try:
            self.objective.load_state_dict(state["objective"])
            self.optimizer.load_state_dict(state["optimizer"])
        except (RuntimeError, ValueError) as error:
            raise RecipeError(
                f"{path} is of another network or loss; delete it or use another run folder: "
                f"{error}"
            ) from error
        self.rate.load_state_dict(state["rate"])
        self.best, self.step, self.waited = state["best"], state["step"], state["waited"]
        self.history = History(**state["history"])


def _copy(net: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in net.state_dict().items()}
