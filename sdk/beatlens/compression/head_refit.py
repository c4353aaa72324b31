"""Fit the head of a compressed network anew on its frozen features: ridge, logistic, gradient.

Three fits of the same linear head, to compare the manifold head
(`beatlens.compression.manifold_head`) with. The evidence map stays exact with each, because the
head stays linear.

- `ridge` (Hoerl & Kennard, Technometrics 1970): closed form, fitted to labels as +-1 or to the
  teacher's logits. The outputs of a fit to +-1 are not logits, so a slope and an intercept per
  class turn them into logits (Platt 1999) and are folded into the head.
- `logistic`: logistic regression by Newton's method on the same features: about a dozen linear
  systems.
- `gradient`: the retraining's own objective (the matching loss included), minimised by AdamW with
  everything but the head frozen.

Unknown labels are left out class by class. The log has `features_seconds`, the time to run the
network once over the crops, and `solve_seconds`, the time of the fit.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from beatlens.compression.contract import Budget, Compressed, LogRow, Retraining, training_rows
from beatlens.compression.linear_head import (
    CALIBRATION_BATCHES,
    LinearHead,
    Pooled,
    linear_head,
    pooled,
)
from beatlens.compression.quantize import QuantizedEvidenceNet
from beatlens.compression.size import weight_account
from beatlens.errors import ModelError, RecipeError
from beatlens.nets.constraint import Mask
from beatlens.training.loop import Report, Schedule

NEWTON_STEPS = 50
Fit = tuple[Tensor, Tensor]
"""Weights `[C, K]` and bias `[C]`."""


def fit_ridge(x: Tensor, targets: Tensor, ridge: float) -> tuple[Tensor, Tensor]:
    """Return weights `[K]` and bias of ridge regression of `targets [n]` on `x [n, K]`.

    `ridge` is in units of the features' mean variance; the bias is not penalised.

    >>> x = torch.tensor([[0.0], [1.0], [2.0]])
    >>> weight, bias = fit_ridge(x, 3 * x[:, 0] + 1, 0.0)
    >>> weight.tolist(), bias.item()
    ([3.0], 1.0)
    """
    mean, middle = x.mean(0), targets.mean()
    centred = x - mean
    covariance = centred.T @ centred / len(x)
    penalty = ridge * covariance.diagonal().mean() * torch.eye(len(mean), dtype=x.dtype)
    cross = centred.T @ (targets - middle) / len(x)
    # gelsd: the smallest of all solutions where features are constant or repeat each other.
    weight = torch.linalg.lstsq(covariance + penalty, cross[:, None], driver="gelsd").solution[:, 0]
    return weight, middle - weight @ mean


def fit_logistic(x: Tensor, targets: Tensor, ridge: float) -> tuple[Tensor, Tensor]:
    """Return weights `[K]` and bias of logistic regression of `targets [n]` in 0..1 on `x [n, K]`.

    Newton's method with halved steps, on the mean loss (Lin, Lin & Weng, Machine Learning 2007).
    `ridge` is in units of the features' mean variance.
    """
    mean = x.mean(0)
    rows = torch.cat([x - mean, torch.ones_like(x[:, :1])], 1)
    penalty = torch.full_like(rows[0], ridge) * rows[:, :-1].square().mean().clamp(min=1e-12)
    penalty[-1] = 0

    def loss(theta: Tensor) -> Tensor:
        outputs = rows @ theta
        fit = nn.functional.binary_cross_entropy_with_logits(outputs, targets)
        return fit + (penalty * theta * theta).sum() / 2

    theta = torch.zeros_like(rows[0])
    for _ in range(NEWTON_STEPS):
        p = torch.sigmoid(rows @ theta)
        slope = rows.T @ (p - targets) / len(rows) + penalty * theta
        curve = rows.T @ (rows * (p * (1 - p))[:, None]) / len(rows) + torch.diag(penalty)
        step = torch.linalg.lstsq(curve, slope[:, None], driver="gelsd").solution[:, 0]
        size, before = 1.0, loss(theta)
        while loss(theta - size * step) > before and size > 1e-6:
            size /= 2
        theta = theta - size * step
        if float(slope @ step) < 1e-14:
            break
    return theta[:-1], theta[-1] - theta[:-1] @ mean


def calibration(outputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return slope and intercept that turn outputs `[n]` into logits of `labels [n]` (0 or 1).

    Platt's fit with his targets `(n1 + 1) / (n1 + 2)` and `1 / (n0 + 2)` (Platt 1999, sec. 2.2),
    which keep the slope finite where the outputs separate the labels.
    """
    present = labels > 0.5
    some, none = int(present.sum()), int((~present).sum())
    targets = torch.where(present, (some + 1) / (some + 2), 1 / (none + 2)).to(outputs)
    slope, intercept = fit_logistic(outputs[:, None], targets, 0.0)
    return slope[0], intercept


