"""Step 1: recordings become tracks, real ones where there are any, else simulated."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import chain
from pathlib import Path

import numpy as np

from beatlens.tasks.windows.metrics import Reference, Run, choose_thresholds, student_thresholds
from beatlens.recipe import DataSection, Recipe
from beatlens.signals import simulate, splits
from beatlens.signals.databases import (
    Assumptions,
    Database,
    DatabaseNotFoundError,
    find_database,
    named_folder,
)
from beatlens.tasks.common.store import kept_tracks
from beatlens.tasks.common.workers import ALONE, Workers
from beatlens.tasks.windows.labels import CLASSES, WindowSet, Track
from beatlens.tasks.windows.sampling import CropSampler
from beatlens.tasks.windows.tracks import beat_track, tracks_of

Progress = Callable[[str, int, int], None]
Made = Callable[[], Iterable[Track]]
SIMULATION_SEED = 2024
ROLES = ("train", "validation", "test")


@dataclass(frozen=True)
class Prepared:
    """Tracks by role. No training patient occurs in another role.

    (Of mitdb, 201 chooses and 202 tests, and they are one patient: see `beatlens.signals.splits`.)
    `simulated` tells whether they were made up; `description` says in words what they are. In a
    final fit (`data.final_fit`) `validation` holds 201 alone, to watch, not to choose on.
    """

    train: list[Track]
    validation: list[Track]
    test: list[Track]
    simulated: bool
    description: str

    def thresholds(
        self, recipe: Recipe, validation: WindowSet, run: Run, teacher: Run | None = None
    ) -> np.ndarray:
        """Thresholds `[C]` in logits: a final fit's are the recipe's, else chosen on validation.

        A teacher's have the best F1 by labels (`usable_thresholds`); a student's are those at which
        it decides as often as its teacher does at the teacher's (`student_thresholds`).

        Args:
            recipe: of the network.
            validation: strips of the validation patients.
            run: what the network said of them.
            teacher: what its teacher said of them, if it is a student.
        """
        given = None if self.simulated else recipe.decision.logits()
        if given is not None:
            return given
        if teacher is None:
            return choose_thresholds(validation, run)
        reference = Reference(teacher, choose_thresholds(validation, teacher))
        return student_thresholds(reference, run, validation.records)

    def sampler(self, recipe: Recipe, seed: int) -> CropSampler:
        """Training crops as the recipe wants them."""
        sampling = recipe.sampling
        return CropSampler(
            self.train,
            seed,
            sampling.shares,
            {str(name): weight for name, weight in sampling.database_weights.items()},
            sampling.augmentation,
            sampling.drawn_excerpts,
        )


def prepare(
    recipe: Recipe,
    folder: Path,
    data: Path | None = None,
    progress: Progress | None = None,
    workers: Workers = ALONE,
    roles: Sequence[str] = ROLES,
) -> Prepared:
    """Load, condition and label everything a recipe trains, chooses and tests on.

    What was prepared is kept in the run folder and used again while the data section and the
    databases' files stay as they are. Recordings go there one by one and training reads crops from
    there, so there may be more of them than memory holds.

    Args:
        recipe: `recipe.data` says which databases, or simulated ECG.
        folder: run folder, made if need be.
        data: folder of databases; None searches (see `find_database`).
        progress: called with (what, done, total).
        workers: who reads the recordings.
        roles: of `ROLES`, what is prepared; the others stay empty. Nothing is trained from a
            released bundle, so its figures need no training recordings.

    Raises:
        DataError: real data are asked for and not found, or found damaged; see `simulates`.
    """
    section = recipe.data
    simulated = simulates(section.source, "mitdb", section.databases, data)
    names = ("simulated",) if simulated else _databases_at_hand(section, data)
    copies = () if simulated else tuple(find_database(name, data).fingerprint for name in names)
    made_of = (section.model_dump_json(), names, copies, splits.TRAIN)
    make = (
        _simulated(section, progress)
        if simulated
        else _real(section, names, data, progress, workers)
    )
    wanted = {role: make[role] for role in ROLES if role in roles}
    tracks = kept_tracks(folder / "tracks", made_of, wanted, Track)
    described = _describe(section, simulated, names, tracks)
    return Prepared(
        **{role: tracks.get(role, []) for role in ROLES}, simulated=simulated, description=described
    )


def at_hand(name: str, data: Path | None) -> bool:
    """Whether a database is there.

    Raises `DataError` where it is there but damaged or incomplete, and where `data` is no folder of
    databases: what was asked for is never left out without a word.
    """
    try:
        whole_database(name, data)
    except DatabaseNotFoundError:
        return False
    return True


def whole_database(name: str, data: Path | None) -> Database:
    """A database with all the records that its own list names; `DataError` as `find_database`."""
    database = find_database(name, data)
    database.check_whole()
    return database


def simulates(source: str, needed: str, others: Iterable[str], data: Path | None) -> bool:
    """Whether a recipe's ECG is simulated.

    Args:
        source: of the recipe: `simulated`, `real`, or `auto`: simulated only where no folder of
            databases was asked for, and none of the recipe's databases was found.
        needed: the database that the recipe cannot do without.
        others: its other databases.
        data: the folder asked for; None: none was, unless BEATLENS_DATA is set.

    Raises:
        DataError: with `auto`, something was asked for or found, but not the database needed; or as
            `at_hand`.
    """
    if source != "auto":
        return source == "simulated"
    found = [name for name in dict.fromkeys((needed, *others)) if at_hand(name, data)]
    if needed in found:
        return False
    if found or named_folder(data) is not None:
        find_database(needed, data)  # raises, and says where it looked
    return True


def held_patients(records: Iterable[str]) -> frozenset[str]:
    """Patients of MIT-BIH's records that are chosen or tested on: other databases have some too."""
    return frozenset(map(splits.mitdb_patient, records))


