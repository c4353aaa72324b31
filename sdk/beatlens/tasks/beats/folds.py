"""Patients in folds: what a network says of patients that it was not trained on.

Tables and offsets that are fitted on what a network says of its own training patients trust it too
much. So the labelled patients are dealt into folds; for each of them one of the teacher's members,
and a student of that member, are trained on the others only. What the students say of the patients
they never saw is out of fold, and the rule is fitted on that (cross-fitting: Stone, J R Stat Soc B
36, 1974; stacking: Wolpert, Neural Networks 5, 1992).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from beatlens.tasks.beats.data import PreparedBeats
from beatlens.tasks.beats.labels import BeatTrack

SEED = 5


def assign_folds(
    tracks: Sequence[BeatTrack], patients: Mapping[str, str], count: int
) -> NDArray[np.int64]:
    """The fold of each track, `[tracks]`; all tracks of a patient are in one.

    The patients of a database are dealt in the order of how many ectopic beats they have, `count`
    at a time, so that folds are alike.

    Args:
        tracks: of all databases.
        patients: who a record is of; a record that is not there is its own patient.
        count: folds.
    """
    owners = [(t.database, patients.get(t.record, t.record)) for t in tracks]
    ectopic: dict[tuple[str, str], int] = {}
    for owner, track in zip(owners, tracks, strict=True):
        ectopic[owner] = ectopic.get(owner, 0) + int((track.labels > 0).sum())
    fold: dict[tuple[str, str], int] = {}
    for database in sorted({name for name, _ in ectopic}):
        rng = np.random.default_rng(SEED)
        dealt = sorted(
            (one for one in ectopic if one[0] == database), key=lambda one: (-ectopic[one], one)
        )
        for first in range(0, len(dealt), count):
            some = dealt[first : first + count]
            fold |= zip(some, rng.permutation(count)[: len(some)].tolist(), strict=True)
    return np.array([fold[owner] for owner in owners], np.int64)


def hold_out(prepared: PreparedBeats, fold: int, count: int) -> PreparedBeats:
    """What a network of a fold is trained on: all patients to train on but those of the fold.

    These are its validation recordings.
    """
    tracks = prepared.train
    folds = assign_folds(tracks, prepared.patients, count)
    return replace(
        prepared,
        train=[track for track, own in zip(tracks, folds, strict=True) if own != fold],
        validation=[track for track, own in zip(tracks, folds, strict=True) if own == fold],
    )
