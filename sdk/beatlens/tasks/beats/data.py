"""Recordings become beat tracks: real ones where there are any, else simulated ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path

import numpy as np

from beatlens.errors import RecipeError
from beatlens.recipe import SourceSection
from beatlens.signals import simulate
from beatlens.signals.annotations import Annotations
from beatlens.signals.beat_features import FEATURES
from beatlens.signals.databases import ITS_WORD, Codes
from beatlens.signals.databases.own_records import OwnRecords
from beatlens.signals.frontend import MODEL_RATE_HZ
from beatlens.signals.qrs import CONSTANTS
from beatlens.tasks.beats.labels import ABSENT, UNKNOWN, BeatTrack, beat_track, has_beat_labels
from beatlens.tasks.beats.recipe import BeatRecipe, PlacedShares
from beatlens.tasks.beats.sampling import BeatSampler
from beatlens.tasks.common.simulated import simulated_recordings
from beatlens.tasks.common.sources import (
    ROLES,
    Roles,
    Source,
    assign_roles,
    check_classes_found,
    check_roles_filled,
    describe_roles,
    find_shared,
    find_sources,
    held_patients,
    simulates,
)
from beatlens.tasks.common.store import kept_tracks
from beatlens.tasks.common.workers import ALONE, Workers

FIELDS = tuple(each.name for each in fields(BeatTrack))
"""Tracks that are kept have these."""
SIMULATION_SEED = 2024
UNLABELLED_SEED = SIMULATION_SEED + 50_000
FIBRILLATION = Codes.of(rhythms=["AFIB"])
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class PreparedBeats:
    """Beat tracks by role, and the annotations of the test recordings, by record.

    No training patient occurs in another role, but for those of validation where the rule is fitted
    out of fold: they are trained on too, and then only watched. `simulated` says whether they were
    made up; `description` in words what they are. `unlabelled` are recordings whose beats nobody
    labelled (`recipe.unlabelled`); `shared` the test records whose patient has a record in another
    role; `patients` who these records are of, each its own patient where it is not said.
    """

    train: list[BeatTrack]
    validation: list[BeatTrack]
    test: list[BeatTrack]
    reference: Mapping[str, Annotations]
    simulated: bool
    description: str
    unlabelled: list[BeatTrack] = field(default_factory=list)
    shared: frozenset[str] = frozenset()
    patients: Mapping[str, str] = field(default_factory=dict)

    def sampler(
        self, recipe: BeatRecipe, seed: int, placed: PlacedShares | None = None
    ) -> BeatSampler:
        """Training crops as the recipe wants them, or `placed` otherwise."""
        sampling = recipe.sampling
        return BeatSampler(
            self.train,
            recipe.classes,
            seed,
            (placed or sampling).shares,
            {source.name: source.weight for source in recipe.data.sources},
            sampling.augmentation,
        )


def prepare_beats(
    recipe: BeatRecipe,
    folder: Path,
    data: Path | None = None,
    progress: Progress | None = None,
    workers: Workers = ALONE,
    roles: Sequence[str] = ROLES,
) -> PreparedBeats:
    """Condition everything a recipe trains, validates and tests on, and find the R peaks in it.

    What was prepared is kept in the run folder and used again while the recipe's classes and data
    and the sources' files stay as they are.

    Args:
        recipe: its data section says which sources, or simulated ECG.
        folder: run folder, made if need be.
        data: folder of databases; None searches (see `find_database`).
        progress: called with (what, done, total).
        workers: who reads the recordings.
        roles: of `ROLES`, what is prepared of real recordings; the others stay empty. A released
            bundle is measured without training recordings.

    Raises:
        DataError: real data are asked for and not found, or found damaged; see `simulates`.
        RecipeError: a source has no annotations of beats.
    """
    if simulates(recipe.data, data):
        return _simulated(recipe, progress)
    sources = find_sources(recipe.data, data)
    for source in sources:
        if not isinstance(source.database, OwnRecords) and not has_beat_labels(source.database):
            raise RecipeError(
                f"{recipe.name}: database {source.name} has no labels of beats, expected one that "
                "has"
            )
    assigned = assign_roles(sources, final_fit=recipe.data.final_fit)
    if "train" in roles:
        check_roles_filled(assigned, final_fit=recipe.data.final_fit)
    make_track = MakeBeatTrack(_codes(recipe))

    def made(role: str) -> Iterator[BeatTrack]:
        shown = None if progress is None else partial(progress, role)
        return workers.map(make_track, assigned[role], shown)

    make = {role: partial(made, role) for role in ROLES if role in roles}
    tracks = kept_tracks(
        folder / "tracks", _track_inputs(recipe, sources, assigned), make, BeatTrack
    )
    if "train" in roles:
        every = [track for part in tracks.values() for track in part]
        check_classes_found(count_labels(every, recipe.classes), recipe.task.classes)
    # Where the rule is fitted out of fold, all labelled patients are measured.
    measured = ROLES if recipe.out_of_fold.folds else ("test",)
    named = [one for role in measured if role in roles or role == "test" for one in assigned[role]]
    reference = {record: source.annotations(record) for source, record in named}
    unlabelled: list[BeatTrack] = []
    if "train" in roles:
        held = held_patients(assigned)
        unlabelled = read_unlabelled(recipe, held, folder, data, progress, workers)
    others = recipe.unlabelled.databases
    besides = f"; besides, beats not labelled: {' and '.join(others)}" if others else ""
    folds = recipe.out_of_fold.folds
    merged = f"; all of them are trained on, and the rule is fitted in {folds} folds of them"
    return PreparedBeats(
        train=tracks.get("train", []) + (tracks.get("validation", []) if folds else []),
        validation=tracks.get("validation", []),
        test=tracks.get("test", []),
        reference=reference,
        simulated=False,
        description=f"{describe_roles(assigned, roles)}; R peaks found by the system{besides}"
        f"{merged if folds else ''}",
        unlabelled=unlabelled,
        shared=find_shared(assigned),
        patients={record: source.database.patient(record) for source, record in named},
    )


def _codes(recipe: BeatRecipe) -> tuple[str, ...]:
    return tuple(one.beats for one in recipe.task.classes.values())


def _track_inputs(
    recipe: BeatRecipe, sources: Sequence[Source], assigned: Roles
) -> tuple[object, ...]:
    """All that tracks depend on."""
    names = {role: [(s.name, record) for s, record in part] for role, part in assigned.items()}
    read = [(s.section.model_dump_json(), s.database.fingerprint) for s in sources]
    return (FEATURES, CONSTANTS, FIELDS, _codes(recipe), names, read)


def read_unlabelled(
    recipe: BeatRecipe,
    held: frozenset[str],
    folder: Path,
    data: Path | None = None,
    progress: Progress | None = None,
    workers: Workers = ALONE,
) -> list[BeatTrack]:
    """The recordings of `recipe.unlabelled`, whose beats nobody labelled: their first leads.

    All labels are `UNKNOWN`, or `ABSENT` where a recording is labelled atrial fibrillation as a
    whole. They too are kept in the run folder.

    Args:
        recipe, folder, data, progress, workers: as for `prepare_beats`.
        held: patients who are validated or tested on: their recordings are left out.

    Raises:
        DataError: a database is not found.
    """
    names = recipe.unlabelled.databases
    if not names:
        return []
    section = recipe.data.model_copy(
        update={"sources": tuple(SourceSection(database=n, split="published") for n in names)}
    )
    sources = find_sources(section, data)
    wanted = [
        (source, record)
        for source in sources
        for record in sorted(source.database.records())
        if record not in source.database.splits.get("test", ())
        and source.database.patient(record) not in held
    ]
    shown = None if progress is None else partial(progress, "unlabelled")
    make = partial(workers.map, make_unlabelled_track, wanted, shown)
    read = [(source.name, source.database.fingerprint) for source in sources]
    made_of = (FEATURES, CONSTANTS, FIELDS, ABSENT, [(s.name, r) for s, r in wanted], read)
    role = "unlabelled"
    return kept_tracks(folder / "tracks", made_of, {role: make}, BeatTrack)[role]


@dataclass(frozen=True)
class MakeBeatTrack:
    """Makes the track of a record, wherever it is called with a source and the record's name.

    Args:
        codes: of the beats of each class.
    """

    codes: tuple[str, ...]

    def __call__(self, named: tuple[Source, str]) -> BeatTrack:
        """The track of one record."""
        source, record = named
        recording = source.database.open(record)
        return beat_track(recording, source.annotations(record), source.lead(recording), self.codes)


def make_unlabelled_track(named: tuple[Source, str]) -> BeatTrack:
    """The track of a record whose beats nobody labelled."""
    source, record = named
    recording = source.database.open(record)
    return beat_track(recording, known_of_all(source, record), recording.lead_names[0])


def known_of_all(source: Source, record: str) -> int:
    """The label of all beats of a recording, by its own label: `ABSENT` or `UNKNOWN`.

    Diagnoses in a table, of several words, are no label.
    """
    if not source.database.labels:
        return UNKNOWN
    statement = source.database.statement(record, ITS_WORD)
    fibrillates = statement is not None and statement.decides(FIBRILLATION)
    return ABSENT if fibrillates else UNKNOWN


def _simulated(recipe: BeatRecipe, progress: Progress | None) -> PreparedBeats:
    section, codes = recipe.data, _codes(recipe)
    patients = simulate.simulate_database(
        section.simulated_patients, SIMULATION_SEED, duration_s=section.simulated_seconds
    )
    tracks: dict[str, list[BeatTrack]] = {role: [] for role in ROLES}
    total, done = sum(len(group) for group in patients.values()), 0
    for role, group in patients.items():
        for patient in group:
            tracks[role].append(
                beat_track(patient.recording, patient.annotations, simulate.LEAD, codes)
            )
            done += 1
            if progress is not None:
                progress("simulated", done, total)
    unlabelled = []
    if recipe.unlabelled.databases:
        made = simulated_recordings(
            section.simulated_patients, section.simulated_seconds, UNLABELLED_SEED
        )
        unlabelled = [
            beat_track(one, ABSENT if name == "afib" else UNKNOWN, simulate.LEAD)
            for one, name in made
        ]
    return PreparedBeats(
        train=tracks["train"] + (tracks["validation"] if recipe.out_of_fold.folds else []),
        validation=tracks["validation"],
        test=tracks["test"],
        reference={
            patient.recording.name: patient.annotations
            for group in patients.values()
            for patient in group
        },
        simulated=True,
        description=(
            "SIMULATED ECG made by beatlens (no database was found or asked for): "
            f"{', '.join(f'{len(group)} patients to {role}' for role, group in tracks.items())}. "
            "Figures say that the machinery works, not how well a model does on people."
        ),
        unlabelled=unlabelled,
    )


def count_labels(tracks: Iterable[BeatTrack], classes: Sequence[str]) -> dict[str, int]:
    """Peaks of each class."""
    labels = np.concatenate([track.labels for track in tracks])
    return {name: int(np.sum(labels == number)) for number, name in enumerate(classes)}


def describe_beats(prepared: PreparedBeats, classes: Sequence[str]) -> str:
    """What there is to train on, in words."""
    if not prepared.train:
        return ""
    counts = ", ".join(f"{n:,} {name}" for name, n in count_labels(prepared.train, classes).items())
    lines = [f"beats to train on: {counts}"]
    if prepared.unlabelled:
        hours = sum(len(track.x) for track in prepared.unlabelled) / MODEL_RATE_HZ / 3600
        fibrillating = sum(bool((track.labels == ABSENT).any()) for track in prepared.unlabelled)
        lines.append(
            f"recordings without beat labels: {len(prepared.unlabelled):,}, {hours:.1f} h, "
            f"{fibrillating:,} of them in atrial fibrillation"
        )
    return "\n".join(lines)
