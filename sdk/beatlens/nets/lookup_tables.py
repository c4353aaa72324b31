"""Lookup tables: the contribution of a beat's features to the decision, an additive scorecard.

    logits [C] of a beat = mean evidence over its span + sum over features of table[feature][bin]

A table has one number per bin of a feature and class, in logits, trained with the teacher. The
features are those of `beatlens.signals.beat_features`, or, of the beats of a recording, those of
`beatlens.signals.rr_features`. Contributions add to the decision as evidence does, so an
explanation stays a sum. A smaller network keeps its teacher's tables unchanged; on the device a
feature costs one look-up.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from beatlens.errors import ModelError
from beatlens.nets.files import read_state, save_state
from beatlens.signals.rr_features import BINS, FEATURES

TABLES_FORMAT = "beatlens-tables-1"
TABLES_FILE = "tables.pt"
"""Name of the file in a run folder, beside `teacher.pt`."""
SMOOTH, SMALL = 1.0, 0.1
"""Weights of the differences of neighbouring bins and of the entries, in `roughness`."""


class LookupTables(nn.Module):
    """Tables `[K, BINS, C]` of K features in logit units, 0 before training.

    Args:
        classes: C.
        features: K.

    >>> tables = LookupTables(4)
    >>> tables(torch.zeros(2, 5, 6, dtype=torch.int64)).shape
    torch.Size([2, 5, 4])
    """

    def __init__(self, classes: int, features: int = len(FEATURES)) -> None:
        super().__init__()
        self.values = nn.Parameter(torch.zeros(features, BINS, classes))

    def forward(self, features: Tensor) -> Tensor:
        """Return the summed contributions `[..., C]` in logits of the first K features.

        `features` int64 `[..., K or more]` are bin numbers, 0 to `BINS - 1`.
        """
        parts = [table[features[..., i]] for i, table in enumerate(self.values)]
        return torch.stack(parts).sum(dim=0)

    def array(self) -> NDArray[np.float64]:
        """Return the tables as an array `[K, BINS, C]`, float64, in logits."""
        return np.asarray(self.values.detach().double().numpy())

    def roughness(self) -> Tensor:
        """Return the penalty that keeps bins with few beats near their neighbours and near 0."""
        steps = self.values[:, 1:] - self.values[:, :-1]
        return SMOOTH * steps.square().mean() + SMALL * self.values.square().mean()


def mean_tables(tables: Sequence[LookupTables]) -> LookupTables:
    """Return the mean of the members' tables, which are the tables of their ensemble."""
    if len(tables) == 1:
        return tables[0]
    features, _, classes = tables[0].values.shape
    joined = LookupTables(classes, features)
    with torch.no_grad():
        joined.values.copy_(torch.stack([each.values for each in tables]).mean(dim=0))
    return joined


def save_tables(path: Path, tables: LookupTables) -> None:
    """Write a file of tables, whole or not at all."""
    save_state(path, {"format": TABLES_FORMAT, "tables": tables.state_dict()})


def load_tables(path: Path, features: int = len(FEATURES)) -> LookupTables:
    """Read the tables of `features` features.

    Raises `ModelError` where the file is missing, not a file of tables, or of other features.
    """
    try:
        state = read_state(path, TABLES_FORMAT)["tables"]
        tables = LookupTables(state["values"].shape[-1], features)
        tables.load_state_dict(state)
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError) as error:
        why = " ".join(str(error).split())
        raise ModelError(
            f"{path}: damaged lookup tables, or not of {features} features: {why}; train the "
            "teacher again"
        ) from error
    return tables.requires_grad_(False)
