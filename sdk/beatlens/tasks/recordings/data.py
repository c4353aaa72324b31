"""Labelled recordings become recording tracks: real ones where there are any, else simulated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from beatlens.errors import RecipeError
from beatlens.recipe import PartSplit
from beatlens.signals import simulate
from beatlens.signals.qrs import CONSTANTS
from beatlens.tasks.common.simulated import SIMULATED, simulated_recordings
from beatlens.tasks.common.sources import (
    PARTS_SEED,
    ROLES,
    VALIDATION_SEED,
    Source,
    assign_roles,
    check_classes_found,
    check_roles_filled,
    describe_roles,
    find_sources,
    simulates,
    stratified_parts,
)
from beatlens.tasks.common.store import kept_tracks
from beatlens.tasks.common.workers import ALONE, Workers
from beatlens.tasks.recordings.labels import RecordingTrack, recording_track
from beatlens.tasks.recordings.recipe import RecordingRecipe
from beatlens.tasks.recordings.sampling import RecordingSampler

Progress = Callable[[str, int, int], None]
SIMULATION_SEED = 40_000


@dataclass(frozen=True)
class PreparedRecordings:
    """Tracks by role; without a test part `test` is empty.

    `simulated` says whether they were made up; `description` in words what they are. `published`
    is how many recordings of each class the whole published set has, by its name; empty where
    nobody published that.
    """

    train: list[RecordingTrack]
    validation: list[RecordingTrack]
    test: list[RecordingTrack]
    simulated: bool
    description: str
    published: Mapping[str, int] = field(default_factory=dict)

    def sampler(self, recipe: RecordingRecipe, seed: int) -> RecordingSampler:
        """Training crops as the recipe wants them."""
        return RecordingSampler(self.train, recipe.classes, seed, recipe.sampling.draw)


def prepare_recordings(
    recipe: RecordingRecipe,
    folder: Path,
    data: Path | None = None,
    progress: Progress | None = None,
    workers: Workers = ALONE,
    roles: Sequence[str] = ROLES,
) -> PreparedRecordings:
    """Condition all recordings, find the R peaks in them, and give each its role.

    What was prepared is kept in the run folder and used again while it is the same files.

    Args:
        recipe: its data section says which sources, or simulated ECG.
        folder: run folder, made if need be.
        data: folder of databases; None searches (see `find_database`).
        progress: called with (what, done, total).
        workers: who reads the recordings.
        roles: of `ROLES`, what is wanted; the others stay empty.

    Raises:
        DataError: real data are asked for and not found, or found damaged; see `simulates`.
        RecipeError: a source has no labels of recordings.
    """
    if simulates(recipe.data, data):
        return _simulated(recipe, progress)
    sources = find_sources(recipe.data, data)
    for source in sources:
        if not source.database.labels and source.section.labels is None:
            raise RecipeError(
                f"{recipe.name}: {source.name} has no labels of recordings, expected one that has"
            )
    named = [(source, r) for source in sources for r in sorted(source.database.records())]
    numbers = recipe.task.numbers
    make_track = MakeRecordingTrack(tuple(numbers.items()))

    def made() -> Iterator[RecordingTrack]:
        shown = None if progress is None else partial(progress, "recordings")
        for track in workers.map(make_track, named, shown):
            if track is not None:
                yield track

    read = [(s.section.model_dump_json(), s.database.fingerprint) for s in sources]
    made_of = (CONSTANTS, tuple(numbers.items()), [(s.name, r) for s, r in named], read)
    tracks = kept_tracks(folder / "tracks", made_of, {"all": made}, RecordingTrack)["all"]
    assigned = assign_roles(sources, final_fit=recipe.data.final_fit)
    if "train" in roles:
        check_roles_filled(assigned, final_fit=recipe.data.final_fit)
    by_name = {(track.database, track.record): track for track in tracks}
    parts = {
        role: [by_name[key] for s, r in assigned[role] if (key := (s.name, r)) in by_name]
        if role in roles
        else []
        for role in ROLES
    }
    if "train" in roles:
        found = Counter(recipe.classes[track.label] for track in tracks)
        check_classes_found(found, recipe.task.classes)
    counts = count_classes(tracks, recipe.classes)
    return PreparedRecordings(
        **parts,
        simulated=False,
        description=f"{describe_roles(assigned, roles)} ({counts} in all)",
        published=_published(sources, recipe),
    )


def _published(sources: Sequence[Source], recipe: RecordingRecipe) -> dict[str, int]:
    """Recordings of each class in the whole set, where one source is all and says so."""
    if len(sources) != 1:
        return {}
    counts = sources[0].database.published.label_counts
    found = {
        name: sum(counts.get(label, 0) for label in one.labels)
        for name, one in recipe.task.classes.items()
    }
    return found if all(found.values()) else {}


@dataclass(frozen=True)
class MakeRecordingTrack:
    """Makes the track of a record, wherever it is called with a source and the record's name.

    Args:
        numbers: number of the class of each label.

    Returns None for a recording whose label is none of them.
    """

    numbers: tuple[tuple[str, int], ...]

    def __call__(self, named: tuple[Source, str]) -> RecordingTrack | None:
        """The track of one record."""
        source, record = named
        number = dict(self.numbers).get(source.database.label(record))
        if number is None:
            return None
        recording = source.database.open(record)
        return recording_track(recording, number, source.lead(recording))


def count_classes(tracks: Sequence[RecordingTrack], classes: Sequence[str]) -> str:
    """How many recordings there are of each class, in words."""
    counts = Counter(track.label for track in tracks)
    return ", ".join(f"{counts[number]} {name}" for number, name in enumerate(classes))


def _simulated(recipe: RecordingRecipe, progress: Progress | None) -> PreparedRecordings:
    """Simulated recordings, each class in turn; split in parts as the first source says."""
    section, classes = recipe.data, recipe.classes
    total = section.simulated_patients
    numbers = {
        name: classes.index(name) if name in classes else place % len(classes)
        for place, name in enumerate(SIMULATED)
    }
    made = simulated_recordings(total, section.simulated_seconds, SIMULATION_SEED)
    tracks = []
    for done, (recording, name) in enumerate(made):
        if progress is not None:
            progress("simulated", done, total)
        tracks.append(recording_track(recording, numbers[name], simulate.LEAD))
    split = next((s.split for s in section.sources if isinstance(s.split, PartSplit)), PartSplit())
    labels, order = np.array([track.label for track in tracks]), range(len(classes))
    parts = stratified_parts(labels, order, split.parts, PARTS_SEED)
    tested = parts == split.test_part if split.test_part is not None else np.zeros(total, bool)
    rest = np.flatnonzero(~tested)
    count = max(2, round(1 / split.validation))
    chosen = stratified_parts(labels[rest], order, count, VALIDATION_SEED) == 0
    return PreparedRecordings(
        train=[tracks[i] for i in rest[~chosen]],
        validation=[tracks[i] for i in rest[chosen]],
        test=[tracks[i] for i in np.flatnonzero(tested)],
        simulated=True,
        description=(
            f"SIMULATED ECG made by beatlens (no database was found or asked for): {total} "
            f"recordings of {section.simulated_seconds} s. Figures say that the machinery works, "
            "not how well a model does on people"
        ),
    )
