"""Tracks on disk: as they were given, refused when damaged, and never all in memory."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from beatlens.errors import DataError
from beatlens.signals.simulate import LEAD, simulate_patient
from beatlens.tasks.beats.labels import BeatTrack, beat_track
from beatlens.tasks.common.store import INDEX, kept_tracks, read_tracks, write_tracks
from beatlens.tasks.recordings.labels import RecordingTrack, recording_track
from beatlens.tasks.windows.labels import WindowTrack

from ..tracks import make_track


def windows() -> list[WindowTrack]:
    first = make_track([(100, "V"), (300, "N")], afib=[(1, 2)], unknown=[(5, 9)], known=("pvc",))
    first.usable[7:11] = False
    return [first, make_track(samples=1301, record="100", database="mitdb", patient="mitdb/100")]


def beats() -> list[BeatTrack]:
    patient = simulate_patient(3, 60)
    track = beat_track(patient.recording, patient.annotations, LEAD, ("N", "A", "V"))
    return [track, track.first(20)]


def recordings() -> list[RecordingTrack]:
    return [recording_track(simulate_patient(n, 12 + n).recording, n, LEAD) for n in range(2)]


def same(one: Any, other: Any) -> None:
    if isinstance(one, tuple):
        assert len(one) == len(other)
        for here, there in zip(one, other, strict=True):
            same(here, there)
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    else:
        assert one == other
        assert type(one) is type(other)


@pytest.mark.parametrize("made", [windows, beats, recordings])
def test_tracks_come_back_as_they_were_written(made: Callable[[], list], tmp_path: Path) -> None:
    tracks = made()
    write_tracks(tmp_path / "store", iter(tracks))
    again = read_tracks(tmp_path / "store", type(tracks[0]))
    assert len(again) == len(tracks)
    for one, other in zip(tracks, again, strict=True):
        for field in fields(one):
            same(getattr(one, field.name), getattr(other, field.name))
    write_tracks(tmp_path / "store", tracks[:1])  # in the place of the other
    assert len(read_tracks(tmp_path / "store", type(tracks[0]))) == 1


def test_no_tracks_are_no_tracks(tmp_path: Path) -> None:
    write_tracks(tmp_path / "store", [])
    assert read_tracks(tmp_path / "store", WindowTrack) == []


def test_tracks_are_made_once_for_what_they_are_made_of(tmp_path: Path) -> None:
    made: list[str] = []

    def making(role: str, count: int) -> Callable[[], Iterator[WindowTrack]]:
        def make() -> Iterator[WindowTrack]:
            made.append(role)
            yield from [make_track()] * count

        return make

    make = {"train": making("train", 2), "test": making("test", 1)}
    labels = ("labels of Monday",)
    first = kept_tracks(tmp_path, labels, make, WindowTrack)
    assert [len(first[role]) for role in ("train", "test")] == [2, 1]
    kept_tracks(tmp_path, labels, make, WindowTrack)
    assert made == ["train", "test"]
    kept_tracks(tmp_path, ("labels of Tuesday",), make, WindowTrack)
    assert made == ["train", "test"] * 2
    # Where one role was not finished, only that is made.
    shutil.rmtree(next(tmp_path.glob("*-test")))
    for name in (("labels of Monday",), ("labels of Tuesday",)):
        kept_tracks(tmp_path, name, make, WindowTrack)
    assert made == [*["train", "test"] * 2, "test"]


def test_a_store_is_there_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    def broken() -> Any:
        yield make_track()
        raise DataError("record 2 is damaged")

    with pytest.raises(DataError, match="record 2"):
        write_tracks(tmp_path / "store", broken())
    assert not (tmp_path / "store").exists()


def cut_samples(store: Path) -> None:
    (store / "x.bin").write_bytes((store / "x.bin").read_bytes()[:-1])


def no_archive(store: Path) -> None:
    (store / INDEX).write_bytes(b"PK\x03\x04 no archive")


def no_field(store: Path) -> None:
    with np.load(store / INDEX) as archive:
        rest = {name: archive[name] for name in archive.files if name != "patient"}
    np.savez(store / INDEX, **rest)


def short_field(store: Path) -> None:
    with np.load(store / INDEX) as archive:
        columns = {name: archive[name] for name in archive.files}
    np.savez(store / INDEX, **{**columns, "beats": columns["beats"][:-1]})


@pytest.mark.parametrize("damage", [cut_samples, no_archive, no_field, short_field])
def test_damaged_stores_are_refused(damage: Callable[[Path], None], tmp_path: Path) -> None:
    write_tracks(tmp_path / "store", [make_track([(100, "V")])])
    damage(tmp_path / "store")
    with pytest.raises(DataError, match=r"store: not a folder of prepared tracks .*delete it"):
        read_tracks(tmp_path / "store", WindowTrack)


BIGGER_THAN_ALLOWED = """
import resource, sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from beatlens.tasks.windows.sampling import WindowSampler
from beatlens.tasks.common.store import read_tracks, write_tracks
from beatlens.tasks.windows.labels import WindowTrack
from tests.tasks.tracks import CLASSES, make_track

ROOM, EACH, COUNT = 64 << 20, 8 << 20, 32
made = make_track([(400, "V")], samples=EACH)
with open("/proc/self/status") as status:
    used = next(int(line.split()[1]) << 10 for line in status if line.startswith("VmData"))
resource.setrlimit(resource.RLIMIT_DATA, (used + ROOM, used + ROOM))
store = Path(sys.argv[1])
write_tracks(store, (replace(made, record=f"{n}", patient=f"{n}") for n in range(COUNT)))
sampler = WindowSampler(read_tracks(store, WindowTrack), CLASSES, 0, {"pvc": 0.5})
windows, labels = sampler.batch(0, 2000)
assert windows.shape[0] == 2000 and 0.4 < np.nanmean(labels[:, 0]) < 0.6
print((store / "x.bin").stat().st_size // ROOM)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited as Linux does it")
def test_training_crops_come_from_more_samples_than_memory_may_hold(tmp_path: Path) -> None:
    found = subprocess.run(
        [sys.executable, "-c", BIGGER_THAN_ALLOWED, str(tmp_path / "store")],
        capture_output=True, text=True, check=False, cwd=Path(__file__).resolve().parents[3],
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    assert int(found.stdout) == 4  # times the memory there was, flags of samples not counted
