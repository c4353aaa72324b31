"""The uncompressed network with its lookup tables, in two files of a run folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from beatlens.errors import ModelError
from beatlens.nets.backbones import NetworkSpec
from beatlens.nets.ensemble import ensemble
from beatlens.nets.evidence import EvidenceNet
from beatlens.nets.files import load_net, save_net
from beatlens.nets.lookup_tables import (
    TABLES_FILE,
    LookupTables,
    load_tables,
    mean_tables,
    save_tables,
)

TEACHER_FILE = "teacher.pt"


@dataclass(frozen=True)
class Teacher:
    """The uncompressed network, and its lookup tables where the kind of span has some."""

    net: EvidenceNet
    tables: LookupTables | None = None

    @classmethod
    def load(cls, path: Path, features: int = 0) -> Teacher:
        """Read a network's file, and the tables beside it.

        Args:
            path: of the network.
            features: how many features have a table; 0: there is no file of tables.

        Raises:
            ModelError: a file is missing, damaged, or of something else.
        """
        net = load_net(path)[0]
        return cls(net, load_tables(path.with_name(TABLES_FILE), features) if features else None)

    def save(self, path: Path, spec: NetworkSpec) -> None:
        """Write tables and then the network, each whole or not at all."""
        if self.tables is not None:
            save_tables(path.with_name(TABLES_FILE), self.tables)
        save_net(path, self.net, spec)

    @property
    def table_values(self) -> NDArray[np.float64]:
        """The tables `[K, BINS, C]`, logits; `ModelError` where there are none."""
        if self.tables is None:
            raise ModelError("the teacher has no lookup tables, expected some beside its network")
        return self.tables.array()

    def equals(self, other: Teacher) -> bool:
        """Whether all weights and tables are the same."""
        weights = other.net.state_dict()
        same = all(torch.equal(t, weights[name]) for name, t in self.net.state_dict().items())
        if self.tables is None or other.tables is None:
            return same and self.tables is other.tables
        return same and torch.equal(self.tables.values, other.tables.values)


def mean_teacher(members: Sequence[Teacher]) -> Teacher:
    """The teacher whose evidence and tables are the mean of those of the members."""
    net = ensemble([member.net.eval() for member in members])
    tables = [member.tables for member in members if member.tables is not None]
    return Teacher(net, mean_tables(tables).requires_grad_(False) if tables else None)
