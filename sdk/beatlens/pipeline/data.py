"""Step 1: recordings become tracks, real ones where there are any, else simulated."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock

from beatlens.errors import DataError
from beatlens.evaluate.strips import Run, choose_thresholds
from beatlens.recipe import DataSection, Recipe
from beatlens.signals import simulate, splits
from beatlens.signals.databases import find_database
from beatlens.tasks.prepare import Assumptions, beat_track, load_tracks_of
from beatlens.tasks.sampling import CropSampler
from beatlens.tasks.strips import CLASSES, StripSet, Track, load_tracks, save_tracks

Progress = Callable[[str, int, int], None]
SIMULATION_SEED = 2024


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

    def thresholds(self, recipe: Recipe, validation: StripSet, run: Run) -> np.ndarray:
        """Thresholds `[C]` in logits: a final fit's are the recipe's, else chosen on validation.

        Args:
            recipe: of the network.
            validation: strips of the validation patients.
            run: what the network said of them.
        """
        given = None if self.simulated else recipe.decision.logits()
        return choose_thresholds(validation, run) if given is None else given

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
    recipe: Recipe, folder: Path, data: Path | None = None, progress: Progress | None = None
) -> Prepared:
    """Load, condition and label everything a recipe trains, chooses and tests on.

    What was prepared is kept in the run folder and used again while the data section stays as it
    is.

    Args:
        recipe: `recipe.data` says which databases, or simulated ECG.
        folder: run folder, made if need be.
        data: folder of databases; None searches (see `find_database`).
        progress: called with (what, done, total).

    Raises:
        DataError: real data are asked for and not found.
    """
    section = recipe.data
    simulated = section.source == "simulated" or (
        section.source == "auto" and not at_hand("mitdb", data)
    )
    names = ("simulated",) if simulated else _databases_at_hand(section, data)
    key = hashlib.sha256(f"{section.model_dump_json()}{names}{data}{splits.TRAIN}".encode())
    cache = folder / "tracks"
    roles = ("train", "validation", "test")
    files = {role: cache / f"{key.hexdigest()[:12]}-{role}.npz" for role in roles}
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / "lock"):  # runs of several seeds may start at once in one folder
        if all(path.exists() for path in files.values()):
            tracks = {role: load_tracks(path) for role, path in files.items()}
        else:
            make = _simulated if simulated else _real
            tracks = make(section, names, data, progress)
            for role, path in files.items():
                save_tracks(path, tracks[role])
    described = _describe(section, simulated, names, tracks)
    return Prepared(**tracks, simulated=simulated, description=described)


def at_hand(name: str, data: Path | None) -> bool:
    """Whether a database is there, with any record of it."""
    try:
        return bool(find_database(name, data).records())
    except DataError:
        return False


def _databases_at_hand(section: DataSection, data: Path | None) -> tuple[str, ...]:
    """The databases to train on. MIT-BIH must be there; others are used where they are."""
    find_database("mitdb", data)
    wanted = ("mitdb", *(name for name in section.databases if name != "mitdb"))
    return tuple(name for name in wanted if at_hand(name, data))


def _real(
    section: DataSection, names: tuple[str, ...], data: Path | None, progress: Progress | None
) -> dict[str, list[Track]]:
    train_records, validation_records = splits.roles(final_fit=section.final_fit)
    train = load_tracks_of("mitdb", train_records, data, progress)
    assumed = Assumptions(section.normal_has_no_ectopy, section.ludb_ectopy)
    for name in names[1:]:
        train += load_tracks_of(name, None, data, progress, assumed)
    return {
        "train": train,
        "validation": load_tracks_of("mitdb", validation_records, data, progress),
        "test": load_tracks_of("mitdb", splits.DS2, data, progress),
    }


def _simulated(
    section: DataSection, _names: tuple[str, ...], _data: Path | None, progress: Progress | None
) -> dict[str, list[Track]]:
    patients = simulate.simulate_database(
        section.simulated_patients, SIMULATION_SEED, duration_s=section.simulated_seconds
    )
    total = sum(len(group) for group in patients.values())
    done = 0
    tracks: dict[str, list[Track]] = {}
    for role, group in patients.items():
        tracks[role] = []
        for patient in group:
            known = CLASSES
            track = beat_track(patient.recording, patient.annotations, simulate.LEAD, known)
            tracks[role].append(track)
            done += 1
            if progress is not None:
                progress("simulated", done, total)
    return tracks


def _describe(
    section: DataSection, simulated: bool, names: tuple[str, ...], tracks: dict[str, list[Track]]
) -> str:
    counts = {role: len(group) for role, group in tracks.items()}
    if simulated:
        return (
            "SIMULATED ECG made by beatlens (no database was found or asked for): "
            f"{counts['train']} patients to train, {counts['validation']} to validate, "
            f"{counts['test']} to test. Figures say that the machinery works, not how well a "
            "model does on people."
        )
    train, validation = splits.roles(final_fit=section.final_fit)
    choice = f"chosen on mitdb records {', '.join(validation)}"
    if section.final_fit:
        choice = "everything chosen before, by cross-validation over DS1"
    return (
        f"real ECG: trained on {counts['train']} recordings ({', '.join(names)}; of mitdb, "
        f"{len(train)} records of DS1, without {', '.join(validation)}), {choice}, tested on "
        f"mitdb DS2 ({counts['test']} records); lead MLII; inter-patient"
    )
