"""Beats to measure evidence on: test records with an algorithm's boundaries, ludb with people's.

ludb has no annotation of what kind a beat is. Its table of diagnoses names extrasystoles by
recording; beats of recordings without any are normal, of the others not known, except that a beat
called what the recording is said to have counts as that (`as_diagnosed`). Recordings with a
pacemaker are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from beatlens.evaluate.ec57 import START_S
from beatlens.signals.beat_features import beat_features
from beatlens.signals.databases import Database, as_ludb
from beatlens.signals.frontend import LSBS_MV, MODEL_RATE_HZ
from beatlens.signals.qrs import detect_qrs
from beatlens.signals.recording import Recording
from beatlens.tasks.beats.labels import UNKNOWN, BeatTrack
from beatlens.tasks.common.sources import TEST
from beatlens.tasks.common.tracks import condition
from benchmarks.clinical.classes import N, S, V
from benchmarks.clinical.delineation import NONE, BeatWaves, delineate, marked_waves

LEAD = "ii"
ALGORITHM, PEOPLE = "algorithm", "people"
ECTOPY = {"Atrial extrasystole": S, "Ventricular extrasystole": V}


@dataclass(frozen=True)
class ClinicalBeats:
    """Recordings, and the waves of the beats in them that are looked at.

    Args:
        data: name of the set.
        boundaries: whose boundaries, `ALGORITHM` or `PEOPLE`.
        tracks: the recordings.
        waves: of every beat of each.
        start_s: beats before are left out.
        ectopic: of recordings whose beats are not annotated: which ectopic classes each is said to
            have; empty where all are.
    """

    data: str
    boundaries: str
    tracks: Sequence[BeatTrack]
    waves: Sequence[BeatWaves]
    start_s: float = 0.0
    ectopic: Mapping[str, tuple[int, ...]] | None = None

    def kept(self) -> NDArray[np.bool_]:
        """Which beats of all tracks count: late enough, with a QRS, and usable signal, `[b]`."""
        parts = []
        for track, waves in zip(self.tracks, self.waves, strict=True):
            late = track.peaks >= self.start_s * MODEL_RATE_HZ
            usable = track.usable[np.minimum(track.peaks, len(track.usable) - 1)]
            parts.append(late & usable & (waves.qrs != NONE).all(axis=1))
        return np.concatenate(parts)

    def all_waves(self) -> BeatWaves:
        """Waves of all beats, one track after the other."""
        return BeatWaves(
            *(np.concatenate([getattr(w, name) for w in self.waves]) for name in ("p", "qrs", "t"))
        )


def judged_beats(tracks: Sequence[BeatTrack], *, simulated: bool) -> ClinicalBeats:
    """Test recordings with an algorithm's boundaries, from 5:00 on as EC57 counts.

    Simulated ones are shorter and counted from their start.
    """
    waves = [delineate(track.x, track.peaks) for track in tracks]
    name, start_s = ("simulated", 0.0) if simulated else (TEST, START_S)
    return ClinicalBeats(name, ALGORITHM, tracks, waves, start_s)


def ludb_beats(database: Database) -> tuple[ClinicalBeats, ClinicalBeats]:
    """Lead II of ludb with people's boundaries, and the same beats with an algorithm's.

    Beats people did not mark (of each recording the first and the last) are in neither.

    Raises:
        DataError: files are missing or damaged.
    """
    tracks, marked, found, ectopic = [], [], [], {}
    ludb = as_ludb(database)
    for record in ludb.records():
        diagnoses = ludb.diagnoses(record)
        if diagnoses["Cardiac pacing"]:
            continue
        recording = ludb.read(record)
        track = ludb_track(recording)
        people = marked_waves(ludb.boundaries(record, LEAD), recording.rate_hz, track.peaks)
        algorithm = delineate(fine_samples(recording), track.peaks)
        unmarked = np.where(people.qrs == NONE, NONE, algorithm.qrs)
        tracks.append(track)
        marked.append(people)
        found.append(replace(algorithm, qrs=unmarked))
        ectopic[record] = diagnosed_ectopy(diagnoses["Extrasystolies"])
    return (
        ClinicalBeats("ludb", PEOPLE, tracks, marked, ectopic=ectopic),
        ClinicalBeats("ludb", ALGORITHM, tracks, found, ectopic=ectopic),
    )


def fine_samples(recording: Recording) -> NDArray[np.int8]:
    """Lead II of a recording of ludb in steps of 0.025 mV, in which small T waves are found."""
    return condition(recording, LEAD, LSBS_MV[0]).x


def ludb_track(recording: Recording) -> BeatTrack:
    """Lead II of a recording of ludb, its R peaks by the system, every beat of unknown class."""
    out = condition(recording, LEAD)
    peaks = detect_qrs(out.x)
    return BeatTrack(
        record=recording.name,
        database=recording.database,
        x=out.x,
        usable=out.usable,
        peaks=peaks,
        labels=np.full(len(peaks), UNKNOWN, np.int64),
        features=beat_features(out.x, peaks).values,
        rate_hz=recording.rate_hz,
        samples=recording.samples,
    )


def diagnosed_ectopy(lines: Sequence[str]) -> tuple[int, ...]:
    """Classes of the extrasystoles that a recording's diagnoses name.

    >>> diagnosed_ectopy(["Ventricular extrasystole, type: single pvc"])
    (2,)
    """
    return tuple(
        number for name, number in ECTOPY.items() if any(line.startswith(name) for line in lines)
    )


def as_diagnosed(
    decided: NDArray[np.int64], record: NDArray[np.str_], ectopic: Mapping[str, tuple[int, ...]]
) -> NDArray[np.int64]:
    """Labels of beats by their recordings' diagnoses, `[b]`; see the module.

    >>> diagnosed = {"1": (), "2": (2,)}
    >>> as_diagnosed(np.array([0, 2, 0, 2]), np.array(["1", "1", "2", "2"]), diagnosed).tolist()
    [0, 0, -1, 2]
    """
    labels = np.full(len(decided), UNKNOWN, np.int64)
    for name, classes in ectopic.items():
        own = record == name
        if classes:
            labels[own] = np.where(np.isin(decided[own], classes), decided[own], UNKNOWN)
        else:
            labels[own] = N
    return labels
