"""Rhythm tables as whole numbers: how a bundle holds and checks them.

A table entry says what one step of one rhythm context (`beatlens.signals.rhythm`) adds to a class's
score. Needs numpy only.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from beatlens.errors import ModelError
from beatlens.runtime.fields import Fields
from beatlens.signals.rhythm import BINS, CONTEXTS

LARGEST_ENTRY = 1 << 15
"""Entries of tables, offsets and odds stay below: 16 bits on the device."""


def check_tables(tables: NDArray[np.int64], classes: int) -> None:
    """Raise `ModelError` unless tables are `[6, BINS, C]`."""
    if tables.shape != (len(CONTEXTS), BINS, classes):
        raise ModelError(
            f"rhythm tables are {list(tables.shape)}, expected {len(CONTEXTS)} contexts, "
            f"{BINS} steps and {classes} classes"
        )


def tables_document(tables: NDArray[np.int64]) -> dict[str, list[int]]:
    """What `bundle.json` says of tables `[6, BINS, C]`: a flat list for each context."""
    return {name: table.ravel().tolist() for name, table in zip(CONTEXTS, tables, strict=True)}


def read_tables(section: Fields, classes: int) -> NDArray[np.int64]:
    """Read what `tables_document` gave; `ModelError` naming the field that is wrong."""
    most = LARGEST_ENTRY - 1
    tables = [section.integers(name, BINS * classes, -most, most) for name in CONTEXTS]
    section.finish()
    return np.array(tables, np.int64).reshape(len(CONTEXTS), BINS, classes)