def trainable(database: Database, held: frozenset[str]) -> tuple[str, ...]:
    """Records that may be trained on: of no patient in `held`, and not in the database's test."""
    tested = database.splits.get("test", ())
    return tuple(
        record
        for record in database.records()
        if record not in tested and database.patient(record) not in held
    )


def _databases_at_hand(section: DataSection, data: Path | None) -> tuple[str, ...]:
    """The databases to train on. MIT-BIH must be there; others are used where they are."""
    whole_database("mitdb", data)
    wanted = ("mitdb", *(name for name in section.databases if name != "mitdb"))
    return tuple(name for name in wanted if at_hand(name, data))


def _real(
    section: DataSection,
    names: tuple[str, ...],
    data: Path | None,
    progress: Progress | None,
    workers: Workers,
) -> dict[str, Made]:
    train_records, validation_records = splits.roles(final_fit=section.final_fit)
    assumed = Assumptions(section.normal_has_no_ectopy, section.ludb_ectopy)

    def read(name: str, records: Iterable[str] | None) -> Iterator[Track]:
        return tracks_of(name, records, data, progress, assumed, workers)

    def train() -> Iterator[Track]:
        held = held_patients((*validation_records, *splits.DS2))
        others = (find_database(name, data) for name in names if name != "mitdb")
        more = (read(other.name, trainable(other, held)) for other in others)
        return chain(read("mitdb", train_records), *more)

    return {
        "train": train,
        "validation": lambda: read("mitdb", validation_records),
        "test": lambda: read("mitdb", splits.DS2),
    }


def _simulated(section: DataSection, progress: Progress | None) -> dict[str, Made]:
    @cache
    def patients() -> dict[str, list[simulate.SimulatedRecording]]:
        return simulate.simulate_database(
            section.simulated_patients, SIMULATION_SEED, duration_s=section.simulated_seconds
        )

    def read(role: str) -> Iterator[Track]:
        group = patients()[role]
        for done, patient in enumerate(group, start=1):
            yield beat_track(patient.recording, patient.annotations, simulate.LEAD, CLASSES)
            if progress is not None:
                progress(f"simulated, {role}", done, len(group))

    return {role: partial(read, role) for role in ROLES}


def _describe(
    section: DataSection, simulated: bool, names: tuple[str, ...], tracks: dict[str, list[Track]]
) -> str:
    counts = {role: len(group) for role, group in tracks.items()}
    if simulated:
        made = ", ".join(
            f"{counts[role]} patients to {verb}"
            for role, verb in zip(ROLES, ("train", "validate", "test"), strict=True)
            if role in counts
        )
        return (
            f"SIMULATED ECG made by beatlens (no database was found or asked for): {made}. Figures "
            "say that the machinery works, not how well a model does on people."
        )
    train, validation = splits.roles(final_fit=section.final_fit)
    parts = []
    if "train" in counts:
        parts.append(
            f"trained on {counts['train']} recordings ({', '.join(names)}; of mitdb, {len(train)} "
            f"records of DS1, without {', '.join(validation)})"
        )
    parts.append(
        "everything chosen before, by cross-validation over DS1"
        if section.final_fit
        else f"chosen on mitdb records {', '.join(validation)}"
    )
    if "test" in counts:
        parts.append(f"tested on mitdb DS2 ({counts['test']} records)")
    return f"real ECG: {', '.join(parts)}; lead MLII; inter-patient"
