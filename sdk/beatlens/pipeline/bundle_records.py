"""A bundle on records that somebody names: what it decides there, and how near its teacher it is.

For records that nobody trained or chose on: `beatlens evaluate --bundle DIR --database svdb
--records FILE` makes the figures of unseen patients again for whoever has the database. Nothing is
chosen on these records: the bundle decides as it ships. The int8 model is run by LiteRT itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from beatlens.errors import DataError, ModelError
from beatlens.evaluate.beats import ec57_row, integer_windows, run_beats, run_integer_beats
from beatlens.evaluate.ec57 import BeatCounts, compare_beats
from beatlens.evaluate.strips import (
    Reference,
    Run,
    choose_thresholds,
    measure,
    row_of,
    run_integer,
    run_network,
)
from beatlens.evaluate.wearable import run_integer_wearable, run_wearable
from beatlens.integer.graph import IntegerGraph
from beatlens.integer.tflite_read import read_tflite
from beatlens.nets.evidence import EvidenceNet
from beatlens.nets.files import load_net
from beatlens.nets.lookup_tables import TABLES_FILE, load_tables
from beatlens.pipeline.beat_data import BeatTrackOf
from beatlens.pipeline.beat_steps import beat_fidelity
from beatlens.pipeline.evaluate import check_strips_bundle, shipped_thresholds
from beatlens.pipeline.score import findings_in
from beatlens.pipeline.wearable_evaluate import agreement_figures, score_figures, told_of
from beatlens.runtime.bundle import Bundle
from beatlens.signals import beat_features, rr_features, splits
from beatlens.signals.annotations import Annotations
from beatlens.signals.databases import Database, find_database
from beatlens.tasks.beats.labels import CLASSES as BEAT_CLASSES
from beatlens.tasks.beats.labels import SYMBOLS, BeatTrack, beat_tables
from beatlens.tasks.beats.rule import beat_rule
from beatlens.tasks.beats.sampling import CROP_SPAN
from beatlens.tasks.recordings.labels import WearableTrack, wearable_track
from beatlens.tasks.recordings.rule import recording_rule
from beatlens.tasks.windows.labels import cut_strips
from beatlens.tasks.windows.tracks import tracks_of

Progress = Callable[[str, int, int], None]
Row = dict[str, Any]
UNDECIDED = "Q"
"""Annotation of a beat that the device refuses to decide: EC57's unclassifiable one."""
AGREEMENT = ("cosine", "pearson", "spearman", "top_iou", "same_peak", "spearman_p5",
             "spearman_agreeing", "spearman_differing", "label_set")  # fmt: skip
"""Figures of strips that need a teacher."""


@dataclass(frozen=True)
class Asked:
    """Records to be measured.

    Args:
        database: that has them.
        records: their names.
        data: folder of databases; None searches (see `find_database`).
        progress: called with (what, done, total).
    """

    database: Database
    records: tuple[str, ...]
    data: Path | None = None
    progress: Progress | None = None

    def say(self, what: str, done: int) -> None:
        """Tell the progress, if anybody asked for it."""
        if self.progress is not None:
            self.progress(what, done, len(self.records))


