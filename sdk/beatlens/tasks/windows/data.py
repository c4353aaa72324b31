"""Recordings become window tracks: real ones where there are any, else simulated ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path

from beatlens.signals import simulate
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
    simulates,
)
from beatlens.tasks.common.store import kept_tracks
from beatlens.tasks.common.workers import ALONE, Workers
from beatlens.tasks.windows.labels import WindowTrack
from beatlens.tasks.windows.recipe import WindowRecipe
from beatlens.tasks.windows.sampling import WindowSampler
from beatlens.tasks.windows.tracks import MakeTrack, annotated_track, check_labels

Progress = Callable[[str, int, int], None]
MakeTracks = Callable[[], Iterable[WindowTrack]]
SIMULATION_SEED = 2024


@dataclass(frozen=True)
class PreparedWindows:
    """Tracks by role. No training patient occurs in another role.

    `simulated` says whether they were made up; `description` in words what they are. In a final fit
    (`data.final_fit`) `validation` holds what is left to watch, not to choose on. `test_sources` is
    the source of each test record, and `shared` the test records whose patient has a record in
    another role (where a published split has such).
    """

    train: list[WindowTrack]
    validation: list[WindowTrack]
    test: list[WindowTrack]
    simulated: bool
    description: str
    test_sources: Mapping[str, Source] = field(default_factory=dict)
    shared: frozenset[str] = frozenset()

    def sampler(self, recipe: WindowRecipe, seed: int, *, excerpts: bool) -> WindowSampler:
        """Training crops as the recipe wants them, with its excerpts or without."""
        sampling = recipe.sampling
        return WindowSampler(
            self.train,
            recipe.classes,
            seed,
            sampling.shares,
            {source.name: source.weight for source in recipe.data.sources},
            sampling.augmentation,
            sampling.drawn_excerpts if excerpts else None,
        )


def prepare_windows(
    recipe: WindowRecipe,
    folder: Path,
    data: Path | None = None,
    progress: Progress | None = None,
    workers: Workers = ALONE,
    roles: Sequence[str] = ROLES,
) -> PreparedWindows:
    """Load, condition and label everything a recipe trains, validates and tests on.

    What was prepared is kept in the run folder and used again while the recipe's task and data and
    the sources' files stay as they are. Recordings go there one by one and training reads crops
    from there, so there may be more of them than memory holds.

    Args:
        recipe: its data section says which sources, or simulated ECG.
        folder: run folder, made if need be.
        data: folder of databases; None searches (see `find_database`).
        progress: called with (what, done, total).
        workers: who reads the recordings.
        roles: of `ROLES`, what is prepared; the others stay empty. Nothing is trained from a
            released bundle, so its figures need no training recordings.

    Raises:
        DataError: real data are asked for and not found, or found damaged; see `simulates`.
        RecipeError: a source decides none of the classes.
    """
    if simulates(recipe.data, data):
        return _simulated(recipe, folder, progress, roles)
    sources = find_sources(recipe.data, data)
    for source in sources:
        check_labels(source, recipe.task.classes)
    assigned = assign_roles(sources, final_fit=recipe.data.final_fit)
    if "train" in roles:
        check_roles_filled(assigned, final_fit=recipe.data.final_fit)
    make_track = MakeTrack(tuple(recipe.task.classes.items()))

    def made(role: str) -> Iterator[WindowTrack]:
        shown = None if progress is None else partial(progress, role)
        for track in workers.map(make_track, assigned[role], shown):
            if track is not None:
                yield track

    made_of = (
        recipe.data.model_dump_json(),
        recipe.task.model_dump_json(),
        tuple((source.name, source.database.fingerprint) for source in sources),
        _names(assigned),
    )
    make = {role: partial(made, role) for role in ROLES if role in roles}
    tracks = kept_tracks(folder / "tracks", made_of, make, WindowTrack)
    if "train" in roles:
        check_classes_found(_count_tracks(tracks, recipe.classes), recipe.task.classes)
    return PreparedWindows(
        train=tracks.get("train", []),
        validation=tracks.get("validation", []),
        test=tracks.get("test", []),
        simulated=False,
        description=describe_roles(assigned, roles),
        test_sources={record: source for source, record in assigned["test"]},
        shared=find_shared(assigned),
    )


def _count_tracks(
    tracks: Mapping[str, Sequence[WindowTrack]], classes: Sequence[str]
) -> dict[str, int]:
    """In how many recordings each class is."""
    every = [track for part in tracks.values() for track in part]
    return {
        name: sum(len(track.intervals[number]) > 0 for track in every)
        for number, name in enumerate(classes)
    }


def _names(assigned: Roles) -> dict[str, list[tuple[str, str]]]:
    return {role: [(s.name, record) for s, record in part] for role, part in assigned.items()}


def _simulated(
    recipe: WindowRecipe, folder: Path, progress: Progress | None, roles: Sequence[str]
) -> PreparedWindows:
    section, classes = recipe.data, recipe.task.classes

    @cache
    def patients() -> dict[str, list[simulate.SimulatedRecording]]:
        return simulate.simulate_database(
            section.simulated_patients, SIMULATION_SEED, duration_s=section.simulated_seconds
        )

    def read(role: str) -> Iterator[WindowTrack]:
        group = patients()[role]
        for done, patient in enumerate(group, start=1):
            yield annotated_track(
                patient.recording, patient.annotations, simulate.LEAD, classes, classes
            )
            if progress is not None:
                progress(f"simulated, {role}", done, len(group))

    made_of = (section.model_dump_json(), recipe.task.model_dump_json(), "simulated")
    make: dict[str, MakeTracks] = {role: partial(read, role) for role in ROLES if role in roles}
    tracks = kept_tracks(folder / "tracks", made_of, make, WindowTrack)
    counts = ", ".join(f"{len(tracks[role])} patients to {role}" for role in tracks)
    return PreparedWindows(
        train=tracks.get("train", []),
        validation=tracks.get("validation", []),
        test=tracks.get("test", []),
        simulated=True,
        description=(
            f"SIMULATED ECG made by beatlens (no database was found or asked for): {counts}. "
            "Figures say that the machinery works, not how well a model does on people."
        ),
    )
