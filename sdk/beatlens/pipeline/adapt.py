"""A bundle adapted to one patient: its network as it is, its rule fitted to reviewed beats."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from beatlens.errors import DataError
from beatlens.evaluate.figures import commit
from beatlens.pipeline.score import choose_lead, findings_in
from beatlens.recipe import Recipe
from beatlens.runtime.bundle import Bundle
from beatlens.runtime.folder import check_free
from beatlens.signals.annotations import Annotations, read_annotations
from beatlens.signals.databases import database_in
from beatlens.signals.record_names import RecordPlace, find_record
from beatlens.signals.wfdb_pieces import RecordingFile
from beatlens.tasks.contract import Adapted, Reviewed
from beatlens.tasks.registry import default_recipe, find_training

_NOT_ANNOTATORS = ("", "hea", "dat")
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class ReviewedRecord:
    """A record with reviewed beats, as somebody names it.

    Args:
        record: path, or DATABASE/RECORD; the path of the annotation file itself will do.
        annotator: extension of the annotation file; None: that of `record`, else the database's
            own, else `atr`.
        lead: its name; None: the usual one.
        data: folder of databases.
        start_s, end_s: the reviewed time; None: up to the last annotated beat.
    """

    record: str
    annotator: str | None = None
    lead: str | None = None
    data: Path | None = None
    start_s: float = 0.0
    end_s: float | None = None


@dataclass(frozen=True)
class AdaptedBundle:
    """What was made of a bundle; `folder` is None where nothing was gained."""

    adapted: Adapted
    name: str
    lead: str
    folder: Path | None


def adapt_bundle(
    bundle: Bundle,
    given: ReviewedRecord,
    out: Path | None,
    name: str | None = None,
    recipe: Recipe | None = None,
    engine: str = "auto",
) -> AdaptedBundle:
    """Adapt a bundle's rule to a patient, and write the bundle, if that gains something.

    Network, weights and golden vectors stay, bit for bit.

    Args:
        bundle: as it ships.
        given: the reviewed record.
        out: a new folder for the bundle; None: one with its name, in the current folder.
        name: of the bundle; None: the bundle's and the record's.
        recipe: gives the codes of the beats of each class; None: the built-in one of the kind.
        engine: what computes, see `beatlens explain --help`.

    Raises:
        DataError: there is no such record, or its annotations are missing, damaged, too few or of
            another recording.
        ModelError: the bundle is of a kind that cannot be adapted, or the folder is in use.
    """
    kind = find_training(bundle.kind_name)
    kind.check_adapts(bundle)
    chosen = recipe or default_recipe(bundle.kind_name)
    bundle.check_decides(chosen.task.kind, chosen.classes)
    place = find_record(given.record, given.data)
    recording = place.open()
    row = choose_lead(recording, given.lead)
    annotations = _read(place, recording, given)
    end_s = given.end_s
    if end_s is None:
        last = annotations.beats.sample[-1:]
        end_s = float(last[0] + 1) / recording.rate_hz if len(last) else 0.0
    if end_s <= given.start_s:
        raise DataError(
            f"{place.label}: no time from {given.start_s:g} to {end_s:g} s was reviewed, expected "
            "annotated beats, and an end after the start"
        )
    named = name or _name(bundle.name, recording.patient)
    folder = Path(named) if out is None else out
    check_free(folder, replace=False)
    found = kind.adapt(
        chosen,
        bundle,
        lambda model: findings_in(model, recording, row, engine=engine),
        Reviewed(annotations, recording.rate_hz, given.start_s, end_s),
    )
    lead = recording.lead_names[row]
    if found.rule is None:
        return AdaptedBundle(found, named, lead, None)
    about = {
        "note": "the rule was adapted to one patient; figures of others do not hold for it",
        "adapted_from": bundle.name,
        "record": place.label,
        "lead": lead,
        "reviewed_s": [given.start_s, end_s],
    }
    Bundle.create(
        folder,
        name=named,
        kind=bundle.kind_name,
        classes=bundle.titles,
        rule=found.rule,
        tflite=bundle.tflite,
        golden_inputs=bundle.golden.inputs,
        hop_columns=bundle.hop_columns,
        measured={**about, **found.measured, "before": dict(bundle.measured)},
        versions={**bundle.versions, "rule": commit()},
    )
    return AdaptedBundle(found, named, lead, folder)


def _read(place: RecordPlace, recording: RecordingFile, given: ReviewedRecord) -> Annotations:
    """The annotations; by path those beside the header."""
    annotator = given.annotator
    suffix = Path(given.record).suffix.removeprefix(".")
    if annotator is None and suffix not in _NOT_ANNOTATORS and place.root is None:
        annotator = suffix if place.name == Path(given.record).stem else None
    if place.root is not None:
        return database_in(place.database, place.root).annotations(place.name, annotator)
    return read_annotations(
        place.folder,
        place.name,
        annotator or "atr",
        recording.samples,
        rate_hz=recording.rate_hz,
    )


def _name(bundle: str, patient: str) -> str:
    """A bundle's name for a patient.

    >>> _name("beats", "mitdb/201"), _name("beats", "ward 7/a b")
    ('beats-201', 'beats-a-b')
    """
    last = re.sub(r"[^A-Za-z0-9._-]+", "-", patient.rpartition("/")[2])
    return f"{bundle}-{last}"[:64]
