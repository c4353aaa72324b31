"""Lookup tables as whole numbers: how a bundle holds and checks them.

A table entry is what one step of one feature of a beat adds to a class's score. Features are those
of `beatlens.signals.beat_features`; of a recording's beats `beatlens.signals.rr_features`. Needs
numpy only.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from beatlens.errors import ModelError
from beatlens.runtime.fields import Fields
from beatlens.signals.rr_features import BINS

LARGEST_ENTRY = 1 << 15
"""Entries of tables, offsets and odds stay below: 16 bits on the device."""


def check_tables(tables: NDArray[np.int64], features: Sequence[str], classes: int) -> None:
    """Raise `ModelError` unless tables are `[features, BINS, C]`."""
    if tables.shape != (len(features), BINS, classes):
        raise ModelError(
            f"lookup tables are {list(tables.shape)}, expected {len(features)} features, "
            f"{BINS} steps and {classes} classes"
        )


def tables_document(tables: NDArray[np.int64], features: Sequence[str]) -> dict[str, list[int]]:
    """What `bundle.json` holds of tables `[features, BINS, C]`: a flat list for each feature."""
    return {name: table.ravel().tolist() for name, table in zip(features, tables, strict=True)}


def read_tables(section: Fields, features: Sequence[str], classes: int) -> NDArray[np.int64]:
    """Read what `tables_document` gave; `ModelError` naming the field that is wrong."""
    most = LARGEST_ENTRY - 1
    tables = [section.integers(name, BINS * classes, -most, most) for name in features]
    section.finish()
    return np.array(tables, np.int64).reshape(len(features), BINS, classes)
