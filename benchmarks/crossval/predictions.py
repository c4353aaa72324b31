"""Predictions of networks for the recordings of a fold, kept in a file."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from beatlens.errors import DataError
from beatlens.output import writing
from beatlens.tasks.recordings.evaluation import FORMS, Predictions


def save_predictions(
    path: Path, predicted: Mapping[str, Predictions], offsets: NDArray[np.float64]
) -> None:
    """Write predictions by form, and the offsets `[C]` of the rule; whole or not at all."""
    arrays = {
        f"{form}/{field.name}": np.asarray(getattr(one, field.name))
        for form, one in predicted.items()
        for field in fields(one)
    }
    part = path.with_suffix(".part.npz")
    with writing(path):
        np.savez(part, offsets=offsets, **arrays)  # type: ignore[arg-type]
        part.replace(path)


def load_predictions(path: Path, offsets: NDArray[np.float64]) -> dict[str, Predictions] | None:
    """Read what `save_predictions` wrote; None if the offsets were others, or are not in it.

    Raises:
        DataError: the file is something else.
    """
    try:
        with np.load(path) as archive:
            predicted = {
                form: Predictions(
                    **{
                        field.name: archive[f"{form}/{field.name}"]
                        for field in fields(Predictions)
                        if field.name != "bytes"
                    },
                    bytes=int(archive[f"{form}/bytes"]),
                )
                for form in FORMS
            }
            same = "offsets" in archive and np.array_equal(archive["offsets"], offsets)
            return predicted if same else None
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: not a file of predictions ({error}); delete it") from error
