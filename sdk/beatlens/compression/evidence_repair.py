"""Evidence repair, ours: solve for the head whose evidence is nearest to the teacher's.

The last linear layer of any compressed network can be solved for in closed form. For class c, over
strips i and columns t, with f the features, e the teacher's evidence of the same crops, and means
over columns, the error is:

    error[i, c] = map_weight * d((w . f(t) - mean), (e(t) - mean))
                + logit_weight * (w . mean f + b - mean e)^2

The first term compares maps, the second decisions. `measure` chooses the distance d:

- `squares`: the mean square. With two equal weights this is least squares over all columns. One
  pass over the crops sums the normal equations, and one linear system per class solves them.
- `correlation`: `1 - cos` of the centred maps, as fidelity is measured: every strip has the same
  weight, however large its evidence. Starting from least squares, each round replaces d by the
  quadratic with the same slope at the present head (the target is the teacher's map, scaled to be
  nearest to the present map) and solves again.

A strip's weight is the teacher's probability of the class plus `floor`, as in
`beatlens.attribution.matching.Classwise`. `power` above 2 bounds the worst strip: the p-norm of
the strips' errors is minimised by iteratively reweighted least squares, p growing from 2 to
`power` and steps shortened by `p - 1` (Burrus, Barreto & Selesnick, IEEE Trans. Signal Processing
1994), one pass over the crops per round. Sums are float64; memory does not grow with the crops.

Of the heads of all rounds, the present one included, each class keeps the one with the smallest
error on the crops of the fit. The new head is kept only if it is better on held-out crops *as the
network computes it*, with rounding and earlier constraints, and if the retraining's score on
validation patients is not lower; otherwise the old head is restored. int8 networks are repaired
too; their output scale is then set anew.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from beatlens.compression.contract import Budget, Compressed, Examples, LogRow, Retraining
from beatlens.compression.linear_head import CALIBRATION_BATCHES, LinearHead, linear_head
from beatlens.compression.size import weight_account
from beatlens.errors import ModelError, RecipeError
from beatlens.training.loop import Report

GROWTH = 1.5
LEAST_SPREAD = 1e-3
"""Standard deviation in logits below which a map counts as flat and correlates with nothing."""
LEAST_CORRELATION = 0.1
"""Lower bound of a map's correlation in the weights of the quadratic."""


