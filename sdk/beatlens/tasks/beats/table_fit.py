"""Lookup tables fitted on what networks said of patients they were not trained on.

    logits = scale * evidence + sum over features of table[feature] + bias

by the likelihood of the annotated classes, each feature's table smooth in its steps: an additive
logistic regression (Hastie & Tibshirani, Generalized Additive Models, 1990). The evidence has one
scale for all classes, so that it still adds to the decision column by column. Which features speak
for which class is set: of tables for everything, few patients' S beats make tables of who they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from beatlens.signals.rr_features import BINS

EFFECTIVE = 20_000
"""Beats that all beats together count as, against the penalties."""
SMOOTH, SMALL = 30.0, 0.3
"""Penalties of the squared differences of neighbouring steps, and of the squared entries."""
ITERATIONS = 40
Array = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class FittedTables:
    """What was fitted.

    Args:
        tables: float64 `[K, BINS, C]`, logits of the decision.
        bias: float64 `[C]`.
        scale: of the evidence.
    """

    tables: NDArray[np.float64]
    bias: NDArray[np.float64]
    scale: float

    def logits(self, evidence: Array, features: NDArray[np.int64]) -> NDArray[np.float64]:
        """Calibrated logits `[b, C]` of mean evidence `[b, C]` and features `[b, K]`."""
        parts = (table[features[:, i]] for i, table in enumerate(self.tables))
        return np.asarray(self.scale * evidence + sum(parts) + self.bias, np.float64)


def fit_tables(
    evidence: Array,
    features: NDArray[np.int64],
    labels: NDArray[np.int64],
    weights: Array,
    mask: NDArray[np.bool_],
) -> FittedTables:
    """Fit tables, biases and the scale of the evidence.

    Args:
        evidence: mean evidence of each beat's span, `[b, C]`, of networks that did not see them.
        features: `[b, K]`, 0 to `BINS - 1`.
        labels: class numbers `[b]`.
        weights: how much each beat counts, `[b]`.
        mask: which feature has a table for which class, `[K, C]`.

    >>> rng = np.random.default_rng(0)
    >>> labels = rng.integers(0, 2, 500)
    >>> features = np.where(labels == 1, 20, 10)[:, None] + rng.integers(-3, 4, (500, 1))
    >>> fitted = fit_tables(np.zeros((500, 2)), features, labels, np.ones(500), np.ones((1, 2), bool))
    >>> bool((fitted.logits(np.zeros((500, 2)), features).argmax(axis=1) == labels).mean() > 0.9)
    True
    """  # noqa: E501
    count, classes = features.shape[1], evidence.shape[1]
    rows = torch.from_numpy(features + BINS * np.arange(count))
    known, target = torch.tensor(evidence, dtype=torch.float32), torch.from_numpy(labels)
    each = torch.tensor(weights * (EFFECTIVE / weights.sum()), dtype=torch.float32)
    allowed = torch.from_numpy(mask.astype(np.float32))[:, None]
    tables = torch.zeros(count, BINS, classes, requires_grad=True)
    bias = torch.zeros(classes, requires_grad=True)
    log_scale = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [tables, bias, log_scale],
        max_iter=ITERATIONS,
        history_size=12,
        line_search_fn="strong_wolfe",
        tolerance_grad=1e-4,
        tolerance_change=1e-7,
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        flat = (tables * allowed).reshape(count * BINS, classes)
        logits = log_scale.exp() * known + bias + F.embedding_bag(rows, flat, mode="sum")
        found = (F.cross_entropy(logits, target, reduction="none") * each).sum()
        steps = tables[:, 1:] - tables[:, :-1]
        found = found + SMOOTH * steps.square().sum() + SMALL * tables.square().sum()
        found = found / EFFECTIVE
        found.backward()  # type: ignore[no-untyped-call]
        return found

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    return FittedTables(
        np.asarray((tables * allowed).detach().double().numpy()),
        np.asarray(bias.detach().double().numpy()),
        float(log_scale.detach().exp()),
    )
