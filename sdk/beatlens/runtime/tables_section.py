"""Context tables as whole numbers: how a bundle holds and checks them.

A table entry says what one step of one context of a beat (`beatlens.signals.beat_contexts`; of a
recording's beats those of `beatlens.signals.rhythm`) adds to a class's score. Needs numpy only.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from beatlens.errors import ModelError
from beatlens.runtime.fields import Fields
from beatlens.signals.rhythm import BINS

LARGEST_ENTRY = 1 << 15
"""Entries of tables, offsets and odds stay below: 16 bits on the device."""


def check_tables(tables: NDArray[np.int64], contexts: Sequence[str], classes: int) -> None:
    """Raise `ModelError` unless tables are `[contexts, BINS, C]`."""
    if tables.shape != (len(contexts), BINS, classes):
        raise ModelError(
            f"context tables are {list(tables.shape)}, expected {len(contexts)} contexts, "
            f"{BINS} steps and {classes} classes"
        )


def tables_document(tables: NDArray[np.int64], contexts: Sequence[str]) -> dict[str, list[int]]:
    """What `bundle.json` says of tables `[contexts, BINS, C]`: a flat list for each context."""
    return {name: table.ravel().tolist() for name, table in zip(contexts, tables, strict=True)}


def read_tables(section: Fields, contexts: Sequence[str], classes: int) -> NDArray[np.int64]:
    """Read what `tables_document` gave; `ModelError` naming the field that is wrong."""
    most = LARGEST_ENTRY - 1
    tables = [section.integers(name, BINS * classes, -most, most) for name in contexts]
    section.finish()
    return np.array(tables, np.int64).reshape(len(contexts), BINS, classes)
