"""What a beat's contexts are worth in the decision on it.

    logits [C] of a beat = mean evidence over its span + sum over contexts of table[context][class]

A table is a list of numbers for each step of a feature (`beatlens.signals.beat_features`; of a
recording's beats those of `beatlens.signals.rr_features`) and class, trained with the teacher. It
adds to the decision as evidence does, so an explanation stays a sum. A network that is made smaller
keeps its teacher's tables as they are; they cost the device a look-up.
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
"""Its name in a run folder, beside `teacher.pt`."""
SMOOTH, SMALL = 1.0, 0.1
"""Weights of neighbouring entries' differences and of entries in `LookupTables.roughness`."""


class LookupTables(nn.Module):
    """Tables `[K, BINS, C]` of K contexts in logit units, 0 at first.

    >>> tables = LookupTables(4)
    >>> tables(torch.zeros(2, 5, 6, dtype=torch.int64)).shape
    torch.Size([2, 5, 4])
    """

    def __init__(self, classes: int, contexts: int = len(FEATURES)) -> None:
        super().__init__()
        self.values = nn.Parameter(torch.zeros(contexts, BINS, classes))

    def forward(self, contexts: Tensor) -> Tensor:
        """What the first K of contexts int64 `[..., K or more]` are worth, logits `[..., C]`."""
        parts = [table[contexts[..., i]] for i, table in enumerate(self.values)]
        return torch.stack(parts).sum(dim=0)

    def array(self) -> NDArray[np.float64]:
        """The tables as an array."""
        return np.asarray(self.values.detach().double().numpy())

    def roughness(self) -> Tensor:
        """A penalty: entries few beats have seen are to be near their neighbours, and near 0."""
        steps = self.values[:, 1:] - self.values[:, :-1]
        return SMOOTH * steps.square().mean() + SMALL * self.values.square().mean()


def mean_tables(tables: Sequence[LookupTables]) -> LookupTables:
    """The tables of an ensemble: the mean of its members'; of one network its own."""
    if len(tables) == 1:
        return tables[0]
    contexts, _, classes = tables[0].values.shape
    joined = LookupTables(classes, contexts)
    with torch.no_grad():
        joined.values.copy_(torch.stack([each.values for each in tables]).mean(dim=0))
    return joined


def save_tables(path: Path, tables: LookupTables) -> None:
    """Write tables, whole or not at all."""
    save_state(path, {"format": TABLES_FORMAT, "tables": tables.state_dict()})


def load_tables(path: Path, contexts: int = len(FEATURES)) -> LookupTables:
    """Read the tables of so many contexts.

    Raises `ModelError` where the file is missing, something else, or of other contexts.
    """
    try:
        state = read_state(path, TABLES_FORMAT)["tables"]
        tables = LookupTables(state["values"].shape[-1], contexts)
        tables.load_state_dict(state)
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError) as error:
        why = " ".join(str(error).split())
        raise ModelError(
            f"{path}: damaged context tables, or not of {contexts} contexts: {why}; train the "
            "teacher again"
        ) from error
    return tables.requires_grad_(False)