def read_record_list(path: Path) -> tuple[str, ...]:
    """Names of records in a text file: one a line; `#` begins a comment.

    Raises:
        DataError: the file cannot be read, has no name, a name twice, or a line of several words.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as a list of records ({error})") from error
    names: list[str] = []
    for number, line in enumerate(lines, start=1):
        words = line.partition("#")[0].split()
        if len(words) > 1:
            raise DataError(f"{path}: line {number} is {line!r}, expected one record's name")
        names += words
    if twice := [name for name in names if names.count(name) > 1]:
        raise DataError(f"{path}: record {twice[0]} is there twice, expected each record once")
    if not names:
        raise DataError(f"{path}: no record in it, expected one record's name a line")
    return tuple(names)


def asked_for(
    name: str, records: Sequence[str], data: Path | None = None, progress: Progress | None = None
) -> Asked:
    """Records of a database; `DataError` that names those that are not at hand."""
    database = find_database(name, data)
    there = set(database.records())
    if missing := [record for record in records if record not in there]:
        raise DataError(
            f"{name} in {database.folder} lacks {len(missing)} of {len(records)} records asked "
            f"for: {', '.join(missing[:8])}{', ...' if len(missing) > 8 else ''}; "
            f"`beatlens data get {name}` fetches what PhysioNet has"
        )
    return Asked(database, tuple(records), data, progress)


def measure_records(bundle: Bundle, asked: Asked, teacher: Path | None = None) -> list[Row]:
    """Figures of a bundle, of whichever task, on records; a row for each way to count.

    Args:
        bundle: as it ships.
        asked: the records.
        teacher: file of the network that the bundle was compressed from, with tables.pt beside it
            where its task has tables; None leaves out how far the evidence agrees.

    Raises:
        DataError: the database lacks what the task needs; fewer than two records (an interval by
            record cannot be had).
        ModelError: the teacher is not one of this task.
    """
    measure_kind = {"windows": _strips, "beats": _beats, "recordings": _recordings}
    rows = measure_kind[bundle.kind_name](bundle, asked, teacher)
    about = {"model": bundle.name, "form": "int8", "bytes": len(bundle.tflite)}
    where = {"database": asked.database.name, "records": len(asked.records)}
    return [{**about, **where, **row} for row in rows]


def _strips(bundle: Bundle, asked: Asked, teacher: Path | None) -> list[Row]:
    """Prediction, localisation and agreement over all strips of 10 s; the teacher's row first."""
    check_strips_bundle(bundle)
    name = asked.database.name
    strips = cut_strips(list(tracks_of(name, asked.records, asked.data, asked.progress)))
    about = {"records": len(set(strips.records.tolist())), "strips": len(strips)}
    limits = shipped_thresholds(bundle)
    run = run_integer(read_tflite(bundle.tflite), bundle.geometry, strips)
    if teacher is None:
        row = row_of(measure(strips, run, limits, Reference(run, limits)))
        return [about | {k: v for k, v in row.items() if not k.startswith(AGREEMENT)}]
    network = _network(teacher, bundle)
    validation = cut_strips(list(tracks_of("mitdb", splits.VALIDATION, asked.data)))
    theirs = choose_thresholds(validation, run_network(network, validation))
    reference = Reference(_watched_run(network, strips, asked), theirs)
    return [
        {"model": "teacher", "form": "float", "bytes": 4 * network.weights}
        | about
        | row_of(measure(strips, reference.run, theirs, reference)),
        about | row_of(measure(strips, run, limits, reference)),
    ]


def _watched_run(network: EvidenceNet, strips: Any, asked: Asked) -> Run:
    asked.say("teacher", 0)
    run = run_network(network, strips)
    asked.say("teacher", len(asked.records))
    return run


def _beats(bundle: Bundle, asked: Asked, teacher: Path | None) -> list[Row]:
    """EC57 from 5:00 on, R peaks by the system: as the device outputs, and all beats decided."""
    rule = beat_rule(bundle)
    track_of = BeatTrackOf(((asked.database.name, asked.database.folder),))
    tracks: list[BeatTrack] = []
    output: dict[str, Annotations] = {}
    for done, record in enumerate(asked.records, start=1):
        tracks.append(track_of((asked.database.name, record)))
        output[record] = _as_output(bundle, asked.database, tracks[-1])
        asked.say("records", done)
    graph = _graph_of_crops(bundle)
    run, decided = run_integer_beats(integer_windows(graph), graph, bundle.geometry, rule, tracks)
    every = {t.record: t.annotations(d) for t, d in zip(tracks, decided, strict=True)}
    agreement: Row = {}
    if teacher is not None:
        network = _network(teacher, bundle)
        tables = load_tables(teacher.with_name(TABLES_FILE), len(beat_features.TRAINED))
        theirs = run_beats(network, beat_tables(tables.array()), tracks)
        found = beat_fidelity(theirs, run)
        agreement = {key: found[key] for key in ("spearman", "spearman_p5", "same_peak")}
    count = partial(_counts, asked.database, tracks)
    return [
        {"decided": "as the device outputs, refused beats as Q", **ec57_row(count(output))},
        {"decided": "all beats", **ec57_row(count(every)), **agreement},
    ]


