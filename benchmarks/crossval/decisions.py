"""Decisions on the recordings of a fold: kept in a file, and rows of the misclassified ones."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beatlens.errors import DataError
from beatlens.output import writing
from beatlens.tasks.recordings.evaluation import AGREEMENT, FORMS, Told
from beatlens.tasks.recordings.labels import CLASSES
from beatlens.tasks.recordings.recipe import RecordingRecipe


def save_decisions(path: Path, decided: Mapping[str, Told], offsets: NDArray[np.float64]) -> None:
    """Write decisions by form, and the offsets `[C]` they were made with; whole or not at all."""
    arrays = {
        f"{form}/{field.name}": np.asarray(getattr(one, field.name))
        for form, one in decided.items()
        for field in fields(one)
    }
    part = path.with_suffix(".part.npz")
    with writing(path):
        np.savez(part, offsets=offsets, **arrays)  # type: ignore[arg-type]
        part.replace(path)


def load_decisions(path: Path, offsets: NDArray[np.float64]) -> dict[str, Told] | None:
    """Read what `save_decisions` wrote; None if the offsets were others, or are not in the file.

    Raises:
        DataError: the file is something else.
    """
    try:
        with np.load(path) as archive:
            decided = {
                form: Told(
                    **{
                        field.name: archive[f"{form}/{field.name}"]
                        for field in fields(Told)
                        if field.name != "bytes"
                    },
                    bytes=int(archive[f"{form}/bytes"]),
                )
                for form in FORMS
            }
            same = "offsets" in archive and np.array_equal(archive["offsets"], offsets)
            return decided if same else None
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: not a file of decisions ({error}); delete it") from error


def misclassified_rows(recipe: RecordingRecipe, decided: Mapping[str, Told]) -> list[dict[str, Any]]:
    """A row for each recording that the int8 model misclassifies, highest probability first.

    `probability` is that of what was decided, `probability_of_label` that of what it should have
    been; `teacher` is what the teacher decided, `spearman` how far their maps agree.
    """
    device, teacher = decided["device"], decided["teacher"]
    rows = []
    for i in np.flatnonzero(device.decided != device.labels):
        rows.append({
            "model": recipe.name, "form": "int8", "seed": recipe.seed,
            "record": str(device.records[i]),
            "label": CLASSES[device.labels[i]],
            "decided": CLASSES[device.decided[i]],
            "probability": float(device.chances[i, device.decided[i]]),
            "probability_of_label": float(device.chances[i, device.labels[i]]),
            "teacher": CLASSES[teacher.decided[i]],
            "spearman": float(device.agreement[i, AGREEMENT.index("spearman")]),
        })  # fmt: skip
    return sorted(rows, key=lambda row: (-row["probability"], row["record"]))