def decided(labels: Tensor) -> Tensor:
    """Which classes of `labels [n, C]` have a 1 and a 0, bool `[C]`: only these can be fitted."""
    return ((labels > 0.5).any(0)) & ((labels <= 0.5).any(0))


def per_class(
    head: LinearHead,
    features: Tensor,
    targets: Tensor,
    fit: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
    classes: Tensor,
) -> Fit:
    """Fit classes one by one, each on the examples whose target is known.

    Args:
        head: gives the weights of the other classes; weights that its mask holds at zero stay zero.
        features: `[n, K]`.
        targets: `[n, C]`, NaN where not known.
        fit: `fit(features [m, K'], targets [m])` returns weights `[K']` and bias.
        classes: the classes to fit, bool `[C]`.
    """
    weight, bias, free = head.weight.clone(), head.bias.clone(), head.free
    for c in torch.nonzero(classes).flatten().tolist():
        known = ~torch.isnan(targets[:, c])
        found, bias[c] = fit(features[known][:, free[c]], targets[known, c])
        weight[c] = 0.0
        weight[c, free[c]] = found
    return weight, bias


class _HeadOnly(nn.Module):
    """Trains the head alone: all other layers stay in `eval()` mode, so that batch norm's
    statistics do not change."""

    def __init__(self, objective: nn.Module, net: nn.Module) -> None:
        super().__init__()
        self.objective = objective
        self._net = (net,)

    def forward(self, *batch: Tensor) -> Tensor:
        loss: Tensor = self.objective(*batch)
        return loss

    def train(self, mode: bool = True) -> _HeadOnly:
        super().train(mode)
        self._net[0].eval()
        return self