@dataclass(frozen=True)
class _Target:
    """One batch of the teacher's evidence at the network's columns, float64.

    `maps [B, C, T]` are centred over columns, `logits [B, C]`; `[B, C]` are the weights of both
    terms.
    """

    maps: Tensor
    logits: Tensor
    map_weight: Tensor
    logit_weight: Tensor
    correlation: bool

    def errors(self, evidence: Tensor) -> Tensor:
        """Weighted error of every strip and class, `[B, C]`, for evidence `[B, C, T]`."""
        logits = evidence.mean(dim=2)
        if self.correlation:
            off = 1 - self._correlation(evidence)[0]
        else:
            off = (evidence - logits[:, :, None] - self.maps).square().mean(dim=2)
        return self.map_weight * off + self.logit_weight * (logits - self.logits).square()

    def quadratic(self, evidence: Tensor) -> _Target:
        """Targets whose squares have the slope of the errors at this evidence.

        With r the correlation, s and q the spreads of the map and the teacher's map u: the slope of
        `1 - r` is that of `r / (2 s^2) * mean (map - s / (r q) * u)^2`.
        """
        if not self.correlation:
            return self
        r, s, q = self._correlation(evidence)
        r = r.clamp(min=LEAST_CORRELATION)
        maps = self.maps * (s / (r * q))[:, :, None]
        return replace(self, maps=maps, map_weight=self.map_weight * r / (2 * s * s))

    def _correlation(self, evidence: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        centred = evidence - evidence.mean(dim=2, keepdim=True)
        s, q = (
            maps.square().mean(dim=2).sqrt().clamp(min=LEAST_SPREAD)
            for maps in (centred, self.maps)
        )
        return (centred * self.maps).mean(dim=2) / (s * q), s, q


class _Equations:
    """Normal equations of all classes: `matrix [C, K + 1, K + 1]`, `side [C, K + 1]`."""

    def __init__(self, classes: int, features: int) -> None:
        self.matrix = torch.zeros(classes, features + 1, features + 1, dtype=torch.float64)
        self.side = torch.zeros(classes, features + 1, dtype=torch.float64)

    def add(self, features: Tensor, target: _Target, emphasis: Tensor) -> None:
        """Add a batch of features `[B, K, T]`; `emphasis [B, C]` multiplies its weights."""
        mean = features.mean(dim=2)
        centred = features - mean[:, :, None]
        columns = features.shape[2]
        map_weight, logit_weight = target.map_weight * emphasis, target.logit_weight * emphasis
        spread = centred @ centred.transpose(1, 2) / columns
        along = torch.einsum("bkt,bct->bck", centred, target.maps) / columns
        ones = torch.cat([mean, torch.ones_like(mean[:, :1])], 1)
        self.matrix += torch.einsum("bc,bk,bl->ckl", logit_weight, ones, ones)
        self.matrix[:, :-1, :-1] += torch.einsum("bc,bkl->ckl", map_weight, spread)
        self.side += torch.einsum("bc,bk->ck", logit_weight * target.logits, ones)
        self.side[:, :-1] += torch.einsum("bc,bck->ck", map_weight, along)

    def solve(self, start: Tensor, free: Tensor, ridge: float) -> Tensor:
        """Solve for `[C, K + 1]` nearest to `start`; weights that are not `free` stay.

        Raises `ModelError` where features or evidence are not finite.
        """
        if not (self.matrix.isfinite().all() and self.side.isfinite().all()):
            raise ModelError(
                "the features or the teacher's evidence are not finite, expected numbers; check "
                "the network's weights"
            )
        found = start.clone()
        for c in range(len(start)):
            index = torch.nonzero(F.pad(free[c], (0, 1), value=True)).flatten()
            matrix = self.matrix[c][index][:, index]
            level = ridge * matrix.diagonal().mean()
            rest = (self.side[c] - self.matrix[c] @ start[c])[index]
            damped = matrix + level * torch.eye(len(index), dtype=matrix.dtype)
            # gelsd: the shortest step where features are constant or repeat each other.
            step = torch.linalg.lstsq(damped, rest[:, None], driver="gelsd").solution[:, 0]
            found[c, index] += step
        return found


def p_norm(errors: Tensor, power: float) -> Tensor:
    """`(mean of errors^(power / 2))^(2 / power)` over strips, `[n, C]` to `[C]`.

    The mean at power 2; towards the largest error as the power grows.

    >>> [round(p_norm(torch.tensor([[1.0], [3.0]]), p).item(), 2) for p in (2, 8, 200)]
    [2.0, 2.53, 2.98]
    """
    largest = errors.amax(0).clamp(min=1e-300)
    return largest * (errors / largest).pow(power / 2).mean(0).pow(2 / power)


@dataclass(frozen=True)
class RepairEvidence:
    """Solve for the head whose evidence is nearest to the teacher's; see the module.

    The network's size does not change, so the budget is ignored.

    Args:
        crops: number of examples to fit, the retraining's first ones.
        held_out: number of examples after them, to decide whether the new head is kept.
        batch: examples per forward pass.
        map_weight, logit_weight: weights of the two terms; the logit term is in square logits.
        measure: distance of maps: `correlation` or `squares`.
        floor: weight of a class that the teacher is sure is absent.
        ridge: penalty on the change of the head, in units of the equations' mean diagonal.
        power: 2 minimises the mean over strips; larger values bound the worst strip.
        keep_score: keep the new head only if the retraining's score is not lower.
        rounds: passes over the crops after the first; `squares` at power 2 needs none.
        head, layer: names of layers in a network of your own, see `linear_head`.

    Raises:
        ModelError: the network has no linear head behind a mean over columns.
        RecipeError: a setting out of range, or a retraining without examples.
    """

    after_int8: ClassVar[bool] = True
    crops: int = 1024
    held_out: int = 256
    batch: int = 32
    map_weight: float = 1.0
    logit_weight: float = 0.03
    measure: str = "correlation"
    floor: float = 0.05
    ridge: float = 1e-4
    power: float = 2.0
    rounds: int = 4
    keep_score: bool = True
    head: str | None = None
    layer: str | None = None

    def __post_init__(self) -> None:
        if min(self.crops, self.held_out, self.batch, self.rounds) < 1:
            raise RecipeError(
                f"crops are {self.crops}, held_out {self.held_out}, batch {self.batch} and rounds "
                f"{self.rounds}, expected all at least 1"
            )
        if self.measure not in ("correlation", "squares"):
            raise RecipeError(f"measure is {self.measure!r}, expected correlation or squares")
        weights = (self.map_weight, self.logit_weight, self.floor, self.ridge)
        if min(weights) < 0 or max(weights[:2]) == 0 or self.power < 2:
            raise RecipeError(
                f"map_weight is {self.map_weight}, logit_weight {self.logit_weight}, floor "
                f"{self.floor}, ridge {self.ridge} and power {self.power}; expected none below 0, "
                "one of the first two above 0, and power at least 2"
            )

    @property
    def name(self) -> str:
        """`repair-evidence`, or `repair-evidence-worst` where the worst strip is bounded."""
        return "repair-evidence" if self.power == 2 else "repair-evidence-worst"

    @property
    def needs_examples(self) -> bool:
        """True: the fit reads the retraining's examples."""
        return True

    def check(self, net: nn.Module) -> None:
        """Raise `ModelError` where there is no head to repair."""
        linear_head(net, self.head, self.layer)

    def __call__(
        self, net: nn.Module, retraining: Retraining, budget: Budget, report: Report | None = None
    ) -> Compressed:
        """Repair the head of `net`, in place; see `Method`."""
        head = linear_head(net, self.head, self.layer)
        net.eval()
        start = time.perf_counter()
        before = self._judge(head, retraining)
        kept = {name: tensor.clone() for name, tensor in net.state_dict().items()}
        found = self._fit(head, retraining)
        inputs = retraining.inputs(net, CALIBRATION_BATCHES) if head.calibrates else []
        head.put(found[:, :-1], found[:, -1], [head.features(x) for x in inputs])
        after = self._judge(head, retraining)
        better = after["objective"] < before["objective"]  # false for NaN, too
        if self.keep_score:
            better = better and after["score"] >= before["score"]
        if not better:
            net.load_state_dict(kept)
        row: LogRow = {"method": self.name, "event": "repaired" if better else "kept"}
        row |= {f"{key}_before": value for key, value in before.items()}
        row |= {f"{key}_after": value for key, value in after.items()}
        row["seconds"] = time.perf_counter() - start
        return Compressed(net, weight_account(net), [row])

    def _fit(self, head: LinearHead, retraining: Retraining) -> Tensor:
        """Weights and bias, `[C, K + 1]`."""
        best = torch.cat([head.weight, head.bias[:, None]], 1)
        theta, errors = self._round(head, retraining, best, 2.0, squares=True)
        if self.measure == "squares" and self.power == 2:
            return theta
        lowest = p_norm(errors, self.power)
        for number in range(1, self.rounds + 1):
            p = min(self.power, 2 * GROWTH**number)
            solution, errors = self._round(head, retraining, theta, p)
            objective = p_norm(errors, self.power)
            lower = objective < lowest
            best[lower], lowest = theta[lower], torch.minimum(lowest, objective)
            theta = theta + (solution - theta) / (p - 1)
        return best

    def _round(
        self,
        head: LinearHead,
        retraining: Retraining,
        theta: Tensor,
        p: float,
        *,
        squares: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Solve with strips weighted by `theta`'s errors; also those errors, `[crops, C]`."""
        equations = _Equations(*head.weight.shape)
        errors = []
        for shown in self._examples(head, retraining, 0, self.crops):
            features = head.features(shown.inputs).double()
            target = self._target(shown.evidence, features.shape[2])
            evidence = theta[:, :-1] @ features + theta[:, -1:]
            errors.append(target.errors(evidence))
            emphasis = errors[-1].clamp(min=1e-12).pow((p - 2) / 2)
            equations.add(features, target if squares else target.quadratic(evidence), emphasis)
        return equations.solve(theta, head.free, self.ridge), torch.cat(errors)

    def _judge(self, head: LinearHead, retraining: Retraining) -> LogRow:
        """Errors on held-out crops of the evidence as the network computes it; the score."""
        errors = []
        for shown in self._examples(head, retraining, self.crops, self.held_out):
            evidence = head.evidence(shown.inputs).double()
            errors.append(self._target(shown.evidence, evidence.shape[2]).errors(evidence))
        every = torch.cat(errors)
        figures: LogRow = {
            "objective": float(p_norm(every, self.power).mean()),
            "mean": float(every.mean()),
            "worst": float(every.max()),
        }
        if self.keep_score:
            figures["score"] = retraining.validate(head.net)[retraining.score]
        return figures

    def _examples(
        self, head: LinearHead, retraining: Retraining, first: int, count: int
    ) -> Iterator[Examples]:
        for start in range(first, first + count, self.batch):
            yield retraining.read_examples(head.net, start, min(self.batch, first + count - start))

    def _target(self, evidence: Tensor, columns: int) -> _Target:
        evidence = evidence.double()
        logits = evidence.mean(dim=2)
        if evidence.shape[2] != columns:
            evidence = F.interpolate(evidence, columns, mode="linear", align_corners=False)
        maps = evidence - evidence.mean(dim=2, keepdim=True)
        weight = torch.sigmoid(logits) + self.floor
        return _Target(
            maps,
            logits,
            self.map_weight * weight,
            self.logit_weight * weight,
            self.measure == "correlation",
        )
