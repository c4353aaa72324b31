"""Step 1 of the beats task: recordings become beat tracks, real ones where there are any."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np

from beatlens.beat_recipe import BeatDataSection, BeatRecipe, PlacedShares
from beatlens.pipeline.data import (
    ROLES,
    SIMULATION_SEED,
    at_hand,
    held_patients,
    simulates,
    trainable,
    whole_database,
)
from beatlens.pipeline.wearable_data import simulated_recordings
from beatlens.signals import simulate, splits
from beatlens.signals.annotations import Annotations
from beatlens.signals.beat_features import FEATURES
from beatlens.signals.databases import database_in, find_database
from beatlens.signals.qrs import CONSTANTS
from beatlens.tasks.beats.labels import CLASSES, NOT_S, UNKNOWN, BeatTrack, beat_track
from beatlens.tasks.beats.sampling import BeatSampler
from beatlens.tasks.common.store import kept_tracks
from beatlens.tasks.common.workers import ALONE, Workers

FIELDS = tuple(field.name for field in fields(BeatTrack))
"""Tracks that are kept have these."""
UNLABELLED_SEED = SIMULATION_SEED + 50_000
FIBRILLATION = "A"
"""Label of a whole recording in atrial fibrillation."""
Progress = Callable[[str, int, int], None]
Wanted = dict[str, list[tuple[str, str]]]


@dataclass(frozen=True)
class PreparedBeats:
    """Beat tracks by role, and the annotations of the test recordings, by record.

    No training patient occurs in another role. `simulated` tells whether they were made up;
    `description` says in words what they are.
    """

    train: list[BeatTrack]
    validation: list[BeatTrack]
    test: list[BeatTrack]
    reference: dict[str, Annotations]
    simulated: bool
    description: str

    def sampler(
        self, recipe: BeatRecipe, seed: int, placed: PlacedShares | None = None
    ) -> BeatSampler:
        """Training crops as the recipe wants them, or `placed` otherwise."""
        sampling = recipe.sampling
        return BeatSampler(
            self.train,
            seed,
            (placed or sampling).shares,
            {str(name): weight for name, weight in sampling.database_weights.items()},
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
    """Condition everything a recipe trains, chooses and tests on, and find the R peaks in it.

    What was prepared is kept in the run folder and used again while the data section and the
    databases' files stay as they are.

    Args:
        recipe: `recipe.data` says which databases, or simulated ECG.
        folder: run folder, made if need be.
        data: folder of databases; None searches (see `find_database`).
        progress: called with (what, done, total).
        workers: who reads the recordings.
        roles: of `ROLES`, what is prepared of real recordings; the others stay empty. A released
            bundle is measured without training recordings.

    Raises:
        DataError: real data are asked for and not found, or found damaged; see `simulates`.
    """
    section = recipe.data
    others = (*section.databases, *recipe.unlabelled.databases)
    if simulates(section.source, "mitdb", others, data):
        return _simulated(section, progress)
    wanted = wanted_records(section, data)
    names = dict.fromkeys(name for name, _ in chain(*wanted.values()))
    databases = [find_database(name, data) for name in names]
    track_of = BeatTrackOf(tuple((database.name, database.folder) for database in databases))

    def made(role: str) -> Iterator[BeatTrack]:
        shown = None if progress is None else partial(progress, role)
        return workers.map(track_of, wanted[role], shown)

    made_of = (
        FEATURES,
        CONSTANTS,
        FIELDS,
        wanted,
        [database.fingerprint for database in databases],
    )
    make = {role: partial(made, role) for role in ROLES if role in roles}
    tracks = kept_tracks(folder / "tracks", made_of, make, BeatTrack)
    mitdb = find_database("mitdb", data)
    reference = {record: mitdb.annotations(record) for _, record in wanted["test"]}
    described = _described(wanted, recipe.unlabelled.databases)
    return PreparedBeats(
        **{role: tracks.get(role, []) for role in ROLES}, reference=reference, simulated=False,
        description=described,
    )  # fmt: skip


def read_unlabelled(
    recipe: BeatRecipe,
    prepared: PreparedBeats,
    folder: Path,
    data: Path | None = None,
    progress: Progress | None = None,
    workers: Workers = ALONE,
) -> list[BeatTrack]:
    """The recordings of `recipe.unlabelled`, whose beats nobody labelled: their first leads.

    All labels are `UNKNOWN`, or `NOT_S` where a recording is labelled atrial fibrillation as a
    whole. They too are kept in the run folder. Where the others are simulated, so are these.

    Args:
        recipe, folder, data, progress, workers: as for `prepare_beats`.
        prepared: what is learnt from otherwise.

    Raises:
        DataError: a database is not found.
    """
    names = recipe.unlabelled.databases
    if not names:
        return []
    if prepared.simulated:
        section = recipe.data
        made = simulated_recordings(
            section.simulated_patients, section.simulated_seconds, UNLABELLED_SEED
        )
        return [beat_track(one, known_of(symbol), simulate.LEAD) for one, symbol in made]
    databases = [whole_database(name, data) for name in names]
    held = held_patients((*splits.VALIDATION, *splits.DS2))
    wanted = [(each.name, record) for each in databases for record in sorted(trainable(each, held))]
    shown = None if progress is None else partial(progress, "unlabelled")
    track_of = BeatTrackOf(tuple((each.name, each.folder) for each in databases), labelled=False)
    make = partial(workers.map, track_of, wanted, shown)
    made_of = (FEATURES, CONSTANTS, FIELDS, NOT_S, wanted, [each.fingerprint for each in databases])
    role = "unlabelled"
    return kept_tracks(folder / "tracks", made_of, {role: make}, BeatTrack)[role]


def wanted_records(section: BeatDataSection, data: Path | None) -> Wanted:
    """Databases and records by role; no patient is in two of them (but mitdb's 201 and 202).

    Args:
        section: of a recipe.
        data: folder of databases; None searches.

    Raises:
        DataError: mitdb is not found, or a database is found damaged.
    """
    wanted: Wanted = {
        "train": [("mitdb", record) for record in splits.TRAIN],
        "validation": [("mitdb", record) for record in splits.VALIDATION],
        "test": [("mitdb", record) for record in splits.DS2],
    }
    whole_database("mitdb", data)
    held = held_patients((*splits.VALIDATION, *splits.DS2))
    names = [name for name in section.databases if name != "mitdb" and at_hand(name, data)]
    others = [find_database(name, data) for name in names]
    for other in others:
        chosen_on = other.splits.get("validation", ())
        records = [record for record in trainable(other, held) if record in chosen_on]
        wanted["validation"] += [(other.name, record) for record in records]
        held |= {other.patient(record) for record in records}
    for other in others:
        wanted["train"] += [(other.name, record) for record in trainable(other, held)]
    return wanted


@dataclass(frozen=True)
class BeatTrackOf:
    """Makes the track of a record, wherever it is called with (database, record).

    Args:
        folders: of the databases, with their names.
        labelled: whether their beats are annotated, and what is said of them is to be known. If
            not, what a recording's own label says of all of them.
    """

    folders: tuple[tuple[str, Path], ...]
    labelled: bool = True

    def __call__(self, named: tuple[str, str]) -> BeatTrack:
        """The track of one record."""
        name, record = named
        database = database_in(name, dict(self.folders)[name])
        recording = database.open(record)
        if self.labelled:
            return beat_track(recording, database.annotations(record), database.lead(recording))
        label = database.label(record) if FIBRILLATION in database.labels else None
        return beat_track(recording, known_of(label), recording.lead_names[0])


def known_of(label: str | None) -> int:
    """What is known of all beats of a recording, by its label.

    >>> known_of("A"), known_of("N"), known_of(None)
    (-2, -1, -1)
    """
    return NOT_S if label == FIBRILLATION else UNKNOWN


def _simulated(section: BeatDataSection, progress: Progress | None) -> PreparedBeats:
    patients = simulate.simulate_database(
        section.simulated_patients, SIMULATION_SEED, duration_s=section.simulated_seconds
    )
    tracks: dict[str, list[BeatTrack]] = {role: [] for role in ROLES}
    total, done = sum(len(group) for group in patients.values()), 0
    for role, group in patients.items():
        for patient in group:
            tracks[role].append(beat_track(patient.recording, patient.annotations, simulate.LEAD))
            done += 1
            if progress is not None:
                progress("simulated", done, total)
    return PreparedBeats(
        **tracks,
        reference={patient.recording.name: patient.annotations for patient in patients["test"]},
        simulated=True,
        description=(
            "SIMULATED ECG made by beatlens (no database was found or asked for): "
            f"{', '.join(f'{len(group)} patients to {role}' for role, group in tracks.items())}. "
            "Figures say that the machinery works, not how well a model does on people."
        ),
    )


def _described(wanted: Wanted, unlabelled: Sequence[str]) -> str:
    def counted(role: str) -> str:
        names = [name for name, _ in wanted[role]]
        return " and ".join(f"{names.count(name)} of {name}" for name in dict.fromkeys(names))

    others = (
        f"; heard besides: {' and '.join(unlabelled)}, beats not labelled" if unlabelled else ""
    )
    return (
        f"real ECG, R peaks found by the system: trained on records of DS1 and svdb "
        f"({counted('train')}), chosen on others of them ({counted('validation')}), tested on "
        f"mitdb DS2 ({len(wanted['test'])} records); lead MLII; inter-patient{others}"
    )


def count_labels(tracks: Iterable[BeatTrack]) -> dict[str, int]:
    """Peaks of each class."""
    labels = np.concatenate([track.labels for track in tracks])
    return {name: int(np.sum(labels == number)) for number, name in enumerate(CLASSES)}
