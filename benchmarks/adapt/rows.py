"""`python -m benchmarks adapt`: five reviewed minutes of a patient, judged on the rest.

Of DS1, svdb and qtdb those records that have enough V or S beats after the reviewed minutes. DS2 is
not looked at. The released network was trained on many of these patients; those that it was not
trained on stand apart: they are what a new patient is like.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from beatlens.errors import DataError
from beatlens.pipeline.score import choose_lead, findings_in
from beatlens.runtime.bundle import Bundle
from beatlens.signals.annotations import Annotations
from beatlens.signals.databases import find_database
from beatlens.signals.databases.mitdb import DS1
from beatlens.signals.databases.svdb import VALIDATION
from beatlens.signals.record_names import find_record
from beatlens.tasks.beats.adaptation import class_numbers
from beatlens.tasks.beats.patient_rule import adapt_to_patient
from beatlens.tasks.beats.recipe import BeatClass, BeatRecipe
from beatlens.tasks.contract import Adapted, Reviewed
from beatlens.tasks.registry import default_recipe

REVIEWED_S = 300.0
ENOUGH = 20
"""Beats of S or V that a record has at least after the reviewed minutes, and that a class has where
its F1 counts."""
HELD_OUT = ("114", "124", "201", "209", "223")
"""Records of DS1 that the released network was not trained on."""
MEASURED = ("mitdb", "svdb")
"""Databases of which qtdb has excerpts that are left out."""
NOT_TRAINED_ON, TRAINED_ON = "not trained on", "trained on"
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Candidate:
    """A record; `trained_on` says whether the released network knows the patient."""

    name: str
    trained_on: bool
    annotations: Annotations
    rate_hz: int


def beat_classes() -> Mapping[str, BeatClass]:
    """Classes of the built-in recipe of beats."""
    recipe = default_recipe("beats")
    assert isinstance(recipe, BeatRecipe)
    return recipe.task.classes


def candidates(data: Path | None, classes: Mapping[str, BeatClass]) -> Iterator[Candidate]:
    """Records with enough beats of S or V after the reviewed minutes."""
    for name in ("mitdb", "svdb", "qtdb"):
        database = find_database(name, data)
        records: Sequence[str] = DS1 if name == "mitdb" else database.records()
        for record in records:
            if name == "qtdb" and database.patient(record).partition("/")[0] in MEASURED:
                continue
            try:
                found = database.annotations(record)
            except DataError:
                continue  # Some records of qtdb have no beats.
            rate_hz = database.header(record).rate_hz
            late = found.beats.sample >= REVIEWED_S * rate_hz
            numbers = class_numbers(found.beats.symbol[late].tolist(), classes)
            counts = [int((numbers == list(classes).index(one)).sum()) for one in ("s", "v")]
            if max(counts) >= ENOUGH:
                held_out = name == "qtdb" or record in (*HELD_OUT, *VALIDATION)
                yield Candidate(f"{name}/{record}", not held_out, found, rate_hz)


def adapt_record(
    bundle: Bundle, classes: Mapping[str, BeatClass], record: Candidate, data: Path | None
) -> Adapted:
    """A bundle adapted to the first minutes of a record, judged on the rest."""
    recording = find_record(record.name, data).open()
    run = partial(findings_in, recording=recording, row=choose_lead(recording), engine="c")
    reviewed = Reviewed(record.annotations, record.rate_hz, 0.0, REVIEWED_S)
    return adapt_to_patient(bundle, classes, run, reviewed)


def record_rows(
    bundle: Bundle, data: Path | None, progress: Progress | None = None
) -> Iterator[dict[str, Any]]:
    """A row for each record; where nothing could be adapted, before and after are the same."""
    classes = beat_classes()
    bundle.check_decides("beats", tuple(classes))
    chosen = list(candidates(data, classes))
    for index, record in enumerate(chosen):
        if progress is not None:
            progress("records", index, len(chosen))
        row: dict[str, Any] = {
            "model": bundle.name,
            "record": record.name,
            "patients": TRAINED_ON if record.trained_on else NOT_TRAINED_ON,
        }
        try:
            found = adapt_record(bundle, classes, record, data)
        except DataError as error:
            yield {**row, "why_not": str(error)}
            continue
        measured = dict(found.measured)
        reviewed = measured.pop("reviewed_beats")
        row |= {f"reviewed_{name}": count for name, count in reviewed.items()}
        if "wrong_before" not in measured:
            row["why_not"] = found.reason
        yield {**row, **measured}


def summary_rows(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Records that could be adapted to, together: sums, means of F1, how many got better.

    `kept` is what is wrong if a rule is only used where it gained, as `beatlens adapt` does.
    """
    found = []
    for patients in (NOT_TRAINED_ON, TRAINED_ON):
        group = [row for row in rows if row["patients"] == patients]
        judged = [row for row in group if "wrong_before" in row]
        if not judged:
            continue
        before = np.array([row["wrong_before"] for row in judged])
        after = np.array([row["wrong_after"] for row in judged])
        one: dict[str, Any] = {
            "model": judged[0]["model"],
            "patients": patients,
            "records": len(group),
            "adapted": len(judged),
            "better": int((after < before).sum()),
            "worse": int((after > before).sum()),
            "wrong_before": int(before.sum()),
            "wrong_after": int(after.sum()),
            "kept": int(np.minimum(before, after).sum()),
        }
        for name in ("s", "v"):
            pairs = [
                (row[f"f1_{name}_before"], row[f"f1_{name}_after"])
                for row in judged
                if row.get(f"beats_{name}", 0) >= ENOUGH
            ]
            one[f"records_{name}"] = len(pairs)
            for place, when in enumerate(("before", "after")):
                value = float(np.mean([pair[place] for pair in pairs])) if pairs else float("nan")
                one[f"f1_{name}_{when}"] = 100 * value
        found.append(one)
    return found
