"""Which test records a row of figures counts: all of people, and those of each database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from beatlens.tasks.beats.data import PreparedBeats
from beatlens.tasks.beats.labels import BeatTrack
from beatlens.tasks.common.sources import TEST, UNSHARED, is_simulated

ALL_DATABASES = "all"


@dataclass(frozen=True)
class Split:
    """Some test records, by their places among the tracks.

    Args:
        name: `split` of a row.
        database: `database` of a row, or `ALL_DATABASES`.
        places: of the tracks.
    """

    name: str
    database: str
    places: tuple[int, ...]

    @property
    def about(self) -> dict[str, Any]:
        """What rows say of it: a text each under `split` and `database`."""
        return {"split": self.name, "database": self.database}

    def tracks(self, prepared: PreparedBeats) -> list[BeatTrack]:
        """The records."""
        return [prepared.test[place] for place in self.places]


def find_splits(prepared: PreparedBeats) -> list[Split]:
    """All test records, and where there are several databases those of each.

    The first row counts every record of people: those of a database that is simulated are left to
    its own row, unless there are no others. Where a published split shares patients, a second row
    leaves out patients of another role.
    """
    tracks = prepared.test
    databases = tuple(dict.fromkeys(track.database for track in tracks))
    people = _places(tracks, [name for name in databases if not is_simulated(name)])
    people = people or _places(tracks, databases)
    splits = [Split("simulated" if prepared.simulated else TEST, ALL_DATABASES, people)]
    if prepared.shared:
        others = tuple(place for place in people if tracks[place].record not in prepared.shared)
        splits.append(Split(UNSHARED, ALL_DATABASES, others))
    if len(databases) > 1:
        splits += [Split(f"{TEST}, {name}", name, _places(tracks, [name])) for name in databases]
    return splits


def _places(tracks: Sequence[BeatTrack], databases: Sequence[str]) -> tuple[int, ...]:
    return tuple(place for place, track in enumerate(tracks) if track.database in databases)