@dataclass(frozen=True)
class RefitHead:
    """Fit the head anew on frozen features; see the module.

    The network's size does not change, so the budget is ignored.

    Args:
        kind: `ridge`, `logistic` or `gradient`.
        targets: for ridge: `labels`, or the `teacher`'s logits, which are known for every example.
        ridge: penalty in units of the features' mean variance (ridge, logistic).
        crops: number of examples to fit, the retraining's first ones (ridge, logistic).
        batch: examples per forward pass.
        schedule: for gradient; None takes the retraining's.
        head, layer: names of layers in a network of your own, see `linear_head`.

    Raises:
        ModelError: the network has no linear head behind a mean over columns, or the head has a
            constraint that these fits cannot keep (any but a mask).
        RecipeError: a setting out of range, or a retraining without examples.
    """

    after_int8: ClassVar[bool] = True
    kind: str = "ridge"
    targets: str = "labels"
    ridge: float = 0.1
    crops: int = 2048
    batch: int = 32
    schedule: Schedule | None = None
    head: str | None = None
    layer: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in ("ridge", "logistic", "gradient"):
            raise RecipeError(f"kind is {self.kind!r}, expected ridge, logistic or gradient")
        if self.targets not in ("labels", "teacher"):
            raise RecipeError(f"targets are {self.targets!r}, expected labels or teacher")
        if self.targets == "teacher" and self.kind != "ridge":
            raise RecipeError(f"{self.kind} is fitted to labels: targets = 'teacher' is for ridge")
        if self.ridge < 0:
            raise RecipeError(f"ridge is {self.ridge}, expected >= 0")

    @property
    def name(self) -> str:
        """`head-ridge`, `head-logistic` or `head-gradient`."""
        return f"head-{self.kind}"

    @property
    def needs_examples(self) -> bool:
        """Whether the fit reads the retraining's examples: ridge and logistic do."""
        return self.kind != "gradient"

    def check(self, net: nn.Module) -> None:
        """Raise `ModelError` where there is no head to fit."""
        constraint = linear_head(net, self.head, self.layer).constraint
        if self.kind != "gradient" and not isinstance(constraint, Mask | None):
            raise ModelError(
                f"the head's weights are held by a {constraint.kind!r} constraint, expected none "
                "or a mask: refit the head before that step, or use kind='gradient'"
            )

    def __call__(
        self, net: nn.Module, retraining: Retraining, budget: Budget, report: Report | None = None
    ) -> Compressed:
        """Fit the head of `net`, in place; see `Method`."""
        self.check(net)
        head = linear_head(net, self.head, self.layer)
        log = self._train(head, retraining, report) if self.kind == "gradient" else []
        if self.kind != "gradient":
            log = closed_form(self.name, head, retraining, self.crops, self.batch, self._solve)
        return Compressed(net, weight_account(net), log)

    def _solve(self, head: LinearHead, seen: Pooled) -> tuple[Fit, LogRow]:
        if self.targets == "teacher":
            classes, targets = torch.ones(seen.teacher.shape[1], dtype=torch.bool), seen.teacher
        else:
            classes, targets = decided(seen.labels), seen.labels
        found = per_class(head, seen.features, targets, self._fit, classes)
        return found, {"classes_fitted": int(classes.sum())}

    def _fit(self, x: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        if self.kind == "logistic":
            return fit_logistic(x, targets, self.ridge)
        if self.targets == "teacher":
            return fit_ridge(x, targets, self.ridge)
        weight, bias = fit_ridge(x, torch.where(targets > 0.5, 1.0, -1.0).to(x), self.ridge)
        slope, intercept = calibration(x @ weight + bias, targets)
        return slope * weight, slope * bias + intercept

    def _train(
        self, head: LinearHead, retraining: Retraining, report: Report | None
    ) -> list[LogRow]:
        net, start = head.net, time.perf_counter()
        learning = {id(p) for p in head.parameters()}
        frozen = [p for p in net.parameters() if p.requires_grad and id(p) not in learning]
        for parameter in frozen:
            parameter.requires_grad_(False)
        try:
            history = retraining.run(
                net,
                schedule=self.schedule,
                wrap=lambda objective: _HeadOnly(objective, net),
                report=report,
            )
        finally:
            for parameter in frozen:
                parameter.requires_grad_(True)
        if isinstance(net, QuantizedEvidenceNet):
            net.calibrate_logits(retraining.inputs(net, CALIBRATION_BATCHES))
        seconds = time.perf_counter() - start
        rows = training_rows(self.name, history)
        return [*rows, {"method": self.name, "event": "fitted", "seconds": seconds}]


def closed_form(
    method: str,
    head: LinearHead,
    retraining: Retraining,
    crops: int,
    batch: int,
    solve: Callable[[LinearHead, Pooled], tuple[Fit, LogRow]],
) -> list[LogRow]:
    """Fit a head on pooled features and put it into the network; return log rows with times.

    Args:
        method: name for the log.
        head: changed in place.
        retraining: gives the examples.
        crops: number of examples, the first ones.
        batch: examples per forward pass.
        solve: `solve(head, pooled)` returns the new weights and bias, and figures for the log.
    """
    start = time.perf_counter()
    seen = pooled(head, retraining, crops, batch)
    looked = time.perf_counter()
    (weight, bias), figures = solve(head, seen)
    solved = time.perf_counter()
    head.put(weight, bias, seen.maps)
    row: LogRow = {
        "method": method,
        "event": "fitted",
        "crops": crops,
        "features_seconds": looked - start,
        "solve_seconds": solved - looked,
        "seconds": time.perf_counter() - start,
        **figures,
    }
    return [row]
