"""Step 1 of the wearable task: recordings of cinc2017 become tracks, in parts for the folds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beatlens.tasks.windows.data import simulates, whole_database
from beatlens.signals.databases import database_in
from beatlens.signals.qrs import CONSTANTS
from beatlens.signals.recording import Recording
from beatlens.signals.simulate import simulate_patient
from beatlens.tasks.common.store import kept_tracks
from beatlens.tasks.common.workers import ALONE, Workers
from beatlens.tasks.recordings.labels import CLASSES, SYMBOLS, RecordingTrack, recording_track
from beatlens.tasks.recordings.sampling import RecordingSampler
from beatlens.tasks.recordings.recipe import FOLDS, WearableDataSection, RecordingRecipe

DATABASE = "cinc2017"
"""The database whose recordings the task is trained on."""
Progress = Callable[[str, int, int], None]
PARTS_SEED, VALIDATION_SEED, SIMULATION_SEED = 2017, 2018, 40_000
SIMULATED: dict[str, tuple[dict[str, Any], ...]] = {
    "N": ({"rhythm": "sinus"},),
    "A": ({"rhythm": "afib"},),
    "O": ({"rhythm": "sinus", "pvc_per_minute": 12.0}, {"rhythm": "sinus", "pac_per_minute": 12.0}),
    "~": ({"rhythm": "sinus", "noise": 12.0},),
}
"""What recordings of each label are simulated as, in turns."""


@dataclass(frozen=True)
class PreparedRecordings:
    """Tracks by role; without a test fold `test` is empty.

    `simulated` tells whether they were made up; `description` says in words what they are.
    """

    train: list[RecordingTrack]
    validation: list[RecordingTrack]
    test: list[RecordingTrack]
    simulated: bool
    description: str

    def sampler(self, recipe: RecordingRecipe, seed: int) -> RecordingSampler:
        """Training crops as the recipe wants them."""
        return RecordingSampler(self.train, seed, recipe.sampling.draw)


@dataclass(frozen=True)
class Recordings:
    """All recordings there are, in the order of their names; `described` says what they are."""

    tracks: list[RecordingTrack]
    simulated: bool
    described: str

    @property
    def parts(self) -> NDArray[np.int64]:
        """Which of the `FOLDS` parts each recording is in, `[n]`."""
        return stratified(self.tracks, FOLDS, PARTS_SEED)

    def split(self, test_fold: int | None, validation: float) -> PreparedRecordings:
        """Roles: one part, if any, to test; of the others a share to choose on, the rest to train.

        Args:
            test_fold: number of the part, or None.
            validation: share of what is not tested on, of every class alike.
        """
        tested = np.zeros(len(self.tracks), bool) if test_fold is None else self.parts == test_fold
        rest = [track for track, held in zip(self.tracks, tested, strict=True) if not held]
        chosen = stratified(rest, max(2, round(1 / validation)), VALIDATION_SEED) == 0
        roles = {
            "train": [track for track, held in zip(rest, chosen, strict=True) if not held],
            "validation": [track for track, held in zip(rest, chosen, strict=True) if held],
            "test": [track for track, held in zip(self.tracks, tested, strict=True) if held],
        }
        counts = f"{len(roles['train'])} trained on, {len(roles['validation'])} chosen on"
        fold = "none tested on" if test_fold is None else f"{len(roles['test'])} tested on"
        described = f"{self.described}; {counts}, {fold}"
        return PreparedRecordings(**roles, simulated=self.simulated, description=described)


def stratified(tracks: Sequence[RecordingTrack], count: int, seed: int) -> NDArray[np.int64]:
    """Cut recordings at random into `count` parts with the same share of every class, `[n]`."""
    rng, labels = np.random.default_rng(seed), np.array([track.label for track in tracks])
    parts = np.zeros(len(tracks), np.int64)
    for number in range(len(CLASSES)):
        drawn = rng.permutation(np.flatnonzero(labels == number))
        parts[drawn] = np.arange(len(drawn)) % count
    return parts


def prepare_recordings(
    recipe: RecordingRecipe,
    folder: Path,
    data: Path | None = None,
    progress: Progress | None = None,
    workers: Workers = ALONE,
) -> PreparedRecordings:
    """Recordings in the roles that a recipe gives them; see `read_recordings`."""
    section = recipe.data
    recordings = read_recordings(section, folder, data, progress, workers)
    return recordings.split(section.test_fold, section.validation)


def read_recordings(
    section: WearableDataSection,
    folder: Path,
    data: Path | None = None,
    progress: Progress | None = None,
    workers: Workers = ALONE,
) -> Recordings:
    """Condition all recordings, and find the R peaks in them.

    What was prepared is kept in the run folder and used again while it is the same files.

    Args:
        section: says whether real or simulated ECG.
        folder: run folder, made if need be.
        data: folder of databases; None searches (see `find_database`).
        progress: called with (what, done, total).
        workers: who reads the recordings.

    Raises:
        DataError: real data are asked for and not found, or found damaged; see `simulates`.
    """
    if simulates(section.source, DATABASE, (), data):
        tracks = list(_simulated(section, progress))
        described = (
            f"SIMULATED ECG made by beatlens (cinc2017 was not found or not asked for): "
            f"{len(tracks)} recordings of {section.simulated_seconds} s. Figures say that the "
            "machinery works, not how well a model does on people"
        )
        return Recordings(tracks, True, described)
    database = whole_database(DATABASE, data)
    records = sorted(database.records())
    shown = None if progress is None else partial(progress, DATABASE)
    make = partial(workers.map, WearableTrackOf(database.folder), records, shown)
    made_of = (CONSTANTS, records, database.fingerprint)
    tracks = kept_tracks(folder / "tracks", made_of, {"all": make}, RecordingTrack)["all"]
    described = (
        f"real ECG of hand-held devices: {len(tracks)} of cinc2017's "
        f"{database.published.records} recordings ({counted(tracks)}), labels of version 3"
    )
    return Recordings(tracks, False, described)


@dataclass(frozen=True)
class WearableTrackOf:
    """Makes the track of a record, wherever it is called with its name.

    Args:
        folder: of the database.
        database: its name; its labels are those of the task.
    """

    folder: Path
    database: str = DATABASE

    def __call__(self, record: str) -> RecordingTrack:
        """The track of one record."""
        database = database_in(self.database, self.folder)
        return recording_track(database.open(record), database.label(record))


def counted(tracks: Sequence[RecordingTrack]) -> str:
    """How many recordings there are of each class, in words."""
    counts = Counter(track.label for track in tracks)
    return ", ".join(f"{counts[number]} {name}" for number, name in enumerate(CLASSES))


def simulated_recordings(count: int, seconds: float, seed: int) -> Iterator[tuple[Recording, str]]:
    """Recordings with labels as cinc2017 has, simulated, each label in turn.

    >>> [symbol for _, symbol in simulated_recordings(5, 10, seed=1)]
    ['N', 'A', 'O', '~', 'N']
    """
    for number in range(count):
        symbol = SYMBOLS[number % len(SYMBOLS)]
        kinds = SIMULATED[symbol]
        kind = kinds[number // len(SYMBOLS) % len(kinds)]
        yield simulate_patient(seed + number, seconds, rate_hz=300, **kind).recording, symbol


def _simulated(section: WearableDataSection, progress: Progress | None) -> Iterator[RecordingTrack]:
    total = section.simulated_recordings
    made = simulated_recordings(total, section.simulated_seconds, SIMULATION_SEED)
    for number, (recording, symbol) in enumerate(made):
        if progress is not None:
            progress("simulated", number, total)
        yield recording_track(recording, symbol)
