"""Window tracks of own records: by annotations, by labels, and by intervals of a CSV file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from beatlens.errors import DataError
from beatlens.recipe import SourceSection
from beatlens.tasks.common.sources import Source
from beatlens.tasks.windows.labels import WindowTrack
from beatlens.tasks.windows.recipe import WindowClass
from beatlens.tasks.windows.tracks import MakeTrack

from ...records import write_record

CLASSES = {
    "pvc": WindowClass(beats="V"),
    "afib": WindowClass(rhythms=("AFIB",)),
    "run": WindowClass(intervals=("run",)),
    "sick": WindowClass(labels=("S",)),
}


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A record of 20 s, every fourth beat V, fibrillating from 10 s on, labelled S."""
    folder = tmp_path_factory.mktemp("own") / "ward"
    write_record(folder, "a")
    write_record(folder, "short", seconds=9)
    (folder / "labels.csv").write_text("record,label\na,S\nshort,N\n")
    (folder / "runs.csv").write_text("record,start_s,end_s,label\na,2,5,run\na,6,7,noise\n")
    return folder


def make(ward: Path, *names: str, record: str = "a", **settings: object) -> WindowTrack | None:
    section = SourceSection.model_validate({"path": str(ward), **settings})
    classes = {name: CLASSES[name] for name in names or CLASSES}
    return MakeTrack(tuple(classes.items()))((Source(section, ward), record))


def test_annotations_and_intervals_place_their_classes(ward: Path) -> None:
    track = make(ward, "pvc", "afib", "run", intervals="runs.csv")
    assert track is not None
    assert (track.record, track.database, track.patient) == ("a", "ward", "ward/a")
    assert track.known.all()
    pvc, afib, run = track.intervals
    assert (pvc[:, 0] + 32).tolist() == [128 * beat + 64 for beat in range(3, 20, 4)]
    assert afib.tolist() == [[1280, 2560]]
    assert run.tolist() == [[256, 640]]  # noise is no class
    assert track.by_beats.tolist() == track.occasional.tolist() == [True, False, False]


def test_classes_that_a_source_has_nothing_for_are_unknown(ward: Path) -> None:
    track = make(ward)
    assert track is not None
    assert track.known.tolist() == [True, True, False, False]
    some = make(ward, decides=["afib"])
    assert some is not None
    assert some.known.tolist() == [False, True, False, False]
    assert np.isnan(some.labels(0)).tolist() == [True, False, True, True]


def test_labels_are_of_the_whole_recording(ward: Path) -> None:
    track = make(ward, labels="labels.csv", decides=["sick"], annotator="none")
    assert track is not None
    assert track.known.tolist() == [False, False, False, True]
    assert track.labels(0)[3] == track.labels(1280)[3] == 1
    assert not track.beats_placed


def test_intervals_alone_need_no_annotations(ward: Path) -> None:
    track = make(ward, "run", intervals="runs.csv", annotator="none")
    assert track is not None
    assert track.labels(0).tolist() == [1]
    assert track.labels(1280).tolist() == [0]


def test_recordings_shorter_than_a_window_are_left_out(ward: Path) -> None:
    assert make(ward, "pvc", record="short") is None


@pytest.mark.parametrize(("name", "what"), [("run", "intervals"), ("sick", "labels")])
def test_a_class_that_a_source_decides_needs_its_file(ward: Path, name: str, what: str) -> None:
    message = rf"decides names the class {name}, which {what} make, but the source has no `{what}`"
    with pytest.raises(DataError, match=message):
        make(ward, decides=[name])


def test_a_source_that_decides_nothing_is_refused(ward: Path) -> None:
    with pytest.raises(DataError, match="the source decides none of the classes run, sick, expect"):
        make(ward, "run", "sick")


def test_annotations_that_are_missing_are_an_error(ward: Path) -> None:
    with pytest.raises(DataError, match="none"):
        make(ward, "pvc", annotator="none")