def _as_output(bundle: Bundle, database: Database, track: BeatTrack) -> Annotations:
    """Beats as `beatlens score` outputs them, in samples of the record."""
    recording = database.open(track.record)
    lead = recording.lead(database.lead(recording))
    times, symbols = [], []
    for finding in findings_in(bundle, recording, lead):
        times.append(finding.time_s)
        name = finding.class_name
        symbols.append(SYMBOLS[BEAT_CLASSES.index(name)] if name else UNDECIDED)
    at = np.round(np.array(times, np.float64) * track.rate_hz).astype(np.int64)
    inside = at < track.samples
    none = np.zeros(int(inside.sum()), np.int64)
    return Annotations(
        track.record, track.samples, at[inside], np.array(symbols, "<U1")[inside], none,
        ("",) * len(none),
    )  # fmt: skip


def _counts(
    database: Database, tracks: Sequence[BeatTrack], said: Mapping[str, Annotations]
) -> dict[str, BeatCounts]:
    return {
        track.record: compare_beats(
            database.annotations(track.record), said[track.record], track.rate_hz
        )
        for track in tracks
    }


def _recordings(bundle: Bundle, asked: Asked, teacher: Path | None) -> list[Row]:
    """The challenge's score, as the recordings are and at the whole set's shares of classes."""
    rule, database = recording_rule(bundle), asked.database
    tracks: list[WearableTrack] = []
    for done, record in enumerate(asked.records, start=1):
        tracks.append(wearable_track(database.open(record), database.label(record)))
        asked.say("records", done)
    graph = _graph_of_crops(bundle)
    run, decided = run_integer_wearable(
        integer_windows(graph), graph, bundle.geometry, rule, tracks
    )
    chances = rule.calibration.probabilities(run.logits)
    if teacher is None:
        return [score_figures(told_of(run, run, decided, chances, len(bundle.tflite)))]
    network = _network(teacher, bundle)
    tables = load_tables(teacher.with_name(TABLES_FILE), len(rr_features.FEATURES))
    reference = run_wearable(network, tables.array(), tracks)
    told = told_of(reference, run, decided, chances, len(bundle.tflite))
    theirs = reference.logits.argmax(axis=1)
    same = {"label_set": float((theirs == decided).mean())}
    alone = told_of(reference, reference, theirs, chances, 4 * network.weights)
    scores = score_figures(alone)
    del scores["log_loss"]  # a teacher alone has no calibration, and none is chosen on these
    return [
        {"model": "teacher", "form": "float", "bytes": alone.bytes, **scores},
        {**score_figures(told), **agreement_figures(told), **same},
    ]


def _graph_of_crops(bundle: Bundle) -> IntegerGraph:
    """The network for windows of `CROP_SPAN` samples."""
    length = bundle.geometry.input_length(CROP_SPAN // bundle.geometry.stride)
    return read_tflite(bundle.tflite).with_input_length(length)


def _network(teacher: Path, bundle: Bundle) -> EvidenceNet:
    """A teacher, if it is one for the bundle's classes."""
    network = load_net(teacher)[0]
    if network.classes != bundle.classes:
        raise ModelError(
            f"{teacher}: a network for {', '.join(network.classes)}, expected the bundle's "
            f"teacher, for {', '.join(bundle.classes)}"
        )
    return network
