"""The manifold head: a decision layer in closed form, fitted on frozen features.

From Zhang, Jiao, Zhang & Li, "Non-Gradient Manifold Neural Network" (arXiv 2106.07905), whose
decision layer joins a flexible Stiefel manifold with a support vector machine that adapts the
weights of its samples. Only its abstract and a summary of its formulas were available. Each
iteration:

    M = max(0, Y * (X W + b) - 1)           how far a sample is beyond its margin
    Z = Y + Y * M                           target: such a sample keeps its output
    a = weights from the residuals X W + b - Z
    S = sum a (x - mean)(x - mean)^T + g I
    U D V^T = svd(S^-1/2 sum a (x - mean) z^T),   W = S^-1/2 U V^T,   b = mean of z - x W

`W^T S W = I` then holds: on the weighted samples the classes' outputs have variance 1 and are not
correlated. This costs accuracy where several classes occur together.

The published layer decides on one class out of many. Ours:

- every class has its own weights `a[i, c]`, zero where its label is not known (or the teacher's
  decision stands in for it); they are made to sum to 1, half of it over the samples that have the
  class and half over those that do not (without that a rare class would be an offset);
- the weights are those of the adaptive loss (Nie, Wang, Huang & Ding, IJCAI 2013), from squares at
  a large `sigma` to absolute values at a small one;
- `S`, of which there is one, takes each sample by the mean of its weights over the classes;
- `W^T S W = I` fixes the scale of the outputs, so a slope and an intercept per class (Platt's fit,
  two numbers by Newton's method) make them logits again. They are folded into the head: it stays
  linear, and the mean of the evidence is still the decision.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from beatlens.compression.contract import Budget, Compressed, LogRow, Retraining
from beatlens.compression.head_refit import Fit, calibration, closed_form, decided
from beatlens.compression.linear_head import LinearHead, Pooled, linear_head
from beatlens.compression.size import weight_account
from beatlens.errors import ModelError, RecipeError
from beatlens.training.loop import Report

SETTLED = 1e-6


@dataclass(frozen=True)
class Manifold:
    """A decision layer before calibration to logits: `outputs = x @ weight + bias`.

    `weight [K, C]`, `bias [C]`, `scatter [K, K]` (the S of `W^T S W = I`), and the number of
    `iterations` until convergence.
    """

    weight: Tensor
    bias: Tensor
    scatter: Tensor
    iterations: int

    @property
    def off_manifold(self) -> float:
        """Largest entry of `W^T S W - I`."""
        gram = self.weight.T @ self.scatter @ self.weight
        return float((gram - torch.eye(len(gram), dtype=gram.dtype)).abs().max())


def fit_manifold(
    x: Tensor, labels: Tensor, ridge: float = 1.0, sigma: float = 10.0, iterations: int = 30
) -> Manifold:
    """Fit the decision layer.

    Args:
        x: features `[n, K]`, K at least C.
        labels: `[n, C]` in 0..1, NaN where not known; every class has a 1 and a 0.
        ridge: g, in units of the features' mean variance.
        sigma: scale of the adaptive loss, in margins.
        iterations: largest number of iterations.

    >>> x = torch.tensor([[2.0, 0.0], [1.0, 1.0], [-1.0, 0.0], [-2.0, 1.0]], dtype=torch.float64)
    >>> layer = fit_manifold(x, torch.tensor([[1.0], [1.0], [0.0], [0.0]]))
    >>> (x @ layer.weight + layer.bias > 0).flatten().tolist(), layer.off_manifold < 1e-9
    ([True, True, False, False], True)
    """
    known = ~torch.isnan(labels)
    y = torch.where(labels > 0.5, 1.0, -1.0).to(x) * known
    z, importance = y, _importance(y, torch.ones_like(y))
    layer = _layer(x, z, importance, ridge, 1)
    for number in range(2, iterations + 1):
        outputs = x @ layer.weight + layer.bias
        z = y + y * (y * outputs - 1).clamp(min=0)
        importance = _importance(y, adaptive_weights(outputs - z, sigma))
        last, layer = layer, _layer(x, z, importance, ridge, number)
        if float((layer.weight - last.weight).norm()) < SETTLED * float(last.weight.norm()):
            break
    return layer


def adaptive_weights(residuals: Tensor, sigma: float) -> Tensor:
    """Weights with which squares become the adaptive loss: `(1 + s)(|r| + 2 s) / (2 (|r| + s)^2)`.

    >>> adaptive_weights(torch.tensor([0.0, 1.0]), 1.0).tolist()
    [2.0, 0.75]
    """
    size = residuals.abs()
    return (1 + sigma) * (size + 2 * sigma) / (2 * (size + sigma).square())


def _importance(y: Tensor, weights: Tensor) -> Tensor:
    """Weights `[n, C]` that sum to 1 per class, half over y = 1, half over y = -1, none over 0."""
    total = torch.zeros_like(weights)
    for side in (1, -1):
        of_side = weights * (y == side)
        total = total + 0.5 * of_side / of_side.sum(0)
    return total


def _layer(x: Tensor, z: Tensor, importance: Tensor, ridge: float, number: int) -> Manifold:
    """One closed-form solution."""
    share = importance.mean(1)
    centred = x - share @ x
    scatter = centred.T @ (centred * share[:, None])
    level = ridge * scatter.diagonal().mean().clamp(min=1e-12)
    scatter = scatter + level * torch.eye(len(scatter), dtype=x.dtype)
    values, vectors = torch.linalg.eigh(scatter)
    whitening = vectors @ torch.diag(values.rsqrt()) @ vectors.T
    cross = x.T @ (importance * (z - (importance * z).sum(0)))
    u, _, v = torch.linalg.svd(whitening @ cross, full_matrices=False)
    weight = whitening @ u @ v
    bias = (importance * (z - x @ weight)).sum(0)
    return Manifold(weight, bias, scatter, number)


@dataclass(frozen=True)
class ManifoldHead:
    """Fit the manifold head on frozen features; see the module.

    The network's size does not change, so the budget is ignored. A class without a 1 or without a 0
    among the examples keeps its head.

    Args:
        crops: number of examples to fit, the retraining's first ones.
        batch: examples per forward pass.
        ridge: g, in units of the features' mean variance.
        sigma: scale of the adaptive loss, in margins: absolute values when small, squares when
            large.
        iterations: largest number of iterations.
        unknown: `out` leaves unknown labels out; `teacher` replaces them by the teacher's decision
            at probability 0.5, which gives more examples of classes that few databases label.
        head, layer: names of layers in a network of your own, see `linear_head`.

    Raises:
        ModelError: the network has no linear head behind a mean over columns, fewer features than
            classes, or a constraint on the head, with which `W^T S W = I` cannot hold.
        RecipeError: a setting out of range, or a retraining without examples.
    """

    after_int8: ClassVar[bool] = True
    crops: int = 2048
    batch: int = 32
    ridge: float = 0.1
    sigma: float = 10.0
    iterations: int = 30
    unknown: str = "out"
    head: str | None = None
    layer: str | None = None

    def __post_init__(self) -> None:
        if self.ridge <= 0 or self.sigma <= 0 or self.iterations < 1:
            raise RecipeError(
                f"ridge is {self.ridge}, sigma is {self.sigma} and iterations are "
                f"{self.iterations}, expected ridge > 0, sigma > 0 and at least 1 iteration"
            )
        if self.unknown not in ("out", "teacher"):
            raise RecipeError(f"unknown is {self.unknown!r}, expected out or teacher")

    @property
    def name(self) -> str:
        """`head-manifold`."""
        return "head-manifold"

    @property
    def needs_examples(self) -> bool:
        """True: the fit reads the retraining's examples."""
        return True

    def check(self, net: nn.Module) -> None:
        """Raise `ModelError` where there is no head to fit."""
        head = linear_head(net, self.head, self.layer)
        classes, features = head.weight.shape
        if features < classes:
            raise ModelError(
                f"the head decides {classes} classes from {features} features, expected at least "
                "as many features as classes: they could not be uncorrelated"
            )
        if head.constraint is not None:
            raise ModelError(
                f"the head's weights are held by a {head.constraint.kind!r} constraint, which "
                "W^T S W = I cannot hold with: put the manifold head before that step, or use "
                "RefitHead or RepairEvidence"
            )

    def __call__(
        self, net: nn.Module, retraining: Retraining, budget: Budget, report: Report | None = None
    ) -> Compressed:
        """Fit the head of `net`, in place; see `Method`."""
        self.check(net)
        head = linear_head(net, self.head, self.layer)
        log = closed_form(self.name, head, retraining, self.crops, self.batch, self._solve)
        return Compressed(net, weight_account(net), log)

    def _solve(self, head: LinearHead, seen: Pooled) -> tuple[Fit, LogRow]:
        weight, bias = head.weight.clone(), head.bias.clone()
        labels = seen.labels
        if self.unknown == "teacher":
            labels = torch.where(torch.isnan(labels), (seen.teacher > 0).to(labels), labels)
        classes = decided(labels)
        figures: LogRow = {"classes_fitted": int(classes.sum())}
        if not classes.any():
            return (weight, bias), figures
        labels = labels[:, classes]
        found = fit_manifold(seen.features, labels, self.ridge, self.sigma, self.iterations)
        outputs = seen.features @ found.weight + found.bias
        for column, c in enumerate(torch.nonzero(classes).flatten().tolist()):
            known = ~torch.isnan(labels[:, column])
            slope, intercept = calibration(outputs[known, column], labels[known, column])
            weight[c] = slope * found.weight[:, column]
            bias[c] = slope * found.bias[column] + intercept
        figures |= {"iterations": found.iterations, "off_manifold": found.off_manifold}
        return (weight, bias), figures
